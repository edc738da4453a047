"""Returning memory to the system when a burst is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from libp2p.exceptions import HostException
from libp2p.utils.allocator import give_back

#: Bytes that have to be released before memory is returned to the system: less is soon used again,
#: and to get it from the system again costs time.
BURST_BYTES: Final = 16 * 1024 * 1024
#: Seconds after the release, and after the first time: some objects are still referred to for a
#: moment, and the handlers of a connection that has ended get five seconds to finish.
RELIEF_DELAYS: Final = (1.0, 6.0)


class MemoryRelief:
    """Returns memory to the system after bursts; once for all that end within `RELIEF_DELAYS`."""

    def __init__(self, start: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
        """:param start: start a task of the host; raises `HostException` when that has ended."""
        self._start = start
        self._runs = self._is_due = False

    def burst_is_over(self) -> None:
        """Note that much has been released; for `Resources.on_fall`."""
        self._is_due = True
        if not self._runs:
            try:
                self._start(self._run)
            except HostException:
                return  # the program may keep what its host has left
            self._runs = True

    async def _run(self) -> None:
        while self._is_due:
            self._is_due = False
            for delay in RELIEF_DELAYS:
                await trio.sleep(delay)  # time: no event tells of the last reference
                await give_back()
        self._runs = False
