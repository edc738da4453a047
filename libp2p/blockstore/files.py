"""Single files: their lengths, their bytes, and what is wrong with them (blocking calls)."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

#: A longer file is no block, and no longer block is stored: a file is read into memory as a whole,
#: and a damaged file system may say that it has terabytes. Blocks of 4 MiB can be exchanged.
MAX_BLOCK_FILE_BYTES: Final = 64 * 1024 * 1024

WRITE_FLAGS: Final = (
    os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)
# With O_NONBLOCK, opening a pipe that stands where a block should does not wait for its other end.
_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
# Errors of one file; any other is of the disk or of this process.
_OF_THE_FILE: Final = frozenset((errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENXIO))
_ON_WINDOWS: Final = os.name == "nt"
DENIED: Final = "it may not be read"


def file_size(path: str) -> int | None:
    """Return the length of a file; None if there is none, or none that can be a block."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _fault_of(error)
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def read_file(path: str) -> tuple[bytes | None, str]:
    """Return a file's bytes and "", or None and what is wrong; None and "" if there is no file."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except PermissionError:
        os.stat(path)  # or the folder may not be looked into
        return None, DENIED
    except OSError as error:
        return None, _fault_of(error)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None, "it is no file"
        size = status.st_size
        if size > MAX_BLOCK_FILE_BYTES:
            return None, f"it has {size} bytes"
        data = os.read(descriptor, size)
        while len(data) < size and (more := os.read(descriptor, size - len(data))):
            data += more  # less at once only after a signal
        return data, ""
    except OSError as error:
        return None, _fault_of(error)
    finally:
        os.close(descriptor)


def _fault_of(error: OSError) -> str:
    """Return what is wrong with a file; raise the error if it is not the file's."""
    if error.errno in _OF_THE_FILE:
        return str(error.strerror)
    raise error


def sync_folder(path: str) -> None:
    """Flush the names in a folder to the disk."""
    if _ON_WINDOWS:  # it cannot open folders, and NTFS journals the rename itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
