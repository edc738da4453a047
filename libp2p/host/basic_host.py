"""A peer: an identity, its connections, and the protocols it speaks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import trio

from libp2p.abc import IHost
from libp2p.base_types import TProtocol
from libp2p.events import EVENTS, MAX_WAITING_EVENTS, EventQueue, HostStopped
from libp2p.exceptions import (
    BaseLibp2pError,
    ConnectionFailure,
    HostException,
    InvalidArgument,
    StreamFailure,
    SwarmException,
)
from libp2p.host.addresses import HostAddresses
from libp2p.host.identifier import Identifier
from libp2p.host.inbound import InboundNegotiations
from libp2p.host.memory_relief import BURST_BYTES, MemoryRelief
from libp2p.host.observed_addr_manager import ObservedAddrManager
from libp2p.host.ping import ID as PING_ID
from libp2p.host.ping import PingService
from libp2p.peer.addresses import to_multiaddrs
from libp2p.peer.hearsay import worth_dialling
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import HEARSAY_ADDR_TTL, PERMANENT_ADDR_TTL
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import select_one
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IPeerStore, StreamHandlerFn
    from libp2p.crypto.keys import PrivateKey, PublicKey
    from libp2p.events import HostEvent
    from libp2p.host.addresses import AddrsFactory
    from libp2p.host.observed_addr_manager import NATDeviceType
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.network.connection_manager import ConnectionManager
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.network.swarm import Swarm
    from libp2p.resources import Resources
    from libp2p.utils.event_bus import Subscription

E = TypeVar("E", bound="HostEvent")

logger = get_logger(__name__)


class FirstPeers(Protocol):
    """Keeps a host connected to the peers that it meets first; see `BasicHost.set_bootstrap`."""

    @property
    def bootstrap_addrs(self) -> list[str]:
        """The names of these peers: addresses, files, URLs."""
        ...

    async def run(self) -> None:
        """Keep the host connected, until stopped or until the host has ended."""

    def stop(self) -> None:
        """Connect to nobody any more; connections stay."""


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
        *,
        addrs_factory: AddrsFactory | None = None,
        disable_identify_address_discovery: bool = False,
    ) -> None:
        """
        :param announce_addrs: `get_addrs` in place of those listened on: what a router maps.
        :param listen_addrs: to listen on besides those that `run` is given.
        :param addrs_factory: is given what `get_addrs` would return, and returns what it does.
        :param disable_identify_address_discovery: believe no peer where this host is seen.
        :raises ValueError: for ``announce_addrs`` together with ``addrs_factory``.
        """
        if announce_addrs is not None and addrs_factory is not None:
            raise InvalidArgument("cannot specify both announce_addrs and addrs_factory")
        self._network = network
        self._services: list[Callable[[], Awaitable[object]]] = []
        #: What keeps the host connected to the peers of ``new_host(bootstrap=[…])``.
        self.bootstrap: FirstPeers | None = None
        self._listen_addrs = to_multiaddrs(listen_addrs or (), "listen_addrs")
        self._observed_addr_manager: ObservedAddrManager | None = (
            None if disable_identify_address_discovery else ObservedAddrManager()
        )
        self._addresses = HostAddresses(
            network.get_peer_id(),
            network.get_listen_addrs,
            announce_addrs,
            lambda: manager.addrs() if (manager := self._observed_addr_manager) else (),
            addrs_factory,
        )
        self.peerstore: IPeerStore = network.peerstore
        self.multiselect = Multiselect()
        self._inbound = InboundNegotiations(
            self.multiselect.handlers, network.config.negotiate_timeout
        )
        network.set_stream_acceptor(self._inbound.add)
        self._identifier = Identifier(self, network, self._observed_addr_manager)
        for protocol_id, handler in self._identifier.handlers.items():
            self.set_stream_handler(protocol_id, handler)
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
        async with self.peerstore.lasting(), self._network.running():
            relief = MemoryRelief(self.start_service)
            self.resources.on_fall(BURST_BYTES, relief.burst_is_over)
            self.start_service(self._identifier.run)
            self.start_service(self._inbound.run)
            await self._network.listen(*dict.fromkeys([*self._listen_addrs, *listen_addrs]))
            for service in self._services:
                self.start_service(service)
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

    def add_service(self, task: Callable[[], Awaitable[object]]) -> None:
        """
        Start ``task`` each time that the host runs, once it listens, as `start_service` does.

        One that is added while the host runs is started when it is run again.
        """
        self._services.append(arguments.async_function(task, "task"))

    def set_bootstrap(self, bootstrap: FirstPeers) -> None:
        """Run ``bootstrap`` each time that the host runs."""
        self.bootstrap = bootstrap
        self.add_service(bootstrap.run)

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
        up. They are looked at again after a few seconds. Those at which its peers agree to see it
        follow: `ObservedAddrManager`. If the host was made with ``announce_addrs``, these are all
        that it has.
        """
        return self._addresses.get()

    def get_nat_type(self) -> tuple[NATDeviceType, NATDeviceType]:
        """Return what the router in front of this host does with TCP and with UDP, if known."""
        return (self._observed_addr_manager or ObservedAddrManager()).get_nat_type()

    @property
    def resources(self) -> Resources:
        """What everything on this host may hold, and what it holds."""
        return self._network.resources

    def get_network(self) -> Swarm:
        """Return the swarm."""
        return self._network

    @property
    def conn_manager(self) -> ConnectionManager:
        """What tags and protects peers; see there."""
        return self._network.connection_manager

    def get_peerstore(self) -> IPeerStore:
        """Return what is known of other peers."""
        return self.peerstore

    def get_mux(self) -> Multiselect:
        """Return the registry of protocol handlers."""
        return self.multiselect

    # -- events -------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[E], object], *kinds: type[E]) -> Subscription:
        """
        Call ``callback`` with each event of these ``kinds``, at the moment when it happens.

        It runs in whichever task the event happens in, often a connection's read loop: it must not
        take long. If it raises, that is logged once, and nothing else notices.

        :param kinds: classes of `libp2p.events`; all of them if there are none.
        :return: what ends it: ``subscription.cancel()``.
        """
        arguments.function(callback, "callback")
        return self._network.events.subscribe(callback, *_known(kinds))

    @asynccontextmanager
    async def events(
        self, *kinds: type[HostEvent], limit: int = MAX_WAITING_EVENTS
    ) -> AsyncIterator[EventQueue]:
        """
        Use events in a task of one's own: ``async with host.events() as events: async for …``.

        What happens within the block waits in a queue until it is read. The host never waits for
        its reader: when more than ``limit`` events wait, the oldest one is dropped, and
        ``events.dropped`` counts it. The iteration ends with the host, or with the block.
        """
        queue = EventQueue(arguments.count(limit, "limit", least=1))
        subscription = self._network.events.subscribe(queue.put, *_known(kinds), HostStopped)
        try:
            yield queue
        finally:
            subscription.cancel()
            queue.put(HostStopped())

    # -- connections --------------------------------------------------------------------------

    async def connect(
        self, peer_info: PeerInfo | Multiaddr | str, *, hearsay: bool = False
    ) -> None:
        """
        Connect to a peer, unless there is a connection, and wait until it has said what it speaks.

        :param peer_info: also an address that ends in ``/p2p/<peer id>``, as a text as well.
        :param hearsay: the addresses are from somebody else: they are kept for a while only, and
            those that cannot lead to the peer are left out; see `worth_dialling`.
        :raises ConnectionFailure: if there is no connection. The text says why: of each address, or
            why the peer closed it at once, or that the host is not running.
        """
        peer_info = PeerInfo.of(peer_info)
        peer_id = peer_info.peer_id
        left_out = 0
        if hearsay:
            addresses = worth_dialling(peer_info.addrs, self._network.neighbours())
            left_out = len(peer_info.addrs) - len(addresses)
            self.peerstore.add_addrs(peer_id, addresses, HEARSAY_ADDR_TTL)
        elif peer_info.addrs:
            self.peerstore.add_addrs(peer_id, peer_info.addrs, PERMANENT_ADDR_TTL)
            if not self._network.get_connections(peer_id):
                # Of the caller's own names every address counts, wherever it leads.
                found = await self._network.look_up(peer_id, peer_info.addrs)
                self.peerstore.add_addrs(peer_id, found, HEARSAY_ADDR_TTL)
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

    async def disconnect(self, peer_id: ID) -> None:
        """Close all connections to a peer."""
        await self._network.close_peer(peer_id)

    def get_connected_peers(self) -> list[ID]:
        """Return the peers with a live connection."""
        return list({connection.peer_id: None for connection in self._network.get_connections()})

    def get_live_peers(self) -> list[ID]:
        """Return the peers with a live connection; py-libp2p's name."""
        return self.get_connected_peers()

    def get_connection_health(self, peer_id: ID) -> dict[str, Any]:
        """Return how well the connections to a peer do; see `libp2p.network.health`."""
        return self._network.health.summary_of(ID.of(peer_id))

    def get_network_health_summary(self) -> dict[str, Any]:
        """Return how well all connections do."""
        return self._network.health.summary()

    def export_health_metrics(self, format: str = "json") -> str:
        """Return the same as JSON, or its totals for Prometheus (``"prometheus"``)."""
        return self._network.health.export(format)

    async def get_health_monitor_status(self) -> dict[str, Any]:
        """Return what is watched."""
        return await self._network.health.status()

    def get_peer_connection_info(self, peer_id: ID) -> list[SwarmConn] | None:
        """Return the live connections to a peer; None without one."""
        return self._network.get_connections(ID.of(peer_id)) or None

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
            self._identifier.host_changed()
        self.multiselect.add_handler(protocol_id, stream_handler)

    def remove_stream_handler(self, protocol_id: TProtocol) -> None:
        """No longer accept ``protocol_id``; open streams go on, and connected peers are told."""
        arguments.protocol(protocol_id)
        if protocol_id in self.multiselect.handlers:
            self._identifier.host_changed()
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
        Then this does not wait, and is no checkpoint, unless 256 streams are not acknowledged yet.

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
        try:
            with trio.fail_after(timeout):
                stream.set_protocol(await select_one(stream, protocol_ids))
        except BaseLibp2pError as error:
            raise StreamFailure(f"no stream to {stream.remote_peer_id}: {error}") from error
        except trio.TooSlowError as error:
            reason = f"{stream.remote_peer_id} agreed on no protocol within {timeout:.0f} s"
            raise StreamFailure(reason) from error
        finally:
            if stream.get_protocol() is None:
                stream.abort()


def _known(kinds: tuple[type[E], ...]) -> tuple[type[E], ...]:
    for kind in kinds:
        if kind not in EVENTS:
            raise arguments.wrong_type("kinds", kind, "classes of libp2p.events")
    return kinds or cast("tuple[type[E], ...]", EVENTS)
