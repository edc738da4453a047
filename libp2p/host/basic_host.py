"""A peer: an identity, its connections, and the protocols it speaks."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from libp2p.abc import IHost, INotifee
from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    BaseLibp2pError,
    ConnectionFailure,
    HostException,
    StreamFailure,
    SwarmException,
)
from libp2p.host.hearsay import worth_dialling
from libp2p.host.inbound import InboundStreams
from libp2p.host.memory_relief import BURST_BYTES, MemoryRelief
from libp2p.host.peer_log import log_connected, log_gone
from libp2p.host.ping import ID as PING_ID
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY_ID
from libp2p.identity.identify.identify import identify, identify_handler_for
from libp2p.identity.identify_push.identify_push import (
    ID_PUSH,
    IdentifyPusher,
    identify_push_handler_for,
)
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.addresses import address_from_text, to_multiaddrs, with_peer_id
from libp2p.peer.id import ID
from libp2p.peer.interfaces import local_interfaces
from libp2p.peer.own_addresses import is_any_interface, reachable_addresses
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import HEARSAY_ADDR_TTL, PERMANENT_ADDR_TTL
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import select_one
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from multiaddr import Multiaddr

    from libp2p.abc import INetConn, INetStream, INetwork, IPeerStore, StreamHandlerFn
    from libp2p.crypto.keys import PrivateKey, PublicKey
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.network.swarm import Swarm
    from libp2p.peer.own_addresses import Interface
    from libp2p.resources import Resources

logger = get_logger(__name__)


class BasicHost(IHost):
    """
    A libp2p host.

    Its life is `run`; handlers may be set before. Identify and ping are always answered.
    """

    def __init__(
        self,
        network: Swarm,
        announce_addrs: Sequence[Multiaddr | str] | None = None,
        listen_addrs: Sequence[Multiaddr | str] | None = None,
    ) -> None:
        """
        :param announce_addrs: `get_addrs` in place of those listened on: what a router maps.
        :param listen_addrs: to listen on besides those that `run` is given.
        """
        self._network = network
        self._listen_addrs = to_multiaddrs(listen_addrs or (), "listen_addrs")
        self._announced = [
            address_from_text(address) if isinstance(address, str) else address
            for address in announce_addrs or ()
        ]
        self.peerstore: IPeerStore = network.peerstore
        self.multiselect = Multiselect()
        self._pusher = IdentifyPusher(self, network.get_connections)
        #: Where this host listens, the interfaces by then, and the addresses that follow.
        self._addresses: tuple[list[Multiaddr], Sequence[Interface], list[Multiaddr]] = [], (), []
        self._told_addresses: list[Multiaddr] = []
        self._inbound = InboundStreams(self.multiselect.handlers, network.config.negotiate_timeout)
        network.set_stream_acceptor(self._inbound.add)
        network.register_notifee(_Identifier(self, self._pusher))
        self.set_stream_handler(IDENTIFY_ID, identify_handler_for(self))
        self.set_stream_handler(ID_PUSH, identify_push_handler_for(self))
        self.set_stream_handler(PING_ID, PingService(self).handle_ping)

    def __repr__(self) -> str:
        return shown(self, lambda: self._network.facts())

    # -- life ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def run(self, listen_addrs: Sequence[Multiaddr] = ()) -> AsyncIterator[None]:
        """
        Run the host for the length of the block; everything is closed when it ends.

        :param listen_addrs: multiaddrs to listen on, also as text, besides those that the host was
            made with; port 0 lets the system choose one.
        :raises InvalidAddrError: if one of them cannot be read.
        :raises OpenConnectionError: if one of them cannot be listened on.
        """
        listen_addrs = to_multiaddrs(listen_addrs, "listen_addrs")
        async with self._network.running():
            relief = MemoryRelief(self.start_service)
            self.resources.on_fall(BURST_BYTES, relief.burst_is_over)
            self.start_service(self._pusher.run)
            self.start_service(self._inbound.run)
            await self._network.listen(*dict.fromkeys([*self._listen_addrs, *listen_addrs]))
            yield

    async def close(self) -> None:
        """Stop listening and close every connection; `run` itself goes on until its block ends."""
        await self._network.close()

    def start_service(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        """
        Run a background task for as long as the host runs; its failure is logged, not fatal.

        :raises HostException: if the host is not running.
        """
        arguments.async_function(task, "task")
        try:
            self._network.start_soon(task, *args)
        except SwarmException as error:
            raise HostException(str(error)) from None

    # -- identity and addresses ---------------------------------------------------------------

    def get_id(self) -> ID:
        """Return this host's peer id."""
        return self._network.get_peer_id()

    def get_public_key(self) -> PublicKey:
        """Return this host's public key."""
        return self.peerstore.pubkey(self.get_id())

    def get_private_key(self) -> PrivateKey:
        """Return this host's private key."""
        return self.peerstore.privkey(self.get_id())

    def get_transport_addrs(self) -> list[Multiaddr]:
        """Return the addresses listened on, as they are: one may be ``0.0.0.0``."""
        return self._network.get_listen_addrs()

    def get_addrs(self) -> list[Multiaddr]:
        """
        Return the addresses to give to others, with ``/p2p/<id>``, those that reach far first.

        A host that listens on ``0.0.0.0`` or ``::`` has those of the network interfaces that are
        up. They are looked at again after a few seconds. If the host was made with
        ``announce_addrs``, these are all that it has.
        """
        listening = self._announced or self.get_transport_addrs()
        interfaces: Sequence[Interface] = ()
        if any(map(is_any_interface, listening)):
            interfaces = local_interfaces()
        if self._addresses[:2] != (listening, interfaces):
            peer_id = self.get_id()
            found = reachable_addresses(listening, interfaces)
            found = [with_peer_id(address, peer_id) for address in found]
            self._addresses = listening, interfaces, found
        return list(self._addresses[2])

    def look_at_addresses(self) -> None:
        """Tell connected peers if the addresses of this host are others than at the last call."""
        addresses = self.get_addrs()
        if addresses != self._told_addresses:
            self._told_addresses = addresses
            self._pusher.changed()

    @property
    def resources(self) -> Resources:
        """What everything on this host may hold, and what it holds."""
        return self._network.resources

    def get_network(self) -> Swarm:
        """Return the swarm."""
        return self._network

    def get_peerstore(self) -> IPeerStore:
        """Return what is known of other peers."""
        return self.peerstore

    def get_mux(self) -> Multiselect:
        """Return the registry of protocol handlers."""
        return self.multiselect

    # -- connections --------------------------------------------------------------------------

    async def connect(
        self, peer_info: PeerInfo | Multiaddr | str, *, hearsay: bool = False
    ) -> None:
        """
        Be connected to a peer, and know its protocols, when this returns.

        :param peer_info: also an address that ends in ``/p2p/<peer id>``, as a text as well.
        :param hearsay: somebody else has told of the addresses: they are kept for a while only,
            and left out where they cannot lead to the peer; see `worth_dialling`.
        :raises ConnectionFailure: saying why there is no connection: of each address, or why the
            peer closed it at once; or that the host is not running.
        """
        peer_info = PeerInfo.of(peer_info)
        peer_id = peer_info.peer_id
        left_out = 0
        if hearsay:
            addresses = worth_dialling(peer_info.addrs, self._neighbours())
            left_out = len(peer_info.addrs) - len(addresses)
            self.peerstore.add_addrs(peer_id, addresses, HEARSAY_ADDR_TTL)
        elif peer_info.addrs:
            self.peerstore.add_addrs(peer_id, peer_info.addrs, PERMANENT_ADDR_TTL)
        try:
            connections = await self._network.dial_peer(peer_id)
        except SwarmException as error:
            reason = str(error)
            if left_out:
                reason += f"; {left_out} left out, of networks that this host is not in"
            logger.log(logging.DEBUG if hearsay else logging.INFO, "no connection: %s", reason)
            raise ConnectionFailure(reason) from error
        for connection in connections:
            await connection.event_identified.wait()
        if not self._network.get_connections(peer_id):
            reason = connections[-1].end_reason
            raise ConnectionFailure(f"the connection to {peer_id} was closed at once: {reason}")

    def _neighbours(self) -> list[Multiaddr]:
        connections = self._network.get_connections()
        connected = [a for connection in connections for a in connection.get_transport_addresses()]
        return [*self.get_transport_addrs(), *connected]

    async def disconnect(self, peer_id: ID) -> None:
        """Close all connections to a peer."""
        await self._network.close_peer(peer_id)

    def get_connected_peers(self) -> list[ID]:
        """Return the peers with a live connection."""
        return list({connection.peer_id: None for connection in self._network.get_connections()})

    def get_live_peers(self) -> list[ID]:
        """Return the peers with a live connection; py-libp2p's name."""
        return self.get_connected_peers()

    def is_peer_connected(self, peer_id: ID) -> bool:
        """Tell whether there is a live connection to a peer."""
        return bool(self._network.get_connections(ID.of(peer_id)))

    # -- protocols ----------------------------------------------------------------------------

    def set_stream_handler(self, protocol_id: TProtocol, stream_handler: StreamHandlerFn) -> None:
        """
        Accept ``protocol_id`` and give its streams to ``stream_handler``, each in a task.

        Connected peers are told of a protocol that is new (identify push).

        :raises TypeError: if ``stream_handler`` is no async function.
        """
        arguments.protocol(protocol_id)
        arguments.async_function(stream_handler, "stream_handler")
        if protocol_id not in self.multiselect.handlers:
            self._pusher.changed()
        self.multiselect.add_handler(protocol_id, stream_handler)

    def remove_stream_handler(self, protocol_id: TProtocol) -> None:
        """Accept ``protocol_id`` no more; open streams go on, and connected peers are told."""
        arguments.protocol(protocol_id)
        if protocol_id in self.multiselect.handlers:
            self._pusher.changed()
        self.multiselect.remove_handler(protocol_id)

    async def new_stream(
        self,
        peer_id: ID | str,
        protocol_ids: Sequence[TProtocol] | TProtocol,
        *,
        no_dial: bool = False,
    ) -> NetStream:
        """
        Open a stream to a peer, connecting if need be, with the first protocol that it accepts.

        The peer's id may be a text, and a single protocol need not be in a list.

        If the peer has said which of them it speaks (identify), no round trip is spent on asking.

        :param no_dial: fail instead of connecting.
        :raises StreamFailure: if there is no connection, or no protocol is accepted (the cause is
            a `ProtocolNotSupportedError` then).
        """
        peer_id = ID.of(peer_id)
        protocol_ids = arguments.protocols(protocol_ids)
        try:
            stream = await self._network.new_stream(peer_id, no_dial=no_dial)
        except BaseLibp2pError as error:
            raise StreamFailure(f"no stream to {peer_id}: {error}") from error
        known = self.peerstore.supports_protocols(peer_id, protocol_ids)
        if known:
            stream.propose(TProtocol(known[0]))
        else:
            await self._agree(stream, protocol_ids)
        logger.debug("%r opened", stream)
        return stream

    async def _agree(self, stream: NetStream, protocol_ids: Sequence[TProtocol]) -> None:
        timeout = self._network.config.negotiate_timeout
        agreed = False
        try:
            with trio.fail_after(timeout):
                stream.set_protocol(await select_one(stream, protocol_ids))
            agreed = True
        except BaseLibp2pError as error:
            raise StreamFailure(f"no stream to {stream.remote_peer_id}: {error}") from error
        except trio.TooSlowError as error:
            raise StreamFailure(
                f"{stream.remote_peer_id} agreed on no protocol within {timeout:.0f} s"
            ) from error
        finally:
            if not agreed:
                await stream.reset()


class _Identifier(INotifee):
    """Identifies every peer as soon as it is connected; has them told of new addresses."""

    def __init__(self, host: BasicHost, pusher: IdentifyPusher) -> None:
        self._host = host
        self._pusher = pusher

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Run identify; the connection is as good without it."""
        assert isinstance(conn, SwarmConn)
        # No event says that an interface has come or gone; that is when connections come and go.
        self._host.look_at_addresses()
        agent = "not identified"
        try:
            identity = await identify(self._host, conn)
            agent = identity.agent_version or "no agent"
        except BaseLibp2pError as error:
            agent = f"not identified: {error}"
        finally:
            conn.event_identified.set()
            log_connected(conn, agent)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Say so."""
        assert isinstance(conn, SwarmConn)
        log_gone(conn)

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None: ...

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Tell connected peers where this host listens now."""
        self._host.look_at_addresses()

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...
