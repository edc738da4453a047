"""
Writes a fetched file to where it is wanted.

A file is written beside its target and renamed when it is whole. Whatever happens before, the
target is as it was and nothing half-written is left beside it; only SIGKILL and a power loss can
leave a ``.part`` file behind, and the next `save` to that target removes it.

Where a rename would change more than the contents (hard links, access lists, an owner who cannot be
given) or is not allowed (a folder that is read-only, a mount point), the target is written in its
place, once all of its blocks are in the store. If that is interrupted, the target is empty.

What is no file (a pipe, a device, a descriptor's name) is written into as the bytes come.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import trio

from libp2p.ipfs_lite.descriptors import SharedDescriptor, descriptor_of, reason_of
from libp2p.ipfs_lite.errors import OutputError, plain_errors
from libp2p.utils import file_locks
from libp2p.utils.writing import DiskWriter, write_all

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.adder import Progress

_T = TypeVar("_T")

#: Bytes that a file's name may have where the system does not say.
_NAME_BYTES: Final = 255
_TOKEN: Final = "[0-9a-f]{8}"
#: What says that a folder, and not the disk, is in the way.
_NOT_ALLOWED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_RENAMED: Final = (*_NOT_ALLOWED, errno.EBUSY, errno.EXDEV)
#: Not on Windows: a link that stands there now was put there just now.
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Readable(Protocol):
    """What can be saved: a `UnixFSReader`, or the bytes of a CAR file."""

    @property
    def size(self) -> int | None: ...

    async def receive(self) -> Sequence[Buffer]: ...

    def tell(self) -> int: ...

    def seek(self, position: int, /) -> object: ...


async def save(
    reader: Readable, target: str | os.PathLike[str], progress: Progress | None = None
) -> None:
    """
    Write the rest of a file to ``target``, replacing a file that is there.

    A link stays, and its file is replaced. A file keeps its mode and its owner.

    :raises OutputError: if it cannot be written there, with the `OSError` as its cause.
    """
    path = Path(target)
    with errors_named(path):
        number = descriptor_of(path)
        is_stream = number is not None or not _is_file_place(path)
    if is_stream:
        output = SharedDescriptor()
        try:
            with errors_named(path):
                await output.open(partial(_open_stream, path, number))
            await stream(reader, output, path, progress)
        finally:
            output.close()
    else:
        await _replace(reader, await in_thread(path, path.resolve), progress)


async def stream(
    reader: Readable, output: SharedDescriptor, name: object, progress: Progress | None = None
) -> None:
    """
    Write the rest of a file into a pipe or a device.

    :raises OutputError: if it cannot be written, with the `OSError` as its cause.
    """

    async def write(buffers: Sequence[Buffer]) -> None:
        with errors_named(name):
            await output.use(partial(write_all, buffers=buffers))

    await _pump(reader, write, progress)


async def _pump(
    reader: Readable,
    write: Callable[[Sequence[Buffer]], Awaitable[None]],
    progress: Progress | None,
) -> None:
    """Write the rest of a file; what comes next is read while the last batch is written."""
    buffers = await reader.receive()
    while buffers:
        with plain_errors():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, buffers)
                following = await reader.receive()
        _tell(progress, reader)
        buffers = following


async def _replace(reader: Readable, target: Path, progress: Progress | None) -> None:
    start = reader.tell()
    part = await in_thread(target, PartFile.beside, target)
    if part is None:
        while await reader.receive():  # what cannot be had must not cost what is there
            _tell(progress, reader)
    else:
        try:
            await _write(reader, part, progress)
            if await in_thread(target, part.commit):
                return
        finally:
            part.close()
    reader.seek(start)
    in_place = await in_thread(target, InPlace, target)
    try:
        await _write(reader, in_place, None)
        await in_thread(target, in_place.commit)
    finally:
        in_place.close()


async def _write(reader: Readable, file: PartFile | InPlace, progress: Progress | None) -> None:
    async def write(buffers: Sequence[Buffer]) -> None:
        await in_thread(file.target, file.write, buffers)

    await _pump(reader, write, progress)


def _tell(progress: Progress | None, reader: Readable) -> None:
    if progress is not None:
        progress(reader.tell(), reader.size)


async def in_thread(name: object, call: Callable[..., _T], *args: object) -> _T:
    """
    Call a function that blocks.

    :raises OutputError: with the name, for an `OSError`.
    """
    with errors_named(name):
        return await trio.to_thread.run_sync(call, *args)


@contextlib.contextmanager
def errors_named(name: object) -> Iterator[None]:
    """Raise an `OSError` of a block as an `OutputError` that names what was to be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {name}: {reason_of(error)}") from error


def _is_file_place(path: Path) -> bool:
    """Tell whether a file is there, or nothing."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _open_stream(path: Path, number: int | None) -> int:
    if number is not None:
        return os.dup(number)
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)  # a link to it was put here just now
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    return descriptor


# -- files ----------------------------------------------------------------------------------------

_unfinished: set[PartFile | InPlace] = set()


def give_up_all() -> None:
    """Remove what is half-written: this process is about to end without ending its tasks."""
    for file in list(_unfinished):
        file.close()


def _is_given_up(file: PartFile | InPlace) -> bool:
    """Tell the first who asks, and no other: the process may end while a task is cleaning up."""
    try:
        _unfinished.remove(file)
    except KeyError:
        return False
    return True


class PartFile:
    """
    A file that takes its target's place when it is whole; its methods block.

    Without `commit`, `close` removes what was written, unless that is to be gone on with.
    """

    def __init__(self, target: Path, path: Path, descriptor: int, keeps: bool = False) -> None:
        self.target: Final = target
        self.path: Final = path
        self._descriptor = descriptor
        self._keeps = keeps
        self._disk = DiskWriter()
        _unfinished.add(self)

    @property
    def descriptor(self) -> int:
        return self._descriptor

    @classmethod
    def beside(cls, target: Path, token: str = "") -> PartFile | None:
        """
        Begin one; None if the target should be written in its place.

        :param token: eight hexadecimal digits that name it. If it is there, it is gone on with,
            unless somebody else is writing it.
        :raises OSError: if neither is possible.
        """
        try:
            status = target.stat()
        except FileNotFoundError:
            status = None
        sweep_parts(target, token)
        if status is not None:
            if not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if status.st_nlink > 1 or _has_access_list(target):
                return None
        try:
            mode = 0o666 if status is None else 0o600
            part = cls._again(target, token, mode) or cls._create(target, mode)
        except OSError as error:
            if status is None or error.errno not in _NOT_ALLOWED:
                raise
            return None
        if status is not None and not part._is_made_alike(status):
            part.close()
            return None
        return part

    @classmethod
    def _again(cls, target: Path, token: str, mode: int) -> PartFile | None:
        """Open the file that an earlier call has left, or make it; None if it is another's."""
        if not token:
            return None
        path = part_path(target, token)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, mode)
        except OSError as error:
            if error.errno in _NOT_ALLOWED:
                raise
            return None
        status = os.fstat(descriptor)
        is_own = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if is_own and (not hasattr(os, "geteuid") or status.st_uid == os.geteuid()):
            with contextlib.suppress(OSError):
                file_locks.lock(descriptor)
                return cls(target, path, descriptor, keeps=True)
        os.close(descriptor)
        return None

    @classmethod
    def _create(cls, target: Path, mode: int) -> PartFile:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
        return cls(target, *make_part(target, lambda path: os.open(path, flags, mode)))

    def _is_made_alike(self, status: os.stat_result) -> bool:
        """Give it the owner and the mode of what it replaces; tell if that can be done."""
        if not hasattr(os, "fchown"):
            return True
        own = os.fstat(self._descriptor)
        try:
            if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
                os.fchown(self._descriptor, status.st_uid, status.st_gid)
            os.fchmod(self._descriptor, status.st_mode & 0o777)
        except OSError:
            return False
        return True

    def write(self, buffers: Sequence[Buffer]) -> None:
        self._disk.write(self._descriptor, buffers)

    def commit(self) -> bool:
        """Make the file visible under its name; False if it has to be written in its place."""
        os.close(os.dup(self._descriptor))  # some network disks say only now that they are full
        if os.name == "nt":
            self._close_descriptor()  # an open file cannot be renamed there
        try:
            os.replace(self.path, self.target)
        except OSError as error:
            if error.errno not in _NOT_RENAMED or not self.target.is_file():
                raise
            return False
        _unfinished.discard(self)
        self._close_descriptor()
        return True

    def close(self) -> None:
        """Give up what was not committed; after `commit` it does nothing."""
        if _is_given_up(self):
            with contextlib.suppress(OSError):
                if not self._keeps or not os.fstat(self._descriptor).st_size:
                    self.path.unlink()
            self._close_descriptor()  # not before: without its lock, another could be sweeping it

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                file_locks.release(descriptor)


class InPlace:
    """A file that is overwritten; its methods block. Without `commit`, `close` empties it."""

    def __init__(self, target: Path) -> None:
        self.target: Final = target
        self._descriptor = os.open(target, os.O_WRONLY | os.O_TRUNC | _NO_LINK)
        _unfinished.add(self)

    def write(self, buffers: Sequence[Buffer]) -> None:
        write_all(self._descriptor, buffers)

    def commit(self) -> None:
        """Keep what was written."""
        os.close(os.dup(self._descriptor))
        _unfinished.discard(self)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if _is_given_up(self):
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        if descriptor >= 0:
            os.close(descriptor)


def make_part(target: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """
    Make what becomes ``target``, and lock it; return its path and its descriptor.

    :param make: makes it, and opens it; -1 if the system does not open folders.
    """
    while True:
        path = part_path(target, secrets.token_hex(4))
        descriptor = make(path)
        if descriptor < 0:
            return path, descriptor
        # `sweep_parts` sees by the lock that somebody is still writing. A moment ago there was no
        # lock yet: then this part may be gone, and another one is made.
        with contextlib.suppress(OSError):
            file_locks.lock(descriptor)
        if os.path.lexists(path):
            return path, descriptor
        file_locks.release(descriptor)


def part_path(target: Path, token: str) -> Path:
    """Return where a file or folder is written before it takes its target's place."""
    return target.with_name(f"{_part_prefix(target)}{token}.part")


def _part_prefix(target: Path) -> str:
    """Return what the names of a target's part files begin with; never too long a name."""
    name = os.fsencode(target.name)
    try:
        most = os.pathconf(target.parent, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        most = _NAME_BYTES
    if len(name) + len("..01234567.part") <= most:
        return f".{target.name}."
    digest = hashlib.sha256(name).hexdigest()[:16]
    start = name[: max(most - 64, 0)].decode("utf-8", "ignore")
    return f".{start}.{digest}."


def sweep_parts(target: Path, kept: str = "") -> None:
    """Remove what writers of this target have left who were killed, but the one to go on with."""
    is_part = re.compile(re.escape(_part_prefix(target)) + _TOKEN + r"\.part").fullmatch
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if is_part(entry.name) and not (kept and entry.name.endswith(f".{kept}.part")):
                with contextlib.suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NO_LINK)
    try:
        mode = os.fstat(descriptor).st_mode
        file_locks.lock(descriptor)
        if stat.S_ISREG(mode):
            os.unlink(path)
        elif stat.S_ISDIR(mode):
            shutil.rmtree(path)
    finally:
        file_locks.release(descriptor)


def _has_access_list(path: Path) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except (AttributeError, OSError):
        return False
