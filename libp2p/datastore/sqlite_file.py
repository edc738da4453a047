"""
One SQLite file of entries, for threads to use in turn.

The file is in WAL mode: what a transaction has written survives the end of the process, several
processes may use the file, and readers do not wait for writers. A file that is damaged is set aside
and a new one is begun: what is kept here can be learnt again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from math import inf
from pathlib import Path
from struct import pack
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar
from zlib import crc32

from libp2p.datastore.base import SCAN_BYTES, SCAN_ENTRIES, Capacity, Change, Entry, after_prefix
from libp2p.exceptions import DatastoreError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    import sqlite3

logger = get_logger(__name__)

T = TypeVar("T")

#: "lp2p": what tells such a file from the database of another program.
_APPLICATION_ID: Final = 0x6C703270
#: Of the tables below. A file of a later version is refused rather than set aside.
_SCHEMA_VERSION: Final = 1
#: What is written is the version times this: any other number is damage.
_VERSION_UNIT: Final = 1_000_003

#: Seconds to wait for another process that writes to the file. Each of its transactions takes
#: milliseconds; longer means that it was stopped in the middle of one.
BUSY_TIMEOUT: Final = 10.0
#: Entries that one transaction deletes because they have expired: writers wait for it.
DELETED_AT_ONCE: Final = 8192
#: Pages of 4 KiB that are given back to the file system at once, and how many must be unused for
#: that to begin. A file that shrinks and grows by turns would write itself again and again.
VACUUM_PAGES: Final = 2048
UNUSED_PAGES: Final = 4096
#: The log that SQLite writes before the file is cut to this when its content has been moved.
WAL_BYTES: Final = 16 * 1024 * 1024

#: Pages of the file that are kept in memory. Keys are hashes, so writes hit pages all over a large
#: file; with SQLite's 2 MiB, writing 100,000 records takes a third more processor time.
PAGE_CACHE_BYTES: Final = 8 * 1024 * 1024
#: A file up to this size is checked when it is opened, which takes a tenth of a second. The damage
#: of a larger one shows when it is used.
CHECKED_BYTES: Final = 32 * 1024 * 1024

_CREATE: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS libp2p_entries (
    namespace TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    expiry REAL NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS libp2p_expiries ON libp2p_entries (namespace, expiry);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION * _VERSION_UNIT};
COMMIT;
"""
_INSERT: Final = "INSERT INTO libp2p_entries VALUES (?, ?, ?, ?, ?)"
_DELETE: Final = "DELETE FROM libp2p_entries WHERE namespace = ? AND key = ?"
_GET: Final = """
SELECT key, value, expiry, checksum FROM libp2p_entries WHERE namespace = ? AND key = ?
"""
_SCAN: Final = """
SELECT key, value, expiry, checksum FROM libp2p_entries
WHERE namespace = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?
"""
_SCAN_TO_END: Final = _SCAN.replace("AND key < ?", "")
_COUNT: Final = "SELECT count(*) FROM libp2p_entries WHERE namespace = ?"
_DELETE_FIRST_EXPIRING: Final = """
DELETE FROM libp2p_entries WHERE namespace = ? AND key IN (
    SELECT key FROM libp2p_entries WHERE namespace = ? AND expiry <= ? ORDER BY expiry LIMIT ?
)
"""
_NEXT_NAMESPACE: Final = """
SELECT namespace FROM libp2p_entries WHERE namespace > ? ORDER BY namespace LIMIT 1
"""
# Result codes of SQLite (sqlite.org/rescode.html); `sqlite3` names them, but is loaded late.
_READONLY: Final = 8
_READONLY_DBMOVED: Final = 1032
#: ERROR, CORRUPT, CONSTRAINT, MISMATCH, NOTADB: the statements are right, so the file is not.
_DAMAGE: Final = frozenset({1, 11, 19, 20, 26})

#: The second attempt opens the file anew, the third one has begun a new file.
_ATTEMPTS: Final = 3

_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"


class _Damaged(DatastoreError):
    """The file is not what this module has written."""


class SqliteFile:
    """The file behind a `SqliteDatastore`; every method blocks, and may run in any thread."""

    def __init__(
        self,
        path: Path,
        capacity: Capacity,
        busy_timeout: float = BUSY_TIMEOUT,
        sync: bool = False,
        replaces: frozenset[str] = frozenset(),
    ) -> None:
        """
        :param replaces: names of the tables of another program's file that is set aside for this
            one, rather than refused.
        """
        self.path = path
        self._replaces = replaces
        self._capacity = capacity
        self._busy_timeout = busy_timeout
        self._sync = sync
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        # How many entries a namespace has, at this version of the file.
        self._counts: dict[str, int] = {}
        self._counted_at = -1
        self._has_warned = False
        self._is_closed = False

    # -- entries ----------------------------------------------------------------------------------

    def get(self, namespace: str, key: bytes) -> Entry | None:
        """Return an entry, None if there is none or it is damaged."""

        def read(connection: sqlite3.Connection) -> Entry | None:
            rows = connection.execute(_GET, (namespace, key)).fetchall()
            return next(self._undamaged(namespace, rows), None)

        return self._run(read)

    def read(self, namespace: str, prefix: bytes, after: bytes | None) -> list[Entry]:
        """Return some entries with ``prefix`` whose keys come after ``after``; [] at the end."""
        first = prefix if after is None else after + b"\0"
        end = after_prefix(prefix)

        def read(connection: sqlite3.Connection) -> list[Entry]:
            start = first
            while True:
                limits = (start, SCAN_ENTRIES) if end is None else (start, end, SCAN_ENTRIES)
                query = _SCAN_TO_END if end is None else _SCAN
                rows, size = [], 0
                for row in connection.execute(query, (namespace, *limits)):
                    rows.append(row)
                    size += len(row[0]) + len(row[1])
                    if size >= SCAN_BYTES:
                        break
                entries = list(self._undamaged(namespace, rows))
                if entries or not rows:
                    return entries
                start = bytes(rows[-1][0]) + b"\0"

        return self._run(read)

    def write(self, changes: Iterable[Change], is_wanted: Callable[[], bool]) -> None:
        """Apply changes in one transaction, unless ``is_wanted`` has become false by its turn."""
        final: dict[str, dict[bytes, Change]] = {}
        for change in changes:
            final.setdefault(change.namespace, {})[change.key] = change

        def write(connection: sqlite3.Connection) -> None:
            if not is_wanted():
                return
            connection.execute("BEGIN IMMEDIATE")
            self._forget_old_counts(connection)
            counts = {
                namespace: self._replace(connection, namespace, by_key.values())
                for namespace, by_key in final.items()
            }
            connection.execute("COMMIT")
            self._counts.update(counts)

        self._run(write)

    def delete_expired(self, now: float) -> int:
        """Delete some entries that have expired; fewer than `DELETED_AT_ONCE`: all are deleted."""

        def delete(connection: sqlite3.Connection) -> int:
            connection.execute("BEGIN IMMEDIATE")
            self._counts.clear()
            left = DELETED_AT_ONCE
            namespace = ""
            while left and (row := connection.execute(_NEXT_NAMESPACE, (namespace,)).fetchone()):
                namespace = row[0]
                values = (namespace, namespace, now, left)
                left -= connection.execute(_DELETE_FIRST_EXPIRING, values).rowcount
            connection.execute("COMMIT")
            give_back(connection)
            return DELETED_AT_ONCE - left

        return self._run(delete)

    def _replace(
        self, connection: sqlite3.Connection, namespace: str, changes: Collection[Change]
    ) -> int:
        """Apply changes of different keys; return how many entries the namespace has then."""
        count = self._counts.get(namespace)
        if count is None:
            (count,) = connection.execute(_COUNT, (namespace,)).fetchone()
        keys = [(namespace, change.key) for change in changes]
        count -= connection.executemany(_DELETE, keys).rowcount
        rows = [_row(change) for change in changes if change.value is not None]
        connection.executemany(_INSERT, rows)
        count += len(rows)
        if count > self._capacity.in_namespace(namespace):
            excess = count - self._capacity.after_eviction(namespace)
            values = (namespace, namespace, inf, excess)
            count -= connection.execute(_DELETE_FIRST_EXPIRING, values).rowcount
        return count

    def _forget_old_counts(self, connection: sqlite3.Connection) -> None:
        """Count again if another process has written."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._counted_at:
            self._counts.clear()
            self._counted_at = version

    def _undamaged(
        self, namespace: str, rows: Iterable[tuple[Any, Any, Any, Any]]
    ) -> Iterator[Entry]:
        for key, value, expiry, checksum in rows:
            if _checksum(namespace, key, value, expiry) == checksum:
                yield Entry(key, value, None if expiry == inf else expiry)
            elif not self._has_warned:
                self._has_warned = True
                logger.warning("entries of %s are damaged: they are left out", self.path)

    # -- the file ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            self._is_closed = True
            self._disconnect()

    def _run(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """
        Run ``action``, again if the file turns out to be damaged or was set aside by another.

        :raises DatastoreError: if the store is closed or the file cannot be used.
        """
        import sqlite3

        with self._lock:
            try:
                for attempt in range(_ATTEMPTS):
                    try:
                        return action(self._connected())
                    except (sqlite3.DatabaseError, _Damaged) as error:
                        is_last = attempt == _ATTEMPTS - 1
                        if is_last or not (self._was_moved(error) or self._is_damage(error)):
                            raise
                        self._begin_anew(error, for_sure=attempt > 0)
                raise AssertionError("the last attempt returns or raises")
            except (sqlite3.Error, _Damaged, OSError) as error:
                raise DatastoreError(f"{self.path}: {error}") from error
            finally:
                self._roll_back()

    def _connected(self) -> sqlite3.Connection:
        if self._is_closed:
            raise DatastoreError(f"{self.path}: the datastore is closed")
        if self._connection is None:
            self._connection = self._connect()
            self._inode = _inode_of(self.path)
            try:
                self._check_schema(self._connection)
            except DatastoreError:
                self._disconnect()
                raise
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        self.path.parent.mkdir(parents=True, exist_ok=True)
        # It says whom this host knows: others of the machine need not read it.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = _text  # a value that is damaged may claim to be text
        return connection

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")  # another process may be making the file
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in connection.execute(_TABLES)}
        connection.execute("COMMIT")
        if "libp2p_entries" not in tables:
            if tables and tables == self._replaces:
                raise _Damaged("it is of another version of this program")
            if tables or application not in (0, _APPLICATION_ID):
                raise DatastoreError(f"{self.path} is the database of another program")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        elif version > _SCHEMA_VERSION * _VERSION_UNIT and version % _VERSION_UNIT == 0:
            raise DatastoreError(f"{self.path} was written by a later version of libp2p")
        elif (application, version) != (_APPLICATION_ID, _SCHEMA_VERSION * _VERSION_UNIT):
            raise _Damaged("its header is not the one that was written")
        elif self.path.stat().st_size <= CHECKED_BYTES:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise _Damaged(found)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_BYTES // 1024}")
        if "libp2p_entries" not in tables:
            connection.executescript(_CREATE)

    def _was_moved(self, error: Exception) -> bool:
        """Return whether another process has set the file aside, and begun a new one."""
        return _code_of(error) == _READONLY_DBMOVED or (
            self._inode is not None and self._inode != _inode_of(self.path)
        )

    def _is_damage(self, error: Exception) -> bool:
        if isinstance(error, _Damaged):
            return True
        code = _code_of(error)
        # A write to a file that may be written: a damaged header asks for a later SQLite.
        return code & 0xFF in _DAMAGE or (code == _READONLY and os.access(self.path, os.W_OK))

    def _begin_anew(self, error: Exception, for_sure: bool) -> None:
        """
        Let go of the file, and set it aside unless another process has done that.

        :param for_sure: it was opened anew and is damaged still: not only at a moment at which
            another process was making it.
        """
        was_moved = self._was_moved(error)
        self._disconnect()
        if was_moved or not for_sure:
            return
        aside = self.path.with_name(self.path.name + ".damaged")
        os.replace(self.path, aside)
        for suffix in ("-wal", "-shm"):  # they belong to the old file only
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        logger.warning(
            "%s cannot be used (%s): it is now %s, and a new one is begun", self.path, error, aside
        )

    def _roll_back(self) -> None:
        import sqlite3

        if self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._disconnect()

    def _disconnect(self) -> None:
        import sqlite3

        connection, self._connection = self._connection, None
        self._inode = None
        self._counts.clear()
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _row(change: Change) -> tuple[str, bytes, bytes | None, float, int]:
    namespace, key, value, expiry = change
    until = inf if expiry is None else float(expiry)
    return namespace, key, value, until, _checksum(namespace, key, value, until)


def _checksum(namespace: str, key: Any, value: Any, expiry: Any) -> int:
    """Return what a row's bytes add up to; -1 if a damaged one has other types."""
    if not (isinstance(key, bytes) and isinstance(value, bytes) and isinstance(expiry, float)):
        return -1
    return crc32(value, crc32(key, crc32(pack("<d", expiry), crc32(namespace.encode()))))


def give_back(connection: sqlite3.Connection) -> None:
    """Give unused pages back to the file system, if there are many."""
    (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if unused >= max(UNUSED_PAGES, pages // 4):
        # `execute` would give back one page: SQLite says after each that there is more to do.
        connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")


def _code_of(error: Exception) -> int:
    code = getattr(error, "sqlite_errorcode", 0)
    return code if isinstance(code, int) else 0


def _inode_of(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
