"""
A transport within one process: ``/memory/<number>``, for tests of programs that use this library.

Everything above the socket is as over TCP: by default the connections are secured and multiplexed
in the same way, so that a test exercises the code that will run. The transport uses no address, no
port and no name of the system, and does not depend on the system's timing. Only the hosts of one
`trio.run` know a number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

import trio
from multiaddr import Multiaddr

from libp2p.abc import IListener, ITransport
from libp2p.exceptions import OpenConnectionError
from libp2p.transport.memory.memory_connection import MemoryConnection, connection_pair

#: Connections that may wait to be accepted, as many as for TCP; further ones are refused.
LISTEN_BACKLOG: Final = 1024


def memory_number(maddr: Multiaddr) -> int | None:
    """Return the number of a memory address, with or without a peer id; None for others."""
    parts = str(maddr).split("/")[1:]
    if parts[0] != "memory" or not (len(parts) == 2 or (len(parts) == 4 and parts[2] == "p2p")):
        return None
    return int(parts[1])


class _Numbers:
    """The numbers of one run of trio, and their listeners."""

    def __init__(self) -> None:
        self.listeners: dict[int, MemoryListener] = {}
        self._unused = count(1)

    @classmethod
    def of_this_run(cls) -> _Numbers:
        try:
            return _NUMBERS.get()
        except LookupError:
            numbers = cls()
            _NUMBERS.set(numbers)
            return numbers

    def choose(self) -> int:
        """Return a number that has no listener and was not returned before."""
        return next(number for number in self._unused if number not in self.listeners)


_NUMBERS: Final[trio.lowlevel.RunVar[_Numbers]] = trio.lowlevel.RunVar("memory numbers")


def _address(number: int) -> Multiaddr:
    return Multiaddr(f"/memory/{number}")


class MemoryListener(IListener):
    """Numbers listened on; each connection is given to ``handler`` in a task of its own."""

    def __init__(
        self,
        handler: Callable[[MemoryConnection], Awaitable[None]],
        admit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """:param admit: awaited before each connection is accepted; others wait in the backlog."""
        self._handler = handler
        self._admit = admit
        self._numbers: list[int] = []
        self._backlog: deque[MemoryConnection] = deque()
        self._changed = trio.lowlevel.ParkingLot()

    async def listen(self, maddr: Multiaddr) -> None:
        """
        Listen on a number; 0 chooses a free one.

        :raises OpenConnectionError: if another listener has the number.
        """
        await trio.lowlevel.checkpoint()
        numbers, number = _Numbers.of_this_run(), memory_number(maddr)
        if number is None:
            raise OpenConnectionError(f"{maddr} is not a memory address")
        number = number or numbers.choose()
        if number in numbers.listeners:
            raise OpenConnectionError(f"cannot listen on {maddr}: another listener has it")
        numbers.listeners[number] = self
        self._numbers.append(number)

    def connect(self, number: int) -> MemoryConnection:
        """
        Return the dialling end of a new connection to one of the numbers listened on.

        :raises OpenConnectionError: if the backlog is full.
        """
        if len(self._backlog) >= LISTEN_BACKLOG:
            raise OpenConnectionError(f"{LISTEN_BACKLOG} others wait to be accepted")
        dialler = _address(_Numbers.of_this_run().choose())
        ours, theirs = connection_pair(dialler, _address(number))
        self._backlog.append(theirs)
        self._changed.unpark_all()
        return ours

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept connections until `close`, each handled in ``nursery``."""
        while self._numbers:
            if not self._backlog:
                await self._changed.park()
                continue
            if self._admit is not None:
                await self._admit()
            if self._backlog:  # `close` may have emptied it
                nursery.start_soon(self._handler, self._backlog.popleft())

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        """Return the addresses listened on, with their real numbers."""
        return tuple(map(_address, self._numbers))

    async def close(self) -> None:
        """Stop listening; accepted connections are not touched."""
        listeners = _Numbers.of_this_run().listeners
        for number in self._numbers:
            del listeners[number]
        self._numbers.clear()
        while self._backlog:
            self._backlog.popleft().abort()
        self._changed.unpark_all()


class MemoryTransport(ITransport):
    """The in-memory transport."""

    async def dial(self, maddr: Multiaddr) -> MemoryConnection:
        """
        Connect.

        :raises OpenConnectionError: if ``maddr`` has no listener, or its backlog is full.
        """
        await trio.lowlevel.checkpoint()
        number = memory_number(maddr)
        if number is None:
            raise OpenConnectionError(f"{maddr} is not a memory address")
        listener = _Numbers.of_this_run().listeners.get(number)
        if listener is None:
            raise OpenConnectionError(f"cannot connect to {maddr}: nobody listens there")
        try:
            return listener.connect(number)
        except OpenConnectionError as error:
            raise OpenConnectionError(f"cannot connect to {maddr}: {error}") from error

    def create_listener(
        self,
        handler_function: Callable[[MemoryConnection], Awaitable[None]],
        admit: Callable[[], Awaitable[None]] | None = None,
    ) -> MemoryListener:
        """Return a listener that gives each connection to ``handler_function``."""
        return MemoryListener(handler_function, admit)

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Tell whether ``maddr`` is a memory address."""
        return memory_number(maddr) is not None

    def can_listen(self, maddr: Multiaddr) -> bool:
        """Tell whether ``maddr`` is a memory address."""
        return self.can_dial(maddr)

    def protocols(self) -> list[str]:
        """Return the multiaddr protocols handled."""
        return ["memory"]
