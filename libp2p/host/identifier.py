"""Identifying the peers that connect, and telling them what this host is and when that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.events import ListenAddressesChanged, PeerConnected, PeerDisconnected, PeerIdentified
from libp2p.exceptions import BaseLibp2pError, HostException, PeerStoreError
from libp2p.host.peer_log import log_connected, log_gone
from libp2p.identity.identify.identify import ID, identify, identify_handler_for
from libp2p.identity.identify_push.identify_push import (
    ID_PUSH,
    IdentifyPusher,
    identify_push_handler_for,
)
from libp2p.network.connection.swarm_connection import SwarmConn

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost, StreamHandlerFn
    from libp2p.base_types import TProtocol
    from libp2p.events import HostEvent
    from libp2p.host.observed_addr_manager import ObservedAddrManager
    from libp2p.identity.identify.identify import PeerIdentity
    from libp2p.network.swarm import Swarm


class Identifier:
    """Asks each new connection's peer what it is; emits `PeerIdentified` for whatever it says."""

    def __init__(
        self, host: IHost, network: Swarm, observed: ObservedAddrManager | None = None
    ) -> None:
        """:param observed: is told where the peers see this host."""
        self._host = host
        self._observed = observed
        self._listening = network.get_listen_addrs
        self._events = network.events
        self._pusher = IdentifyPusher(host, network.get_connections)
        self.handlers: dict[TProtocol, StreamHandlerFn] = {
            ID: identify_handler_for(host),
            ID_PUSH: identify_push_handler_for(host, on_identity=self._publish),
        }
        self._told_addresses: list[Multiaddr] = []
        # The connections on which identify is not over; True if they have ended meanwhile.
        self._identifying: dict[SwarmConn, bool] = {}
        self._events.subscribe(self._on_connected, PeerConnected)
        self._events.subscribe(self._on_disconnected, PeerDisconnected)
        # No event says that an interface has come or gone; that is when connections come and go.
        self._events.subscribe(self._look_at_addresses, PeerConnected, ListenAddressesChanged)

    async def run(self) -> None:
        """Push changes of this host to connected peers, for ever."""
        await self._pusher.run()

    def host_changed(self) -> None:
        """Have connected peers told of this host's protocols and addresses."""
        self._pusher.changed()

    def _look_at_addresses(self, _event: HostEvent | None = None) -> None:
        addresses = self._host.get_addrs()
        if addresses != self._told_addresses:
            self._told_addresses = addresses
            self.host_changed()

    def _on_connected(self, event: PeerConnected) -> None:
        connection = event.connection
        assert isinstance(connection, SwarmConn)
        try:
            self._host.start_service(self._identify, connection)
        except HostException as error:  # it is closing
            connection.event_identified.set()
            log_connected(connection, f"not identified: {error}")
        else:
            self._identifying[connection] = False

    async def _identify(self, connection: SwarmConn) -> None:
        """Run identify; the connection is as good without it."""
        agent = "not identified"
        try:
            identity = await identify(self._host, connection)
            agent = identity.agent_version or "no agent"
            self._publish(identity)
            self._note_observed(connection, identity.observed_addr)
        except BaseLibp2pError as error:
            agent = f"not identified: {error}"
        finally:
            connection.event_identified.set()
            log_connected(connection, agent)
            if self._identifying.pop(connection):
                log_gone(connection)

    def _note_observed(self, connection: SwarmConn, address: Multiaddr | None) -> None:
        if self._observed is not None and address is not None:
            listening = self._listening()
            self._observed.record_observation(connection, address, listening)
            self._look_at_addresses()

    def _on_disconnected(self, event: PeerDisconnected) -> None:
        connection = event.connection
        assert isinstance(connection, SwarmConn)
        if self._observed is not None:
            self._observed.remove_conn(connection)
        if connection in self._identifying:
            self._identifying[connection] = True  # it is logged behind "connected"
        else:
            log_gone(connection)

    def _publish(self, identity: PeerIdentity) -> None:
        peer_id, peerstore = identity.peer_id, self._host.get_peerstore()
        protocols: tuple[str, ...] = ()
        addresses: tuple[Multiaddr, ...] = ()
        try:
            protocols = tuple(peerstore.get_protocols(peer_id))
            addresses = tuple(peerstore.addrs(peer_id))
        except PeerStoreError:
            pass  # it has said nothing of them, and nobody else has
        event = PeerIdentified(peer_id, protocols, addresses, identity.agent_version)
        self._events.emit(event)
