"""Blocks from one store into another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.blockstore.base import check_store
from libp2p.blockstore.reading import read_blocks
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.utils.background import background_nursery
from libp2p.utils.closing import ending

if TYPE_CHECKING:
    from libp2p.blockstore.base import BlockStore

#: Bytes and blocks that are read at once. While they are written the next ones are read, so twice
#: as much is in memory. More keeps 64 calls to a slow store busy, and no longer.
BATCH_BYTES: Final = 16 * 1024 * 1024
BATCH_BLOCKS: Final = 512


@dataclass(frozen=True, slots=True)
class CopyResult:
    """
    What became of the blocks of a source.

    :param copied: blocks that the target did not have.
    :param bytes: the bytes of these.
    :param there: blocks that the target had.
    :param damaged: blocks that the source listed and had other bytes for, or had no more.
    """

    copied: int
    bytes: int
    there: int
    damaged: int


async def copy_blocks(
    source: BlockStore,
    target: BlockStore,
    *,
    progress: Callable[[CopyResult], object] | None = None,
) -> CopyResult:
    """
    Copy all blocks that ``target`` does not have; every block is verified on the way.

    What was copied before an error or an interruption is not copied again: call it again to resume.
    A block that is damaged in the source is counted, logged and left out.

    :param progress: called with the result so far after each batch.
    :raises BlockStoreError: or what a store of your own raises, if one of the two fails.
    """
    check_store(source)
    check_store(target)
    copy = _Copy(source, target, progress)
    await copy.run()
    return copy.result


class _Copy:
    def __init__(
        self,
        source: BlockStore,
        target: BlockStore,
        progress: Callable[[CopyResult], object] | None,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._copied = self._bytes = self._there = self._damaged = 0

    @property
    def result(self) -> CopyResult:
        return CopyResult(self._copied, self._bytes, self._there, self._damaged)

    async def run(self) -> None:
        blocks: list[tuple[bytes, bytes]] = []
        batches = self._missing()
        async with ending(batches):
            async for cids in batches:
                async with background_nursery() as nursery:
                    nursery.start_soon(self._write, blocks)
                    read = await self._read(cids)
                blocks = read
            await self._write(blocks)

    async def _read(self, cids: list[CID]) -> list[tuple[bytes, bytes]]:
        found, _ = await read_blocks(self._source, cids)
        blocks = [
            (cid.buffer, data) for cid, data in zip(cids, found, strict=True) if data is not None
        ]
        self._damaged += len(cids) - len(blocks)
        return blocks

    async def _write(self, blocks: list[tuple[bytes, bytes]]) -> None:
        if not blocks:
            return
        await self._target.put_blocks(blocks)
        self._copied += len(blocks)
        self._bytes += sum(len(data) for _, data in blocks)
        if self._progress is not None:
            self._progress(self.result)

    async def _missing(self) -> AsyncGenerator[list[CID], None]:
        """Return the blocks that the target does not have, in batches of a bounded size."""
        infos = self._source.block_infos()
        async with ending(infos):
            async for listed in infos:
                for start in range(0, len(listed), BATCH_BLOCKS):
                    some = listed[start : start + BATCH_BLOCKS]
                    cids = [CID.decode(RAW_CID_START + multihash) for multihash, _, _ in some]
                    there = await self._target.get_sizes([cid.buffer for cid in cids])
                    missing = [
                        (cid, size)
                        for cid, (_, size, _), found in zip(cids, some, there, strict=True)
                        if found != size
                    ]
                    self._there += len(some) - len(missing)
                    for batch in _bounded(missing):
                        yield batch


def _bounded(blocks: list[tuple[CID, int]]) -> Iterator[list[CID]]:
    """Cut a list into batches of `BATCH_BYTES`, with one block at least."""
    batch: list[CID] = []
    room = BATCH_BYTES
    for cid, size in blocks:
        if batch and size > room:
            yield batch
            batch, room = [], BATCH_BYTES
        batch.append(cid)
        room -= size
    if batch:
        yield batch
