"""
Where the bytes of a file to add come from: a path, bytes in memory, a reader of any kind.

A source gives batches of buffers. Files are read in a worker thread, several buffers per hop, each
as long as a chunk: then chunks are the very buffers that were read, and nothing is copied.
"""

from __future__ import annotations

import inspect
import os
import stat
from collections.abc import AsyncIterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

import trio

from libp2p.ipfs_lite.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from libp2p.custom_types import Buffer

#: Bytes per batch. What its hops to threads cost (0.3 ms) is little beside 3 ms of hashing; twice
#: as much gains a tenth in speed for 20 MiB more of memory.
BATCH_BYTES: Final = 4 * 1024 * 1024

#: One buffer, unless the chunk size suggests a better one.
READ_BYTES: Final = 1024 * 1024
#: Reading chunk by chunk pays from this chunk size on; below, system calls cost more than copies.
MIN_READ_BYTES: Final = 128 * 1024


class SyncReader(Protocol):
    """An open file, or whatever reads like one."""

    def read(self, size: int, /) -> bytes | None: ...


class AsyncReader(Protocol):
    """A reader that waits, such as `UnixFSReader` or a `trio` file."""

    def read(self, size: int, /) -> Awaitable[bytes]: ...


@runtime_checkable
class Source(Protocol):
    """Gives the bytes of one file, in order."""

    size: int | None
    """What there is to come, if that is known beforehand."""

    async def next_batch(self) -> list[Buffer]:
        """Give about `BATCH_BYTES` more; nothing at the end."""


#: A ``str`` is a path. Bytes are content.
SourceInput: TypeAlias = (
    "str | os.PathLike[str] | Buffer | SyncReader | AsyncReader | AsyncIterable[Buffer] | Source"
)


@asynccontextmanager
async def open_source(source: SourceInput, read_bytes: int = READ_BYTES) -> AsyncIterator[Source]:
    """
    Open whatever was given; what the caller had opened stays open.

    :raises SourceError: if a path cannot be read or is not a file.
    """
    if isinstance(source, str | os.PathLike):
        descriptor = await trio.to_thread.run_sync(_open_file, os.fspath(source))
        try:
            yield FileSource(descriptor, os.fspath(source), read_bytes)
        finally:
            os.close(descriptor)
    elif isinstance(source, bytes | bytearray | memoryview):
        yield BytesSource(source)
    elif isinstance(source, Source):
        yield source
    elif isinstance(source, AsyncIterable):
        yield IteratorSource(source)
    else:
        yield ReaderSource(source, read_bytes)


def _open_file(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise SourceError(f"no such file: {path}") from None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError(f"{path} is a directory: only files can be added, pack it first (tar)")
    return descriptor


class FileSource:
    """A file, a pipe or a device by its descriptor, which stays the caller's."""

    def __init__(self, descriptor: int, name: str, read_bytes: int = READ_BYTES) -> None:
        status = os.fstat(descriptor)
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None
        self._descriptor = descriptor
        self._name = self.name = name
        self._read_bytes = read_bytes

    async def next_batch(self) -> list[Buffer]:
        # Reading a file ends soon. A pipe may never give anything: leave its thread behind then.
        # (multiaddr brings type stubs of an older trio along.)
        return await trio.to_thread.run_sync(
            self._read_batch,
            abandon_on_cancel=self.size is None,  # type: ignore[call-arg, unused-ignore]
        )

    def _read_batch(self) -> list[Buffer]:
        batch: list[Buffer] = []
        room = BATCH_BYTES
        try:
            while room > 0 and (data := os.read(self._descriptor, self._read_bytes)):
                batch.append(data)
                room -= len(data)
        except OSError as error:
            raise SourceError(f"cannot read {self._name}: {error.strerror}") from error
        return batch


class BytesSource:
    """Bytes that are in memory already."""

    def __init__(self, data: Buffer) -> None:
        self._rest = memoryview(data).cast("B")
        self.size: int | None = len(self._rest)

    async def next_batch(self) -> list[Buffer]:
        batch, self._rest = self._rest[:BATCH_BYTES], self._rest[BATCH_BYTES:]
        return [batch] if len(batch) else []


class ReaderSource:
    """Whatever has ``read(size)``, waiting or blocking; a blocking one is read in a thread."""

    def __init__(self, reader: SyncReader | AsyncReader, read_bytes: int = READ_BYTES) -> None:
        self.size: int | None = None
        self._reader = reader
        self._read_bytes = read_bytes

    async def next_batch(self) -> list[Buffer]:
        read = self._reader.read
        if inspect.iscoroutinefunction(read):
            data = await read(self._read_bytes)
        else:
            data = await trio.to_thread.run_sync(read, self._read_bytes)
        return [data] if data else []


class IteratorSource:
    """Buffers as they come; empty ones are passed over."""

    def __init__(self, buffers: AsyncIterable[Buffer]) -> None:
        self.size: int | None = None
        self._buffers = aiter(buffers)

    async def next_batch(self) -> list[Buffer]:
        async for buffer in self._buffers:
            if len(buffer):
                return [buffer]
        return []
