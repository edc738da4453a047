"""
CAR files in and out of a peer, a batch of blocks at a time: memory does not grow with the file.

What is exported is the same for the same DAG and options, byte for byte. What is imported is
verified, each block against its CID, before it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import InvalidCar
from libp2p.ipfs_lite.source import checked, open_source
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.car.header import encode_header
from libp2p.ipld.car.reader import CarReader
from libp2p.ipld.car.writer import encode_block_start
from libp2p.ipld.dag_walk import DagWalk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from libp2p.base_types import Buffer
    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipfs_lite.source import SourceInput
    from libp2p.ipld.car.reader import CarBlock
    from libp2p.ipld.cid import CID

#: Bytes of one batch of an exported file.
BATCH_BYTES: Final = 4 * 1024 * 1024
#: Blocks that are asked for at once: with fewer, a distant peer would be waited for at each.
BLOCKS_AHEAD: Final = 32
#: Blocks that have been fetched and are not written yet; beyond that they are fetched again.
MAX_AHEAD_BYTES: Final = 2 * BLOCKS_AHEAD * MAX_BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class CarResult:
    """What a CAR file holds that was written or read."""

    roots: tuple[CID, ...]
    """What the file says. The blocks below them need not all be in it."""
    blocks: int
    """Blocks in the file; one that is there twice counts twice."""
    size: int
    """Bytes of these blocks."""


class CarExport:
    """
    The bytes of a CAR file of version 1, made while they are read.

    :param duplicates: write a block as often as it is linked to.
    """

    def __init__(
        self, roots: Sequence[CID], source: BlockSource, *, duplicates: bool = False
    ) -> None:
        self.size: Final = None
        """Nobody knows beforehand."""
        self._roots = tuple(roots)
        self._blocks = self._block_bytes = 0
        self._source = source
        self._duplicates = duplicates
        self._ahead: dict[bytes, bytes] = {}  # by multihash
        self._ahead_bytes = 0
        self.seek(0)

    def seek(self, position: int) -> None:
        """
        Begin anew.

        :param position: 0; the file has no other place that is known.
        """
        if position:
            raise ValueError("a CAR file is written from its start")
        self._blocks = self._block_bytes = 0
        self._position = 0
        self._walk = DagWalk(self._roots, duplicates=self._duplicates)

    def tell(self) -> int:
        """Return how many bytes have been read."""
        return self._position

    async def receive(self) -> list[Buffer]:
        """
        Return the next bytes; nothing at the end.

        :raises BitswapError: if a block cannot be had.
        :raises ParseError: if one is not in the codec that its CID says.
        :raises UnknownCodec: if the links of one cannot be read.
        """
        buffers: list[Buffer] = [] if self._position else [encode_header(self._roots)]
        size = sum(map(len, buffers))
        while not self._walk.is_over and size < BATCH_BYTES:
            data = await self._next_block()
            start = encode_block_start(self._walk.take(data), len(data))
            buffers += (start, data)
            size += len(start) + len(data)
            self._blocks += 1
            self._block_bytes += len(data)
        self._position += size
        return buffers

    async def _next_block(self) -> bytes:
        [first, *rest] = self._walk.next(BLOCKS_AHEAD)
        if first.multihash not in self._ahead:
            if self._ahead_bytes > MAX_AHEAD_BYTES:
                self._ahead.clear()
                self._ahead_bytes = 0
            wanted = [first, *(cid for cid in rest if cid.multihash not in self._ahead)]
            for cid, data in zip(wanted, await self._source.fetch(wanted), strict=True):
                self._ahead[cid.multihash] = data
                self._ahead_bytes += len(data)
        data = self._ahead.pop(first.multihash)
        self._ahead_bytes -= len(data)
        return data

    def result(self) -> CarResult:
        """Return what has been read so far."""
        return CarResult(self._roots, self._blocks, self._block_bytes)

    def close(self) -> None:
        """Ask for nothing more."""
        self._source.close()


async def import_car(
    source: SourceInput,
    store: BlockStore,
    *,
    stored: Callable[[Sequence[CID]], Awaitable[object]] | None = None,
    progress: Progress | None = None,
) -> CarResult:
    """
    Store the blocks of a CAR file of version 1 or 2.

    :param stored: awaited with the CIDs of every batch that has been stored.
    :raises InvalidCar: if it is malformed or cut off, or a block is not what its CID says. Blocks
        before that are stored.
    :raises HashNotSupported: if a block cannot be verified.
    :raises SourceError: if the source cannot be read.
    :raises BlockStoreError: if the blocks cannot be stored.
    """
    reader = CarReader()
    blocks = size = done = 0
    async with open_source(source) as opened:
        while batch := checked(await opened.next_batch()):
            found = await trio.to_thread.run_sync(_read, reader, batch)
            if found:
                await store.put_blocks([(cid.buffer, data) for cid, data, _ in found])
                if stored is not None:
                    await stored([block.cid for block in found])
            blocks += len(found)
            size += sum(len(block.data) for block in found)
            done += sum(map(len, batch))
            if progress is not None:
                progress(done, opened.size)
    reader.end()
    return CarResult(reader.roots or (), blocks, size)


def _read(reader: CarReader, batch: Sequence[Buffer]) -> list[CarBlock]:
    """Read and verify a batch of blocks."""
    found = [block for buffer in batch for block in reader.receive(buffer)]
    for cid, data, offset in found:
        if len(data) > MAX_BLOCK_BYTES:
            raise InvalidCar(f"block {cid} has {len(data)} bytes, more than peers exchange")
        if not cid.matches(data):
            raise InvalidCar(f"the bytes at {offset} are not those of {cid}")
    return found
