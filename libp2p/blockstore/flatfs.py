"""
Blocks as files, in the layout of Kubo's flatfs datastore (`layout`); blocking calls, no trio.

A block becomes visible by one rename of a file that is complete, so no crash of this process
shows half a block. After a power loss a file whose data never reached the disk can be left empty:
an empty file counts as absent unless it is the empty block. ``sync=True`` flushes every file before
it becomes visible and survives a power loss too.

A block is hashed when it is read. A file that holds anything else, or cannot be read, is moved to
``.damaged``, and the block is missing from then on. The file stays there until the block is stored
again, so there is one for a block at most.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

from libp2p.blockstore.files import (
    DENIED,
    MAX_BLOCK_FILE_BYTES,
    WRITE_FLAGS,
    file_size,
    read_file,
    sync_folder,
)
from libp2p.blockstore.layout import (
    DAMAGED_FOLDER,
    SHARDING,
    SHARDING_FILE,
    TEMP_FOLDER,
    FlatLayout,
    OldLayout,
    multihash_of,
)
from libp2p.blockstore.verify import is_block, is_empty_block, name_of
from libp2p.exceptions import BlockStoreError
from libp2p.utils.file_locks import LiveFile, sweep
from libp2p.utils.logs import get_logger
from libp2p.utils.writing import DiskWriter

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.utils.file_locks import SharedLock

#: A temporary file without the mark of its process is swept when it is this old: no write of one
#: block takes so long, so its writer is gone.
STALE_TEMP_SECONDS: Final = 3600.0

#: What the names of the files in ``.temp`` begin with that say which process is writing there.
_MARK: Final = "writer-"

#: Damaged blocks that are remembered so that each is logged once.
_MAX_TOLD: Final = 1024

logger = get_logger(__name__)


class FlatFiles:
    """
    The files of one store; every method blocks and may be called from any thread or process.

    Without ``verify``, blocks are given as they are found.
    """

    def __init__(
        self,
        base: Path,
        *,
        sync: bool = False,
        verify: bool = True,
        sharding: str = SHARDING,
        gc_lock: SharedLock | None = None,
        stored: Callable[[], object] | None = None,
    ) -> None:
        self.base = base
        self._sync = sync
        self._disk = DiskWriter()
        self._verify = verify
        self._root = str(base)
        self._gc_lock = gc_lock
        self._stored = stored
        self._mark: LiveFile | None = None  # says that this process writes temporary files
        self._process = os.getpid()
        self._counter = itertools.count()
        self._told: set[bytes] = set()  # multihashes of blocks whose damage was logged
        self._closing = threading.Lock()
        self._closed = False
        self._unfinished: set[str] = set()  # files that are being written, for `close`
        try:
            os.makedirs(os.path.join(self._root, TEMP_FOLDER), exist_ok=True)
            self._layout = FlatLayout(self._root, self._open_sharding(sharding))
            self._sweep_temp()
            self._old = OldLayout(self._root)
            self._has_damaged = self._sweep_damaged()
        except OSError as error:
            raise BlockStoreError(f"cannot open the block store {base}: {error}") from error

    @property
    def is_quick(self) -> bool:
        """True if looking at a block is one stat, and no folder has to be listed for it."""
        return not self._old.exists

    def close(self) -> None:
        """Let nothing be written any more, not even by threads that were left behind."""
        self._after_fork()
        with self._closing:
            self._closed = True
            for temporary in list(self._unfinished):
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            if self._mark is not None:
                self._mark.close()

    @contextlib.contextmanager
    def _open_for_a_change(self) -> Iterator[None]:
        """Have `close` wait for a change of names, which is quick; writing data may not be."""
        self._after_fork()
        with self._closing:
            if self._closed:
                raise BlockStoreError(f"the block store {self.base} is closed")
            yield

    def _after_fork(self) -> None:
        """Begin anew in a child: what is being written is the parent's."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._closing, self._mark, self._unfinished = threading.Lock(), None, set()

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
        if self._stored is not None:
            self._stored()

    def get(self, multihash: bytes) -> bytes | None:
        """
        Return a block, or None if it is not here or was damaged; see `damage_of`.

        :raises BlockStoreError: if it cannot be read, or its hash not be computed.
        """
        try:
            data = self._get(multihash, self._layout.path(multihash), verify=self._verify)
            if data is None and (old := self._old.find(multihash)) is not None:
                # py-libp2p 0.8 let two writers share one temporary file: they are always hashed.
                data = self._get(multihash, old, verify=True)
                if data is None:
                    self._old.forget(multihash)
        except OSError as error:
            raise BlockStoreError(
                f"cannot read block {name_of(multihash)} from {self.base}: {error.strerror}"
            ) from error
        return data

    def damage_of(self, multihash: bytes) -> str | None:
        """Give the file that was found in place of a missing block, until it is stored again."""
        found = (
            self._layout.aside(multihash) if self._has_damaged else "",
            self._layout.path(multihash),
        )
        return next(filter(os.path.lexists, found), None)

    def size(self, multihash: bytes) -> int | None:
        """Return the length of a block, without reading it; None if it is not here."""
        try:
            size = file_size(self._layout.path(multihash))
            if not size and not is_empty_block(multihash):
                size = None
            if size is None and (old := self._old.find(multihash)) is not None:
                size = file_size(old)
        except OSError as error:
            raise BlockStoreError(f"cannot look into {self.base}: {error.strerror}") from error
        return size

    def delete(self, multihash: bytes, older_than: float = inf) -> bool:
        """Remove a block; return False if it was written at ``older_than`` or later."""
        try:
            with self._open_for_a_change():
                if older_than < inf and self._written(multihash) >= older_than:
                    return False
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._layout.path(multihash))
                self._drop_damaged(multihash)
                if (old := self._old.forget(multihash)) is not None:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(old)
                return True
        except OSError as error:
            raise BlockStoreError(
                f"cannot delete a block from {self.base}: {error.strerror}"
            ) from error

    def _written(self, multihash: bytes) -> float:
        with contextlib.suppress(FileNotFoundError):
            return os.stat(self._layout.path(multihash)).st_mtime
        return 0.0

    def infos(self) -> Iterator[tuple[bytes, int, float | None]]:
        """List all blocks with their lengths and the times of their last writing."""
        for multihash in self.multihashes():
            try:
                status = os.stat(self._layout.path(multihash))
            except FileNotFoundError:  # removed meanwhile, or in the old layout
                if (size := self.size(multihash)) is not None:
                    yield multihash, size, 0.0
            else:
                if status.st_size or is_empty_block(multihash):
                    yield multihash, status.st_size, status.st_mtime

    def multihashes(self) -> Iterator[bytes]:
        """List the multihashes of all blocks, each once, in no particular order."""
        old = set(self._old.multihashes())
        try:
            for multihash in self._layout.multihashes():
                old.discard(multihash)
                yield multihash
        except OSError as error:
            raise BlockStoreError(f"cannot list {self.base}: {error.strerror}") from error
        yield from old

    # -- files ---------------------------------------------------------------------------------

    def _put(self, multihash: bytes, data: Buffer) -> None:
        if len(data) > MAX_BLOCK_FILE_BYTES:
            raise BlockStoreError(f"block of {len(data)} bytes, at most {MAX_BLOCK_FILE_BYTES}")
        path = self._layout.path(multihash)
        size = file_size(path)
        if size is not None:
            if size == len(data) and read_file(path)[0] == bytes(data) and self._renew(path):
                return
            # One of the two is wrong.
            if is_block(multihash, data) is False:
                raise BlockStoreError(f"{len(data)} bytes are not block {name_of(multihash)}")
        temporary = self._new_name()
        try:
            self._write_file(temporary, data)
            with self._open_for_a_change():
                try:
                    self._move(temporary, path)
                except IsADirectoryError:
                    self._move(path, self._layout.aside(multihash))
                    self._move(temporary, path)
                self._drop_damaged(multihash)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            self._unfinished.discard(temporary)
        if self._sync:
            sync_folder(os.path.dirname(path))

    def _renew(self, path: str) -> bool:
        """Give a file the time of now, for somebody relies on it; return False if it is gone."""
        held = contextlib.nullcontext() if self._gc_lock is None else self._gc_lock.shared()
        with held, self._open_for_a_change():
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
            return True

    def _move(self, source: str, path: str) -> None:
        try:
            os.replace(source, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(source, path)

    def _new_name(self) -> str:
        with self._open_for_a_change():
            if self._mark is None:
                self._mark = LiveFile(Path(self._root, TEMP_FOLDER), _MARK)
            owner = self._mark.path.name.removeprefix(_MARK)
        return os.path.join(self._root, TEMP_FOLDER, f"temp-{owner}-{next(self._counter)}")

    def _write_file(self, path: str, data: Buffer) -> None:
        with self._open_for_a_change():
            descriptor = os.open(path, WRITE_FLAGS, 0o644)
            self._unfinished.add(path)
        try:
            self._disk.write(descriptor, [data], sync=self._sync)
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
            if fault != DENIED:  # else nothing is known of its bytes
                data, place = self._set_aside(multihash, path, verify)
        except FileNotFoundError:  # another reader was quicker, and perhaps a writer too
            return _judged(multihash, path, verify)[0]
        except OSError as error:
            fault += f", and cannot be set aside: {error.strerror}"
        if data is None and multihash not in self._told:
            if len(self._told) >= _MAX_TOLD:
                self._told.clear()
            self._told.add(multihash)
            logger.warning("block %s is damaged (%s): %s", name_of(multihash), fault, place)
        return data

    def _set_aside(self, multihash: bytes, path: str, verify: bool) -> tuple[bytes | None, str]:
        """
        Move a bad file out of the way; return where it is then.

        If it was a good one, which somebody has just written, it stays, and so its bytes are
        returned. Until that is known it has a name that nobody else removes.
        """
        aside = self._layout.aside(multihash)
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
            aside = self._layout.aside(multihash)
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
                if multihash is not None and file_size(self._layout.path(multihash)) is not None:
                    with contextlib.suppress(OSError):  # a folder, or another process is quicker
                        os.unlink(os.path.join(folder, name))
                else:
                    left = True
        return left

    # -- files of its own ------------------------------------------------------------------------

    def _open_sharding(self, wanted: str) -> str:
        """Return what the file SHARDING says; write what is wanted if there is none."""
        path = os.path.join(self._root, SHARDING_FILE)
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                text = file.read(256).strip()
        except FileNotFoundError:
            text = wanted
            FlatLayout(self._root, text)  # before it is written
            self._put_file(path, text.encode() + b"\n")
        return text

    def _put_file(self, path: str, data: bytes) -> None:
        temporary = self._new_name()
        self._write_file(temporary, data)
        os.replace(temporary, path)
        self._unfinished.discard(temporary)

    def _sweep_temp(self) -> None:
        """Remove what processes that have ended were writing."""
        folder = os.path.join(self._root, TEMP_FOLDER)
        newest_kept = time.time() - STALE_TEMP_SECONDS
        names = os.listdir(folder)
        marks = [name.removeprefix(_MARK) for name in names if name.startswith(_MARK)]
        ended = {owner for owner in marks if sweep(os.path.join(folder, _MARK + owner))}
        for name in names:
            owner = name.removeprefix("temp-").partition("-")[0]
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):  # its writer has finished meanwhile
                status = os.lstat(path)
                is_old = owner not in marks and status.st_mtime <= newest_kept
                if stat.S_ISREG(status.st_mode) and (owner in ended or is_old):
                    os.unlink(path)


def _judged(multihash: bytes, path: str, verify: bool) -> tuple[bytes | None, str]:
    """
    Read a block from a file: its bytes, or None and what is wrong with them; "" if there are none.

    :raises BlockStoreError: if it cannot be told.
    """
    data, fault = read_file(path)
    # Without ``verify`` no more than what a power loss leaves is looked for.
    if data is not None and (verify or not data):
        is_right = is_block(multihash, data)
        if is_right is None and data:
            raise BlockStoreError(f"block {name_of(multihash)} cannot be verified: unknown hash")
        if not is_right:
            return None, f"its {len(data)} bytes are others"
    return data, fault
