"""
Writes a fetched folder to the disk, with all below it.

It is written beside its target and renamed when it is whole. Whatever happens before, nothing
half-written is left; only SIGKILL and a power loss can leave a ``.part`` folder behind, and the
next `TreeSaver.save` to that target removes it. Nothing is written outside of it: names that are
none for a file are refused, files are never written through links, and links are made last, those
that lead out of the folder only if the caller says so.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import trio

from libp2p.ipfs_lite.errors import OutputError
from libp2p.ipfs_lite.folders import list_folder
from libp2p.ipfs_lite.links import make_link, set_time, target_text_of, unixfs_in
from libp2p.ipfs_lite.output import errors_named, in_thread, make_part, sweep_parts
from libp2p.ipfs_lite.safe_names import WINDOWS, is_file_name, link_fault
from libp2p.ipld.file_node import read_file_node
from libp2p.ipld.unixfs import DataType, Mtime, UnixFSData
from libp2p.utils import file_locks
from libp2p.utils.writing import DiskWriter

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.file_fetch import Asking, BlockSource
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipld.cid import CID
    from libp2p.ipld.directory import DirectoryEntry

_T = TypeVar("_T")

#: Entries whose blocks are fetched at once: with fewer, a distant peer would be waited for at each.
ENTRIES_AHEAD: Final = 32
#: Files, folders and links of one tree. A few blocks can describe more of them than any disk holds.
MAX_ENTRIES: Final = 10_000_000
#: Folders inside one another.
MAX_DEPTH: Final = 1024

_PERMISSIONS: Final = 0o777
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class TreeResult:
    """What was written."""

    entries: int
    """Files, folders and links, the root too."""
    size: int
    """Bytes of the files."""


class _Folder(NamedTuple):
    """A folder that waits to be filled."""

    cid: CID
    path: Path
    depth: int


class SmallFile(NamedTuple):
    """A file whose content is at hand."""

    path: Path
    data: Buffer
    message: UnixFSData | None


class TreeSaver:
    """
    Saves one tree.

    :param open_file: opens a file of many blocks; the function it takes is called with each raw
        block that peers are asked for.
    :param unsafe_links: make links that lead out of the folder too.
    :param progress: called with the bytes of files that have been written.
    """

    def __init__(
        self,
        source: BlockSource,
        open_file: Callable[[CID, Asking | None], Awaitable[UnixFSReader]],
        *,
        unsafe_links: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._source = source
        self._open_file = open_file
        self._unsafe_links = unsafe_links
        self._progress = progress
        self._disk = DiskWriter()
        self._root = Path()
        self._waiting: list[_Folder] = []
        self._links: list[tuple[Path, str, Mtime | None]] = []
        self._folders: list[tuple[Path, UnixFSData]] = []  # those with a mode or time of their own
        self._entries = 0
        self._size = 0

    async def save(self, root: CID, target: Path) -> TreeResult:
        """
        Write a folder to ``target``, where nothing may be.

        :raises OutputError: if it cannot be written there, or has a name that no file may have.
        :raises BitswapError: if a block cannot be had.
        :raises NotADirectory: if the root is no folder.
        """
        part, lock = await in_thread(target, _begin, target)
        self._root = part
        try:
            [block] = await self._source.fetch([root])
            self._note_metadata(part, unixfs_in(root, block))
            await self._fill(_Folder(root, part, 0))
            await in_thread(target, self._finish)
            await in_thread(target, self._rename, part, target)
        finally:  # after the rename, nothing is there
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_remove, part, lock)
        return TreeResult(self._entries, self._size)

    async def _fill(self, root: _Folder) -> None:
        self._waiting.append(root)
        while self._waiting:
            folder = self._waiting.pop()
            if folder.depth == MAX_DEPTH:
                raise OutputError(f"{self._name(folder.path)} is {MAX_DEPTH} folders deep")
            if folder is not root:
                await in_thread(self._name(folder.path), _make_folder, folder.path)
            self._note_entry()
            await self._fill_folder(folder)

    async def _fill_folder(self, folder: _Folder) -> None:
        batch: list[DirectoryEntry] = []
        async with aclosing(list_folder(self._source, folder.cid)) as entries:
            async for entry in entries:
                batch.append(entry)
                if len(batch) == ENTRIES_AHEAD:
                    await self._save_entries(folder, batch)
                    batch.clear()
        await self._save_entries(folder, batch)

    async def _save_entries(self, folder: _Folder, entries: Sequence[DirectoryEntry]) -> None:
        paths = [folder.path / self._checked(folder, entry.name) for entry in entries]
        await self._expect(zip(paths, entries, strict=True))
        cids = list({entry.cid.multihash: entry.cid for entry in entries}.values())
        found = await self._source.fetch(cids) if cids else []
        blocks = dict(zip((cid.multihash for cid in cids), found, strict=True))
        files: list[SmallFile] = []
        for path, entry in zip(paths, entries, strict=True):
            block = blocks[entry.cid.multihash]
            message = unixfs_in(entry.cid, block)
            kind = DataType.FILE if message is None else message.type
            if kind in (DataType.DIRECTORY, DataType.HAMT_SHARD):
                self._note_metadata(path, message)
                self._waiting.append(_Folder(entry.cid, path, folder.depth + 1))
                continue
            self._note_entry()
            if message is not None and kind is DataType.SYMLINK:
                target = target_text_of(message)
                self._links.append((path, self._checked_link(path, target), message.mtime))
                continue
            node = read_file_node(entry.cid, block)
            if node.cids:
                await self._save_large(path, entry.cid, message)
            else:
                files.append(SmallFile(path, node.data, message))
        if files:
            await self._save_small(files)
            self._note_bytes(sum(len(file.data) for file in files))

    async def _save_large(self, path: Path, cid: CID, message: UnixFSData | None) -> None:
        name = self._name(path)
        descriptor = await in_thread(name, create, path)
        try:
            await self._copy(cid, path, descriptor)
        finally:
            os.close(descriptor)
        if message is not None:
            await in_thread(name, keep, path, message)

    def _write(self, files: Sequence[SmallFile]) -> None:
        for file in files:
            with errors_named(self._name(file.path)):
                self._write_small(file)
                if file.message is not None:
                    keep(file.path, file.message)

    def _finish(self) -> None:
        """Make the links, then give folders their modes and times, the lowest first."""
        for path, target, mtime in self._links:
            with errors_named(self._name(path)):
                make_link(path, target, mtime)
        for path, message in reversed(self._folders):
            with errors_named(self._name(path)):
                keep(path, message)

    # -- what a saver without copies does in another way -------------------------------------------

    async def _expect(self, entries: Iterable[tuple[Path, DirectoryEntry]]) -> None:
        """Hear of what is about to be fetched, and where it goes."""

    async def _copy(self, cid: CID, path: Path, descriptor: int) -> None:
        """Write a file of many blocks."""
        async with await self._open_file(cid, None) as reader:
            while buffers := await reader.receive():
                await in_thread(self._name(path), self._disk.write, descriptor, buffers)
                self._note_bytes(sum(map(len, buffers)))

    async def _save_small(self, files: Sequence[SmallFile]) -> None:
        await trio.to_thread.run_sync(self._write, files)

    def _write_small(self, file: SmallFile) -> None:
        descriptor = create(file.path)
        try:
            self._disk.write(descriptor, [file.data])
        finally:
            os.close(descriptor)

    def _rename(self, part: Path, target: Path) -> None:
        require_free(target)
        part.rename(target)

    # -- what is refused --------------------------------------------------------------------------

    def _checked(self, folder: _Folder, name: str) -> str:
        """:raises OutputError: if a name of a folder could lead out of it, or is none here."""
        if not is_file_name(name):
            where = self._name(folder.path)
            raise OutputError(f"{where} has an entry {name!r:.200}, which no file can be called")
        return name

    def _checked_link(self, path: Path, target: str) -> str:
        """:raises OutputError: if a link leads where it may not, or where no link can lead."""
        depth = len(path.relative_to(self._root).parts) - 1
        if fault := link_fault(target, depth, unsafe=self._unsafe_links):
            raise OutputError(f"{self._name(path)} is a link to {target!r:.200}, {fault}")
        return target

    def _name(self, path: Path) -> str:
        below = path.relative_to(self._root)
        return f"{str(below)!r:.200}" if below.parts else "the folder"

    # -- counting ---------------------------------------------------------------------------------

    def _note_entry(self) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise OutputError(f"the folder has more than {MAX_ENTRIES:,} entries")

    def _note_metadata(self, path: Path, message: UnixFSData | None) -> None:
        """Remember what a folder is given when all is in it: it may be made read-only."""
        if message is not None and (message.mode or message.mtime):
            self._folders.append((path, message))

    def _note_bytes(self, count: int) -> None:
        self._size += count
        if self._progress is not None:
            self._progress(self._size, None)


async def keep_metadata(root: CID, block: Buffer, target: Path) -> None:
    """
    Give a file that was saved the permissions and the time that its root has.

    :raises OutputError: if it cannot be given them.
    """
    message = unixfs_in(root, block)
    if message is not None:
        await in_thread(target, _keep_in_file, target, message)


# -- in threads -----------------------------------------------------------------------------------


def _begin(target: Path) -> tuple[Path, int]:
    """Make the folder that becomes ``target``; return it, and the descriptor that locks it."""
    require_free(target)
    sweep_parts(target)
    return make_part(target, _make_part_folder)


def _make_part_folder(path: Path) -> int:
    path.mkdir()
    return -1 if WINDOWS else os.open(path, os.O_RDONLY | _NO_LINK)


def require_free(target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "it is there already")


def _remove(part: Path, lock: int) -> None:
    shutil.rmtree(part, ignore_errors=True)
    if lock >= 0:
        file_locks.release(lock)  # not before: without its lock, another could be sweeping it


def create(path: Path) -> int:
    with _new_name():
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666)


def _make_folder(path: Path) -> None:
    with _new_name():
        path.mkdir()


@contextmanager
def _new_name() -> Iterator[None]:
    """Say what it means if a name is taken in a folder that is written by nobody else."""
    try:
        yield
    except FileExistsError as error:
        text = "it is there already; two names may be one on this disk"
        raise FileExistsError(errno.EEXIST, text) from error


def _keep_in_file(path: Path, message: UnixFSData) -> None:
    if path.is_file():  # a pipe or a device stays as it is
        keep(path, message)


def keep(path: Path, message: UnixFSData) -> None:
    """Give a file or folder its permissions and time; what runs as another user is not given."""
    if message.mode:
        path.chmod(message.mode & _PERMISSIONS)
    if message.mtime is not None:
        set_time(path, message.mtime)
