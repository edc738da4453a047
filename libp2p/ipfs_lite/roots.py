"""What was added here, by its roots: what the strategies "roots" and "pinned" announce."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from libp2p.ipfs_lite.state import State

_ADD = "INSERT INTO pins (cid, recursive, name) VALUES (?, 1, '') ON CONFLICT DO NOTHING"


class Roots:
    """Roots in a state. Methods block."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, cid: CID) -> None:
        """
        Add a root.

        :raises RepoError: if it cannot be written.
        """
        self._state.run(lambda connection: connection.execute(_ADD, (cid.buffer,)), writes=True)

    def read(self) -> list[CID]:
        """Return the roots, the newest last, each once."""
        sql = "SELECT cid FROM pins ORDER BY id"
        rows = self._state.run(lambda connection: connection.execute(sql).fetchall())
        return [CID.of(cid) for (cid,) in rows]
