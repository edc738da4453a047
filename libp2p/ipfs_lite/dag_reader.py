"""Reads the blocks of a DAG in the order of a walk, and fetches those that come next with each."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from libp2p.ipld.block import MAX_BLOCK_BYTES

if TYPE_CHECKING:
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipld.cid import CID
    from libp2p.ipld.dag_walk import DagWalk

#: Blocks that are asked for at once: with fewer, a distant peer would be waited for at each.
BLOCKS_AHEAD: Final = 32
#: Blocks that have been fetched and are not taken yet; beyond that they are fetched again.
MAX_AHEAD_BYTES: Final = 2 * BLOCKS_AHEAD * MAX_BLOCK_BYTES


class DagReader:
    """
    Reads a walk's blocks, each once unless the walk is one with duplicates.

    :param local_only: leave out what is not here, with all below it, rather than fetch it.
    """

    def __init__(self, source: BlockSource, walk: DagWalk, *, local_only: bool = False) -> None:
        self._source = source
        self._walk = walk
        self._local_only = local_only
        self._ahead: dict[bytes, bytes | None] = {}  # by multihash
        self._ahead_bytes = 0

    async def next(self) -> tuple[CID, bytes] | None:
        """
        Return the next block; None at the end.

        :raises BitswapError: if it cannot be had.
        :raises ParseError: if it is not in the codec that its CID says.
        :raises UnknownCodec: if its links cannot be read.
        :raises InvalidArgument: if the DAG has too many blocks or links.
        """
        while not self._walk.is_over:
            data = await self._next_block()
            if data is None:
                self._walk.skip()
                continue
            cid = self._walk.take(data)
            if not self._walk.is_again:
                return cid, data
        return None

    async def blocks(self) -> AsyncGenerator[tuple[CID, bytes], None]:
        """Yield all blocks, from the next one on; raises as `next` does."""
        while (found := await self.next()) is not None:
            yield found

    async def _next_block(self) -> bytes | None:
        [first, *rest] = self._walk.next(BLOCKS_AHEAD)
        if first.multihash not in self._ahead:
            if self._ahead_bytes > MAX_AHEAD_BYTES:
                self._ahead.clear()
                self._ahead_bytes = 0
            wanted = [first, *(cid for cid in rest if cid.multihash not in self._ahead)]
            read = self._source.find if self._local_only else self._source.fetch
            for cid, data in zip(wanted, await read(wanted), strict=True):
                self._ahead[cid.multihash] = data
                self._ahead_bytes += len(data or b"")
        data = self._ahead.pop(first.multihash)
        self._ahead_bytes -= len(data or b"")
        return data
