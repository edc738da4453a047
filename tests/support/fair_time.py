"""
Time as a process would see it on a machine of its own.

The kernel counts how long a thread was ready to run while others had the processors. What is left
after that is the process's own: its work, and what it waited for. A bound on it does not fail
because the machine is busy with other things.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Of several processes that take turns, their waits may overlap; so much of the time always counts.
_LEAST_PART = 0.1


def waited_seconds(pid: int) -> float:
    """How long a process's main thread was ready and had no processor; 0 where nobody counts."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0


class Stopwatch:
    """Measures a piece of work that this process does, with ``others`` or alone."""

    def __init__(self, *others: int) -> None:
        self._pids = (os.getpid(), *others)
        self._waited = [waited_seconds(pid) for pid in self._pids]
        self._began = time.monotonic()

    @property
    def wall(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def waited(self) -> float:
        """Seconds in which the one that waited most for a processor had none."""
        now = map(waited_seconds, self._pids)
        return max(late - early for early, late in zip(self._waited, now, strict=True))

    @property
    def seconds(self) -> float:
        """What is to be judged."""
        wall = self.wall
        return max(wall - self.waited, wall * _LEAST_PART)
