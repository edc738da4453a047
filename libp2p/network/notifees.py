"""Telling notifees what happens: each by itself, so that none delays or ends another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from libp2p.utils.faults import fault_barrier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from multiaddr import Multiaddr

    from libp2p.abc import INetwork, INotifee
    from libp2p.network.connection.swarm_connection import SwarmConn

logger = logging.getLogger(__name__)

#: Seconds that a notifee which is still busy with a new connection gets when that has ended, and
#: that it may take for the end. Without a limit, one that hangs would keep every ended connection.
NOTIFEE_GRACE: Final = 5.0


class Notifees:
    """Those who are told; a notifee that raises is logged, and told of what comes next as well."""

    def __init__(self, network: INetwork) -> None:
        self._network = network
        self._notifees: list[INotifee] = []

    def add(self, notifee: INotifee) -> None:
        """Tell ``notifee`` what happens from now on."""
        self._notifees.append(notifee)

    def remove(self, notifee: INotifee) -> None:
        """Tell ``notifee`` nothing more."""
        if notifee in self._notifees:
            self._notifees.remove(notifee)

    async def listening(self, address: Multiaddr) -> None:
        """Tell all of an address that is listened on now."""
        async with trio.open_nursery() as nursery:
            for notifee in self._notifees:
                nursery.start_soon(_call, notifee, notifee.listen, self._network, address)

    async def accompany(
        self, connection: SwarmConn, serve: Callable[[], Awaitable[object]]
    ) -> None:
        """Tell all of a connection, ``serve`` it meanwhile, and tell all of its end."""
        busy: dict[INotifee, _Busy] = {}
        async with trio.open_nursery() as nursery:
            for notifee in self._notifees:
                busy[notifee] = _Busy()
                nursery.start_soon(self._connected, notifee, connection, busy)
            await serve()
            for notifee in self._notifees:
                nursery.start_soon(self._disconnected, notifee, connection, busy.get(notifee))

    async def _connected(
        self, notifee: INotifee, connection: SwarmConn, busy: dict[INotifee, _Busy]
    ) -> None:
        with busy[notifee].scope:
            await _call(notifee, notifee.connected, self._network, connection)
        busy.pop(notifee).over.set()

    async def _disconnected(
        self, notifee: INotifee, connection: SwarmConn, busy: _Busy | None
    ) -> None:
        if busy is not None:
            with trio.move_on_after(NOTIFEE_GRACE):
                await busy.over.wait()
            busy.scope.cancel()
            await busy.over.wait()
        with trio.move_on_after(NOTIFEE_GRACE) as scope:
            await _call(notifee, notifee.disconnected, self._network, connection)
        if scope.cancelled_caught:
            logger.error("%r hangs in disconnected()", notifee)


class _Busy:
    """A notifee has been told of a connection, and has not returned yet."""

    __slots__ = ("over", "scope")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.over = trio.Event()


async def _call(notifee: INotifee, method: Callable[..., Awaitable[None]], *args: object) -> None:
    with fault_barrier(lambda error: _report(notifee, error)):
        await method(*args)


def _report(notifee: INotifee, error: Exception) -> None:
    logger.error("the notifee %r failed", notifee, exc_info=error)
