"""
Fetching without a copy: the raw leaves of a file are slices of the file that is written.

A file is written as its blocks come, in any order, into a ``.part`` file beside its target; they
are slices of it at once. So a fetch that was interrupted, even by SIGKILL, leaves that file, and
the next one asks only for what is missing. A folder that was interrupted is removed.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from libp2p.blockstore.sliced import Taker, sliced
from libp2p.ipfs_lite.errors import OutputError
from libp2p.ipfs_lite.links import unixfs_in
from libp2p.ipfs_lite.output import PartFile, errors_named, in_thread
from libp2p.ipfs_lite.tree_saver import SmallFile, TreeResult, TreeSaver, create, keep, require_free
from libp2p.ipld.codec import DAG_PB, RAW

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.blockstore.slices import SliceBlockStore
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.file_fetch import Asking, BlockSource
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipld.cid import CID
    from libp2p.ipld.directory import DirectoryEntry
    from libp2p.ipld.unixfs import UnixFSData


async def save_nocopy(
    cid: CID,
    target: Path,
    store: BlockStore,
    open_reader: Callable[[Asking], Awaitable[UnixFSReader]],
    get_root: Callable[[], Awaitable[bytes]],
    progress: Progress | None = None,
) -> int:
    """
    Fetch a file into ``target``, and have its raw leaves be slices of that; return its size.

    What fails or is cancelled leaves the ``.part`` file, which the next call for the same CID goes
    on with; `save` to the same target removes it.

    :param open_reader: opens the file, and calls the function with each block that is asked for.
    :param get_root: returns the file's root, which says what mode and time were kept.
    :raises OutputError: if it cannot be written there.
    :raises BlockStoreError: if the store has no place for slices.
    """
    own = sliced(store)
    target = await in_thread(target, Path.resolve, target)
    token = sha256(cid.buffer).hexdigest()[:8]
    part = await in_thread(target, PartFile.beside, target, token)
    if part is None:
        raise OutputError(f"cannot write {target}: it cannot be replaced by another file")
    try:
        taker = Taker(str(part.path), part.descriptor, sync=own.slices.sync)
        own.add_taker(taker)
        try:
            async with await open_reader(taker.expect) as reader:
                await _write(reader, taker, target, progress)
                size = reader.size
        finally:
            own.remove_taker(taker)
        message = unixfs_in(cid, await get_root()) if cid.codec_code == DAG_PB else None
        await in_thread(target, _commit, own.slices, part, size, message)
    finally:
        part.close()
    return size


async def _write(
    reader: UnixFSReader, taker: Taker, target: Path, progress: Progress | None
) -> None:
    offset = 0
    while buffers := await reader.receive():
        await in_thread(target, taker.fill, offset, buffers)
        offset = reader.tell()
        if progress is not None:
            progress(offset, reader.size)


def _commit(slices: SliceBlockStore, part: PartFile, size: int, message: UnixFSData | None) -> None:
    os.ftruncate(part.descriptor, size)  # it may be longer than what is left of another fetch
    if message is not None:
        keep(part.path, message)  # the slices are noted with the time that it has when renamed

    def rename() -> None:
        if not part.commit():
            raise OutputError(f"cannot write {part.target}: it cannot be replaced")

    slices.rename(str(part.path), str(part.target), rename)


class NoCopyTreeSaver(TreeSaver):
    """
    Saves one folder; raw leaves that are fetched for it are slices of its files.

    :raises BlockStoreError: if the store has no place for slices.
    """

    def __init__(
        self,
        store: BlockStore,
        source: BlockSource,
        open_file: Callable[[CID, Asking | None], Awaitable[UnixFSReader]],
        *,
        unsafe_links: bool = False,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(source, open_file, unsafe_links=unsafe_links, progress=progress)
        self._own = sliced(store)
        self._small: dict[Path, Taker] = {}  # files of one block, until their batch is written

    async def save(self, root: CID, target: Path) -> TreeResult:
        parent = await in_thread(target, Path.resolve, target.parent)  # slices have absolute paths
        try:
            return await super().save(root, parent / target.name)
        finally:
            self._forget(list(self._small))

    async def _expect(self, entries: Iterable[tuple[Path, DirectoryEntry]]) -> None:
        raw = [
            (path, entry)
            for path, entry in entries
            if entry.cid.codec_code == RAW and not entry.cid.is_identity
        ]
        if raw:
            await trio.to_thread.run_sync(self._open, raw)

    def _open(self, entries: Sequence[tuple[Path, DirectoryEntry]]) -> None:
        for path, entry in entries:
            with errors_named(self._name(path)):
                taker = self._taker(path, create(path))
            self._small[path] = taker
            taker.expect(entry.cid, 0, entry.dag_size)

    def _taker(self, path: Path, descriptor: int) -> Taker:
        taker = Taker(str(path), descriptor, sync=self._own.slices.sync)
        self._own.add_taker(taker)
        return taker

    async def _copy(self, cid: CID, path: Path, descriptor: int) -> None:
        taker = self._taker(path, descriptor)
        try:
            async with await self._open_file(cid, taker.expect) as reader:
                done = 0
                while buffers := await reader.receive():
                    await in_thread(self._name(path), taker.fill, done, buffers)
                    self._note_bytes(reader.tell() - done)
                    done = reader.tell()
        finally:
            self._own.remove_taker(taker)

    async def _save_small(self, files: Sequence[SmallFile]) -> None:
        await super()._save_small(files)
        self._forget([file.path for file in files])

    def _write_small(self, file: SmallFile) -> None:
        taker = self._small.get(file.path)
        if taker is None:
            super()._write_small(file)
        else:
            taker.fill(0, [file.data])

    def _rename(self, part: Path, target: Path) -> None:
        require_free(target)
        self._own.slices.rename(str(part), str(target), partial(part.rename, target))

    def _forget(self, paths: Iterable[Path]) -> None:
        """Take nothing more into small files, and close them."""
        for path in paths:
            if (taker := self._small.pop(path, None)) is not None:
                self._own.remove_taker(taker)
                os.close(taker.descriptor)
