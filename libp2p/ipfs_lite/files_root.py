"""
The root of the mutable tree: one row of `State`, changed only by whoever knows what it was.

The row is written, durably, after the blocks below it. So a process that is killed leaves the tree
of before or of after, and of two that change it at once one has to begin again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.exceptions import InvalidCID
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    import sqlite3

    from libp2p.ipfs_lite.state import State


class FilesRoot:
    """Methods block for a file operation."""

    def __init__(self, state: State) -> None:
        self._state = state

    def read(self) -> CID | None:
        """
        Return the root; None before the first change.

        :raises RepoError: if the state cannot be used.
        """
        return self._state.run(_read)

    def swap(self, old: CID | None, new: CID) -> bool:
        """
        Set the root if it still is ``old``; tell whether it was.

        :raises RepoError: if the state cannot be written.
        """

        def write(connection: sqlite3.Connection) -> bool:
            if _read(connection) != old:
                return False
            connection.execute("INSERT OR REPLACE INTO files_root VALUES (1, ?)", (new.buffer,))
            return True

        return self._state.run(write, writes=True)


def _read(connection: sqlite3.Connection) -> CID | None:
    row = connection.execute("SELECT cid FROM files_root").fetchone()
    try:
        return None if row is None else CID.decode(row[0])
    except InvalidCID as error:
        raise RepoError(f"the root of the files is damaged: {error}") from error
