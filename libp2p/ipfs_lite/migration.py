"""
From a repo of version 1 to one of version 2: what was added becomes what is pinned.

Version 1 had a file ``roots`` with one CID on a line. It may end at any moment and begins again
then: the pins are written in one transaction, the version after them, and ``roots`` goes last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from libp2p.ipfs_lite.state import State
from libp2p.utils import owner_files

if TYPE_CHECKING:
    import sqlite3

#: Longer lines are no CIDs.
_MAX_LINE_BYTES: Final = 200
_PIN: Final = "INSERT INTO pins (cid, recursive, name) VALUES (?, 1, '') ON CONFLICT DO NOTHING"


def pin_roots(roots: Path, state_path: Path) -> None:
    """
    Pin what a file of roots names.

    :raises RepoError: if the state cannot be written.
    :raises OSError: if the file cannot be read; `NotARegularFile` if it is none.
    """
    State.create(state_path)
    if not os.path.lexists(roots):
        return
    state = State(state_path)

    def pin(connection: sqlite3.Connection) -> None:
        connection.executemany(_PIN, ((cid,) for cid in _cids(roots)))

    try:
        state.run(pin, writes=True)
    finally:
        state.close()


def _cids(roots: Path) -> Iterator[bytes]:
    from libp2p.ipld.cid import CID, InvalidCID

    with owner_files.open_file(roots, os.O_RDONLY) as file:
        while line := file.readline(_MAX_LINE_BYTES):
            try:
                yield CID.parse(line.decode("ascii", "replace").strip()).buffer
            except InvalidCID:  # half a line, of a process that was killed
                continue
