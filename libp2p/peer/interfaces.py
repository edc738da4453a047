"""
The addresses of this machine's network interfaces, as the system reports them.

They change with cables, radios and tunnels. No portable event reports a change, so `current` reads
them again when its list is old.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from libp2p.peer.own_addresses import LOOPBACK_INTERFACES, Interface
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

logger = get_logger(__name__)

#: Seconds until the list is read again. Reading it takes a third of a millisecond.
FRESH_SECONDS: Final = 5.0
#: The list is kept at least this many times as long as reading it took: with a thousand interfaces
#: that is 50 ms, and must not take more than half a percent of the time.
FRESH_FACTOR: Final = 200.0


class InterfaceList:
    """The interfaces that are up; ``read`` returns them, or raises."""

    def __init__(
        self,
        read: Callable[[], Iterable[Interface]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._known: tuple[Interface, ...] = LOOPBACK_INTERFACES
        self._fresh_until = float("-inf")
        self._complained = False

    def current(self) -> Sequence[Interface]:
        """
        Return the addresses of the interfaces; the same object for as long as nothing changes.

        If the system reports an error, return the last list, or loopback.
        """
        started = self._clock()
        if started >= self._fresh_until:
            with fault_barrier(self._complain):
                found = tuple(self._read())
                if found != self._known:
                    self._known = found
            ended = self._clock()
            self._fresh_until = ended + max(FRESH_SECONDS, FRESH_FACTOR * (ended - started))
        return self._known

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            logger.warning("the addresses of this machine cannot be read: %r", error)
        self._complained = True


def _read_system() -> list[Interface]:
    import psutil  # importing it takes 20 ms, and not every host needs it

    states = psutil.net_if_stats()
    return [
        Interface.of(each.address, each.netmask)
        for name, addresses in psutil.net_if_addrs().items()
        if name not in states or states[name].isup
        for each in addresses
        if each.family in (socket.AF_INET, socket.AF_INET6)
    ]


#: The interfaces of this machine: one list for all hosts of the process.
local_interfaces: Final = InterfaceList(_read_system).current
