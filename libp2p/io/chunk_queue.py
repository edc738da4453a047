"""
A first-in first-out queue of buffers (sans-I/O): the one receive buffer that every layer uses.

Pieces are kept as they were received and are returned as views; bytes are joined only when a caller
asks for one piece. Small views are copied on entry, so that a one-byte slice cannot keep the 64 KiB
record it was cut from in memory, and tiny pieces are joined, so that a window full of them costs
little more than its bytes.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: Views shorter than this are copied: the copy costs less than the memory that they would pin.
COPY_BELOW: Final = 4096
#: The last piece grows while it is shorter than this. A Python object costs 40 bytes: a peer that
#: sends two bytes at a time would make us hold twenty times its window.
JOIN_BELOW: Final = 512


def detached(chunk: Buffer) -> Buffer:
    """Return ``chunk``, or a copy of it if it keeps a third more alive than it shows."""
    if isinstance(chunk, memoryview) and 4 * len(chunk) <= 3 * memoryview(chunk.obj).nbytes:
        return bytes(chunk)
    return chunk


class ChunkQueue:
    """Bytes in, in pieces of any size; bytes out, in pieces of any other size."""

    __slots__ = ("_chunks", "size")

    def __init__(self) -> None:
        self._chunks: deque[Buffer] = deque()
        #: Bytes queued; other classes only read it.
        self.size = 0

    def __len__(self) -> int:
        """Bytes queued."""
        return self.size

    def append(self, buffer: Buffer) -> None:
        """Queue ``buffer``, which must not be changed afterwards."""
        size = len(buffer)
        chunks = self._chunks
        if size < COPY_BELOW:
            if size == 0:
                return
            self.size += size
            if chunks and len(chunks[-1]) < JOIN_BELOW:
                chunks[-1] = b"".join((chunks[-1], buffer))
            else:
                chunks.append(bytes(buffer))
            return
        chunks.append(buffer)
        self.size += size

    def extend(self, buffers: Iterable[Buffer]) -> None:
        """Queue several, in order."""
        add = self._chunks.append
        for buffer in buffers:
            size = len(buffer)
            if size < COPY_BELOW:
                self.append(buffer)
            else:
                add(buffer)
                self.size += size

    def prepend(self, buffer: Buffer) -> None:
        """Put ``buffer`` in front of all that is queued."""
        if len(buffer):
            self._chunks.appendleft(buffer)
            self.size += len(buffer)

    def take_all(self) -> list[Buffer]:
        """Remove and return everything, unjoined."""
        return self.take_buffers(self.size)

    def take_buffers(self, limit: int) -> list[Buffer]:
        """Remove and return up to ``limit`` bytes, unjoined."""
        chunks = self._chunks
        taken: list[Buffer] = []
        if limit >= self.size:
            taken += chunks
            chunks.clear()
            self.size = 0
            return taken
        missing = limit
        while missing:
            chunk = chunks[0]
            size = len(chunk)
            if size > missing:
                view = memoryview(chunk)
                taken.append(view[:missing])
                chunks[0] = view[missing:]
                break
            taken.append(chunks.popleft())
            missing -= size
        self.size -= limit
        return taken

    def take(self, count: int) -> bytes:
        """
        Remove and return exactly ``count`` bytes.

        :raises ValueError: if fewer are queued.
        """
        if count > self.size:
            raise ValueError(f"asked for {count} bytes of {self.size}")
        buffers = self.take_buffers(count)
        if len(buffers) == 1:
            return bytes(buffers[0])  # no copy where the piece is bytes already
        return b"".join(buffers)

    def peek(self, count: int) -> bytes:
        """Return up to ``count`` bytes from the front and leave them queued."""
        if self._chunks and len(self._chunks[0]) >= count:
            return bytes(memoryview(self._chunks[0])[:count])
        pieces: list[Buffer] = []
        missing = count
        for chunk in self._chunks:
            if missing <= 0:
                break
            pieces.append(memoryview(chunk)[:missing])
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def detach(self, newest: int = sys.maxsize) -> None:
        """Copy those of the newest pieces that keep a third more alive than they show."""
        chunks = self._chunks
        for index in range(-min(newest, len(chunks)), 0):
            chunks[index] = detached(chunks[index])

    def clear(self) -> None:
        """Drop everything."""
        self._chunks.clear()
        self.size = 0
