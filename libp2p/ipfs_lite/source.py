"""
Sources of the bytes of a file to add: a path, bytes in memory, a reader of any kind.

A source returns batches of buffers. Files are read in a worker thread, several buffers per hop,
each as long as a chunk: then the chunks are the buffers that were read, and nothing is copied.
"""

from __future__ import annotations

import inspect
import io
import os
import stat
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import (
    TYPE_CHECKING,
    Final,
    Protocol,
    TypeAlias,
    TypeGuard,
    TypeVar,
    runtime_checkable,
)

import trio

from libp2p.ipfs_lite.descriptors import SharedDescriptor, descriptor_of, read_some, reason_of
from libp2p.ipfs_lite.errors import InvalidSource, SourceError
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

_T = TypeVar("_T")

#: Bytes per batch. What its hops to threads cost (0.3 ms) is little beside 3 ms of hashing; twice
#: as much gains a tenth in speed for 20 MiB more of memory.
BATCH_BYTES: Final = 4 * 1024 * 1024

#: One buffer, unless the chunk size suggests a better one.
READ_BYTES: Final = 1024 * 1024
#: Reading chunk by chunk pays from this chunk size on; below, system calls cost more than copies.
MIN_READ_BYTES: Final = 128 * 1024


#: Seconds between two reads of a non-blocking reader that is not a file.
_RETRY_SECONDS: Final = 0.02


class SyncReader(Protocol):
    """An open file, or an object with such a ``read``."""

    def read(self, size: int, /) -> bytes | None: ...


class AsyncReader(Protocol):
    """A reader with an async ``read``, such as `UnixFSReader` or a `trio` file."""

    def read(self, size: int, /) -> Awaitable[bytes]: ...


@runtime_checkable
class Source(Protocol):
    """The bytes of one file, in order."""

    size: int | None
    """What there is to come, if that is known beforehand."""

    async def next_batch(self) -> list[Buffer]:
        """Return about `BATCH_BYTES` more; nothing at the end."""


#: A ``str`` is a path. Bytes are content.
SourceInput: TypeAlias = (
    "str | os.PathLike[str] | Buffer | SyncReader | AsyncReader | AsyncIterable[Buffer] | Source"
)


@asynccontextmanager
async def open_source(source: SourceInput, read_bytes: int = READ_BYTES) -> AsyncIterator[Source]:
    """
    Open a source; files that the caller has opened stay open.

    :raises SourceError: if a path cannot be read or is not a file.
    :raises InvalidSource: if it is not a source of bytes.
    """
    if isinstance(source, str | os.PathLike):
        path = arguments.path(source, "the path of a file to add")
        file = SharedDescriptor()
        await file.open(partial(_open_file, path))
        try:
            yield FileSource(file, path, read_bytes, path)
        finally:
            file.close()
    elif isinstance(source, bytes | bytearray | memoryview):
        yield BytesSource(source)
    elif isinstance(source, Source):
        yield source
    elif not _is_reader(source) and not isinstance(source, AsyncIterable):
        yield BytesSource(_bytes_of(source))
    elif isinstance(source, AsyncIterable):
        yield IteratorSource(source)
    else:
        yield ReaderSource(source, read_bytes)


def _is_reader(source: object) -> TypeGuard[SyncReader | AsyncReader]:
    """
    Return whether bytes can be read from an object.

    :raises InvalidSource: if it is a reader of text, or not open for reading.
    """
    if isinstance(source, type) or not callable(getattr(source, "read", None)):
        return False
    if isinstance(source, io.TextIOBase) or isinstance(getattr(source, "encoding", None), str):
        raise InvalidSource("what is added must give bytes, not text: open it in mode 'rb'")
    if getattr(source, "closed", False) is True:
        raise InvalidSource("what is to be added is closed")
    if _is_for_writing_only(source):
        raise InvalidSource("what is to be added is not open for reading: open it in mode 'rb'")
    return True


def _is_for_writing_only(source: object) -> bool:
    own = getattr(type(source), "readable", None)
    if own is io.IOBase.readable and not isinstance(source, io.BufferedWriter):
        return False  # a class of the user's that has ``read`` alone inherits this
    readable = getattr(source, "readable", None)
    return callable(readable) and readable() is False


def _bytes_of(source: object) -> memoryview:
    """Return the bytes of an object with the buffer protocol."""
    try:
        return memoryview(source)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidSource(
            "what is added must be a path, bytes, a reader of bytes or an async iterable of bytes, "
            f"not {type(source).__name__}"
        ) from None


def checked(batch: list[Buffer]) -> list[Buffer]:
    """
    Return the bytes that a reader returned.

    :raises InvalidSource: if they are something else.
    """
    for buffer in batch:
        if not isinstance(buffer, bytes | bytearray | memoryview):
            raise InvalidSource(
                f"what is added must give bytes, and has given {type(buffer).__name__}"
            )
    return batch


def _open_file(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise SourceError(f"no such file: {path}") from None
    except UnicodeEncodeError:
        raise SourceError(f"no such file: {path!r}") from None
    except OSError as error:
        number = descriptor_of(path)
        if number is None:
            raise SourceError(f"cannot read {path:.200}: {error.strerror}") from error
        # ``/dev/stdin`` and the like cannot be opened if it is a socket, or another user's.
        descriptor = os.dup(number)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError(f"{path} is a directory, which `add_tree` adds")
    return descriptor


class FileSource:
    """A file, a pipe or a device by its descriptor, which stays the caller's."""

    def __init__(
        self,
        descriptor: int | SharedDescriptor,
        name: str,
        read_bytes: int = READ_BYTES,
        path: str | None = None,
    ) -> None:
        if isinstance(descriptor, int):
            descriptor = SharedDescriptor(descriptor)
        status = os.fstat(descriptor.number)
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None
        self.descriptor: Final = descriptor
        self.path: Final = path
        """Where the file is, if it was opened by its path."""
        self.name: Final = name
        self._read_bytes = read_bytes
        self._ended = False

    async def next_batch(self) -> list[Buffer]:
        # A terminal that has said once that this is the end would be read on.
        return [] if self._ended else await self.descriptor.use(self._read_batch)

    def _read_batch(self, descriptor: int) -> list[Buffer]:
        batch: list[Buffer] = []
        room = BATCH_BYTES
        try:
            while room > 0 and not self._ended:
                data = read_some(descriptor, self._read_bytes)
                self._ended = not data
                batch += [data] if data else []
                room -= len(data)
        except OSError as error:
            raise SourceError(f"cannot read {self.name}: {reason_of(error)}") from error
        return batch


#: A function that returns the offset of a piece, and the piece's chunks in batches. A batch is
#: valid until the next one is taken. One thread calls it, for it may block.
Piece: TypeAlias = "Callable[[], tuple[int, Iterable[list[Buffer]]]]"
#: Bytes of small chunks that are read at once. They are still in the processor's cache when they
#: are hashed and written; a whole piece would come from memory each time.
SLICE_BYTES: Final = 1024 * 1024


class FileSlices:
    """
    The pieces of a file that threads read in any order, chunk by chunk.

    What the file grows by meanwhile is left out.
    """

    def __init__(self, file: FileSource, start: int, size: int, chunk_bytes: int) -> None:
        self._file = file
        self._next = start
        self._end = size
        self._chunk_bytes = chunk_bytes
        self._piece_bytes = chunk_bytes * max(BATCH_BYTES // chunk_bytes, 1)
        self._read_bytes = chunk_bytes * max(SLICE_BYTES // chunk_bytes, 1)
        self._buffers: dict[int, memoryview] = {}  # by threads
        self._lock = threading.Lock()
        self._read_to = start
        self._ends_at = size

    @classmethod
    def of(cls, source: Source, chunk_bytes: int) -> FileSlices | None:
        """Return the slices of a source; None if it has to be read in order."""
        # A file that the system makes up while it is read, such as those of /proc, has a size of 0.
        if not isinstance(source, FileSource) or not source.size or not hasattr(os, "preadv"):
            return None
        start = os.lseek(source.descriptor.number, 0, os.SEEK_CUR)
        return cls(source, start, source.size, chunk_bytes)

    async def next(self) -> Piece | None:
        """Return the next piece; None at the end."""
        await trio.lowlevel.checkpoint()
        offset, size = self._next, min(self._piece_bytes, self._end - self._next)
        self._next += size
        return (lambda: (offset, self._chunks(offset, size))) if size > 0 else None

    async def run(self, call: Callable[[], _T]) -> _T:
        """Call a function that reads pieces in a thread; if cancelled, do not wait for it."""
        return await self._file.descriptor.use(lambda _: call())

    def end(self) -> None:
        """Leave a file that others have open too as if it had been read to its end."""
        os.lseek(self._file.descriptor.number, self._ends_at, os.SEEK_SET)

    def _chunks(self, offset: int, size: int) -> Iterator[list[Buffer]]:
        buffer, chunk = self._buffer(), self._chunk_bytes
        for start in range(offset, offset + size, self._read_bytes):
            filled = self._read(buffer[: min(self._read_bytes, offset + size - start)], start)
            begins = range(0, filled, chunk)
            yield [buffer[begin : min(begin + chunk, filled)] for begin in begins]

    def _read(self, view: memoryview, offset: int) -> int:
        size, filled = len(view), 0
        number = self._file.descriptor.number
        try:
            while filled < size and (count := os.preadv(number, [view[filled:]], offset + filled)):
                filled += count
        except OSError as error:
            raise SourceError(f"cannot read {self._file.name}: {reason_of(error)}") from error
        with self._lock:
            if filled:
                self._read_to = max(self._read_to, offset + filled)
            if filled < size:
                self._ends_at = min(self._ends_at, offset + filled)
            if self._read_to > self._ends_at:
                raise SourceError(f"{self._file.name} was changed while it was being read")
        return filled

    def _buffer(self) -> memoryview:
        """Return a buffer of this thread's."""
        thread = threading.get_ident()
        if thread not in self._buffers:
            self._buffers[thread] = memoryview(bytearray(self._read_bytes))
        return self._buffers[thread]


class BytesSource:
    """Bytes that are in memory already."""

    def __init__(self, data: Buffer) -> None:
        view = memoryview(data)
        self._rest = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        self.size: int | None = len(self._rest)

    async def next_batch(self) -> list[Buffer]:
        batch, self._rest = self._rest[:BATCH_BYTES], self._rest[BATCH_BYTES:]
        return [batch] if len(batch) else []


class ReaderSource:
    """
    A reader with ``read(size)``, async or blocking; a blocking one is read in a thread.

    A non-blocking one returns None while there is nothing to read.
    """

    def __init__(self, reader: SyncReader | AsyncReader, read_bytes: int = READ_BYTES) -> None:
        self.size: int | None = None
        self._reader = reader
        self._read_bytes = read_bytes

    async def next_batch(self) -> list[Buffer]:
        read = self._reader.read
        while True:
            if inspect.iscoroutinefunction(read):
                data = await read(self._read_bytes)
            else:
                # In a tuple, for it may have to be awaited all the same.
                (data,) = await trio.to_thread.run_sync(lambda: (read(self._read_bytes),))
                if inspect.isawaitable(data):
                    data = await data
            if data is not None:
                return [data] if data else []
            await self._wait()

    async def _wait(self) -> None:
        """Wait until there is something to read, or for a moment if the system cannot tell."""
        try:
            number = self._reader.fileno()  # type: ignore[union-attr]
            await trio.lowlevel.wait_readable(number)
        except (AttributeError, OSError, ValueError, trio.BusyResourceError):
            await trio.sleep(_RETRY_SECONDS)  # time: a reader that is no file has no event


class IteratorSource:
    """The buffers of an iterator; empty ones are skipped."""

    def __init__(self, buffers: AsyncIterable[Buffer]) -> None:
        self.size: int | None = None
        self._buffers = aiter(buffers)

    async def next_batch(self) -> list[Buffer]:
        async for buffer in self._buffers:
            if len(buffer):
                return [buffer]
        return []
