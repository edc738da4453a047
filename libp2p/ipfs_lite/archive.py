"""
A file or folder as one stream: a tar archive, or compressed, or both, made while it is read.

The same content and options give the same bytes: what UnixFS does not say, modes, times and owners,
is fixed. Memory is the blocks of a few entries, whatever the size of the folder.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from libp2p.ipfs_lite.errors import OutputError
from libp2p.ipfs_lite.folders import list_folder
from libp2p.ipfs_lite.links import is_link, target_of, target_text_of, unixfs_in
from libp2p.ipfs_lite.safe_names import is_file_name, link_fault
from libp2p.ipfs_lite.tree_saver import MAX_DEPTH
from libp2p.ipld.file_node import read_file_node
from libp2p.ipld.unixfs import DataType
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipld.cid import CID
    from libp2p.ipld.directory import DirectoryEntry
    from libp2p.ipld.unixfs import UnixFSData

#: Entries whose blocks are fetched at once: with fewer, a distant peer would be waited for at each.
ENTRIES_AHEAD: Final = 32
#: Bytes that `Archive.receive` returns at once, except at the end.
BATCH_BYTES: Final = 1024 * 1024

_FOLDERS: Final = (DataType.DIRECTORY, DataType.HAMT_SHARD)


class Packing(NamedTuple):
    """How content becomes one stream."""

    archive: bool = True
    """Into a tar archive; otherwise it must be a file, or a link: then it is where that leads."""
    level: int | None = None
    """The gzip level, 1 to 9; None is without compression."""

    def file_name(self, name: str) -> str:
        """Return a name with the suffixes that Kubo's ``get`` adds."""
        if self.archive and not name.endswith((".tar", ".tar.gz")):
            name += ".tar"
        if self.level is not None and not name.endswith(".gz"):
            name += ".gz"
        return name


class _Open(NamedTuple):
    """A folder whose entries are being written."""

    path: str
    entries: AsyncGenerator[DirectoryEntry, None]
    ready: list[tuple[DirectoryEntry, Buffer]]  # the next one is the last


class Archive:
    """
    The bytes of an archive.

    :param name: of the file or folder in the archive.
    :param open_file: opens a file of many blocks.
    :param unsafe_links: write links that lead out of the folder too.
    """

    def __init__(
        self,
        root: CID,
        name: str,
        source: BlockSource,
        open_file: Callable[[CID], Awaitable[UnixFSReader]],
        packing: Packing,
        *,
        unsafe_links: bool = False,
    ) -> None:
        if packing.level is not None:
            arguments.count(packing.level, "the compression level", 1, 9)
        self.size: Final = None
        """The size is not known beforehand."""
        self._root = root
        self._name = name
        self._source = source
        self._open_file = open_file
        self._packing = packing
        self._unsafe_links = unsafe_links
        self.seek(0)

    def seek(self, position: int) -> None:
        """
        Begin anew.

        :param position: 0; the archive has no other place that is known.
        """
        if position:
            raise ValueError("an archive is written from its start")
        level = self._packing.level
        self._compressor = None if level is None else zlib.compressobj(level, wbits=31)
        self._buffers = self._tar() if self._packing.archive else self._file()
        self._folders: list[_Open] = []
        self._position = 0

    def tell(self) -> int:
        """Return how many bytes have been read."""
        return self._position

    async def aclose(self) -> None:
        """Ask for nothing more."""
        await self._buffers.aclose()
        for folder in self._folders:
            await folder.entries.aclose()
        self._source.close()

    async def receive(self) -> list[Buffer]:
        """
        Return the next bytes; nothing at the end.

        :raises BitswapError: if a block cannot be had.
        :raises OutputError: if something is neither file, folder nor link, or has a name or is a
            link that could write outside of the folder where the archive is unpacked.
        """
        buffers: list[Buffer] = []
        size = 0
        while size < BATCH_BYTES:
            buffer = await anext(self._buffers, None)
            if buffer is None and self._compressor is None:
                break
            if self._compressor is not None:
                is_last = buffer is None
                buffer = await trio.to_thread.run_sync(_compress, self._compressor, buffer)
                if is_last:
                    self._compressor = None
            buffers.append(buffer or b"")
            size += len(buffers[-1])
        self._position += size
        return [buffer for buffer in buffers if len(buffer)]

    async def _file(self) -> AsyncGenerator[Buffer, None]:
        [root] = await self._source.fetch([self._root])
        message = unixfs_in(self._root, root)
        if is_link(message):
            yield target_of(message)
            return
        reader = await self._open_file(self._root)
        async with aclosing(_content(reader)) as content:
            async for buffer in content:
                yield buffer

    async def _tar(self) -> AsyncGenerator[Buffer, None]:
        [root] = await self._source.fetch([self._root])
        following: tuple[str, CID, Buffer] | None = (self._name, self._root, root)
        written = 0
        while following is not None:
            path, cid, block = following
            message = unixfs_in(cid, block)
            kind = DataType.FILE if message is None else message.type
            reader = data = None
            size = 0
            if kind in _FOLDERS:
                if len(self._folders) == MAX_DEPTH:
                    raise OutputError(f"the folder is more than {MAX_DEPTH} folders deep")
                self._folders.append(_Open(path, list_folder(self._source, cid), []))
            elif kind is not DataType.SYMLINK:
                node = read_file_node(cid, block)
                data = node.data
                if node.cids:
                    reader = await self._open_file(cid)
                size = len(data) if reader is None else reader.size
            header = self._header(path, message, size)
            head = header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            yield head
            if reader is not None:
                async with aclosing(_content(reader)) as content:
                    async for buffer in content:
                        yield buffer
            elif data is not None:
                yield data
            padding = bytes(-size % tarfile.BLOCKSIZE)
            yield padding
            written += len(head) + size + len(padding)
            following = await self._next()
        written += 2 * tarfile.BLOCKSIZE
        yield bytes(2 * tarfile.BLOCKSIZE + -written % tarfile.RECORDSIZE)

    async def _next(self) -> tuple[str, CID, Buffer] | None:
        """Return the path of the next entry, its CID and its block."""
        while self._folders:
            folder = self._folders[-1]
            if not folder.ready:
                await self._fetch_some(folder)
            if folder.ready:
                entry, block = folder.ready.pop()
                return f"{folder.path}/{entry.name}", entry.cid, block
            self._folders.pop()
        return None

    async def _fetch_some(self, folder: _Open) -> None:
        entries = []
        async for entry in folder.entries:
            if not is_file_name(entry.name):
                raise OutputError(
                    f"{folder.path!r:.200} has an entry {entry.name!r:.200}, which no file can be "
                    "called"
                )
            entries.append(entry)
            if len(entries) == ENTRIES_AHEAD:
                break
        cids = list({entry.cid.multihash: entry.cid for entry in entries}.values())
        blocks = await self._source.fetch(cids) if cids else []
        by_hash = dict(zip((cid.multihash for cid in cids), blocks, strict=True))
        folder.ready.extend([(each, by_hash[each.cid.multihash]) for each in reversed(entries)])

    def _header(self, path: str, message: UnixFSData | None, size: int) -> tarfile.TarInfo:
        header = tarfile.TarInfo(path)
        header.size = size
        if message is None:
            return header
        if message.type in _FOLDERS:
            header.type, header.mode = tarfile.DIRTYPE, 0o755
        header.mode = (message.mode or header.mode) & 0o777
        if message.mtime is not None:
            header.mtime = message.mtime.seconds
        if message.type is DataType.SYMLINK:
            header.type, header.mode = tarfile.SYMTYPE, 0o777  # as Kubo: links have no mode
            header.linkname = target_text_of(message)
            # Folders above the link, the whole one not counted.
            depth = max(len(self._folders) - 1, 0)
            if fault := link_fault(header.linkname, depth, unsafe=self._unsafe_links):
                raise OutputError(f"{path!r:.200} is a link to {header.linkname!r:.200}, {fault}")
        return header


async def _content(reader: UnixFSReader) -> AsyncGenerator[Buffer, None]:
    with closing(reader):
        while buffers := await reader.receive():
            for buffer in buffers:
                yield buffer


def _compress(compressor: zlib._Compress, buffer: Buffer | None) -> bytes:
    return compressor.flush() if buffer is None else compressor.compress(buffer)
