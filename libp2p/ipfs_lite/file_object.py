"""A file read by its CID, as everything in Python that takes an open file wants it."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes that a short read brings along. A trip to the peer's thread costs as much as copying them,
#: and a block is longer.
BESIDE_BYTES: Final = 128 * 1024


class BlockingReader(Protocol):
    """A `UnixFSReader` whose methods block."""

    @property
    def size(self) -> int: ...

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class FileObject(io.RawIOBase):
    """
    A file that is read and not written; several threads may use it, one after the other.

    Short reads and lines come out of what a read before them has brought along.
    """

    def __init__(self, reader: BlockingReader) -> None:
        self._reader = reader
        self._lock = threading.RLock()
        self._beside = b""
        """What has been read and not been asked for, from `_place` on."""
        self._place = 0
        self.size: Final[int] = reader.size
        """Bytes of the file."""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that `seek` works."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill ``buffer`` as far as the file goes; return how many bytes that are."""
        with memoryview(buffer).cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Return the rest of the file."""
        return self.read()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end of the file; by default all of the rest."""
        with self._lock:
            self._check_open()
            wanted = self.size if size is None or size < 0 else size
            wanted = max(min(wanted, self.size - self._place), 0)
            have = len(self._beside)
            if have >= wanted:
                data = self._beside[:wanted]
            elif wanted - have < BESIDE_BYTES:
                data = self.peek(wanted)[:wanted]
            else:
                self._reader.seek(self._place + have)
                data = self._beside + self._reader.read(wanted - have)
            self._skip(len(data))
            return data

    def peek(self, size: int = 1, /) -> bytes:
        """Return bytes ahead, at least ``size`` of them or all of the rest, and stay in place."""
        with self._lock:
            self._check_open()
            have = len(self._beside)
            missing = min(max(size, 1), self.size - self._place) - have
            if missing > 0:
                self._reader.seek(self._place + have)
                self._beside += self._reader.read(max(missing, BESIDE_BYTES))
            return self._beside

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place in the file, and return it; beyond the end there is nothing to read."""
        with self._lock:
            self._check_open()
            starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}
            if whence not in starts:
                raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
            place = starts[whence] + offset
            if place < 0:
                raise ValueError(f"there is no place {place} in a file")
            if 0 <= place - self._place <= len(self._beside):
                self._skip(place - self._place)
            else:
                self._beside, self._place = b"", place
            return place

    def tell(self) -> int:
        """Return the place that the next read begins at."""
        self._check_open()
        return self._place

    def close(self) -> None:
        """Stop fetching; a second call does nothing."""
        if not self.closed:
            super().close()
            self._reader.close()

    def _skip(self, size: int) -> None:
        self._beside = self._beside[size:]
        self._place += size

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")
