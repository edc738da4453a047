"""Telling notifees what happens: each by itself, so that none delays or ends another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import INetConn, INetwork, INotifee

logger = get_logger(__name__)

#: Seconds that a notifee which is still busy with a new connection gets when that has ended, and
#: that it may take for the end. Without a limit, one that hangs would keep every ended connection.
NOTIFEE_GRACE: Final = 5.0


class Notifees:
    """Those who are told; a notifee that raises is logged, and told of what comes next as well."""

    def __init__(self, network: INetwork) -> None:
        self._network = network
        self._notifees: list[INotifee] = []

    def add(self, notifee: INotifee) -> None:
        """Tell ``notifee`` what happens from now on, once of each thing."""
        if not any(other is notifee for other in self._notifees):
            self._notifees.append(notifee)

    def remove(self, notifee: INotifee) -> None:
        """Tell ``notifee`` nothing more."""
        self._notifees = [other for other in self._notifees if other is not notifee]

    async def listening(self, address: Multiaddr) -> None:
        """Tell all of an address that is listened on now."""
        async with trio.open_nursery() as nursery:
            for notifee in self._notifees:
                nursery.start_soon(_call, notifee, "listen", self._network, address)

    def connected(self, connection: INetConn, nursery: trio.Nursery) -> dict[int, _Busy]:
        """
        Tell all of a connection that begins, in tasks of ``nursery``.

        :return: those that have not returned yet, for `disconnected`.
        """
        busy: dict[int, _Busy] = {}  # by id: notifees need not be hashable
        for notifee in self._notifees:
            busy[id(notifee)] = _Busy()
            nursery.start_soon(self._tell_of_start, notifee, connection, busy)
        return busy

    def disconnected(
        self, connection: INetConn, nursery: trio.Nursery, busy: dict[int, _Busy]
    ) -> None:
        """Tell all of its end, each after it has returned from being told of its start."""
        for notifee in self._notifees:
            nursery.start_soon(self._tell_of_end, notifee, connection, busy.get(id(notifee)))

    async def _tell_of_start(
        self, notifee: INotifee, connection: INetConn, busy: dict[int, _Busy]
    ) -> None:
        told = busy[id(notifee)]
        with told.scope:
            await _call(notifee, "connected", self._network, connection)
        told.over.set()
        busy.pop(id(notifee), None)

    async def _tell_of_end(
        self, notifee: INotifee, connection: INetConn, told: _Busy | None
    ) -> None:
        if told is not None:
            with trio.move_on_after(NOTIFEE_GRACE):
                await told.over.wait()
            told.scope.cancel()
            await told.over.wait()
        with trio.move_on_after(NOTIFEE_GRACE) as scope:
            await _call(notifee, "disconnected", self._network, connection)
        if scope.cancelled_caught:
            logger.error("the notifee %s hangs in disconnected()", _name_of(notifee))


class _Busy:
    """Whether a notifee that was told of a connection has returned."""

    __slots__ = ("over", "scope")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.over = trio.Event()


async def _call(notifee: INotifee, method: str, *args: object) -> None:
    with fault_barrier(lambda error: _report(notifee, error)):
        await getattr(notifee, method)(*args)


def _report(notifee: INotifee, error: Exception) -> None:
    logger.error("the notifee %s failed", _name_of(notifee), exc_info=error)


def _name_of(notifee: INotifee) -> str:
    return f"{type(notifee).__module__}.{type(notifee).__qualname__}"  # its repr may fail as well
