"""
A file read by its CID: seekable, and fetched ahead of the reader within a bounded window.

The walk over the file decides, synchronously, which blocks come next; tasks fetch them and hand
them to the walk; the reader takes what is ready at the front. Memory is the window and what the
caller has taken, whatever the size of the file.
"""

from __future__ import annotations

import io
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Self

import trio

from libp2p.io.chunk_queue import ChunkQueue
from libp2p.io.waiter import Waiter
from libp2p.ipld.file_walk import FileWalk
from libp2p.utils.allocator import keep_freed_memory
from libp2p.utils.closing import AsyncClosing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.custom_types import Buffer
    from libp2p.ipfs_lite.fetcher import BlockFetcher
    from libp2p.ipld.cid import CID

#: How far ahead of the reader blocks are asked for: 160 MB/s at 100 ms round trip.
WINDOW_BYTES: Final = 16 * 1024 * 1024
#: For files of tiny chunks: as many wants as a server keeps for one peer.
WINDOW_BLOCKS: Final = 1024


class UnixFSReader(AsyncClosing):
    """
    The bytes of one file. Made by `Peer.get_file`; one task at a time may read.

    Reading fails with what the fetch failed with, after all the bytes before that place.
    """

    def __init__(
        self,
        cid: CID,
        fetcher: BlockFetcher,
        nursery: trio.Nursery,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.cid: Final = cid
        self._fetcher = fetcher
        self._nursery = nursery
        self._window_bytes = window_bytes
        self._size = 0
        self._ready = ChunkQueue()
        self._waiter = Waiter()
        self._closed = False
        self._start_walk(0)

    # -- the file -----------------------------------------------------------------------------

    async def open(self) -> Self:
        """
        Fetch the root, so that `size` is known; `Peer.get_file` has done so.

        :raises NotAFile: if the CID names something else.
        """
        keep_freed_memory()
        self._fetch_ahead()
        while self._walk.size is None:
            await self._wait_for_blocks()
            self._fetch_ahead()
        self._size = self._walk.size
        return self

    @property
    def size(self) -> int:
        return self._size

    def tell(self) -> int:
        """Give the place in the file that the next read begins at."""
        return self._walk.position - len(self._ready)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """
        Go to a place in the file; beyond the end there is nothing to read.

        After a failed read it lets the next one try again.
        """
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size}[whence]
        target = start + offset
        if target < 0:
            raise ValueError(f"there is no place {target} in a file")
        skipped = target - self.tell()
        if 0 <= skipped <= len(self._ready) and self._error is None:
            self._ready.take_buffers(skipped)  # forward, within what has been read: keep the rest
        else:
            self._stop_fetching()
            self._ready.clear()
            self._start_walk(min(target, self.size))
        return self.tell()

    async def read(self, size: int | None = -1) -> bytes:
        """Read ``size`` bytes, fewer only at the end of the file; by default all of the rest."""
        wanted = self.size if size is None or size < 0 else size
        while len(self._ready) < wanted and (buffers := await self._receive()):
            for buffer in buffers:
                self._ready.append(buffer)
        return self._ready.take(min(wanted, len(self._ready)))

    async def receive(self) -> list[Buffer]:
        """Give all the bytes at hand, waiting for some; nothing at the end. The fastest way."""
        if len(self._ready):
            return self._ready.take_all()
        return await self._receive()

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        """Iterate over the rest of the file, in buffers as they come."""
        while buffers := await self.receive():
            for buffer in buffers:
                yield buffer

    # -- lifetime -----------------------------------------------------------------------------

    def close(self) -> None:
        """Stop fetching; a second call does nothing."""
        self._closed = True
        self._stop_fetching()
        self._fetcher.close()
        self._ready.clear()
        self._waiter.wake()

    # -- fetching ahead -----------------------------------------------------------------------

    def _start_walk(self, position: int) -> None:
        self._walk = FileWalk(
            self.cid, position, window_blocks=WINDOW_BLOCKS, window_bytes=self._window_bytes
        )
        self._error: Exception | None = None
        self._fetches: set[trio.CancelScope] = set()
        # Ask again when half of what was asked for has come: fewer and larger batches.
        self._ask_again_at = 0

    def _stop_fetching(self) -> None:
        for scope in self._fetches:
            scope.cancel()

    def _fetch_ahead(self) -> None:
        walk = self._walk
        if walk.waiting > self._ask_again_at or self._error is not None or self._closed:
            return
        if wanted := walk.wanted():
            scope = trio.CancelScope()
            self._fetches.add(scope)
            self._nursery.start_soon(self._fetch, wanted, walk, scope)
            self._ask_again_at = walk.waiting // 2

    async def _fetch(self, cids: list[CID], walk: FileWalk, scope: trio.CancelScope) -> None:
        fetches = self._fetches
        if scope.cancel_called:  # before this task's first step
            return
        with scope:
            try:
                async with aclosing(self._fetcher.fetch(cids)) as blocks:
                    async for cid, data in blocks:
                        walk.supply(cid, data)
                        if walk is self._walk:
                            if walk.waiting <= self._ask_again_at:
                                self._fetch_ahead()
                            self._waiter.wake()
            except Exception as error:  # noqa: BLE001 - task's edge: the reader raises it
                if walk is self._walk:
                    self._error = error
                    self._stop_fetching()
                    self._waiter.wake()
        fetches.discard(scope)

    async def _receive(self) -> list[Buffer]:
        while True:
            if self._closed:
                raise ValueError("the file is closed")
            self._fetch_ahead()
            if buffers := self._walk.take():
                self._fetch_ahead()  # there is room in the window again
                return buffers
            if self._walk.done:
                return []
            await self._wait_for_blocks()

    async def _wait_for_blocks(self) -> None:
        if self._error is not None:
            raise self._error
        await self._waiter.wait()
