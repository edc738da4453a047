"""Keeps a host connected to the peers that it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from random import random
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from libp2p.discovery.peering.schedule import MAX_PEERS, Schedule
from libp2p.events import PeerConnected, PeerDisconnected
from libp2p.exceptions import InvalidAddrError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.utils import arguments
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.events import HostEvent
    from libp2p.host.basic_host import BasicHost

logger = get_logger(__name__)

#: Why connections of these peers are not closed to make room; see `ConnectionManager.protect`.
TAG: Final = "peering"


class Peering:
    """
    Peers to stay connected to: protected from trimming, and dialled again when they are lost.

    A new one is dialled at once. One that cannot be reached, or whose connection has ended, is
    dialled after 5 s, then 10, and so on up to 10 minutes, give or take some so that not both sides
    dial. Both sides should name each other, else the other one may close the connection.

    :param connect: connects to a peer, of which perhaps only the id is known; by default the host.
    :raises InvalidAddrError: if one of ``peers`` names no peer.
    """

    def __init__(
        self,
        host: BasicHost,
        peers: Iterable[object] = (),
        connect: Callable[[PeerInfo], Awaitable[object]] | None = None,
    ) -> None:
        self._host = host
        self._network = host.get_network()
        self._connect = connect or host.connect
        self._schedule = Schedule(random)
        self._change = trio.Event()
        self._waiting = trio.lowlevel.ParkingLot()
        for peer in peers:
            self.add(peer)

    def __len__(self) -> int:
        return len(self._schedule.peers())

    def add(self, peer: object) -> ID:
        """
        Stay connected to a peer; the addresses of one that is there already are replaced.

        :param peer: an address that ends in ``/p2p/<peer id>``, a `PeerInfo`, or an `ID` alone.
        :raises InvalidAddrError: if it is none of these, or the host itself.
        :raises InvalidArgument: if there are too many.
        """
        [info] = peers_to_keep([peer])
        if info.peer_id == self._host.get_id():
            raise InvalidAddrError("a peer cannot stay connected to itself")
        is_connected = bool(self._network.get_connections(info.peer_id))
        self._schedule.add(info, trio.current_time(), is_connected)
        self._network.connection_manager.protect(info.peer_id, TAG)
        self._changed()
        return info.peer_id

    def remove(self, peer_id: ID) -> bool:
        """Let a peer go, whose connection stays for now; return whether it was one of them."""
        self._network.connection_manager.unprotect(peer_id, TAG)
        was_kept = self._schedule.remove(peer_id)
        self._changed()
        return was_kept

    def peers(self) -> list[PeerInfo]:
        """Return the peers and the addresses that were given."""
        return self._schedule.peers()

    async def until_met(self) -> None:
        """Wait until one of the peers is connected, or dialling each of them has failed."""
        while not self._schedule.is_settled:
            await self._waiting.park()

    def _changed(self) -> None:
        self._change.set()
        self._waiting.unpark_all()

    async def run(self) -> None:
        """Keep the host connected to them, until cancelled."""
        events = self._network.events
        subscription = events.subscribe(self._on_event, PeerConnected, PeerDisconnected)
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    for info in self._schedule.take_due(trio.current_time()):
                        nursery.start_soon(self._dial, info)
                    self._change = trio.Event()
                    with trio.move_on_at(self._schedule.next_due()):
                        await self._change.wait()
        finally:
            subscription.cancel()

    def _on_event(self, event: HostEvent) -> None:
        assert isinstance(event, PeerConnected | PeerDisconnected)
        if event.peer_id not in self._schedule:
            return
        if isinstance(event, PeerConnected):
            self._schedule.connected(event.peer_id)
        elif not self._network.get_connections(event.peer_id):
            self._schedule.lost(event.peer_id, trio.current_time())
        self._changed()

    async def _dial(self, info: PeerInfo) -> None:
        failures: list[Exception] = []
        with fault_barrier(failures.append):
            await self._connect(info)
        if self._network.get_connections(info.peer_id):
            self._schedule.connected(info.peer_id)
            self._changed()
            return
        if failures and not self._schedule.failures_of(info.peer_id):
            logger.info("a peer to stay connected to cannot be reached yet: %s", failures[0])
        self._schedule.lost(info.peer_id, trio.current_time())
        self._changed()


def peers_to_keep(peers: object) -> list[PeerInfo]:
    """
    Read the peers to stay connected to; a single one need not be in a list.

    :raises ValueError: or `TypeError`, if one of them is none, or there are too many.
    """
    is_single = isinstance(peers, str | Multiaddr | PeerInfo | ID)
    expected = "peers: addresses that end in /p2p/<peer id>, or peer ids"
    listed = [peers] if is_single else arguments.listed(peers, "peering", expected)
    if len(listed) > MAX_PEERS:
        raise arguments.out_of_range("len(peering)", len(listed), f"{MAX_PEERS} or less")
    return [PeerInfo(one, []) if isinstance(one, ID) else PeerInfo.of(one) for one in listed]
