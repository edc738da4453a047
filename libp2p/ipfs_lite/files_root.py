"""
Where the root of the mutable tree is kept: one row, changed only by whoever knows what it was.

The row is written, durably, after the blocks below it. So a process that is killed leaves the tree
of before or of after, and of two that change it at once one has to begin again.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final, Protocol

from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipld.cid import CID
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")

#: Seconds to wait for another process that writes; each of its transactions takes milliseconds.
BUSY_TIMEOUT: Final = 10.0
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS files_root (id INTEGER PRIMARY KEY CHECK (id = 1), cid BLOB NOT NULL)
"""


class FilesRoot(Protocol):
    """The root of the tree; methods may block for a file operation."""

    def read(self) -> CID | None:
        """Return the root; None before the first change."""

    def swap(self, old: CID | None, new: CID) -> bool:
        """Set the root if it still is ``old``; tell whether it was."""


class MemoryFilesRoot:
    """The root of a peer without a repo."""

    def __init__(self) -> None:
        self._root: CID | None = None

    def read(self) -> CID | None:
        """Return the root; None before the first change."""
        return self._root

    def swap(self, old: CID | None, new: CID) -> bool:
        """Set the root if it still is ``old``; tell whether it was."""
        if self._root != old:
            return False
        self._root = new
        return True


class SqliteFilesRoot:
    """The root of a repo, in its SQLite file. Each call opens the file: it works after a fork."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def __repr__(self) -> str:
        return shown(self, lambda: str(self.path))

    def read(self) -> CID | None:
        """
        Return the root; None before the first change.

        :raises RepoError: if the file cannot be used.
        """
        return self._use(_read) if self.path.exists() else None

    def swap(self, old: CID | None, new: CID) -> bool:
        """
        Set the root if it still is ``old``; tell whether it was.

        :raises RepoError: if the file cannot be written.
        """

        def swap(database: sqlite3.Connection) -> bool:
            database.execute("BEGIN IMMEDIATE")
            if _read(database) != old:
                database.execute("ROLLBACK")
                return False
            database.execute("INSERT OR REPLACE INTO files_root VALUES (1, ?)", (new.buffer,))
            database.execute("COMMIT")
            return True

        return self._use(swap)

    def _use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with closing(
                sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None)
            ) as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute(_CREATE)
                return work(database)
        except (sqlite3.Error, ValueError) as error:
            raise RepoError(
                f"the root of the files cannot be used: {self.path}: {error}"
            ) from error


def _read(database: sqlite3.Connection) -> CID | None:
    row = database.execute("SELECT cid FROM files_root").fetchone()
    return None if row is None else CID.decode(row[0])
