"""
Writing to descriptors (blocking calls); files past the page cache where that is quicker.

What is written through the page cache is copied into fresh pages. Where those are dear (a virtual
machine whose host has to find each of them, a disk that cannot keep up with what is dirty), the
copy takes several times as long as the disk does. Elsewhere it is far quicker than any disk. So
`DiskWriter` tries both ways on what is written anyway, and writes the most by the quicker one.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: Fewer bytes go through the page cache: for those the disk takes no less time than for these.
LEAST_BYTES: Final = 128 * 1024
#: Bytes that are handed to the disk at once.
STAGE_BYTES: Final = 1024 * 1024
#: Where in a file, and in memory, direct writes may begin and end on every file system.
UNIT_BYTES: Final = 4096
#: Writes that are remembered of each way. The quickest of them counts: the others may have waited
#: for threads of this process, which says nothing of the disk.
REMEMBERED: Final = 8
#: A disk may take so many times as long as a copy: other threads have the processor meanwhile.
WORTH: Final = 1.5
#: Every so many writes the slower way is tried again: another program may have been busy.
TRIED_AGAIN: Final = 64

#: Buffers that one call of ``writev`` takes on every system.
_MAX_BUFFERS: Final = 1024
_DIRECT: Final[int] = getattr(os, "O_DIRECT", 0)
_KEPT_STAGES: Final = 4

_stages: list[mmap.mmap] = []


def write_all(descriptor: int, buffers: Iterable[Buffer]) -> None:
    """Write buffers one after the other, without joining them where the system can do that."""
    rest = [memoryview(buffer) for buffer in buffers if len(buffer)]
    rest.reverse()
    while rest:
        try:
            if len(rest) > 1 and hasattr(os, "writev"):
                written = os.writev(descriptor, rest[: -_MAX_BUFFERS - 1 : -1])
            else:
                written = os.write(descriptor, rest[-1])
        except BlockingIOError:
            wait_until_ready(descriptor, to_write=True)
            continue
        while rest and written >= len(rest[-1]):
            written -= len(rest.pop())
        if written:
            rest[-1] = rest[-1][written:]


def wait_until_ready(descriptor: int, *, to_write: bool, seconds: float | None = None) -> bool:
    """Block until something can be read or written, or has ended; False if it takes longer."""
    if not hasattr(select, "poll"):
        return True  # on Windows nothing can be non-blocking here
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT if to_write else select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


class DiskWriter:
    """
    Writes the files of one folder; what it has learned of the disk is shared by its threads.

    :param clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._can_pass = bool(_DIRECT)
        self._writes = 0
        # Seconds for a byte of the last writes: through the page cache, and past it.
        self._through: deque[float] = deque(maxlen=REMEMBERED)
        self._past: deque[float] = deque(maxlen=REMEMBERED)

    def write(self, descriptor: int, buffers: Sequence[Buffer], *, sync: bool = False) -> None:
        """
        Write buffers at a file's position.

        :param sync: have them on the disk before it returns.
        :raises OSError: if the file cannot be written.
        """
        size = sum(map(len, buffers))
        if size < LEAST_BYTES or not self._can_pass:
            self._write_through(descriptor, buffers, sync)
            return
        passes = self._chooses_past()
        start = self._clock()
        (self._write_past if passes else self._write_through)(descriptor, buffers, sync)
        (self._past if passes else self._through).append((self._clock() - start) / size)

    def _chooses_past(self) -> bool:
        self._writes += 1
        if len(self._past) < REMEMBERED or len(self._through) < REMEMBERED:
            return len(self._past) <= len(self._through)
        is_better = min(self._past) < min(self._through) * WORTH
        return is_better != (self._writes % TRIED_AGAIN == 0)

    def _write_through(self, descriptor: int, buffers: Iterable[Buffer], sync: bool) -> None:
        write_all(descriptor, buffers)
        if sync:
            os.fsync(descriptor)

    def _write_past(self, descriptor: int, buffers: Sequence[Buffer], sync: bool) -> None:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        pieces = _Pieces(buffers)
        write_all(descriptor, pieces.take(-position % UNIT_BYTES))
        with _stage() as stage, self._direct(descriptor):
            while size := min(pieces.size, STAGE_BYTES) // UNIT_BYTES * UNIT_BYTES:
                end = 0
                for piece in pieces.take(size):
                    stage[end : (end := end + len(piece))] = piece
                self._write_stage(descriptor, stage[:size])
        self._write_through(descriptor, pieces.take(pieces.size), sync)

    def _write_stage(self, descriptor: int, data: memoryview) -> None:
        try:
            written = os.write(descriptor, data)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            written = 0  # this file system takes the flag, and then no such write
            self._can_pass = False
        if written < len(data):  # close to a full disk, it ends anywhere
            _set_flags(descriptor, ~_DIRECT, 0)
            write_all(descriptor, [data[written:]])

    @contextlib.contextmanager
    def _direct(self, descriptor: int) -> Iterator[None]:
        try:
            _set_flags(descriptor, ~0, _DIRECT)
        except OSError:
            self._can_pass = False  # not with this file system
        try:
            yield
        finally:
            _set_flags(descriptor, ~_DIRECT, 0)


class _Pieces:
    """Buffers that are taken one after the other, whole or in parts."""

    def __init__(self, buffers: Iterable[Buffer]) -> None:
        self._rest = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        self._rest.reverse()
        self.size = sum(map(len, self._rest))

    def take(self, size: int) -> list[memoryview]:
        """Return the next ``size`` bytes, which have to be there."""
        self.size -= size
        taken = []
        while size:
            piece = self._rest.pop()
            if len(piece) > size:
                self._rest.append(piece[size:])
                piece = piece[:size]
            taken.append(piece)
            size -= len(piece)
        return taken


def _set_flags(descriptor: int, kept: int, added: int) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & kept | added)


@contextlib.contextmanager
def _stage() -> Iterator[memoryview]:
    """Lend memory that begins at a page; a thread has its own while it writes."""
    try:
        memory = _stages.pop()
    except IndexError:
        # Not shared with a child process, which would write into the same pages.
        memory = mmap.mmap(-1, STAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with memoryview(memory) as view:
        yield view
    if len(_stages) < _KEPT_STAGES:
        _stages.append(memory)
