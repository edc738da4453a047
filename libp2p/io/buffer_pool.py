"""
Read buffers that all connections share (sans-I/O).

A connection needs a buffer from the moment its socket has something until that is decrypted, which
is one step of one task. So one large buffer serves any number of connections, and an idle one has
none. Only a peer that sends more tiny records than are decrypted at once makes a connection keep
the buffer over a wait. So few large ones may be kept that many such peers together hold little.
"""

from __future__ import annotations

from typing import Final
from weakref import ref

#: What is read at once. A read wakes tasks all the way up, and is answered with window updates;
#: with a third of this, bulk takes a fifth more processor time.
LARGE_BUFFER_BYTES: Final = 1024 * 1024
#: Room for one whole record of any protocol: what is read at once otherwise.
SMALL_BUFFER_BYTES: Final = 66 * 1024
#: Large buffers that may be kept over a wait, by all connections of the process together; while
#: there are so many, everybody reads into small ones.
MAX_KEPT_BUFFERS: Final = 8


class _Memory(bytearray):
    """A buffer that can be referred to weakly: who forgets to release it forgets it altogether."""

    __slots__ = ("__weakref__",)


class BufferPool:
    """Lends buffers; what is lent and dropped is no loss."""

    def __init__(
        self,
        large_bytes: int = LARGE_BUFFER_BYTES,
        small_bytes: int = SMALL_BUFFER_BYTES,
        max_kept: int = MAX_KEPT_BUFFERS,
    ) -> None:
        self._large_bytes = large_bytes
        self._small_bytes = small_bytes
        self._max_kept = max_kept
        # One, or one for each thread that runs a host.
        self._spare: list[memoryview] = []
        # By id. A plain dict: it is asked at every read whether it is empty.
        self._kept: dict[int, ref[_Memory]] = {}

    def take(self, *, small: bool = False) -> memoryview:
        """Return a buffer, a small one if that is asked for or too many large ones are kept."""
        if small or len(self._kept) >= self._max_kept:
            return memoryview(bytearray(self._small_bytes))
        try:
            return self._spare.pop()
        except IndexError:
            return memoryview(_Memory(self._large_bytes))

    def keep(self, buffer: memoryview) -> None:
        """Tell that ``buffer`` will be in use over a wait."""
        memory = buffer.obj
        if isinstance(memory, _Memory):
            number, kept = id(memory), self._kept
            kept[number] = ref(memory, lambda _: kept.pop(number, None))

    def release(self, buffer: memoryview) -> None:
        """Take ``buffer`` back; nothing may refer to its memory any more."""
        memory = buffer.obj
        if type(memory) is _Memory:
            if self._kept:
                self._kept.pop(id(memory), None)
            if not self._spare:
                self._spare.append(buffer)
