"""
What a repo must not lose, in ``state.sqlite``: pins, the root of the files, and slices of files.

Methods block.

What a transaction has written survives a power loss. A damaged file is never set aside silently.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

from libp2p.ipfs_lite.errors import RepoError
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

#: Seconds to wait for another process that writes. Each of its transactions takes milliseconds.
BUSY_SECONDS: Final = 10.0
VERSION: Final = 1

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


class State:
    """
    One file, used by threads in turn; it is opened when it is first needed.

    :param path: the file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path: Final = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def __repr__(self) -> str:
        return shown(self, lambda: "in memory" if self.path is None else str(self.path))

    def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        writes: bool = False,
        durable: bool = True,
    ) -> T:
        """
        Call a function with the connection, in a transaction.

        :param durable: what it writes survives a power loss. Without, it survives the end of the
            process, and is flushed to the disk with the next transaction that is.
        :raises RepoError: if the file cannot be read or written.
        """
        import sqlite3

        with self._lock:
            try:
                connection = self._opened()
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                try:
                    result = work(connection)
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
            except sqlite3.Error as error:
                raise RepoError(f"{self.path or 'the state'} cannot be used: {error}") from error
            return result

    def _opened(self) -> sqlite3.Connection:
        import sqlite3

        if self._connection is None or (self.path and self._process != os.getpid()):
            connection = sqlite3.connect(
                self.path or ":memory:",
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA journal_mode = WAL")
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise RepoError(f"{self.path} is of a later version: update this program")
            if version < VERSION:
                connection.executescript(_CREATE)
            self._connection, self._process = connection, os.getpid()
        return self._connection

    def close(self) -> None:
        """Close the file; the next call would open it again."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None
