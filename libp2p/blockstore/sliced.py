"""A store with slices of files beside it, and the file that a fetch writes."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import trio

from libp2p.blockstore.layered import LayeredBlockStore
from libp2p.blockstore.slice_table import Slice
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.utils.closing import ending
from libp2p.utils.shown import shown
from libp2p.utils.writing import DiskWriter

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo, BlockStore
    from libp2p.blockstore.slice_table import Stamp
    from libp2p.blockstore.slices import SliceBlockStore
    from libp2p.ipld.cid import CIDInput


class Taker:
    """
    The file that a fetch writes: blocks that it waits for are written into it as they are stored.

    Methods may be called from any thread.

    :param path: the absolute path of a file that is open for writing as ``descriptor``.
    :param sync: flush blocks to the disk before they count as stored.
    """

    def __init__(self, path: str, descriptor: int, *, sync: bool = False) -> None:
        self.path: Final = path
        self.descriptor: Final = descriptor
        self._sync = sync
        self._disk = DiskWriter()
        self._lock = threading.Lock()
        self._places: dict[bytes, set[tuple[int, int]]] = {}
        self._written: dict[int, int] = {}
        self._covered = 0
        self._closed = False

    def expect(self, cid: CID, offset: int, size: int) -> None:
        """Note where a block belongs that is being asked for."""
        with self._lock:
            self._places.setdefault(cid.multihash, set()).add((offset, size))

    def waits_for(self, multihash: bytes) -> bool:
        return multihash in self._places

    def take(self, blocks: Iterable[tuple[bytes, Buffer]]) -> list[Slice]:
        """
        Write blocks to their places; return those that are slices now.

        :raises OSError: if the file cannot be written.
        """
        taken: list[Slice] = []
        with self._lock:
            for multihash, data in blocks:
                for offset, size in () if self._closed else self._places.pop(multihash, ()):
                    if size == len(data):
                        self._write_at(offset, data)
                        self._written[offset] = size
                        taken.append(Slice(multihash, offset, size))
            if taken and self._sync:
                os.fsync(self.descriptor)
        return taken

    def fill(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """
        Write the next bytes of the file, but for those that `take` has written.

        :raises OSError: if the file cannot be written.
        """
        with self._lock:
            for data in buffers:
                self._covered = max(self._covered, offset + self._written.pop(offset, 0))
                start = min(max(self._covered - offset, 0), len(data))
                self._write_at(offset + start, memoryview(data)[start:])
                offset += len(data)

    def close(self) -> None:
        """Take nothing more; the descriptor is the caller's."""
        with self._lock:
            self._closed = True
            self._places.clear()

    def _write_at(self, offset: int, data: Buffer) -> None:
        os.lseek(self.descriptor, offset, os.SEEK_SET)  # not pwrite: Windows has none
        self._disk.write(self.descriptor, [data])


class SlicedBlockStore(LayeredBlockStore):
    """
    A store, and slices of files beside it: what is in neither place is missing.

    Blocks are put into ``blocks``, except for those that a `Taker` waits for: they become slices of
    its file. Closing closes both.
    """

    def __init__(self, blocks: BlockStore, slices: SliceBlockStore) -> None:
        super().__init__(blocks, slices, keep=False)
        self.blocks: Final = blocks
        self.slices: Final = slices
        self._takers: list[Taker] = []

    def __repr__(self) -> str:
        return shown(self, lambda: f"{self.blocks!r} with slices of files")

    def add_taker(self, taker: Taker) -> None:
        self._takers.append(taker)

    def remove_taker(self, taker: Taker) -> None:
        taker.close()
        self._takers.remove(taker)

    async def get_blocks_or_sizes(
        self, cids: Sequence[CIDInput], limit: int
    ) -> list[bytes | int | None]:
        found = await self.blocks.get_blocks_or_sizes(cids, limit)
        if self.slices.exists and None in found:
            missing = [n for n, data in enumerate(found) if data is None]
            sizes = await self.slices.get_sizes([cids[n] for n in missing])
            for n, size in zip(missing, sizes, strict=True):
                found[n] = size
        return found

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        keyed = [(CID.of(cid).multihash, data) for cid, data in blocks] if self._takers else []
        takers = [t for t in self._takers if any(t.waits_for(multihash) for multihash, _ in keyed)]
        if takers:
            taken = await trio.to_thread.run_sync(self._take, takers, keyed)
            pairs = zip(keyed, blocks, strict=True)
            blocks = [block for (multihash, _), block in pairs if multihash not in taken]
        if blocks:
            await self.blocks.put_blocks([(CID.of(cid).buffer, data) for cid, data in blocks])

    def _take(self, takers: Sequence[Taker], blocks: Sequence[tuple[bytes, Buffer]]) -> set[bytes]:
        files: list[tuple[str, Stamp | None, list[Slice]]] = []
        for taker in takers:
            try:
                files.append((taker.path, None, taker.take(blocks)))
            except OSError as error:
                raise BlockStoreError(f"cannot write {taker.path}: {error.strerror}") from error
        noted = [file for file in files if file[2]]
        if noted:
            self.slices.add(noted)
        return {taken.multihash for _, _, slices in noted for taken in slices}

    def thread_putter(self) -> Callable[[Sequence[tuple[CID, Buffer]]], None] | None:
        return self.blocks.thread_putter()

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        """Forget blocks in both; the user's files stay as they are."""
        gone = await super().delete_blocks(cids, older_than=older_than)
        return await self.slices.delete_blocks(gone, older_than=older_than)

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        """Return all blocks, each once: what is in both is told with the store's."""
        batches = self.blocks.block_infos()
        async with ending(batches):
            async for batch in batches:
                yield batch
        batches = self.slice_infos()
        async with ending(batches):
            async for batch in batches:
                yield batch

    async def slice_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        """Return the blocks that are nothing but slices."""
        batches = self.slices.block_infos()
        async with ending(batches):
            async for batch in batches:
                sizes = await self.blocks.get_sizes([RAW_CID_START + info[0] for info in batch])
                yield [info for info, size in zip(batch, sizes, strict=True) if size is None]


def sliced(store: BlockStore) -> SlicedBlockStore:
    """:raises BlockStoreError: if a store has no place for slices."""
    if not isinstance(store, SlicedBlockStore):
        raise BlockStoreError(f"{store!r} cannot hold slices of files: use a repo")
    return store
