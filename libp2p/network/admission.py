"""Lets inbound connections begin their handshakes, each in its turn, and ends those that linger."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from libp2p.network.pending import WAITING, PendingHandshakes

if TYPE_CHECKING:
    from libp2p.network.config import SwarmConfig
    from libp2p.resources import Scope


class Arrival:
    """A connection that was accepted."""

    def __init__(self) -> None:
        self.scope: Final = trio.CancelScope()
        self.turn: Final = trio.Event()
        self._ends_at = math.inf

    def begin(self, ends_at: float) -> None:
        """Begin the handshake, which has to end at the time ``ends_at``."""
        self._ends_at = ends_at
        self.turn.set()
        self.hurry(math.inf)

    def hurry(self, at: float) -> None:
        """End the handshake at ``at``, or when it had to end if that is sooner."""
        self.scope.deadline = min(self._ends_at, at)


class Admission:
    """
    The inbound connections whose handshake waits or is under way.

    :param limit: connections whose peer is not known yet; most of them wait.
    :param sockets: counts one socket for each of these connections.
    """

    def __init__(self, config: SwarmConfig, limit: int, sockets: Scope) -> None:
        self._pending: PendingHandshakes[Arrival] = PendingHandshakes(
            max(limit // (1 + WAITING), 1), config.safe_handshake
        )
        self._timeout = config.inbound_timeout
        self._sockets = sockets
        self._places = trio.lowlevel.ParkingLot()
        self._hurried: Arrival | None = None

    async def admit(self) -> None:
        """Wait until one more connection may be accepted."""
        while self._pending.is_full:
            victim = self._pending.turned_away(trio.current_time())
            if victim is not None:
                self._end(victim)
                return
            with trio.move_on_at(self._pending.turned_away_at()):
                await self._places.park()

    @contextmanager
    def arrival(self, origin: Hashable) -> Iterator[Arrival]:
        """
        Count a connection as under way for the length of the block.

        The block first awaits ``turn``, then makes the handshake. It is cancelled if the connection
        has to give way, or if the handshake takes too long; this cancellation raises nothing.
        """
        arrived = Arrival()
        self._pending.add(arrived, origin, trio.current_time())
        self._update()
        well = False
        try:
            with arrived.scope:
                yield arrived
                well = True
        finally:
            self._pending.remove(arrived, trio.current_time(), well=well)
            self._update()

    def _end(self, victim: Arrival) -> None:
        self._pending.remove(victim, trio.current_time())
        victim.scope.cancel()
        self._update()

    def _update(self) -> None:
        now = trio.current_time()
        for arrived, victim in self._pending.turns(now):
            if victim is not None:
                victim.scope.cancel()
            arrived.begin(now + self._timeout)
        if self._hurried is not None:
            self._hurried.hurry(math.inf)
        self._hurried, at = self._pending.hurried(now) or (None, math.inf)
        if self._hurried is not None:
            self._hurried.hurry(at)
        self._sockets.hold(len(self._pending) - self._sockets.held)
        self._places.unpark_all()
