"""
What a repo must not lose, in ``state.sqlite``: pins, the root of the files, and slices of files.

Methods block.

Several processes use the file at once, each with its threads in turn. What a transaction has
written survives a power loss. A file that is damaged or missing is an error, never a new file:
without pins a collection would remove everything.

SQLite needs some room on the disk even to read. So a file beside it keeps some, which is given up
when the disk is full: pins can be removed and a collection can free the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

from libp2p.ipfs_lite.errors import RepoError
from libp2p.utils import owner_files
from libp2p.utils.shown import shown
from libp2p.utils.writing import write_all

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

#: Seconds to wait for another process that writes. Each of its transactions takes milliseconds,
#: and eight of them that write without a pause wait for each other's flushes to the disk. One may
#: be stopped in the middle of it, as a debugger or a snapshot of the machine does for a minute.
BUSY_SECONDS: Final = 100.0
VERSION: Final = 1

# ``recursive`` is 1 or 0, ``expiry`` Unix seconds or NULL; larger ids were pinned later.
_CREATE: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS pins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cid BLOB NOT NULL UNIQUE,
    recursive INTEGER NOT NULL,
    name TEXT NOT NULL,
    expiry REAL
);
CREATE TABLE IF NOT EXISTS files_root (id INTEGER PRIMARY KEY CHECK (id = 1), cid BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS slice_files (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, next BLOB
);
CREATE TABLE IF NOT EXISTS slices (
    multihash BLOB PRIMARY KEY,
    file INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER,
    file_size INTEGER,
    noted REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slices_of_files ON slices (file);
PRAGMA user_version = {VERSION};
COMMIT;
"""
# Result codes of SQLite (sqlite.org/rescode.html).
#: CORRUPT and NOTADB.
_DAMAGE: Final = (11, 26)
#: IOERR and FULL: what a full disk is told by.
_NO_ROOM: Final = (10, 13)

#: What the name of the file ends with that keeps room.
SPARE: Final = ".spare"
#: Bytes of it: 32 KiB for what processes share, and some transactions of four pages of 4 KiB.
SPARE_BYTES: Final = 128 * 1024

_of_parents: Final[list[object]] = []
"""Connections of a parent process: SQLite forbids a child to use or to close them."""


class State:
    """
    The file; its methods block, and may run in any thread. It is opened when it is first needed.

    :param path: the file, which `create` has made; None keeps everything in memory.
    :param stored: is called when something has been written.
    """

    def __init__(self, path: Path | None, stored: Callable[[], object] | None = None) -> None:
        self.path: Final = path
        self._stored = stored
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._is_new = path is None

    def __repr__(self) -> str:
        return shown(self, lambda: "in memory" if self.path is None else str(self.path))

    @classmethod
    def create(cls, path: Path) -> None:
        """
        Make the file unless it is there.

        :raises RepoError: if it cannot be made; `NotARegularFile` if something else is there.
        """
        # The file says what its owner keeps: other users of the machine need not read it.
        owner_files.open_file(path, os.O_RDWR | os.O_CREAT).close()
        state = cls(path)
        state._is_new = True
        try:
            state.run(lambda connection: None)  # `close` makes the spare room
        finally:
            state.close()

    def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        writes: bool = False,
        durable: bool = True,
    ) -> T:
        """
        Call a function with the connection, in a transaction.

        :param writes: nobody else writes meanwhile, and the changes stay unless it raises.
        :param durable: what it writes survives a power loss. Without, it survives the end of the
            process, and is flushed to the disk with the next transaction that is.
        :raises RepoError: if the file is missing or damaged, or cannot be read or written.
        """
        import sqlite3

        self._after_fork()
        with self._lock:
            try:
                result = self._transact(work, writes, durable)
            except sqlite3.Error as error:
                if not self._give_up_spare(error):
                    raise RepoError(self._explained(error)) from error
                try:
                    result = self._transact(work, writes, durable)
                except sqlite3.Error as again:
                    raise RepoError(self._explained(again)) from again
        if writes and self._stored is not None:
            self._stored()
        return result

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._after_fork()
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
                self._make_spare()

    def _transact(self, work: Callable[[sqlite3.Connection], T], writes: bool, durable: bool) -> T:
        connection = self._opened()
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        # Not "rwc": a file that has vanished is not made anew.
        target = ":memory:" if self.path is None else f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            target, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise RepoError(f"{self.path} is of a later version: update this program")
            if version < VERSION and not self._is_new:
                raise RepoError(self._without("is damaged (it is empty)"))
            connection.execute("PRAGMA journal_mode = WAL")
            if version < VERSION:
                connection.executescript(_CREATE)
        except BaseException:
            connection.close()
            raise
        return connection

    def _spare(self) -> str:
        return f"{self.path}{SPARE}"

    def _make_spare(self) -> None:
        """Keep some room on the disk, if there is any."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with suppress(OSError):
            if self.path is None or os.path.lexists(self._spare()):
                return
            descriptor = os.open(self._spare(), flags, 0o600)
            try:
                # Zeros might take no room.
                write_all(descriptor, [os.urandom(SPARE_BYTES)])
            except OSError:
                os.unlink(self._spare())
            finally:
                os.close(descriptor)

    def _give_up_spare(self, error: sqlite3.Error) -> bool:
        """Make room if the disk is full and there is something to give up; tell whether it is."""
        if self.path is None or getattr(error, "sqlite_errorcode", 0) & 0xFF not in _NO_ROOM:
            return False
        try:
            os.unlink(self._spare())
        except OSError:
            return False
        return True

    def _explained(self, error: sqlite3.Error) -> str:
        if self.path is None:
            return f"the state cannot be used: {error}"
        if not self.path.exists():
            return self._without("is missing")
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            return self._without(f"is damaged ({error})")
        return f"{self.path} cannot be used ({error})"

    def _without(self, what: str) -> str:
        return (
            f"{self.path} {what}: restore it from a copy; "
            "without one, `ipfs-lite repo reset` begins a new one, which has no pins"
        )

    def _after_fork(self) -> None:
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), Lock()
            if self.path is not None:
                _of_parents.append(self._connection)
                self._connection = None
