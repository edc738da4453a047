"""
Files that only their owner can read and change: what holds a private key is written here.

Their folder may be one that other users can write into. A link, pipe or device that somebody has
put there is refused, and new files get names that cannot be guessed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from libp2p.exceptions import NotARegularFile

__all__ = ["NotARegularFile", "create_file", "open_file", "read_file", "sync_folder", "write_file"]

#: How the names of files that are not finished yet end.
NEW: Final = ".new"

#: Flags (not on Windows) that follow no link and do not wait for the other end of a pipe.
_CAREFULLY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def open_file(path: Path, flags: int) -> IO[bytes]:
    """
    Open a file; only the owner can read and write a new one.

    :param flags: of `os.open`.
    :raises NotARegularFile: if it is a link, a folder, a pipe or a device.
    :raises OSError: as `os.open` does.
    """
    try:
        descriptor = os.open(path, flags | _CAREFULLY | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as error:
        if path.is_symlink() or error.errno in (errno.ENXIO, errno.EISDIR):
            raise NotARegularFile(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotARegularFile(path)
    return open(descriptor, "r+b" if flags & os.O_RDWR else "rb")


def read_file(path: Path, most: int) -> bytes:
    """Return the first ``most`` bytes of a file; raises as `open_file` does."""
    with open_file(path, os.O_RDONLY) as file:
        return file.read(most)


def write_file(path: Path, data: bytes) -> None:
    """
    Write a file, in the place of an earlier one; after a crash it is the old or the new one.

    :raises OSError: if it cannot be written.
    """
    temporary = _written(path, data)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink()
        raise
    sync_folder(path.parent)


def create_file(path: Path, data: bytes) -> None:
    """
    Write a file that is not there yet, all of it or nothing.

    :raises FileExistsError: if it is there; it is not changed then.
    :raises OSError: if it cannot be written.
    """
    temporary = _written(path, data)
    try:
        _rename_to_new(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    sync_folder(path.parent)


def move_file(old: Path, new: Path) -> None:
    """
    Give a file a name that is not taken yet.

    :raises FileExistsError: if it is taken.
    """
    _rename_to_new(old, new)
    with suppress(FileNotFoundError):
        old.unlink()
    sync_folder(new.parent)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder, so that new files survive a power loss."""
    if sys.platform == "win32":
        return  # folders cannot be opened there
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _written(path: Path, data: bytes) -> Path:
    """Write a file beside ``path``, by another name."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}{NEW}")
    # No other user may read it, not even for a moment.
    file = open_file(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary


def _rename_to_new(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new)) from None
        os.replace(old, new)
