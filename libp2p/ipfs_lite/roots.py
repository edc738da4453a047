"""
What was added here, by the roots of the files: what the strategies "roots" and "pinned" announce.

A repo keeps them in the file ``roots``, one CID on a line. A line is written with one call, so an
end of the process leaves whole lines and at most one half; a half is no CID and is skipped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from libp2p.utils import owner_files
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from pathlib import Path

    from libp2p.ipld.cid import CID

#: Lines read of the file; the oldest beyond are left out. A line takes 60 bytes.
MAX_ROOTS: Final = 1 << 20
#: Longer lines are no CIDs.
_MAX_LINE_BYTES: Final = 200


class Roots(Protocol):
    """The roots of what was added to a store."""

    def add(self, cid: CID) -> None:
        """Add a root."""

    def read(self) -> list[CID]:
        """Return the roots, the newest last, each once."""


class MemoryRoots:
    """The roots of what a peer without a repo has added."""

    def __init__(self) -> None:
        self._roots: dict[CID, None] = {}

    def add(self, cid: CID) -> None:
        """Add a root."""
        self._roots.pop(cid, None)
        self._roots[cid] = None
        if len(self._roots) > MAX_ROOTS:
            del self._roots[next(iter(self._roots))]

    def read(self) -> list[CID]:
        """Return the roots, the newest last, each once."""
        return list(self._roots)


class RootsFile:
    """The roots of a repo. Methods block for a file operation; the repo's lock keeps others out."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def __repr__(self) -> str:
        return shown(self, lambda: str(self.path))

    def add(self, cid: CID) -> None:
        """
        Add a root.

        :raises OSError: if the file cannot be written; `NotARegularFile` if it is none.
        """
        with owner_files.open_file(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
            line = f"{cid}\n".encode()
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a process was killed while it wrote
                    line = b"\n" + line
            file.write(line)

    def read(self) -> list[CID]:
        """
        Return the roots, the newest last, each once.

        :raises OSError: if the file cannot be read; `NotARegularFile` if it is none.
        """
        from libp2p.ipld.cid import CID, InvalidCID

        roots: dict[CID, None] = {}
        try:
            file = owner_files.open_file(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        with file:
            while line := file.readline(_MAX_LINE_BYTES):
                try:
                    root = CID.of(line.decode("ascii", "replace").strip())
                except InvalidCID:
                    continue
                roots.pop(root, None)
                roots[root] = None
                if len(roots) > MAX_ROOTS:
                    del roots[next(iter(roots))]
        return list(roots)
