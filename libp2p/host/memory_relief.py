"""Giving memory back to the system when a burst is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import HostException
from libp2p.utils.allocator import give_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: What has to be released after a burst for memory to be given back, in bytes: less is soon used
#: again, and getting it from the system anew costs time.
BURST_BYTES: Final = 16 * 1024 * 1024
#: Seconds from there: what is counted as released may still be referred to for a moment.
RELIEF_DELAY: Final = 1.0


class MemoryRelief:
    """Gives memory back, once for all bursts that end within `RELIEF_DELAY`."""

    def __init__(self, start: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
        """:param start: start a task of the host; raises `HostException` when that has ended."""
        self._start = start
        self._is_due = False

    def burst_is_over(self) -> None:
        """Note that much has been released; for `Resources.on_fall`."""
        if not self._is_due:
            try:
                self._start(self._run)
            except HostException:
                return  # the program may keep what its host has left
            self._is_due = True

    async def _run(self) -> None:
        await trio.sleep(RELIEF_DELAY)  # no event says that the last reference is gone
        self._is_due = False
        await give_back()
