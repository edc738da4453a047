"""
Blocks as files, in the layout of Kubo's flatfs datastore; blocking calls, no trio.

    <base>/SHARDING                               /repo/flatfs/shard/v1/next-to-last/2
    <base>/<shard>/<BASE32(multihash)>.data       shard: the two characters before the last one
    <base>/.temp/temp-…                           files that are still being written
    <base>/.damaged/<BASE32(multihash)>.data      what was found in place of a block

A block becomes visible by one rename of a file that is complete, so no crash of this process
shows half a block. After a power loss a file whose data never reached the disk can be left empty:
an empty file counts as absent unless it is the empty block. ``sync=True`` flushes every file before
it becomes visible and survives a power loss too.

A block is hashed when it is read. A file that holds anything else, or cannot be read, is moved to
``.damaged``, and the block is missing from then on. The file stays there until the block is stored
again, so there is one for a block at most.

Stores written by py-libp2p up to 0.8 have ``<base>/<2 characters of the CID's text>/<the rest>``;
they are read, listed and deleted from, never written to.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import itertools
import os
import re
import secrets
import stat
import threading
import time
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID, InvalidCID
from libp2p.ipld.multibase import encode_base32
from libp2p.ipld.multihash import SHA2_256, HashNotSupported, InvalidMultihash, hasher, unwrap
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from libp2p.base_types import Buffer

SHARDING_FILE: Final = "SHARDING"
SHARDING: Final = "/repo/flatfs/shard/v1/next-to-last/2"
TEMP_FOLDER: Final = ".temp"
DAMAGED_FOLDER: Final = ".damaged"
SUFFIX: Final = ".data"

#: Without the promise to be the only user, a temporary file is swept only when it is this old:
#: no write of one block takes so long, so its writer is gone.
STALE_TEMP_SECONDS: Final = 3600.0

#: A longer file is no block, and no longer block is stored: a file is read into memory as a whole,
#: and a damaged file system may say that it has terabytes. Blocks of 4 MiB can be exchanged.
MAX_BLOCK_FILE_BYTES: Final = 64 * 1024 * 1024

_SHARDING_PATTERN: Final = re.compile(r"/repo/flatfs/shard/v1/next-to-last/([1-9][0-9]?)")
_ON_WINDOWS: Final = os.name == "nt"
_WRITE_FLAGS: Final = (
    os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)
# Nobody waits for the other end of a pipe that stands where a block should.
_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
# What says that one file is bad, and nothing of the disk or of this process.
_OF_THE_FILE: Final = frozenset((errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENXIO))
_MAX_TOLD: Final = 1024
_DENIED: Final = "it may not be read"
_SHA2_256_START: Final = bytes((SHA2_256, 32))

logger = get_logger(__name__)

# The first two characters of CIDv0 and of base58 CIDv1 texts hold a lower-case letter, which no
# flatfs shard has: the two layouts share a folder without meeting.
_OLD_FOLDER: Final = re.compile(r"Qm|z[1-9A-HJ-NP-Za-km-z]")


def file_stem(multihash: bytes) -> str:
    """The name of a block's file, without its suffix."""
    return base64.b32encode(multihash).rstrip(b"=").decode()


def multihash_of(file_name: str) -> bytes | None:
    """The key that a file of a shard folder stands for; None for files that are no blocks."""
    stem = file_name.removesuffix(SUFFIX)
    if stem == file_name:
        return None
    try:
        return base64.b32decode(stem + "=" * (-len(stem) % 8))
    except binascii.Error:
        return None


class FlatFiles:
    """
    The files of one store; every method blocks and may be called from any thread.

    ``exclusive`` promises that no other process has the store open: then all temporary files are
    leftovers and are swept. Without ``verify``, blocks are given as they are found.
    """

    def __init__(
        self, base: Path, *, sync: bool = False, exclusive: bool = False, verify: bool = True
    ) -> None:
        self.base = base
        self._sync = sync
        self._verify = verify
        self._root = str(base)
        self._temp_prefix = os.path.join(self._root, TEMP_FOLDER, f"temp-{secrets.token_hex(6)}-")
        self._counter = itertools.count()
        self._told: set[bytes] = set()  # blocks whose damage was logged
        self._closing = threading.Lock()
        self._closed = False
        self._unfinished: set[str] = set()
        try:
            os.makedirs(os.path.join(self._root, TEMP_FOLDER), exist_ok=True)
            self._shard_length = self._open_sharding()
            self._sweep_temp(0.0 if exclusive else STALE_TEMP_SECONDS)
            self._has_old_layout = any(map(_OLD_FOLDER.fullmatch, os.listdir(self._root)))
            self._has_damaged = self._sweep_damaged()
        except OSError as error:
            raise BlockStoreError(f"cannot open the block store {base}: {error}") from error

    @property
    def is_quick(self) -> bool:
        """True if looking at a block is one stat, and no folder has to be listed for it."""
        return not self._has_old_layout

    def close(self) -> None:
        """Let nothing be written any more, by threads that were left behind neither."""
        with self._closing:
            self._closed = True
            for temporary in list(self._unfinished):
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    @contextlib.contextmanager
    def _open_for_a_change(self) -> Iterator[None]:
        """Have `close` wait for a change of names, which is quick; writing data may not be."""
        with self._closing:
            if self._closed:
                raise BlockStoreError(f"the block store {self.base} is closed")
            yield

    # -- blocks --------------------------------------------------------------------------------

    def put(self, blocks: Iterable[tuple[bytes, Buffer]]) -> None:
        """Store blocks; those already there are left as they are, damaged ones are replaced."""
        for multihash, data in blocks:
            try:
                self._put(multihash, data)
            except OSError as error:
                raise BlockStoreError(
                    f"cannot write a block to {self.base}: {error.strerror}"
                ) from error

    def get(self, multihash: bytes) -> bytes | None:
        """
        Give a block, or None if it is not here or was damaged; see `damage_of`.

        :raises BlockStoreError: if it cannot be read, or its hash not be computed.
        """
        try:
            data = self._get(multihash, self._path(multihash), verify=self._verify)
            if data is None and self._has_old_layout and (old := self._old_files.get(multihash)):
                # py-libp2p 0.8 let two writers share one temporary file: they are always hashed.
                data = self._get(multihash, old, verify=True)
                if data is None:
                    self._old_files.pop(multihash, None)
        except OSError as error:
            raise BlockStoreError(
                f"cannot read block {_name(multihash)} from {self.base}: {error.strerror}"
            ) from error
        return data

    def damage_of(self, multihash: bytes) -> str | None:
        """Give the file that was found in place of a missing block, until it is stored again."""
        found = (self._aside(multihash) if self._has_damaged else "", self._path(multihash))
        return next(filter(os.path.lexists, found), None)

    def size(self, multihash: bytes) -> int | None:
        """The length of a block, without reading it; None if it is not here."""
        try:
            size = _file_size(self._path(multihash))
            if not size and not _is_empty_block(multihash):
                size = None
            if size is None and self._has_old_layout and multihash in self._old_files:
                size = _file_size(self._old_files[multihash])
        except OSError as error:
            raise BlockStoreError(f"cannot look into {self.base}: {error.strerror}") from error
        return size

    def delete(self, multihash: bytes) -> None:
        """Remove a block; it is no error if it is not there."""
        try:
            with self._open_for_a_change():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path(multihash))
                self._drop_damaged(multihash)
                if self._has_old_layout and (old := self._old_files.pop(multihash, None)):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(old)
        except OSError as error:
            raise BlockStoreError(
                f"cannot delete a block from {self.base}: {error.strerror}"
            ) from error

    def multihashes(self) -> Iterator[bytes]:
        """The keys of all blocks, each once, in no particular order."""
        old = set(self._old_files) if self._has_old_layout else set()
        try:
            for folder in self._folders():
                if len(os.path.basename(folder)) != self._shard_length:
                    continue
                for name in os.listdir(folder):
                    if (multihash := multihash_of(name)) is not None:
                        old.discard(multihash)
                        yield multihash
        except OSError as error:
            raise BlockStoreError(f"cannot list {self.base}: {error.strerror}") from error
        yield from old

    # -- files ---------------------------------------------------------------------------------

    def _path(self, multihash: bytes) -> str:
        stem = file_stem(multihash)
        # As in flatfs: names too short for the function are padded with underscores in front.
        shard = stem.rjust(self._shard_length + 1, "_")[-self._shard_length - 1 : -1]
        return os.path.join(self._root, shard, stem + SUFFIX)

    def _aside(self, multihash: bytes) -> str:
        return os.path.join(self._root, DAMAGED_FOLDER, file_stem(multihash) + SUFFIX)

    def _put(self, multihash: bytes, data: Buffer) -> None:
        if len(data) > MAX_BLOCK_FILE_BYTES:
            raise BlockStoreError(f"block of {len(data)} bytes, at most {MAX_BLOCK_FILE_BYTES}")
        path = self._path(multihash)
        size = _file_size(path)
        if size is not None:
            if size == len(data) and _read_file(path)[0] == bytes(data):
                return
            # One of the two is wrong.
            if is_block(multihash, data) is False:
                raise BlockStoreError(f"{len(data)} bytes are not block {_name(multihash)}")
        temporary = f"{self._temp_prefix}{next(self._counter)}"
        try:
            self._write_file(temporary, data)
            with self._open_for_a_change():
                try:
                    self._move(temporary, path)
                except IsADirectoryError:
                    self._move(path, self._aside(multihash))
                    self._move(temporary, path)
                self._drop_damaged(multihash)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            self._unfinished.discard(temporary)
        if self._sync:
            _sync_folder(os.path.dirname(path))

    def _move(self, source: str, path: str) -> None:
        try:
            os.replace(source, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(source, path)

    def _write_file(self, path: str, data: Buffer) -> None:
        with self._open_for_a_change():
            descriptor = os.open(path, _WRITE_FLAGS, 0o644)
            self._unfinished.add(path)
        try:
            written = os.write(descriptor, data)
            if written < len(data):  # only close to a full disk or a quota
                view = memoryview(data)
                while written < len(view):
                    written += os.write(descriptor, view[written:])
            if self._sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    # -- damage --------------------------------------------------------------------------------

    def _get(self, multihash: bytes, path: str, *, verify: bool) -> bytes | None:
        """Read a block from a file, and move the file aside if it is not what it should be."""
        data, fault = _judged(multihash, path, verify)
        if not fault:
            return data
        place = path
        try:
            if fault != _DENIED:  # else nothing is known of its bytes
                data, place = self._set_aside(multihash, path, verify)
        except FileNotFoundError:  # another reader was quicker, and perhaps a writer too
            return _judged(multihash, path, verify)[0]
        except OSError as error:
            fault += f", and cannot be set aside: {error.strerror}"
        if data is None and multihash not in self._told:
            if len(self._told) >= _MAX_TOLD:
                self._told.clear()
            self._told.add(multihash)
            logger.warning("block %s is damaged (%s): %s", _name(multihash), fault, place)
        return data

    def _set_aside(self, multihash: bytes, path: str, verify: bool) -> tuple[bytes | None, str]:
        """
        Move a bad file out of the way; return where it is then.

        If it was a good one, which somebody has just written, it stays, and so its bytes are
        returned. Until that is known it has a name that nobody else removes.
        """
        aside = self._aside(multihash)
        moved = f"{aside}.{secrets.token_hex(6)}"
        with self._open_for_a_change():
            self._move(path, moved)
            data, _ = _judged(multihash, moved, verify)
            if data is None:
                self._has_damaged = True
            place = aside if data is None else path
            self._move(moved, place)
        return data, place

    def _drop_damaged(self, multihash: bytes) -> None:
        """A block is stored again, or not wanted any more: forget what was in its place."""
        self._told.discard(multihash)
        if self._has_damaged:
            aside = self._aside(multihash)
            with contextlib.suppress(OSError):
                try:
                    os.unlink(aside)
                except (IsADirectoryError, PermissionError):  # a folder, with whatever is in it
                    os.rename(aside, f"{aside}.{secrets.token_hex(6)}")

    def _sweep_damaged(self) -> bool:
        """Drop what was set aside of blocks that were stored since; tell whether any is left."""
        folder, left = os.path.join(self._root, DAMAGED_FOLDER), False
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):
                multihash = multihash_of(name)
                if multihash is not None and _file_size(self._path(multihash)) is not None:
                    with contextlib.suppress(OSError):  # a folder, or another process is quicker
                        os.unlink(os.path.join(folder, name))
                else:
                    left = True
        return left

    # -- files of its own ------------------------------------------------------------------------

    def _open_sharding(self) -> int:
        path = os.path.join(self._root, SHARDING_FILE)
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                text = file.read(256).strip()
        except FileNotFoundError:
            text = SHARDING
            self._put_file(path, SHARDING.encode() + b"\n")
        match = _SHARDING_PATTERN.fullmatch(text)
        if match is None:
            raise BlockStoreError(f"{path} asks for a sharding that is not supported: {text!r}")
        return int(match[1])

    def _put_file(self, path: str, data: bytes) -> None:
        temporary = f"{self._temp_prefix}{next(self._counter)}"
        self._write_file(temporary, data)
        os.replace(temporary, path)

    def _sweep_temp(self, minimum_age: float) -> None:
        newest_kept = time.time() - minimum_age
        with os.scandir(os.path.join(self._root, TEMP_FOLDER)) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # its writer has finished meanwhile
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and status.st_mtime <= newest_kept:
                        os.unlink(entry.path)

    def _folders(self) -> list[str]:
        with os.scandir(self._root) as entries:
            return [
                entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir()
            ]

    # -- py-libp2p's layout up to 0.8 ------------------------------------------------------------

    @cached_property
    def _old_files(self) -> dict[bytes, str]:
        """Multihash to file. An index, as the same block may be asked for by another CID."""
        files: dict[bytes, str] = {}
        for folder in self._folders():
            start = os.path.basename(folder)
            if not _OLD_FOLDER.fullmatch(start):
                continue
            for name in os.listdir(folder):
                with contextlib.suppress(InvalidCID):  # left-over .tmp files are no CIDs
                    files[CID.parse(start + name).multihash] = os.path.join(folder, name)
        return files


def _is_empty_block(multihash: bytes) -> bool:
    """True if the multihash is the one of no bytes at all."""
    try:
        code, digest = unwrap(multihash)
        return hasher(code, len(digest))(b"") == digest
    except (InvalidMultihash, HashNotSupported):
        return False


def _name(multihash: bytes) -> str:
    """Name a block by the CID that the store lists it by."""
    return "b" + encode_base32(b"\x01\x55" + multihash)


def is_block(multihash: bytes, data: Buffer) -> bool | None:
    """Tell whether bytes are those of a block; None if their hash cannot be computed."""
    if len(multihash) == 34 and multihash.startswith(_SHA2_256_START):
        return sha256(data).digest() == multihash[2:]
    try:
        code, digest = unwrap(multihash)
        return hasher(code, len(digest))(data) == digest
    except (InvalidMultihash, HashNotSupported):
        return None


def _judged(multihash: bytes, path: str, verify: bool) -> tuple[bytes | None, str]:
    """
    Read a block from a file: its bytes, or None and what is wrong with them; "" if there are none.

    :raises BlockStoreError: if it cannot be told.
    """
    data, fault = _read_file(path)
    # Without ``verify`` no more than what a power loss leaves is looked for.
    if data is not None and (verify or not data):
        is_right = is_block(multihash, data)
        if is_right is None and data:
            raise BlockStoreError(f"block {_name(multihash)} cannot be verified: unknown hash")
        if not is_right:
            return None, f"its {len(data)} bytes are others"
    return data, fault


def _file_size(path: str) -> int | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _fault_of(error)
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _read_file(path: str) -> tuple[bytes | None, str]:
    """Read a file: its bytes, or None and why it has none; "" if it is not there."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except PermissionError:
        os.stat(path)  # or the folder may not be looked into
        return None, _DENIED
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
            data += more  # only a signal or a foreign system gives less at once
        return data, ""
    except OSError as error:
        return None, _fault_of(error)
    finally:
        os.close(descriptor)


def _fault_of(error: OSError) -> str:
    """Say what is wrong with a file, or raise the error if something else is."""
    if error.errno in _OF_THE_FILE:
        return str(error.strerror)
    raise error


def _sync_folder(path: str) -> None:
    if _ON_WINDOWS:  # it cannot open folders, and NTFS journals the rename itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
