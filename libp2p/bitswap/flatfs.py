"""
Blocks as files, in the layout of Kubo's flatfs datastore; blocking calls, no trio.

    <base>/SHARDING                               /repo/flatfs/shard/v1/next-to-last/2
    <base>/<shard>/<BASE32(multihash)>.data       shard: the two characters before the last one
    <base>/.temp/temp-…                           files that are still being written

A block becomes visible by one rename of a file that is complete, so no crash of this process
shows half a block. After a power loss a file whose data never reached the disk can be left empty:
an empty file counts as absent unless it is the empty block. ``sync=True`` flushes every file before
it becomes visible and survives a power loss too.

Stores written by py-libp2p up to 0.8 have ``<base>/<2 characters of the CID's text>/<the rest>``;
they are read, listed and deleted from, never written to.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import itertools
import os
import re
import secrets
import stat
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID, InvalidCID
from libp2p.ipld.multihash import HashNotSupported, InvalidMultihash, hasher, unwrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from libp2p.custom_types import Buffer

SHARDING_FILE: Final = "SHARDING"
SHARDING: Final = "/repo/flatfs/shard/v1/next-to-last/2"
TEMP_FOLDER: Final = ".temp"
SUFFIX: Final = ".data"

#: Without the promise to be the only user, a temporary file is swept only when it is this old:
#: no write of one block takes so long, so its writer is gone.
STALE_TEMP_SECONDS: Final = 3600.0

_SHARDING_PATTERN: Final = re.compile(r"/repo/flatfs/shard/v1/next-to-last/([1-9][0-9]?)")
_ON_WINDOWS: Final = os.name == "nt"
_WRITE_FLAGS: Final = (
    os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)
_READ_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

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
    leftovers and are swept.
    """

    def __init__(self, base: Path, *, sync: bool = False, exclusive: bool = False) -> None:
        self.base = base
        self._sync = sync
        self._root = str(base)
        self._temp_prefix = os.path.join(self._root, TEMP_FOLDER, f"temp-{secrets.token_hex(6)}-")
        self._counter = itertools.count()
        self._closing = threading.Lock()
        self._closed = False
        self._unfinished: set[str] = set()
        try:
            os.makedirs(os.path.join(self._root, TEMP_FOLDER), exist_ok=True)
            self._shard_length = self._open_sharding()
            self._sweep_temp(0.0 if exclusive else STALE_TEMP_SECONDS)
            self._has_old_layout = any(map(_OLD_FOLDER.fullmatch, os.listdir(self._root)))
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
        """Store blocks; those already there are left as they are."""
        for multihash, data in blocks:
            try:
                self._put(multihash, data)
            except OSError as error:
                raise BlockStoreError(
                    f"cannot write a block to {self.base}: {error.strerror}"
                ) from error

    def get(self, multihash: bytes) -> bytes | None:
        try:
            data = _read_file(self._path(multihash))
            if not data and not _is_empty_block(multihash):
                data = None
            if data is None and self._has_old_layout and multihash in self._old_files:
                data = _verified(multihash, _read_file(self._old_files[multihash]))
        except OSError as error:
            raise BlockStoreError(
                f"cannot read a block from {self.base}: {error.strerror}"
            ) from error
        return data

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

    def _put(self, multihash: bytes, data: Buffer) -> None:
        path = self._path(multihash)
        if (size := _file_size(path)) and size == len(data):
            return
        temporary = f"{self._temp_prefix}{next(self._counter)}"
        try:
            self._write_file(temporary, data)
            with self._open_for_a_change():
                try:
                    os.replace(temporary, path)
                except FileNotFoundError:
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            self._unfinished.discard(temporary)
        if self._sync:
            _sync_folder(os.path.dirname(path))

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
            return [entry.path for entry in entries if entry.is_dir()]

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


def _verified(multihash: bytes, data: bytes | None) -> bytes | None:
    # py-libp2p 0.8 let two writers share one temporary file: its files may be damaged.
    if data is None:
        return None
    try:
        return data if CID.decode(b"\x01\x55" + multihash).matches(data) else None
    except HashNotSupported:
        return None


def _file_size(path: str) -> int | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _read_file(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, size)
        while len(data) < size and (more := os.read(descriptor, size - len(data))):
            data += more  # one read gives up to 2 GiB; only a signal or a foreign system gives less
        return data
    finally:
        os.close(descriptor)


def _sync_folder(path: str) -> None:
    if _ON_WINDOWS:  # it cannot open folders, and NTFS journals the rename itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
