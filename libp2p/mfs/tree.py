"""The tree: names that lead from a root to files and directories, and what may be done to them."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from libp2p.exceptions import (
    InvalidFilesPath,
    NameNotInDirectory,
    NotADirectory,
    NotAFile,
    PathExists,
)
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter, DirectoryWalk, NameLookup
from libp2p.mfs.file_editor import with_metadata
from libp2p.mfs.workspace import Format, Node, Step, Workspace

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.ipld.profiles import ImportOptions
    from libp2p.ipld.unixfs import Mtime, UnixFSData


class FilesPath(NamedTuple):
    """Names below the root; ``into`` if the path ended with a slash."""

    names: tuple[str, ...]
    into: bool

    @classmethod
    def parse(cls, text: str) -> FilesPath:
        """:raises InvalidFilesPath: if it does not begin with a slash."""
        if not text.startswith("/"):
            raise InvalidFilesPath(f"paths must start with a slash, unlike {text!r:.200}")
        clean = posixpath.normpath(text)
        return cls(tuple(name for name in clean.split("/") if name), text.endswith("/"))

    def __str__(self) -> str:
        return "/" + "/".join(self.names)

    @property
    def parent(self) -> FilesPath:
        return FilesPath(self.names[:-1], False)

    def below(self, name: str) -> FilesPath:
        """Return the path of a name in this directory."""
        return FilesPath((*self.names, name), False)

    def in_place(self, name: str) -> FilesPath:
        """Return where something of that name goes; a slash at the end is a directory for it."""
        return self.below(name) if self.into else self


class Tree:
    """
    A root, and what it becomes. Methods are generators, see `workspace`; they change ``root``.

    :raises NameNotInDirectory: by each of them, if a path leads nowhere.
    """

    def __init__(self, workspace: Workspace, options: ImportOptions, root: CID | None) -> None:
        """
        :param options: how new directories are made.
        :param root: None for an empty tree.
        """
        self.workspace = workspace
        self._options = options
        self.root = self._write({}, self.form, None) if root is None else root

    @property
    def form(self) -> Format:
        """The format of new nodes."""
        return Format(self._options.cid_version, self._options.hash)

    # -- reading ------------------------------------------------------------------------------

    def find(self, path: FilesPath) -> Step[CID]:
        """Return the CID at a path."""
        cid = self.root
        for depth, name in enumerate(path.names):
            try:
                cid = (yield from self._entry(cid, name)).cid
            except NameNotInDirectory:
                raise NameNotInDirectory(f"{path} does not exist") from None
            except (NotADirectory, NotAFile):
                place = "/" + "/".join(path.names[:depth])
                raise NotADirectory(f"{place} is not a directory") from None
        return cid

    def read(self, path: FilesPath) -> Step[Node]:
        """Return the node at a path."""
        return (yield from self.workspace.read((yield from self.find(path))))

    def entries(self, directory: CID) -> Step[dict[str, DirectoryEntry]]:
        """Return what is in a directory."""
        found: dict[str, DirectoryEntry] = {}
        walk = DirectoryWalk(directory)
        while not walk.is_over:
            block = yield from self.workspace.block(walk.next(1)[0])
            found.update((entry.name, entry) for entry in walk.take(block))
        return found

    def exists(self, path: FilesPath) -> Step[CID | None]:
        """Return the CID at a path, None if nothing is there."""
        try:
            return (yield from self.find(path))
        except NameNotInDirectory:
            return None

    def _entry(self, directory: CID, name: str) -> Step[DirectoryEntry]:
        lookup, entry = NameLookup(directory, name), None
        while entry is None:
            entry = lookup.take((yield from self.workspace.block(lookup.wanted)))
        return entry

    # -- writing ------------------------------------------------------------------------------

    def put(self, path: FilesPath, cid: CID, *, replaces: bool = False) -> Step[None]:
        """
        Put something into a directory.

        :param replaces: whatever is at the path goes; without, it must be free.
        :raises PathExists: if it is not.
        """
        if not path.names:
            if not replaces:
                raise PathExists("/ exists")
            self.root = cid
            return
        if not replaces and (yield from self.exists(path)) is not None:
            raise PathExists(f"{path} exists: the directory already has an entry of that name")
        size = (yield from self.workspace.read(cid)).dag_size
        yield from self._change(path, DirectoryEntry(path.names[-1], cid, size))

    def mkdir(
        self, path: FilesPath, *, parents: bool = False, form: Format | None = None
    ) -> Step[None]:
        """
        Make a directory.

        :param parents: make those above too; nothing is wrong if it exists.
        :param form: by default the options'.
        :raises PathExists: if something is there.
        """
        for depth in range(1, len(path.names)) if parents else ():
            above = FilesPath(path.names[:depth], False)
            if (yield from self.exists(above)) is None:
                yield from self.put(above, self._write({}, form or self.form, None))
        there = yield from self.exists(path)
        if there is None:
            yield from self.put(path, self._write({}, form or self.form, None))
        elif not parents or not (yield from self.workspace.read(there)).is_directory:
            raise PathExists(f"cannot create directory {path}: it exists")

    def remove(self, path: FilesPath, *, recursive: bool = False) -> Step[None]:
        """
        Remove a file, or a directory with all below it.

        :raises NotAFile: if it is a directory and ``recursive`` is false.
        """
        if not path.names:
            raise InvalidFilesPath("the root cannot be removed")
        if not recursive and (yield from self.read(path)).is_directory:
            raise NotAFile(f"{path} is a directory: use -r to remove directories")
        yield from self._change(path, None)

    def move(self, source: FilesPath, target: FilesPath) -> Step[None]:
        """
        Move a file or directory; into ``target`` if that is a directory, in the place of a file.

        :raises PathExists: if the directory has the name.
        :raises InvalidFilesPath: if a directory would be moved into itself.
        """
        if not source.names:
            raise InvalidFilesPath("the root cannot be moved")
        cid = yield from self.find(source)
        target = target.in_place(source.names[-1])
        if target.names == source.names:
            return
        there = yield from self.exists(target)
        replaces = False
        if there is not None:
            replaces = not (yield from self.workspace.read(there)).is_directory
            if not replaces:
                target = target.below(source.names[-1])
        if target.names[:-1][: len(source.names)] == source.names:
            raise InvalidFilesPath(f"{source} cannot be moved into itself")
        yield from self.put(target, cid, replaces=replaces)
        yield from self._change(source, None)

    def set_metadata(
        self, path: FilesPath, *, mode: int | None = None, mtime: Mtime | None = None
    ) -> Step[None]:
        """Set the mode, or the time, of a file or directory."""
        node = yield from self.read(path)
        cid = with_metadata(self.workspace, node, mode, mtime)
        yield from self.put(path, cid, replaces=True)

    def set_format(self, path: FilesPath, form: Format) -> Step[None]:
        """
        Give a directory CIDs of another version or hash; what is in it keeps its own.

        :raises NotADirectory: if it is none.
        """
        node = yield from self.read(path)
        if not node.is_directory:
            raise NotADirectory(f"{path} is not a directory")
        entries = yield from self.entries(node.cid)
        yield from self.put(path, self._write(entries, form, node.message), replaces=True)

    def _change(self, path: FilesPath, entry: DirectoryEntry | None) -> Step[None]:
        """Set the last name of a path, or remove it, and write every directory above anew."""
        nodes = [(yield from self.workspace.read(self.root))]
        for depth in range(1, len(path.names)):
            above = FilesPath(path.names[:depth], False)
            nodes.append((yield from self.read(above)))
        for node, name in zip(reversed(nodes), reversed(path.names), strict=True):
            if not node.is_directory:
                raise NotADirectory(f"{path.parent} is not a directory")
            entries = yield from self.entries(node.cid)
            if entry is not None:
                entries[name] = entry._replace(name=name)
            elif entries.pop(name, None) is None:
                raise NameNotInDirectory(f"{path} does not exist")
            cid = self._write(entries, Format.of(node.cid), node.message)
            size = (yield from self.workspace.read(cid)).dag_size
            entry = DirectoryEntry(name, cid, size)
            self.root = cid

    def _write(
        self, entries: dict[str, DirectoryEntry], form: Format, like: UnixFSData | None
    ) -> CID:
        """Write a directory; ``like`` is the message of the one that it follows."""
        options = replace(
            self._options,
            cid_version=form.version,
            hash=form.hash if form.hash != "identity" else self._options.hash,
            raw_leaves=False,
            mode=None if like is None else like.mode,
            mtime=None if like is None else like.mtime,
        )
        importer = DirectoryImporter(options)
        for entry in entries.values():
            importer.add(entry)
        for block in importer.finish():
            self.workspace.keep(block)
        return importer.root
