"""
Blocks in one SQLite file, which any number of processes may use at once.

    blocks    multihash → row in contents, length, Unix seconds of the last writing
    contents  the bytes

They are two tables so that asking for a length, listing, and renewing a block's time touch no
content. The file is in WAL mode: readers wait for nobody, writers take turns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from libp2p.blockstore.tables import BlockTable, TableBlockStore
from libp2p.blockstore.verify import check_replacement
from libp2p.datastore.sqlite_file import give_back
from libp2p.exceptions import BlockStoreError
from libp2p.utils import arguments

if TYPE_CHECKING:
    import sqlite3

    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo

#: "lp2b": what tells such a file from the database of another program.
_APPLICATION_ID: Final = 0x6C703262
_SCHEMA_VERSION: Final = 1
#: Seconds to wait for another process that writes. Its transactions hold some MiB and take far
#: less than a second; longer means that it was stopped in the middle of one, as a debugger or a
#: snapshot of the machine does for a minute.
BUSY_TIMEOUT: Final = 100.0
#: Bytes of a page. A block of 256 KiB is 16 of them; with SQLite's 4 KiB it is 64, and writing it
#: takes a third more time.
PAGE_BYTES: Final = 16384
#: The log before the file is cut to this when its content has been moved.
WAL_BYTES: Final = 64 * 1024 * 1024
#: Connections that are kept for the next readers; more are opened while more read.
KEPT_READERS: Final = 4

_CREATE: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS contents (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    multihash BLOB PRIMARY KEY, id INTEGER NOT NULL, size INTEGER NOT NULL, written REAL NOT NULL
) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""
_GET: Final = "SELECT data FROM blocks JOIN contents USING (id) WHERE multihash = ?"
_SIZE: Final = "SELECT size FROM blocks WHERE multihash = ?"
_FIND: Final = "SELECT id, written FROM blocks WHERE multihash = ?"
_PAGE: Final = """
SELECT multihash, size, written FROM blocks WHERE multihash > ? ORDER BY multihash LIMIT ?
"""

#: Connections that a process had before a fork: closing them in the child would take away the
#: parent's log, so they are kept here and never used.
_of_the_parent: list[object] = []


class _Connections:
    """The connections of one process to a file."""

    def __init__(self, path: Path, sync: bool) -> None:
        self.pid: Final = os.getpid()
        self._path = path
        self._sync = sync
        self._readers: list[sqlite3.Connection] = []
        self._choosing = Lock()  # of a reader; threads take and return them
        self._writer: sqlite3.Connection | None = None
        self._writing = Lock()
        self._closed = False

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        self._check_open()
        with self._choosing:
            kept = self._readers.pop() if self._readers else None
        connection = kept or self._connect()
        try:
            yield connection
        finally:
            with self._choosing:
                is_kept = not self._closed and len(self._readers) < KEPT_READERS
                if is_kept:
                    self._readers.append(connection)
            if not is_kept:
                connection.close()

    @contextmanager
    def writer(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction, one at a time; roll it back if it fails."""
        with self._writing:
            self._check_open()
            if self._writer is None:
                self._writer = self._connect()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    def close(self) -> None:
        with self._writing, self._choosing:
            self._closed = True
            while self._readers:
                self._readers.pop().close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _check_open(self) -> None:
        if self._closed:
            raise BlockStoreError(f"the block store {self._path} is closed")

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            self._check_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application == _APPLICATION_ID:
            if version > _SCHEMA_VERSION:
                raise BlockStoreError(f"{self._path} was written by a later version of libp2p")
            return
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application or tables:
            # Another process may have made it since the first question.
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != _APPLICATION_ID:
                raise BlockStoreError(f"{self._path} is the database of another program")
            return
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_CREATE)


class _SqliteTable(BlockTable):
    def __init__(self, path: Path, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._connections = _Connections(path, sync)
        with self._errors(), self._own.reader():
            pass  # what is wrong with the file is told when it is opened

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._errors(), self._own.reader() as connection:
            return [_first(connection.execute(_GET, (key,)).fetchone()) for key in keys]

    def sizes(self, keys: Sequence[bytes]) -> list[int | None]:
        with self._errors(), self._own.reader() as connection:
            return [_first(connection.execute(_SIZE, (key,)).fetchone()) for key in keys]

    def put(self, blocks: Sequence[tuple[bytes, Buffer]]) -> None:
        with self._errors(), self._own.writer() as connection:
            now = time.time()
            for multihash, data in blocks:
                _put(connection, multihash, data, now)

    def delete(self, keys: Sequence[bytes], older_than: float) -> list[bool]:
        with self._errors(), self._own.writer() as connection:
            gone = [_delete(connection, key, older_than) for key in keys]
        with self._errors(), self._own.reader() as connection:
            give_back(connection)
        return gone

    def page(self, after: bytes, count: int) -> list[BlockInfo]:
        with self._errors(), self._own.reader() as connection:
            return connection.execute(_PAGE, (after, count)).fetchall()

    def close(self) -> None:
        with self._errors():
            self._own.close()

    @property
    def _own(self) -> _Connections:
        if self._connections.pid != os.getpid():
            _of_the_parent.append(self._connections)
            self._connections = _Connections(self._path, self._sync)
        return self._connections

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BlockStoreError(f"the block store {self._path}: {error}") from error


class SqliteBlockStore(TableBlockStore):
    """
    Blocks in one SQLite file; see `TableBlockStore`.

    For many small blocks and for a service that likes one file: a hundred thousand of them are
    written in a few transactions where flatfs makes a file for each. Several processes may use it.

    :param path: of the file; its folder is made if it is not there.
    :param sync: flush each transaction to the disk before its blocks count as stored. Without, no
        crash of a process takes anything away, but a power loss may take the newest blocks.
    :param stored: is called in a thread when blocks have been written.
    :raises BlockStoreError: here and in every method, with the error of SQLite as its cause.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sync: bool = False,
        stored: Callable[[], object] | None = None,
    ) -> None:
        self.path: Final = Path(arguments.path(path, "path"))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BlockStoreError(f"cannot open the block store {path}: {error}") from error
        super().__init__(_SqliteTable(self.path, sync), self.path, stored)


def _first(row: tuple[object, ...] | None) -> Any:
    return None if row is None else row[0]


def _put(connection: sqlite3.Connection, multihash: bytes, data: Buffer, now: float) -> None:
    found = connection.execute(_FIND, (multihash,)).fetchone()
    if found is None:
        (row,) = connection.execute(
            "INSERT INTO contents (data) VALUES (?) RETURNING id", (data,)
        ).fetchone()
        connection.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?)", (multihash, row, len(data), now)
        )
        return
    old = connection.execute("SELECT data FROM contents WHERE id = ?", found[:1]).fetchone()
    if old is None or old[0] != data:
        check_replacement(multihash, data)
        connection.execute("INSERT OR REPLACE INTO contents VALUES (?, ?)", (found[0], data))
    connection.execute(
        "UPDATE blocks SET size = ?, written = ? WHERE multihash = ?", (len(data), now, multihash)
    )


def _delete(connection: sqlite3.Connection, key: bytes, older_than: float) -> bool:
    found = connection.execute(_FIND, (key,)).fetchone()
    if found is None:
        return True
    if found[1] >= older_than:
        return False
    connection.execute("DELETE FROM blocks WHERE multihash = ?", (key,))
    connection.execute("DELETE FROM contents WHERE id = ?", found[:1])
    return True
