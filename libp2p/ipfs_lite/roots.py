"""
What was added to a repo, by the roots of the files: one CID on a line of the file ``roots``.

It is what the strategy "roots" announces. A line is written with one call, so an end of the process
leaves whole lines and at most one half; a half is no CID and is skipped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from pathlib import Path

    from libp2p.ipld.cid import CID

#: Lines read of the file; the oldest beyond are left out. A line takes 60 bytes.
MAX_ROOTS: Final = 1 << 20
#: Longer lines are no CIDs.
_MAX_LINE_CHARACTERS: Final = 200
#: Flags (not on Windows) that follow no link and do not wait for the other end of a pipe.
_CAREFULLY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class RootsFile:
    """The roots of a repo. Methods block for a file operation; the repo's lock keeps others out."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def __repr__(self) -> str:
        return shown(self, lambda: str(self.path))

    def add(self, cid: CID) -> None:
        """
        Add a root.

        :raises OSError: if the file cannot be written.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _CAREFULLY
        with open(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
            line = f"{cid}\n".encode()
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a process was killed while it wrote
                    line = b"\n" + line
            file.write(line)

    def read(self) -> list[CID]:
        """
        Return the roots, the newest last, each once.

        :raises OSError: if the file cannot be read.
        """
        from libp2p.ipld.cid import CID, InvalidCID

        roots: dict[CID, None] = {}
        try:
            descriptor = os.open(self.path, os.O_RDONLY | _CAREFULLY)
        except FileNotFoundError:
            return []
        with open(descriptor, encoding="ascii", errors="replace") as file:
            while line := file.readline(_MAX_LINE_CHARACTERS):
                try:
                    root = CID.of(line.strip())
                except InvalidCID:
                    continue
                roots.pop(root, None)
                roots[root] = None
                if len(roots) > MAX_ROOTS:
                    del roots[next(iter(roots))]
        return list(roots)
