"""
Blocks that are slices of the user's own files: nothing is copied, so the file must stay as it is.

    files    path, and the path that it is just being renamed to
    slices   multihash → file, offset, size, Unix seconds of the last writing

The bytes are hashed whenever they are read. A slice whose file has changed or has gone is no block
any more: it is told once, as damaged, and missing until it is stored again.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from libp2p.blockstore.base import BlockStore
from libp2p.blockstore.files import MAX_BLOCK_FILE_BYTES
from libp2p.blockstore.reading import read_blocks
from libp2p.blockstore.tables import V1_RAW, BlockTable, TableBlockStore
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID
from libp2p.utils.closing import ending

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from pathlib import Path

    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.blockstore.sqlite import SqliteFile
    from libp2p.ipld.cid import CIDInput

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS files (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, next BLOB);
CREATE TABLE IF NOT EXISTS slices (
    multihash BLOB PRIMARY KEY,
    file INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    size INTEGER NOT NULL,
    written REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slices_of_files ON slices (file);
"""
#: "lp2s": what tells such a file from the database of another program.
_APPLICATION_ID: Final = 0x6C703273
_FIND: Final = """
SELECT path, next, offset, size FROM slices JOIN files ON file = id WHERE multihash = ?
"""
_PAGE: Final = """
SELECT multihash, size, written FROM slices WHERE multihash > ? ORDER BY multihash LIMIT ?
"""
_READ_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


class Slice(NamedTuple):
    """A block, and where it is in a file."""

    multihash: bytes
    offset: int
    size: int


class _SliceTable(BlockTable):
    """The table; its file is made with the first slice."""

    def __init__(self, path: Path, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._file: SqliteFile | None = None
        self._opening = threading.Lock()

    @property
    def exists(self) -> bool:
        """False as long as there are no slices, also of other processes."""
        return self._file is not None or self._path.exists()

    def add(self, files: Iterable[tuple[str, Sequence[Slice]]]) -> None:
        """Note where blocks are that are slices of files, in one transaction."""
        now = time.time()
        with self._opened().writing() as connection:
            for path, slices in files:
                name = (os.fsencode(path),)
                connection.execute("INSERT OR IGNORE INTO files (path) VALUES (?)", name)
                found = connection.execute("SELECT id FROM files WHERE path = ?", name)
                (number,) = found.fetchone()
                connection.executemany(
                    "INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?)",
                    [(multihash, number, offset, size, now) for multihash, offset, size in slices],
                )

    def rename(self, old: str, new: str, rename: Callable[[], object]) -> None:
        """Rename a file; its slices are found whenever this is interrupted."""
        before, after = os.fsencode(old), os.fsencode(new)
        file = self._opened()
        with file.writing() as connection:
            connection.execute("UPDATE files SET next = ? WHERE path = ?", (after, before))
        rename()
        with file.writing() as connection:
            connection.execute(
                "DELETE FROM slices WHERE file IN (SELECT id FROM files WHERE path = ?)", (after,)
            )
            connection.execute("DELETE FROM files WHERE path = ?", (after,))
            connection.execute(
                "UPDATE files SET path = ?, next = NULL WHERE path = ?", (after, before)
            )

    def place(self, key: bytes) -> str | None:
        """Return the file that a block is a slice of."""
        if not self.exists:
            return None
        with self._opened().reading() as connection:
            row = connection.execute(_FIND, (key,)).fetchone()
        return None if row is None else os.fsdecode(row[0])

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the bytes that are found in the files: none at all where a file is gone."""
        with _OpenFiles() as files:
            return [
                None if row is None else files.read(row[:2], *row[2:]) for row in self._find(keys)
            ]

    def sizes(self, keys: Sequence[bytes]) -> list[int | None]:
        with _OpenFiles() as files:
            return [
                row[3] if row is not None and files.length(row[:2]) >= row[2] + row[3] else None
                for row in self._find(keys)
            ]

    def put(self, blocks: Sequence[tuple[bytes, Buffer]]) -> None:
        raise BlockStoreError("slices of files are not written, they are noted with `add`")

    def delete(self, keys: Sequence[bytes], older_than: float) -> list[bool]:
        if not self.exists:
            return [True] * len(keys)
        with self._opened().writing() as connection:
            connection.executemany(
                "DELETE FROM slices WHERE multihash = ? AND written < ?",
                [(key, older_than) for key in keys],
            )
            connection.execute("DELETE FROM files WHERE id NOT IN (SELECT file FROM slices)")
        return [row is None for row in self._find(keys)]

    def page(self, after: bytes, count: int) -> list[BlockInfo]:
        if not self.exists:
            return []
        with self._opened().reading() as connection:
            return connection.execute(_PAGE, (after, count)).fetchall()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _find(self, keys: Sequence[bytes]) -> list[tuple[bytes, bytes | None, int, int] | None]:
        if not self.exists:
            return [None] * len(keys)
        with self._opened().reading() as connection:
            return [connection.execute(_FIND, (key,)).fetchone() for key in keys]

    def _opened(self) -> SqliteFile:
        from libp2p.blockstore.sqlite import SqliteFile, schema_of

        with self._opening:
            if self._file is None:
                # It says where somebody's files are: others of the machine need not read it.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
                schema = schema_of(_APPLICATION_ID, 1, _TABLES)
                self._file = SqliteFile(self._path, self._sync, schema)
            return self._file


class _OpenFiles:
    """Files by their paths, each opened once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[bytes, bytes | None], int] = {}

    def __enter__(self) -> _OpenFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._numbers.values():
            if number >= 0:
                os.close(number)

    def read(self, paths: tuple[bytes, bytes | None], offset: int, size: int) -> bytes:
        number = self._open(paths)
        if number < 0 or size > MAX_BLOCK_FILE_BYTES:
            return b""
        data = b""
        with suppress(OSError):  # of this file: its block is missing
            while len(data) < size and (
                more := os.pread(number, size - len(data), offset + len(data))
            ):
                data = data + more if data else more
        return data

    def length(self, paths: tuple[bytes, bytes | None]) -> int:
        number = self._open(paths)
        return -1 if number < 0 else os.fstat(number).st_size

    def _open(self, paths: tuple[bytes, bytes | None]) -> int:
        if paths not in self._numbers:
            self._numbers[paths] = -1
            for path in filter(None, paths):  # the second: the first was being renamed to it
                with suppress(OSError):
                    number = os.open(path, _READ_FLAGS)
                    if stat.S_ISREG(os.fstat(number).st_mode):
                        self._numbers[paths] = number
                        break
                    os.close(number)
        return self._numbers[paths]


class SliceBlockStore(TableBlockStore):
    """
    Slices of files; see `TableBlockStore`. Blocks are not put into it, they are noted with `add`.

    :param path: of the SQLite file that says where they are; it is made when it is needed.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self.sync: Final = sync
        self._slices = _SliceTable(path, sync)
        super().__init__(self._slices, path)

    @property
    def exists(self) -> bool:
        """False as long as there are no slices."""
        return self._slices.exists

    def add(self, files: Sequence[tuple[str, Sequence[Slice]]]) -> None:
        """Note slices of files, by their absolute paths (blocking, from any thread)."""
        self._slices.add(files)
        for _, slices in files:
            for noted in slices:
                self._damaged.forget(noted.multihash)

    def rename(self, old: str, new: str, rename: Callable[[], object]) -> None:
        """Have a file renamed whose slices are noted (blocking)."""
        self._slices.rename(old, new, rename)

    def damage_of(self, cid: CIDInput) -> str | None:
        multihash = CID.of(cid).multihash
        if multihash not in self._damaged:
            return None
        return f"the file {self._slices.place(multihash)}, which has changed or is gone"


class Taker:
    """
    The file that a fetch writes: blocks that it waits for are written into it as they are stored.

    Methods may be called from any thread.

    :param path: the absolute path of a file that is open for writing as ``descriptor``.
    """

    def __init__(self, path: str, descriptor: int, *, sync: bool = False) -> None:
        self.path: Final = path
        self._descriptor = descriptor
        self._sync = sync
        self._lock = threading.Lock()
        self._places: dict[bytes, set[tuple[int, int]]] = {}
        self._written: dict[int, int] = {}
        self._covered = 0
        self._closed = False

    def expect(self, cid: CID, offset: int, size: int) -> None:
        """Note where a block belongs that is being asked for."""
        with self._lock:
            self._places.setdefault(cid.multihash, set()).add((offset, size))

    def waits_for(self, multihash: bytes) -> bool:
        return multihash in self._places

    def take(self, blocks: Iterable[tuple[bytes, Buffer]]) -> list[Slice]:
        """
        Write blocks to their places; return those that are slices now.

        :raises OSError: if the file cannot be written.
        """
        taken: list[Slice] = []
        with self._lock:
            for multihash, data in blocks:
                for offset, size in () if self._closed else self._places.pop(multihash, ()):
                    if size == len(data):
                        _write_at(self._descriptor, data, offset)
                        self._written[offset] = size
                        taken.append(Slice(multihash, offset, size))
            if taken and self._sync:
                os.fsync(self._descriptor)
        return taken

    def fill(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """
        Write the next bytes of the file, but for those that `take` has written.

        :raises OSError: if the file cannot be written.
        """
        with self._lock:
            for data in buffers:
                self._covered = max(self._covered, offset + self._written.pop(offset, 0))
                start = min(max(self._covered - offset, 0), len(data))
                _write_at(self._descriptor, memoryview(data)[start:], offset + start)
                offset += len(data)

    def close(self) -> None:
        """Take nothing more; the descriptor is the caller's."""
        with self._lock:
            self._closed = True
            self._places.clear()


def _write_at(descriptor: int, data: Buffer, offset: int) -> None:
    view = memoryview(data)
    while len(view):
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


class SlicedBlockStore(BlockStore):
    """
    A store, and slices of files beside it: what is in neither place is missing.

    Blocks are put into ``blocks``, except for those that a `Taker` waits for: they become slices of
    its file. Closing closes both.
    """

    verifies = True

    def __init__(self, blocks: BlockStore, slices: SliceBlockStore) -> None:
        self.blocks: Final = blocks
        self.slices: Final = slices
        self._takers: list[Taker] = []

    def __repr__(self) -> str:
        return f"{self.blocks!r} with slices of files"

    def add_taker(self, taker: Taker) -> None:
        self._takers.append(taker)

    def remove_taker(self, taker: Taker) -> None:
        taker.close()
        self._takers.remove(taker)

    async def get_block(self, cid: CIDInput) -> bytes | None:
        return (await self.get_blocks([cid]))[0]

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        found, _ = await read_blocks(self.blocks, [CID.of(cid) for cid in cids])
        if missing := self._missing(found):
            sliced = await self.slices.get_blocks([cids[n] for n in missing])
            for n, data in zip(missing, sliced, strict=True):
                found[n] = data
        return found

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_size(cid) is not None

    async def get_size(self, cid: CIDInput) -> int | None:
        return (await self.get_sizes([cid]))[0]

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        sizes = await self.blocks.get_sizes(cids)
        if missing := self._missing(sizes):
            sliced = await self.slices.get_sizes([cids[n] for n in missing])
            for n, size in zip(missing, sliced, strict=True):
                sizes[n] = size
        return sizes

    async def get_blocks_or_sizes(
        self, cids: Sequence[CIDInput], limit: int
    ) -> list[bytes | int | None]:
        found = await self.blocks.get_blocks_or_sizes(cids, limit)
        if missing := self._missing(found):
            limit -= sum(len(data) for data in found if isinstance(data, bytes))
            sliced = await self.slices.get_blocks_or_sizes([cids[n] for n in missing], limit)
            for n, data in zip(missing, sliced, strict=True):
                found[n] = data
        return found

    def _missing(self, found: Sequence[object]) -> list[int]:
        """Return the numbers of what was not found, unless there are no slices to look into."""
        missing = [n for n, data in enumerate(found) if data is None]
        return missing if missing and self.slices.exists else []

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        await self.put_blocks([(cid, data)])

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        for taker in self._takers:
            keyed = [(CID.of(cid).multihash, data) for cid, data in blocks]
            if any(taker.waits_for(multihash) for multihash, _ in keyed):
                taken = await trio.to_thread.run_sync(self._take, taker, keyed)
                blocks = [
                    block
                    for (multihash, _), block in zip(keyed, blocks, strict=True)
                    if multihash not in taken
                ]
        if blocks:
            await self.blocks.put_blocks(blocks)

    def _take(self, taker: Taker, blocks: Sequence[tuple[bytes, Buffer]]) -> set[bytes]:
        try:
            taken = taker.take(blocks)
        except OSError as error:
            raise BlockStoreError(f"cannot write {taker.path}: {error.strerror}") from error
        if taken:
            self.slices.add([(taker.path, taken)])
        return {noted.multihash for noted in taken}

    def thread_putter(self) -> Callable[[Sequence[tuple[CID, Buffer]]], None] | None:
        return self.blocks.thread_putter()

    async def delete_block(self, cid: CIDInput) -> None:
        await self.delete_blocks([cid])

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        """Forget blocks in both; the user's files stay as they are."""
        gone = await self.blocks.delete_blocks(cids, older_than=older_than)
        if gone and self.slices.exists:
            return await self.slices.delete_blocks(gone, older_than=older_than)
        return gone

    def get_all_cids(self) -> list[bytes]:
        return list(dict.fromkeys([*self.blocks.get_all_cids(), *self.slices.get_all_cids()]))

    async def multihash_batches(self) -> AsyncGenerator[list[bytes], None]:
        infos = self.block_infos()
        async with ending(infos):
            async for batch in infos:
                yield [multihash for multihash, _, _ in batch]

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        """Return all blocks, each once: what is in both is told with the store's."""
        batches = self.blocks.block_infos()
        async with ending(batches):
            async for batch in batches:
                yield batch
        batches = self.slices.block_infos()
        async with ending(batches):
            async for batch in batches:
                sizes = await self.blocks.get_sizes([V1_RAW + info[0] for info in batch])
                yield [info for info, size in zip(batch, sizes, strict=True) if size is None]

    def damage_of(self, cid: CIDInput) -> str | None:
        return self.blocks.damage_of(cid) or self.slices.damage_of(cid)

    async def close(self) -> None:
        try:
            await self.blocks.close()
        finally:
            await self.slices.close()


def sliced(store: BlockStore) -> SlicedBlockStore:
    """:raises BlockStoreError: if a store has no place for slices."""
    if not isinstance(store, SlicedBlockStore):
        raise BlockStoreError(f"{store!r} cannot hold slices of files: use a repo")
    return store
