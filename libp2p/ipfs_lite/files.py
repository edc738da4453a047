"""``peer.files``: a mutable tree over the peer's blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import trio

from libp2p.exceptions import NameNotInDirectory, NotAFile
from libp2p.ipfs_lite.errors import FilesConflictError
from libp2p.ipfs_lite.source import open_source
from libp2p.ipld.cid import CID
from libp2p.ipld.unixfs import DataType, Mtime
from libp2p.mfs.file_editor import FileEditor
from libp2p.mfs.tree import FilesPath, Tree
from libp2p.mfs.workspace import Format, Workspace

if TYPE_CHECKING:
    from libp2p.ipfs_lite.operations import Operations
    from libp2p.ipfs_lite.source import SourceInput
    from libp2p.ipld.directory import DirectoryEntry
    from libp2p.ipld.profiles import ImportOptions
    from libp2p.mfs.workspace import Node, Step

    T = TypeVar("T")


#: New blocks of a file that is written are stored when they are this many bytes.
SPILL_BYTES: Final = 8 * 1024 * 1024
#: Attempts to change the root, each made void by another process that changed the root meanwhile.
#: After them the change is given up.
MAX_ATTEMPTS: Final = 100
#: How much of a source is taken at once.
_READ_BYTES: Final = 1024 * 1024


class FileStat(NamedTuple):
    """What is at a path."""

    cid: CID
    size: int
    """The bytes of a file; 0 for a directory."""
    dag_size: int
    """The bytes of all blocks below, by the word of the links."""
    blocks: int
    """The links of its first block."""
    kind: str
    """``file`` or ``directory``."""
    mode: int | None
    mtime: Mtime | None
    is_link: bool
    """True for a symbolic link, whose ``kind`` is ``file``."""


class FileEntry(NamedTuple):
    """A name in a directory, and what is there."""

    name: str
    stat: FileStat


class PeerFiles:
    """
    The mutable tree of a peer: paths begin at ``/``.

    What a call has done is kept when it returns. Several tasks and processes may change the
    tree: each change is made to the newest root.

    :raises NameNotInDirectory: by most calls, if a path leads nowhere.
    :raises InvalidFilesPath: by all, if a path does not begin with a slash.
    """

    def __init__(self, work: Operations, options: ImportOptions) -> None:
        self._work = work
        self._options = options
        self._leases = work.parts.leases
        self._files_root = work.parts.files_root

    # -- reading ------------------------------------------------------------------------------

    async def root(self) -> CID:
        """Return the CID of the whole tree, and store it if nothing was ever changed."""
        return await self._change(_nothing)

    async def stat(self, path: str = "/") -> FileStat:
        """Say what is at a path."""
        where = FilesPath.parse(path)
        return _stat_of(await self._look(lambda tree: tree.read(where)))

    async def stat_of(self, cid: CID) -> FileStat:
        """Say what has a CID, in the tree or not."""
        return _stat_of(await self._look(lambda tree: tree.workspace.read(cid)))

    async def names(self, path: str = "/") -> list[str]:
        """Return the names in a directory, sorted; of a file, its own."""
        entries = await self._look(lambda tree: _entries(tree, FilesPath.parse(path)))
        return sorted(entries)

    async def ls(self, path: str = "/") -> list[FileEntry]:
        """Return what is in a directory, sorted by name; of a file, itself."""

        def look(tree: Tree) -> Step[list[FileEntry]]:
            entries = yield from _entries(tree, FilesPath.parse(path))
            found = []
            for name in sorted(entries):
                node = yield from tree.workspace.read(entries[name].cid)
                found.append(FileEntry(name, _stat_of(node)))
            return found

        return await self._look(look)

    async def cid_of_file(self, path: str) -> tuple[CID, int]:
        """
        Return the CID and the size of a file; `Peer.get_file` reads it.

        :raises NotAFile: if it is something else.
        """
        where = FilesPath.parse(path)
        node = await self._look(lambda tree: tree.read(where))
        if node.is_directory or node.type is DataType.SYMLINK:
            raise NotAFile(f"{path} is not a file")
        return node.cid, node.file_size

    # -- changing -----------------------------------------------------------------------------

    async def mkdir(
        self,
        path: str,
        *,
        parents: bool = False,
        cid_version: int | None = None,
        hash: str | None = None,
    ) -> CID:
        """
        Make a directory; this and all other changes return the root that they made.

        :raises PathExists: if something is there; with ``parents`` a directory may be.
        """
        form = self._form(cid_version, hash)
        where = FilesPath.parse(path)
        return await self._change(lambda tree: tree.mkdir(where, parents=parents, form=form))

    async def cp(
        self, source: str | CID, target: str, *, parents: bool = False, force: bool = False
    ) -> CID:
        """
        Put what is at a path of the tree, or under a CID, at another path; no content is copied.

        :param parents: make directories as needed.
        :param force: take the place of a file.
        :raises PathExists: if something is there.
        """
        name = str(source) if isinstance(source, CID) else source.rstrip("/").rpartition("/")[2]
        where = FilesPath.parse(target).in_place(name)

        def copy(tree: Tree) -> Step[None]:
            cid = source
            if not isinstance(cid, CID):
                cid = yield from tree.find(FilesPath.parse(cid))
            if parents:
                yield from tree.mkdir(where.parent, parents=True)
            there = (yield from tree.exists(where)) if force else None
            if there is not None and (yield from tree.workspace.read(there)).is_directory:
                raise NotAFile(f"{where} is not a file")
            yield from tree.put(where, cid, replaces=force)

        return await self._change(copy, *([source] if isinstance(source, CID) else ()))

    async def mv(self, source: str, target: str) -> CID:
        """
        Move a file or directory.

        :raises PathExists: if the directory ``target`` has its name already.
        """
        names = FilesPath.parse(source), FilesPath.parse(target)
        return await self._change(lambda tree: tree.move(*names))

    async def rm(self, path: str, *, recursive: bool = False, force: bool = False) -> CID:
        """
        Remove a file.

        :param recursive: or a directory with all below it.
        :param force: either, and nothing is wrong if it does not exist.
        """
        where = FilesPath.parse(path)

        def remove(tree: Tree) -> Step[None]:
            if not force or (yield from tree.exists(where)) is not None:
                yield from tree.remove(where, recursive=recursive or force)

        return await self._change(remove)

    async def chmod(self, path: str, mode: int) -> CID:
        """Set the permissions."""
        where = FilesPath.parse(path)
        return await self._change(lambda tree: tree.set_metadata(where, mode=mode))

    async def touch(self, path: str, mtime: Mtime) -> CID:
        """Set the time of the last change."""
        mtime.check()
        where = FilesPath.parse(path)
        return await self._change(lambda tree: tree.set_metadata(where, mtime=mtime))

    async def chcid(
        self, path: str, *, cid_version: int | None = None, hash: str | None = None
    ) -> CID:
        """Give a directory CIDs of another version or hash."""
        form = self._form(cid_version, hash)
        where = FilesPath.parse(path)
        if form is None:
            return await self.root()
        return await self._change(lambda tree: tree.set_format(where, form))

    async def write(  # noqa: PLR0913 - options by name
        self,
        path: str,
        source: SourceInput,
        *,
        offset: int = 0,
        count: int | None = None,
        create: bool = False,
        parents: bool = False,
        truncate: bool = False,
        raw_leaves: bool | None = None,
        cid_version: int | None = None,
        hash: str | None = None,
        now: Mtime | None = None,
    ) -> CID:
        """
        Write into a file, of which only the changed blocks are written anew.

        :param offset: where to begin; what lies before and is not there is filled with zeros.
        :param count: take no more bytes of the source, which is as for `Peer.add_file`.
        :param create: make the file if it is not there.
        :param parents: as for `cp`.
        :param truncate: empty the file before.
        :param raw_leaves: by default as the options say.
        :param now: the new time of a file that has one.
        :raises NotAFile: if something else is there.
        :raises SourceError: if the source cannot be read.
        :raises FilesConflictError: if another changed the same file meanwhile; nothing was written.
        """
        if min(offset, count or 0) < 0:
            raise ValueError("offset and count cannot be negative")
        where = FilesPath.parse(path)
        form = self._form(cid_version, hash)
        with self._work.call():
            async with self._held_root() as root:
                tree = self._tree(root)
                old = await self._drive(_file_at(tree, where, create))
                workspace, options = Workspace(), self._options
                start = workspace.empty_file(form or Format(options.cid_version, options.hash))
                editor = FileEditor(
                    workspace,
                    old or start,
                    raw_leaves=options.raw_leaves if raw_leaves is None else raw_leaves,
                    chunker=options.chunker,
                    now=now,
                )
                if truncate:
                    await self._drive(editor.truncate(0))
                await self._drive(editor.seek(offset))
                await self._write_all(editor, workspace, source, count)
                new = await self._drive(editor.finish())
                await self._store(workspace, new)
                return await self._change(_replacing(where, old, new, parents, form), new)

    async def _write_all(
        self, editor: FileEditor, workspace: Workspace, source: SourceInput, count: int | None
    ) -> None:
        async with open_source(source, _READ_BYTES) as opened:
            while count is None or count > 0:
                batch = await opened.next_batch()
                if not batch:
                    return
                for piece in batch:
                    view = memoryview(piece).cast("B")[:count]
                    await self._drive(editor.write(view))
                    count = None if count is None else count - len(view)
                if workspace.new_bytes > SPILL_BYTES:
                    await self._store(workspace, editor.root)

    def _form(self, cid_version: int | None, hash: str | None) -> Format | None:
        if cid_version is None and hash is None:
            return None
        return Format(1 if hash is not None else cid_version or 0, hash or "sha2-256")

    # -- the root -----------------------------------------------------------------------------

    async def _look(self, work: Callable[[Tree], Step[T]]) -> T:
        with self._work.call():
            async with self._held_root() as root:
                if root is None:
                    await self.root()  # so that the CID of the empty tree can be read
                return await self._drive(work(self._tree(root)))

    async def _change(self, work: Callable[[Tree], Step[None]], *needed: CID) -> CID:
        swap = self._files_root.swap
        fetched: dict[CID, bytes] = {}
        conflicts = 0
        with self._work.call(), self._leases.hold(needed):
            while conflicts < MAX_ATTEMPTS:
                # While this task has its turn it reads local blocks only. A block that peers must
                # send is fetched after the turn.
                async with self._work.files_turn, self._held_root() as old:
                    tree = self._tree(old)
                    missing = await self._drive_here(work(tree), fetched)
                    if missing is None:
                        await self._store(tree.workspace, tree.root)
                        if tree.root == old or await trio.to_thread.run_sync(swap, old, tree.root):
                            return tree.root
                        conflicts += 1
                if missing is not None:
                    with self._work.open_source() as source:
                        [fetched[missing]] = await source.fetch([missing])
        raise FilesConflictError("others change the files all the time: try again")

    @asynccontextmanager
    async def _held_root(self) -> AsyncIterator[CID | None]:
        """Yield the root; what is below it and what is written stays to the end of the block."""
        read = self._files_root.read
        root = await trio.to_thread.run_sync(read)
        while True:
            with self._leases.hold([root] if root else []):
                await self._leases.settled()
                newest = await trio.to_thread.run_sync(read)
                if newest == root:  # else a collection may have begun to take it apart
                    yield root
                    return
            root = newest

    def _tree(self, root: CID | None) -> Tree:
        return Tree(Workspace(), self._options, root)

    async def _drive(self, step: Step[T]) -> T:
        """Run a step, giving it the blocks that it asks for."""
        with self._work.open_source() as source:
            try:
                wanted = next(step)
                while True:
                    [block] = await source.fetch([wanted])
                    wanted = step.send(block)
            except StopIteration as end:
                result: T = end.value
                return result

    async def _drive_here(self, step: Step[None], fetched: Mapping[CID, bytes]) -> CID | None:
        """Run a step; return the first block that it needs and that is not here."""
        with self._work.open_source() as source, closing(step):
            try:
                wanted = next(step)
                while True:
                    block = fetched.get(wanted)
                    if block is None:
                        [block] = await source.find([wanted])
                    if block is None:
                        return wanted
                    wanted = step.send(block)
            except StopIteration:
                return None

    async def _store(self, workspace: Workspace, root: CID) -> None:
        await self._work.store_blocks(workspace.take_new(root))


def _nothing(_: Tree) -> Step[None]:
    yield from ()


def _replacing(
    path: FilesPath, old: CID | None, new: CID, parents: bool, form: Format | None
) -> Callable[[Tree], Step[None]]:
    """Return the step that puts ``new`` at a path, if ``old`` is still there."""

    def step(tree: Tree) -> Step[None]:
        if parents:
            yield from tree.mkdir(path.parent, parents=True, form=form)
        if (yield from tree.exists(path)) != old:
            raise FilesConflictError(f"{path} was changed while it was written: write again")
        yield from tree.put(path, new, replaces=True)

    return step


def _stat_of(node: Node) -> FileStat:
    message = node.message
    return FileStat(
        node.cid,
        node.file_size,
        node.dag_size,
        len(node.links),
        "directory" if node.is_directory else "file",
        None if message is None else message.mode,
        None if message is None else message.mtime,
        node.type is DataType.SYMLINK,
    )


def _entries(tree: Tree, path: FilesPath) -> Step[dict[str, DirectoryEntry]]:
    node = yield from tree.read(path)
    if node.is_directory:
        return (yield from tree.entries(node.cid))
    from libp2p.ipld.directory import DirectoryEntry

    name = path.names[-1]
    return {name: DirectoryEntry(name, node.cid, node.dag_size)}


def _file_at(tree: Tree, path: FilesPath, create: bool) -> Step[CID | None]:
    there = yield from tree.exists(path)
    if there is None:
        if not create:
            raise NameNotInDirectory(f"{path} does not exist")
        return None
    node = yield from tree.workspace.read(there)
    if node.is_directory or node.type is DataType.SYMLINK:
        raise NotAFile(f"{path} is not a file")
    return there
