"""
Adds a folder with all below it: small files many at a time, large ones through `add_file`.

    a thread that reads and hashes a batch of files   →   a thread that writes the batch before

A folder's own blocks follow when all of its entries are known, so memory is the entries of the
folders that are open and two batches, whatever the size of the tree.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from libp2p.blockstore.slice_table import Stamp
from libp2p.blockstore.sliced import sliced
from libp2p.ipfs_lite.adder import AddResult, add_file
from libp2p.ipfs_lite.errors import SourceError, plain_errors
from libp2p.ipfs_lite.nocopy import check_raw, raw_slices
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter, symlink_block
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.unixfs import Mtime
from libp2p.utils.allocator import keep_freed_memory

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.blockstore.slice_table import Slice
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipld.block import Block
    from libp2p.ipld.cid import CID
    from libp2p.ipld.profiles import ImportKnobs, ImportOptions

#: Larger files are read, hashed and written by threads of their own.
SMALL_FILE_BYTES: Final = 4 * 1024 * 1024
#: A batch of small files: long enough that hops to threads do not count.
BATCH_BYTES: Final = 8 * 1024 * 1024
BATCH_FILES: Final = 256
#: Folders inside one another. Each holds its entries while those below it are added.
MAX_DEPTH: Final = 1024

#: The permissions that UnixFS keeps.
_MODE_BITS: Final = 0o7777


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """What of a folder is added. The defaults are those of ``ipfs add -r``."""

    hidden: bool = False
    """Add names that begin with a dot too."""
    ignored: Callable[[str, bool], bool] | None = None
    """Called with a name and whether it is a folder's; what it returns True for is left out."""
    follow_links: bool = False
    """Add what symbolic links lead to, rather than the links."""
    keep_mode: bool = False
    keep_mtime: bool = False

    def fit(self, choices: ImportKnobs) -> ImportKnobs:
        """Return choices with leaves that are not raw, if metadata is kept and nobody said so."""
        if (self.keep_mode or self.keep_mtime) and choices.get("raw_leaves") is None:
            return {**choices, "raw_leaves": False}
        return choices


class _Item(NamedTuple):
    """An entry of a folder on the disk."""

    name: str
    path: str
    status: os.stat_result


class _Added(NamedTuple):
    """An item that has been turned into blocks."""

    item: _Item
    blocks: list[Block]
    cid: CID
    size: int
    dag_size: int


class _Folder:
    """A folder whose entries are being added."""

    def __init__(self, item: _Item, items: list[_Item], options: ImportOptions) -> None:
        self.item: Final = item
        self.left: Final = iter(items)
        self.importer: Final = DirectoryImporter(options)
        self.size = 0
        """Bytes of the files below; written by this class alone."""

    def add(self, name: str, cid: CID, size: int, dag_size: int) -> None:
        """Add an entry with the bytes of its files and of its blocks."""
        self.importer.add(DirectoryEntry(name, cid, dag_size))
        self.size += size


def options_of_path(path: str, options: ImportOptions, tree: TreeOptions) -> ImportOptions:
    """
    Return how a file is imported, with what it is to keep of its mode and time.

    :raises SourceError: if nothing is there.
    """
    if not (tree.keep_mode or tree.keep_mtime):
        return options
    return _options_of(_root_item(path), options, tree)


def link_of_path(path: str, options: ImportOptions, tree: TreeOptions) -> tuple[Block, AddResult]:
    """
    Return the block of a symbolic link, and what is told of it.

    :raises SourceError: if it cannot be read.
    """
    with _errors_named(path):
        item = _Item("", path, os.lstat(path))
    added = _import_one(item, _options_of(item, options, tree))
    return added.blocks[0], AddResult(added.cid, added.size, added.dag_size)


class TreeAdder:
    """
    Adds one tree.

    :param store: where blocks are written; None only finds out the CID.
    :param stored: awaited with the CIDs of every batch that has been stored.
    :param added: awaited with the path below the root, and the result, of every entry.
    :param progress: called with the bytes of files that have been read.
    :param nocopy: leave the leaves where they are: they become slices of their files.
    """

    def __init__(
        self,
        options: ImportOptions,
        tree_options: TreeOptions,
        store: BlockStore | None,
        *,
        stored: Callable[[Sequence[CID]], Awaitable[object]] | None = None,
        added: Callable[[str, AddResult], Awaitable[object]] | None = None,
        progress: Progress | None = None,
        nocopy: bool = False,
    ) -> None:
        if nocopy:
            check_raw(options)
        self._nocopy = nocopy
        self._options = options
        self._tree = tree_options
        self._store = store
        self._stored = stored
        self._tell_added = added
        self._progress = progress
        self._done = 0
        self._root = ""

    async def add(self, path: str) -> AddResult:
        """
        Add a folder.

        :raises SourceError: if something in it cannot be read, or is no file, folder or link.
        :raises BlockStoreError: if the blocks cannot be written; those before stay.
        """
        keep_freed_memory()
        self._root = path
        with plain_errors():
            async with trio.open_nursery() as nursery:
                blocks_out, blocks_in = trio.open_memory_channel[list["Block"]](0)
                nursery.start_soon(self._write, blocks_in)
                async with blocks_out:
                    return await self._add_all(path, blocks_out)

    async def _write(self, batches: trio.MemoryReceiveChannel[list[Block]]) -> None:
        async with batches:
            async for blocks in batches:
                if self._store is not None:
                    await self._store.put_blocks([(cid.buffer, data) for cid, data in blocks])
                    if self._stored is not None:
                        await self._stored([block.cid for block in blocks])

    async def _add_all(self, path: str, output: trio.MemorySendChannel[list[Block]]) -> AddResult:
        root = await trio.to_thread.run_sync(_root_item, path)
        open_folders = [await self._open(root)]
        while True:
            folder = open_folders[-1]
            below = await self._add_files(folder, output)
            if below is not None:
                if len(open_folders) == MAX_DEPTH:
                    raise SourceError(f"{below.path:.200} is more than {MAX_DEPTH} folders deep")
                open_folders.append(await self._open(below))
                continue
            open_folders.pop()
            result = await self._finish(folder, output)
            if not open_folders:
                return result
            open_folders[-1].add(folder.item.name, result.cid, result.size, result.dag_size)

    async def _open(self, item: _Item) -> _Folder:
        items = await trio.to_thread.run_sync(_scan, item.path, self._tree)
        return _Folder(item, items, _options_of(item, self._options, self._tree))

    async def _add_files(
        self, folder: _Folder, output: trio.MemorySendChannel[list[Block]]
    ) -> _Item | None:
        """Add entries up to the next folder among them, which is returned; None at the end."""
        batch: list[_Item] = []
        size = 0
        below = None
        for item in folder.left:
            mode = item.status.st_mode
            if stat.S_ISDIR(mode):
                below = item
                break
            if stat.S_ISREG(mode) and item.status.st_size > SMALL_FILE_BYTES:
                await self._add_large(folder, item)
                continue
            batch.append(item)
            size += item.status.st_size
            if size >= BATCH_BYTES or len(batch) == BATCH_FILES:
                await self._add_small(folder, batch, output)
                batch, size = [], 0
        if batch:
            await self._add_small(folder, batch, output)
        return below

    async def _add_small(
        self, folder: _Folder, batch: list[_Item], output: trio.MemorySendChannel[list[Block]]
    ) -> None:
        store = self._store if self._nocopy else None
        results = await trio.to_thread.run_sync(
            _import_small, batch, self._options, self._tree, store
        )
        blocks: list[Block] = []
        for item, own, cid, size, dag_size in results:
            blocks += own
            folder.add(item.name, cid, size, dag_size)
            await self._note(item, AddResult(cid, size, dag_size), size)
        await output.send(blocks)

    async def _add_large(self, folder: _Folder, item: _Item) -> None:
        done = self._done

        def progress(read: int, _: int | None) -> None:
            if self._progress is not None:
                self._progress(done + read, None)

        options = _options_of(item, self._options, self._tree)
        added = await add_file(
            item.path,
            options,
            self._store,
            stored=self._stored,
            progress=progress,
            nocopy=self._nocopy,
        )
        folder.add(item.name, added.cid, added.size, added.dag_size)
        await self._note(item, added, added.size)

    async def _finish(
        self, folder: _Folder, output: trio.MemorySendChannel[list[Block]]
    ) -> AddResult:
        blocks = folder.importer.finish()
        while batch := await trio.to_thread.run_sync(_take, blocks):
            await output.send(batch)
        importer = folder.importer
        result = AddResult(importer.root, folder.size, importer.dag_size)
        await self._note(folder.item, result, 0)
        return result

    async def _note(self, item: _Item, added: AddResult, read: int) -> None:
        self._done += read
        if self._progress is not None:
            self._progress(self._done, None)
        if self._tell_added is not None:
            await self._tell_added(_below(self._root, item.path), added)


# -- in threads -----------------------------------------------------------------------------------


def _root_item(path: str) -> _Item:
    with _errors_named(path):
        return _Item("", path, os.stat(path))


def _below(root: str, path: str) -> str:
    """Return a path below the root; empty for the root itself."""
    return "" if path == root else os.path.relpath(path, root)


def _scan(path: str, tree: TreeOptions) -> list[_Item]:
    """Return a folder's entries, as far as they are to be added, sorted by name."""
    items = []
    with _errors_named(path), os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith(".") and not tree.hidden:
                continue
            status = entry.stat(follow_symlinks=tree.follow_links)
            is_folder = stat.S_ISDIR(status.st_mode)
            if tree.ignored is None or not tree.ignored(entry.name, is_folder):
                items.append(_Item(entry.name, entry.path, status))
    return sorted(items)


def _options_of(item: _Item, options: ImportOptions, tree: TreeOptions) -> ImportOptions:
    """Return how an item is imported, with what it is to keep of its mode and time."""
    mode, mtime = options.mode, options.mtime
    if tree.keep_mode:
        mode = stat.S_IMODE(item.status.st_mode) & _MODE_BITS
    if tree.keep_mtime:
        mtime = Mtime(*divmod(item.status.st_mtime_ns, 10**9))
    if (mode, mtime) == (options.mode, options.mtime):
        return options
    return replace(options, mode=mode, mtime=mtime)


def _import_small(
    items: Sequence[_Item], options: ImportOptions, tree: TreeOptions, slicing: BlockStore | None
) -> list[_Added]:
    """Import a batch; with ``slicing``, leaves become slices of their files there."""
    results = [_import_one(item, _options_of(item, options, tree)) for item in items]
    if slicing is None:
        return results
    files: list[tuple[str, Stamp | None, list[Slice]]] = []
    for number, added in enumerate(results):
        if stat.S_ISREG(added.item.status.st_mode):
            slices, rest = raw_slices(added.blocks)
            stamp = Stamp.of(added.item.status)
            files.append((os.path.realpath(added.item.path), stamp, slices))
            results[number] = added._replace(blocks=rest)
    sliced(slicing).slices.add(files)
    return results


def _import_one(item: _Item, options: ImportOptions) -> _Added:
    mode = item.status.st_mode
    if stat.S_ISLNK(mode):
        with _errors_named(item.path):
            block = symlink_block(os.readlink(item.path), options)
        return _Added(item, [block], block.cid, 0, len(block.data))
    if not stat.S_ISREG(mode):
        raise SourceError(f"{item.path:.200} is no file, folder or symbolic link")
    importer = FileImporter(options)
    blocks: list[Block] = []
    with _errors_named(item.path), open(item.path, "rb", buffering=0) as file:
        while data := file.read(SMALL_FILE_BYTES):
            blocks += importer.feed([data])
    blocks += importer.finish()
    return _Added(item, blocks, importer.root, importer.file_size, importer.dag_size)


def _take(blocks: Iterator[Block]) -> list[Block]:
    """Return the next blocks of a folder; nothing at the end."""
    batch: list[Block] = []
    size = 0
    for block in blocks:
        batch.append(block)
        size += len(block.data)
        if size >= BATCH_BYTES:
            break
    return batch


@contextmanager
def _errors_named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"cannot read {path:.200}: {error.strerror}") from error
