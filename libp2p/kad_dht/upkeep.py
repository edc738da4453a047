"""Keeps the routing table good: checks new peers, asks old ones again, looks up keys in gaps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from libp2p.events import PeerDisconnected, PeerIdentified
from libp2p.exceptions import RoutingError
from libp2p.io.waiter import Waiter
from libp2p.kad_dht.config import MAX_PINGS
from libp2p.kad_dht.keyspace import key_of, key_of_peer, prefix_of_length, preimage
from libp2p.kad_dht.messages import Message, MessageType
from libp2p.kad_dht.requests import RequestFailed
from libp2p.kad_dht.routing_table import CheckPeer, PeerAdded
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.events import HostEvent
    from libp2p.kad_dht.engine import Engine
    from libp2p.peer.id import ID

logger = get_logger(__name__)

#: The connection manager's tag of the table's peers, and its value (go-libp2p's).
_TAG = "kbucket"
_TAG_VALUE = 5
#: Peers with fewer common bits than this are protected: few others can replace them in the first
#: step of a lookup (go-libp2p's rule).
_PROTECTED_PREFIX = 2


class TableUpkeep:
    """The table's driver."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._table = engine.table
        self._wake = Waiter()
        self._is_filled = False

    async def run(self) -> None:
        """Watch the host's peers and refresh the table, until cancelled."""
        host = self._engine.host
        subscriptions = [
            host.subscribe(self._on_identified, PeerIdentified),
            host.subscribe(self._on_disconnected, PeerDisconnected),
        ]
        for peer in self._table:
            row = self._table.row(peer)
            if row is not None:
                self._keep(peer, row.prefix_length)
        try:
            self._consider_connected()
            while True:
                await self._until_due()
                await self._refresh()
        finally:
            for subscription in subscriptions:
                subscription.cancel()
            for peer in self._table:
                self._let_go(peer)

    # -- what happens -------------------------------------------------------------------------

    def _on_identified(self, event: PeerIdentified) -> None:
        if self._engine.protocol in event.protocols:
            self._engine.consider(event.peer_id)
        elif self._table.remove(event.peer_id):  # the peer is no server any more
            self.act()

    def _on_disconnected(self, event: HostEvent) -> None:
        assert isinstance(event, PeerDisconnected)
        if not self._engine.host.is_peer_connected(event.peer_id):
            self._engine.requests.forget(event.peer_id)

    def _consider_connected(self) -> None:
        for peer in self._engine.host.get_connected_peers():
            if self._engine.is_server(peer):
                self._engine.consider(peer)

    def act(self) -> None:
        """Do what the table's events ask for."""
        for event in self._table.take_events():
            if isinstance(event, CheckPeer):
                self._engine.start(self._check, event)
            elif isinstance(event, PeerAdded):
                self._keep(event.peer, event.prefix_length)
                if not self._is_filled:
                    self._is_filled = True
                    self._wake.wake()
            else:
                self._let_go(event.peer)

    def _keep(self, peer: ID, prefix_length: int) -> None:
        """Let the connection manager prefer the connection to a peer over others."""
        manager = self._engine.host.get_network().connection_manager
        manager.tag_peer(peer, _TAG, _TAG_VALUE)
        if prefix_length < _PROTECTED_PREFIX:
            manager.protect(peer, _TAG)

    def _let_go(self, peer: ID) -> None:
        manager = self._engine.host.get_network().connection_manager
        manager.untag_peer(peer, _TAG)
        manager.unprotect(peer, _TAG)

    async def _check(self, event: CheckPeer) -> None:
        passed = await self._answers(event.peer, event.addrs, event.least_answers)
        self._table.checked(event.peer, passed, trio.current_time())
        self.act()

    async def _answers(self, peer: ID, addrs: tuple[bytes, ...], least: int = 0) -> bool:
        request = Message(MessageType.FIND_NODE, peer.to_bytes())
        try:
            answer = await self._engine.requests.ask(peer, request, addrs)
        except RequestFailed as error:
            logger.debug("%s does not enter the routing table: %s", peer, error)
            return False
        return len(answer.closer) >= least

    # -- what is due --------------------------------------------------------------------------

    async def _until_due(self) -> None:
        """Wait for the first peer, then until a refresh or another look at the table is due."""
        if not len(self._table):
            self._is_filled = False
        if not self._is_filled:
            with trio.move_on_after(self._engine.config.upkeep_seconds):
                await self._wake.wait()
            return
        next_look = trio.current_time() + self._engine.config.upkeep_seconds
        await trio.sleep_until(min(self._table.next_refresh(), next_look))

    async def _refresh(self) -> None:
        table, engine = self._table, self._engine
        engine.requests.close_idle(trio.current_time())
        if table.is_low:
            self._consider_connected()
        await self._ask_stale()
        due = table.due_refreshes(trio.current_time())
        if not len(table) or not (due or table.is_low):
            return
        await self._look_up(engine.own.to_bytes())
        for length in due:
            prefix = prefix_of_length(key_of_peer(engine.own), length)
            key = preimage(prefix, length + 1, os.urandom(16))
            await self._look_up(key)
            table.refreshed(key_of(key), trio.current_time())  # also if the lookup has failed

    async def _look_up(self, key: bytes) -> None:
        try:
            await self._engine.closest_to(key)
        except RoutingError as error:
            logger.debug("refreshing the routing table: %s", error)

    async def _ask_stale(self) -> None:
        """Ask the peers that have been silent for long whether they are there."""
        limiter = trio.CapacityLimiter(MAX_PINGS)

        async def ask(peer: ID) -> None:
            row = self._table.row(peer)
            async with limiter:
                if row is not None:
                    self._engine.learn(peer, await self._answers(peer, row.entry.addrs))

        async with trio.open_nursery() as nursery:
            for peer in self._table.stale(trio.current_time()):
                nursery.start_soon(ask, peer)
