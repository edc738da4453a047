"""Our command, ``ipfs-lite``, on a repo of its own, to be held beside Kubo's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .kubo import KuboError

ROOT = Path(__file__).parents[2]


class OurCommand:
    """Runs the verbs; offline unless a verb is told a peer."""

    def __init__(self, repo: Path) -> None:
        self._start = [sys.executable, "-m", "libp2p.ipfs_lite", "--repo", str(repo)]

    def run(self, *args: str | os.PathLike[str], input: bytes = b"") -> bytes:
        """Return the standard output; `KuboError` with what it said if it fails."""
        done = subprocess.run(
            [*self._start, *args],
            input=input,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        if done.returncode:
            raise KuboError(done.stderr.decode())
        return done.stdout

    def text(self, *args: str | os.PathLike[str], input: bytes = b"") -> str:
        """Return the standard output as text, without the blanks at its ends."""
        return self.run(*args, input=input).decode().strip()
