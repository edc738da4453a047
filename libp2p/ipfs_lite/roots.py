"""
The file ``roots`` of earlier versions, which had no pins: what was added there is pinned.

It has one CID on a line. A half line, of a process that was killed, is skipped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import NotARegularFile
from libp2p.ipfs_lite.errors import RepoError
from libp2p.utils import owner_files

if TYPE_CHECKING:
    from pathlib import Path

    from libp2p.ipfs_lite.pin_table import PinTable
    from libp2p.ipld.cid import CID

#: Longer lines are no CIDs.
_MAX_LINE_BYTES: Final = 200


def adopt_roots(path: Path, pins: PinTable) -> None:
    """
    Pin what the file names, and remove it.

    :raises RepoError: if it cannot be read, or the pins not be written.
    """
    try:
        roots = read_roots(path)
        if roots:
            pins.put(roots, recursive=True, name="", expiry=None)
        path.unlink(missing_ok=True)
    except (OSError, NotARegularFile) as error:
        raise RepoError(f"what was added to the repo cannot be pinned: {error}") from error


def read_roots(path: Path) -> list[CID]:
    """
    Return the roots in their order, each once; none if there is no file.

    :raises OSError: if it cannot be read; `NotARegularFile` if it is none.
    """
    if not os.path.lexists(path):
        return []
    from libp2p.ipld.cid import CID, InvalidCID

    roots: dict[CID, None] = {}
    with owner_files.open_file(path, os.O_RDONLY) as file:
        while line := file.readline(_MAX_LINE_BYTES):
            try:
                roots[CID.of(line.decode("ascii", "replace").strip())] = None
            except InvalidCID:
                continue
    return list(roots)
