"""
A file read by its CID: seekable, and fetched ahead of the reader within a bounded window.

The reader takes what `FileFetch` has ready at the front. Memory is the window, the block that is
being read and what the caller has taken, whatever the size of the file.
"""

from __future__ import annotations

import io
import logging
from collections import deque
from collections.abc import AsyncIterator
from copy import copy
from typing import TYPE_CHECKING, Final, Self
from weakref import ref

import trio

from libp2p.io.chunk_queue import ChunkQueue
from libp2p.ipfs_lite.errors import ReaderClosedError
from libp2p.ipfs_lite.file_fetch import FileFetch
from libp2p.ipfs_lite.read_ahead import WINDOW_BYTES
from libp2p.resources import Scope
from libp2p.utils import arguments
from libp2p.utils.allocator import keep_freed_memory
from libp2p.utils.closing import AsyncClosing
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipld.cid import CID

logger = get_logger(__name__)

#: Bytes that `UnixFSReader.receive` returns at most: the caller holds them besides the window. A
#: system call costs little beside writing so many.
RECEIVE_BYTES: Final = 2 * 1024 * 1024


class UnixFSReader(AsyncClosing):
    """
    The bytes of one file. Made by `Peer.get_file`; one task at a time may read.

    It reads and seeks as `io.BufferedIOBase` does, but that reading is awaited and that iterating
    gives buffers, not lines. Reading fails with what the fetch failed with, after all the bytes
    before that place. After `close`, every call but `close` raises `ReaderClosedError`, which is
    a `ValueError`; when the peer was closed, it raises `PeerClosedError`.
    """

    def __init__(
        self,
        cid: CID,
        source: BlockSource,
        nursery: trio.Nursery,
        window_bytes: int = WINDOW_BYTES,
        scope: Scope | None = None,
    ) -> None:
        self.cid: Final = cid
        self.scope: Final = Scope("reader") if scope is None else scope
        """What it holds."""
        self._source = source
        self._nursery = nursery
        self._fetch = FileFetch(cid, source, nursery, self.scope.open("ahead"), window_bytes)
        self._parts: set[FileFetch] = set()
        self._size = 0
        self._ready = ChunkQueue()
        self._end: Exception | None = None
        self._opened_at = trio.current_time()
        self._beyond = 0

    # -- the file -----------------------------------------------------------------------------

    async def open(self) -> Self:
        """
        Fetch the root, so that `size` is known; `Peer.get_file` has done so.

        :raises NotAFile: if the CID names something else.
        """
        keep_freed_memory()
        self._fetch.ask_ahead()
        while self._fetch.size is None:
            await self._wait_for_blocks()
            self._fetch.ask_ahead()
        self._size = self._fetch.size
        return self

    @property
    def size(self) -> int:
        return self._size

    def tell(self) -> int:
        """Return the place that the next read begins at; it may be beyond the end of the file."""
        self._check_open()
        return self._next + self._beyond

    @property
    def _next(self) -> int:
        """Where in the file the bytes begin that are taken next."""
        return self._fetch.position - len(self._ready)

    @property
    def closed(self) -> bool:
        """True after `close`, or when the peer is closed: nothing can be read any more."""
        return self._end is not None

    def readable(self) -> bool:
        """Tell that it can be read."""
        self._check_open()
        return True

    def seekable(self) -> bool:
        """Tell that `seek` works."""
        self._check_open()
        return True

    def writable(self) -> bool:
        """Tell that it cannot be written."""
        self._check_open()
        return False

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """
        Go to a place in the file, and return it; beyond the end there is nothing to read.

        After a failed read it lets the next one try again.

        :param whence: what ``offset`` counts from: `io.SEEK_SET`, `io.SEEK_CUR`, `io.SEEK_END`.
        :raises ValueError: if the place is before the beginning, or there is no such ``whence``.
        """
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size}
        if whence not in list(starts):
            raise arguments.out_of_range("whence", whence, "0, 1 or 2")
        place = starts[whence] + arguments.count(offset, "offset", -(2**63), 2**63 - 1)
        if place < 0:
            raise arguments.out_of_range("the place to seek", place, "0 or more")
        target = min(place, self.size)
        self._beyond = place - target
        skipped = target - self._next
        if 0 <= skipped <= len(self._ready) and self._fetch.error is None:
            self._ready.take_buffers(skipped)  # forward, within what has been read: keep the rest
        else:
            self._ready.clear()
            self._fetch.seek(target)
        return place

    async def read(self, size: int | None = -1) -> bytes:
        """Read ``size`` bytes, fewer only at the end of the file; by default all of the rest."""
        self._check_open()
        if size is not None and type(size) is not int:
            size = arguments.count(size, "size", -(2**63))
        wanted = self.size if size is None or size < 0 else size
        if len(self._ready) < wanted:
            self._ready.detach()  # a rest must not keep its block while the next one comes
            self._fetch.reads(min(wanted, self.size - self._next) - len(self._ready))
        noted = 0
        while True:
            have = min(len(self._ready), wanted)
            self._fetch.consumed(have - noted, len(self._ready) - have)
            noted = have
            if have == wanted or not await self._receive(wanted - have):
                return self._ready.take(have)

    async def read1(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes, by default `RECEIVE_BYTES`, waiting only if none is here."""
        self._check_open()
        size = arguments.count(size, "size", -(2**63))
        wanted = RECEIVE_BYTES if size < 0 else size
        if wanted and not len(self._ready):
            self._fetch.nothing_left()
            self._fetch.reads(1)
            await self._receive(wanted)
        have = min(len(self._ready), wanted)
        data = self._ready.take(have)
        self._fetch.consumed(have, len(self._ready))
        return data

    async def read_at(self, offset: int, size: int) -> bytes:
        """
        Read ``size`` bytes at a place, fewer only at the end of the file, and nothing ahead.

        It neither uses nor moves the position of the other calls; several tasks may call it at
        once.
        """
        self._check_open()
        start = arguments.count(offset, "offset", 0)
        end = min(start + arguments.count(size, "size", 0), self.size)
        if start >= end:
            return b""
        with self.scope.open("part") as scope:
            fetch = FileFetch(self.cid, self._source, self._nursery, scope, 0)
            fetch.start(start, end)
            fetch.reads(end - start)
            self._parts.add(fetch)
            try:
                buffers: list[Buffer] = []
                while not fetch.done:
                    taken = fetch.take(end - start)
                    buffers += taken
                    if not taken:
                        await fetch.wait()
                        self._check_open()
                return b"".join(buffers)
            finally:
                self._parts.discard(fetch)
                fetch.end()

    async def readinto(self, buffer: Buffer) -> int:
        """Fill ``buffer``, and return how many bytes that were: fewer only at the end."""
        self._check_open()
        try:
            view = memoryview(buffer).cast("B")
        except TypeError:
            view = memoryview(b"")
        with view:
            if view.readonly:
                raise arguments.wrong_type("buffer", buffer, "a buffer that can be written")
            data = await self.read(len(view))
            view[: len(data)] = data
        return len(data)

    async def receive(self) -> list[Buffer]:
        """Return bytes at hand, waiting for some; nothing at the end. The fastest way."""
        self._check_open()
        limit = max(min(self._fetch.window // 4, RECEIVE_BYTES), 1)
        if not len(self._ready):
            self._fetch.nothing_left()
            self._fetch.reads(1)
            await self._receive(limit)
        size = len(self._ready)
        buffers = self._ready.take_buffers(limit)
        # The caller has them until the next call.
        self._fetch.consumed(size - len(self._ready), size)
        return buffers

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        """Iterate over the rest of the file, in buffers as they come."""
        while buffers := await self.receive():
            for buffer in buffers:
                yield buffer

    def __repr__(self) -> str:
        return shown(self, self._facts)

    def _facts(self) -> str:
        return f"{self.cid} {'closed' if self.closed else f'at {self.tell()} of {self.size} bytes'}"

    # -- lifetime -----------------------------------------------------------------------------

    def close(self) -> None:
        """Stop fetching; a second call does nothing."""
        self.end(ReaderClosedError())

    def end(self, error: Exception) -> None:
        """Close; all later calls raise this error."""
        if self._end is not None:
            return
        self._end = error
        self._log_end()
        self._ready.clear()
        for fetch in (self._fetch, *self._parts):
            fetch.end()
        self._source.close()
        self.scope.close()

    def _log_end(self) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        seconds = trio.current_time() - self._opened_at
        sources = self._fetch.source.describe()
        if self._fetch.error is not None or self._fetch.size is None:
            why = self._fetch.error or "given up"
            logger.info("not fetched: %s after %.2f s: %s", self.cid, seconds, why)
        else:
            position = self._next + self._beyond
            what = "fetched" if position >= self._size else "closed"
            place = (position, self._size, seconds, sources)
            logger.info("%s: %s, %d of %d bytes in %.2f s, %s", what, self.cid, *place)

    def _check_open(self) -> None:
        if self._end is not None:
            raise copy(self._end)

    async def _receive(self, limit: int) -> int:
        """Have about ``limit`` bytes more ready, at least one; return how many, 0 at the end."""
        while not (buffers := self._fetch.take(limit)):
            if self._fetch.done:
                return 0
            await self._wait_for_blocks()
        before = len(self._ready)
        self._ready.extend(buffers)
        return len(self._ready) - before

    async def _wait_for_blocks(self) -> None:
        self._check_open()
        await self._fetch.wait()


class Readers:
    """The readers of one peer: what they hold together, and that they end with the peer."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._open: dict[ref[UnixFSReader], Scope] = {}
        self._gone: deque[ref[UnixFSReader]] = deque()

    def add(
        self,
        cid: CID,
        source: BlockSource,
        nursery: trio.Nursery,
        window_bytes: int = WINDOW_BYTES,
    ) -> UnixFSReader:
        """Make a reader; what nobody reads any more is let go, whether it was closed or not."""
        while self._gone:
            self._open.pop(self._gone.popleft()).close()
        reader = UnixFSReader(cid, source, nursery, window_bytes, self._scope.open("reader"))
        self._open[ref(reader, self._gone.append)] = reader.scope
        return reader

    def end(self, error: Exception) -> None:
        """End all readers."""
        for reference in list(self._open):
            if (reader := reference()) is not None:
                reader.end(error)
