"""
The swarm: all connections of this process, by peer.

It listens, dials, and keeps the table of connections. Every task that it starts is a child of the
nursery of the `running` block. No task raises: a fault of a peer, an address, a notifee, a handler,
a peer store, a transport or a muxer ends the dial or the connection that it belongs to and nothing
else. Faults that are not a peer's are logged.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import astuple
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from libp2p.abc import CMInfo, INetworkService, INotifee
from libp2p.dns.resolver import Resolver
from libp2p.events import HostStopped, ListenAddressesChanged, PeerConnected, PeerDisconnected
from libp2p.exceptions import (
    BaseLibp2pError,
    DialError,
    InvalidAddrError,
    InvalidArgument,
    OpenConnectionError,
    SwarmDialAllFailedError,
    SwarmException,
    first_few,
)
from libp2p.hostile_input import refused_as
from libp2p.network.admission import Admission
from libp2p.network.config import ConnectionConfig, RetryConfig, SwarmConfig
from libp2p.network.connection.swarm_connection import (
    GARBAGE_COLLECTED,
    GATED,
    RESOURCE_LIMIT_EXCEEDED,
    SwarmConn,
)
from libp2p.network.connection_table import ConnectionTable
from libp2p.network.descriptors import Sockets, obtainable, raise_soft_limit, share_out
from libp2p.network.dialer import Dialer, DialSlots
from libp2p.network.gating import Gating
from libp2p.network.health.watch import HealthWatch
from libp2p.network.live_config import LiveConfig
from libp2p.network.named_addresses import NamedAddresses
from libp2p.network.notifees import Notifees
from libp2p.network.pending import WAITING, origin_of
from libp2p.network.shared_dial import SharedDial
from libp2p.peer.addresses import reason_of, text_of, to_multiaddr, to_multiaddrs
from libp2p.peer.hearsay import worth_dialling
from libp2p.peer.id import ID
from libp2p.peer.peerstore import known_addresses
from libp2p.transport.abc import RawTransport
from libp2p.transport.manager import TransportManager
from libp2p.utils import arguments
from libp2p.utils.background import background_nursery
from libp2p.utils.event_bus import EventBus
from libp2p.utils.faults import fault_barrier, without_traceback
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import INetConn, IPeerStore, StreamHandlerFn
    from libp2p.network.connection.swarm_connection import AcceptStream, StartHandler
    from libp2p.network.connection_gate import ConnectionGater
    from libp2p.network.connection_manager import ConnectionManager, TagInfo
    from libp2p.network.health.data_structures import ConnectionHealth
    from libp2p.network.health.monitor import ConnectionHealthMonitor
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.resources import Resources
    from libp2p.transport.abc import Incoming, Listener, MuxedConnection, Transport, Upgrader

logger = get_logger(__name__)

#: What a connection takes in memory, about.
CONNECTION_BYTES: Final = 32 * 1024

__all__ = ["ConnectionConfig", "RetryConfig", "Swarm"]

_NOT_ALLOWED: Final = "the connection gater does not allow it"


class _State(Enum):
    NOT_RUNNING = "the host is not running: use it within `async with host.run(…)`"
    RUNNING = "the host is running"
    CLOSED = "the host is closed"


class Swarm(INetworkService):
    """Connections, listeners, dials."""

    def __init__(  # noqa: PLR0913 - py-libp2p's, and what a host brings
        self,
        peer_id: ID,
        peerstore: IPeerStore,
        upgrader: Upgrader | None,
        transports: Sequence[RawTransport | Transport] | RawTransport | Transport = (),
        retry_config: RetryConfig | None = None,
        connection_config: SwarmConfig | None = None,
        *,
        resources: Resources | None = None,
        resolver: Resolver | None = None,
        gater: ConnectionGater | None = None,
    ) -> None:
        """
        :param upgrader: secures and multiplexes the connections of raw transports.
        :param transports: the first one that understands an address dials it or listens on it.
        :param retry_config: py-libp2p's; see `RetryConfig`.
        :param resources: what everything on this host may hold; the transports count there too.
        :param resolver: looks up ``/dnsaddr``, and other names if it has nameservers of its own.
        :param gater: says whom to connect to; by default what ``connection_config`` allows.
        """
        self.self_id, self.peerstore = peer_id, peerstore
        self.config = config = connection_config or SwarmConfig()
        #: What everything on this host may hold, and what it holds.
        self.resources = resources or config.new_resources()
        self.upgrader = upgrader
        self.transports: tuple[Transport, ...] = ()
        #: py-libp2p's list of the transports; one that is added is used from then on.
        self.transport_manager = TransportManager(self._add_transport)
        self.transport_manager.add_transports(_several(transports))
        self.retry_config = _only_defaults(retry_config)
        #: Is asked whom to connect to.
        self.connection_gate: ConnectionGater = gater or config.new_gate()
        self._gating = Gating(self.connection_gate)
        self.resolver = resolver or Resolver()
        self._names = NamedAddresses(self.resolver)
        #: What happens: `libp2p.events`.
        self.events = EventBus()
        waiting = config.max_pending_inbound * (1 + WAITING)
        limits = share_out(obtainable(), Sockets(config.max_connections, waiting, config.max_dials))
        sockets = self.resources.scope("sockets", sum(astuple(limits)), each=CONNECTION_BYTES)
        connections = sockets.open("connections", limits.connections)
        self._table = ConnectionTable(config, self.resources, connections, self.events)
        self.connection_config = LiveConfig(config, self._table)
        #: Tags and protects peers whose connections matter.
        self.connection_manager = self._table.manager
        #: By the address listened on, with its real port.
        self.listeners: dict[str, Listener] = {}
        slots = DialSlots(sockets.open("dials", limits.dials), limits.dials)
        self._dialer = Dialer(self._dial_and_add, config, slots)
        self._dials: dict[ID, SharedDial] = {}
        self._accept_stream: AcceptStream = _refuse
        self._notifees = Notifees(self, self._start)
        handshakes = sockets.open("handshakes", limits.handshakes)
        self._admission = Admission(config, limits.handshakes, handshakes)
        self._state = _State.NOT_RUNNING
        self._nursery: trio.Nursery | None = None
        #: How well connections do, and which of several to a peer gets a stream.
        self.health = HealthWatch(self, config.health, self.events)

    def _add_transport(self, transport: object) -> None:
        if self.upgrader is not None and isinstance(transport, RawTransport):
            transport = self.upgrader.over(transport, self.resources)
        self.transports = (*self.transports, cast("Transport", transport))

    def facts(self) -> str:
        """Return the peer id, the state and the number of connections, for `repr`."""
        state = self._state.name.lower().replace("_", " ")
        return f"{self.self_id}, {state}, connections: {self._table.count}"

    def __repr__(self) -> str:
        return shown(self, self.facts)

    # -- life ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve connections for the length of the block; afterwards all of them are closed."""
        if self._nursery is not None:
            raise SwarmException("the swarm is running already")
        raise_soft_limit()
        try:
            async with background_nursery() as nursery:
                self._nursery, self._state = nursery, _State.RUNNING
                if self.health.monitor is not None:
                    self._start(self.health.monitor.run)
                timeout = self.config.hurried_close_timeout
                try:
                    yield
                    timeout = self.config.close_timeout
                finally:
                    await self._close_all(timeout)
                    nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            for connection in self.get_connections():  # dials that ended meanwhile made these
                connection.abort()
                self._table.remove(connection)
            self.events.emit(HostStopped())

    def run(self) -> AbstractAsyncContextManager[None]:
        """Return `running`: py-libp2p's ``background_trio_service(swarm)`` enters it."""
        return self.running()

    async def close(self) -> None:
        """
        Stop listening and dialling, and close every connection; written data is still delivered.

        After that every call that needs the network raises.
        """
        await self._close_all(self.config.close_timeout)

    async def _close_all(self, timeout: float) -> None:
        if self._state is _State.RUNNING:
            self._state = _State.CLOSED
        for dial in self._dials.values():
            dial.cancel()
        with trio.move_on_after(timeout, shield=True) as scope:
            addresses = tuple(self.get_listen_addrs())
            listeners, self.listeners = self.listeners, {}
            if addresses:
                self.events.emit(ListenAddressesChanged((), removed=addresses))
            async with trio.open_nursery() as nursery:
                for listener in listeners.values():
                    nursery.start_soon(_close, listener)
                for connection in self.get_connections():
                    nursery.start_soon(_close_by, scope.deadline, connection)

    def start_soon(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        """
        Run ``task`` for as long as the swarm runs; its failure is logged, not fatal.

        :raises SwarmException: if the swarm is not running.
        """
        self._check_running()
        self._start(task, *args)

    def _start(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        if self._nursery is not None:  # it also takes tasks while the swarm closes
            self._nursery.start_soon(_supervise, task, *args, name=task)

    def _check_running(self) -> trio.Nursery:
        if self._nursery is None or self._state is not _State.RUNNING:
            raise SwarmException(self._state.value)
        return self._nursery

    # -- listening ----------------------------------------------------------------------------

    async def listen(self, *multiaddrs: Multiaddr) -> bool:
        """
        Listen on each address.

        :return: True if there is one.
        :raises OpenConnectionError: if one cannot be listened on.
        :raises SwarmException: if the swarm is not running.
        """
        nursery = self._check_running()
        for maddr in to_multiaddrs(multiaddrs, "multiaddrs"):
            with refused_as(InvalidAddrError, f"{maddr.to_bytes().hex()} is not a multiaddr"):
                transport = next((t for t in self.transports if t.can_listen(maddr)), None)
            if transport is None:
                raise OpenConnectionError(f"there is no transport that listens on {maddr}")
            listener = await transport.listen(maddr, self._on_inbound, self._admission.admit)
            self.listeners[" ".join(map(str, listener.get_addrs()))] = listener
            for address in listener.get_addrs():
                logger.info("listening on %s", address)
            self.start_soon(listener.serve, nursery)
            self.events.emit(
                ListenAddressesChanged(
                    tuple(self.get_listen_addrs()), added=tuple(listener.get_addrs())
                )
            )
        return bool(multiaddrs)

    def get_listen_addrs(self) -> list[Multiaddr]:
        """Return the addresses listened on, with their real ports."""
        return [addr for listener in self.listeners.values() for addr in listener.get_addrs()]

    async def _on_inbound(self, incoming: Incoming) -> None:
        """Upgrade and serve an accepted connection, in its own task."""
        connection: SwarmConn | None = None
        with fault_barrier(partial(_report, "an inbound connection failed")):
            connection = await self._welcome(incoming)
        if connection is not None:
            await self._serve(connection)

    async def _welcome(self, incoming: Incoming) -> SwarmConn | None:
        """Upgrade an accepted connection and enter it into the table, if there is room."""
        address = incoming.get_remote_address()
        is_room = self._table.admits_stranger(trio.current_time())
        if not is_room or not self._gating.may_accept(address):
            incoming.abort()
            return None
        try:
            with self._admission.arrival(address and origin_of(address[0])) as arrival:
                if not arrival.turn.is_set():
                    try:
                        await arrival.turn.wait()
                    except trio.Cancelled:
                        incoming.abort()
                        raise
                muxed_conn = await incoming.upgrade()
                if not self._gating.may_use(muxed_conn):
                    await muxed_conn.close(GATED)
                    return None
                connection = self._enter(muxed_conn)
                if connection is None:
                    await muxed_conn.close(RESOURCE_LIMIT_EXCEEDED)
                return connection
        except BaseLibp2pError as error:
            logger.debug("inbound %s not upgraded: %s", address, error)
        return None

    # -- dialling -----------------------------------------------------------------------------

    async def dial_peer(self, peer_id: ID) -> list[SwarmConn]:  # type: ignore[override]
        """
        Return the live connections to a peer, dialling its known addresses if there is none.

        Callers who ask for the same peer at the same time share one dial.

        :raises SwarmDialAllFailedError: saying of the addresses why they failed.
        :raises SwarmException: if the swarm is not running.
        """
        self._check_running()
        peer_id = ID.of(peer_id)
        if existing := self.get_connections(peer_id):
            return existing
        if peer_id == self.self_id:
            raise SwarmDialAllFailedError("a host cannot dial itself", peer_id)
        if not self._gating.may_dial(peer_id):
            raise SwarmDialAllFailedError("the connection gater does not allow that peer", peer_id)
        dial = self._dials.get(peer_id)
        if dial is None or dial.is_dying:
            dial = SharedDial(peer_id)
            self.start_soon(self._run_dial, peer_id, dial)
            self._dials[peer_id] = dial
        try:
            connection = await dial.wait()
        except SwarmDialAllFailedError:
            if existing := self.get_connections(peer_id):  # the peer has dialled meanwhile
                return existing
            raise
        if existing := self.get_connections(peer_id):
            return existing
        raise SwarmDialAllFailedError(
            f"the connection to {peer_id} was closed at once: {connection.end_reason}", peer_id
        )

    async def dial_peer_replacement(self, peer_id: ID) -> SwarmConn:
        """
        Connect to a peer at its known addresses once more.

        :raises SwarmDialAllFailedError: as `dial_peer`.
        """
        self._check_running()
        return await self._dial(ID.of(peer_id))

    async def _run_dial(self, peer_id: ID, dial: SharedDial) -> None:
        try:
            await dial.run(partial(self._dial, peer_id))
        finally:
            if self._dials.get(peer_id) is dial:
                del self._dials[peer_id]

    async def _dial(self, peer_id: ID) -> SwarmConn:
        known = known_addresses(self.peerstore, peer_id)
        named = [address for address in known if self._names.needs_look_up(address)]
        direct, unfit = self._fit(peer_id, (each for each in known if each not in named))
        if direct or not named:
            try:
                return await self._dialer.dial_peer(peer_id, direct, unfit)
            except SwarmDialAllFailedError as error:
                if not named:
                    raise
                unfit = error.errors
        resolved, failures = await self._names.look_up(peer_id, named)
        found = [address for address in resolved if address not in direct]
        worth = worth_dialling(found, self.neighbours())
        if len(worth) < len(found):
            left_out = f"{len(found) - len(worth)} are of networks that this host is not in"
            failures.append(DialError(first_few(map(str, named)), left_out))
        fit, more_unfit = self._fit(peer_id, worth)
        return await self._dialer.dial_peer(peer_id, fit, [*unfit, *failures, *more_unfit])

    def _fit(
        self, peer_id: ID, addresses: Iterable[Multiaddr]
    ) -> tuple[list[Multiaddr], list[DialError]]:
        """Return the addresses that can and may be dialled, and errors for the others."""
        fit: list[Multiaddr] = []
        unfit: list[DialError] = []
        for address in addresses:
            try:
                self._check_dial(peer_id, address)
                fit.append(address)
            except DialError as error:
                unfit.append(without_traceback(error))
        return fit, unfit

    def neighbours(self) -> list[Multiaddr]:
        """Return the addresses that tell which networks this host is in: its own, its peers'."""
        connected = [a for c in self.get_connections() for a in c.get_transport_addresses()]
        return [*self.get_listen_addrs(), *connected]

    async def look_up(self, peer_id: ID, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
        """
        Return the addresses of a peer that the names among ``addresses`` stand for.

        Names that stand for nothing, or cannot be looked up in time, are left out.
        """
        named = [address for address in addresses if self._names.needs_look_up(address)]
        found, failures = await self._names.look_up(peer_id, named)
        for failure in failures:
            logger.debug("%s", failure)
        return found

    def _transport_for(self, address: Multiaddr) -> Transport:
        """
        Return the transport that dials an address.

        :raises DialError: if there is none.
        """
        try:
            for transport in self.transports:
                if transport.can_dial(address):
                    return transport
        except Exception as error:  # task's edge: multiaddr or a user's transport
            raise DialError(text_of(address), reason_of(error)) from error
        raise DialError(address, "there is no transport for it")

    async def dial_addr(self, addr: Multiaddr, peer_id: ID) -> SwarmConn:
        """
        Connect to a peer at this address.

        :raises DialError: saying why it failed.
        :raises SwarmException: if the swarm is not running.
        """
        self._check_running()
        peer_id, addr = ID.of(peer_id), to_multiaddr(addr)
        self._check_dial(peer_id, addr)
        return await self._dialer.dial_address(peer_id, addr)

    def _check_dial(self, peer_id: ID, address: Multiaddr) -> None:
        self._transport_for(address)
        if not (self._gating.may_dial(peer_id) and self._gating.may_dial_at(peer_id, address)):
            raise DialError(address, _NOT_ALLOWED)

    async def _dial_and_add(self, addr: Multiaddr, peer_id: ID) -> SwarmConn:
        muxed_conn = await self._transport_for(addr).dial(addr, peer_id)
        if not self._gating.may_use(muxed_conn):
            await muxed_conn.close(GATED)
            raise SwarmException(_NOT_ALLOWED)
        connection = self._enter(muxed_conn)
        if connection is None:
            muxed_conn.abort()
            raise SwarmException("the limit of connections is reached")
        try:
            self.start_soon(self._serve, connection)
        except SwarmException:
            connection.abort()
            self._table.remove(connection)
            raise
        return connection

    # -- the table ----------------------------------------------------------------------------

    def _enter(self, muxed_conn: MuxedConnection) -> SwarmConn | None:
        """Enter a connection into the table; None if there is no room for it."""
        connection, leaving = self._table.add(muxed_conn, trio.current_time())
        for idle in leaving:
            logger.debug("%r is idle and makes room", idle)
            self.start_soon(_close, idle, GARBAGE_COLLECTED)
        return connection

    async def _serve(self, connection: SwarmConn) -> None:
        """Run a connection of the table until it ends, and take it out."""
        with fault_barrier(partial(_report, f"the connection to {connection.peer_id} failed")):
            try:
                self.events.emit(PeerConnected(connection))
                self.peerstore.add_pubkey(
                    connection.peer_id, connection.muxed_conn.remote_public_key
                )
                self.peerstore.protect(connection.peer_id)
                dialled = connection.get_transport_addresses() if connection.is_initiator else []
                self.peerstore.note_connection(connection.peer_id, dialled)
                try:
                    await connection.run(self._accept_stream, self._remove)
                finally:
                    self.peerstore.note_connection(connection.peer_id)
                    self.peerstore.unprotect(connection.peer_id)
            finally:
                self._remove(connection)
                connection.abort()

    def _remove(self, connection: SwarmConn) -> None:
        if self._table.remove(connection):
            connection.event_identified.set()
            self.events.emit(PeerDisconnected(connection))

    @property
    def connections(self) -> dict[ID, list[SwarmConn]]:  # type: ignore[override]
        """The connections by peer."""
        return self._table.by_peer

    @property
    def connections_legacy(self) -> dict[ID, SwarmConn]:
        """One connection of each peer: the oldest."""
        return {peer_id: connections[0] for peer_id, connections in self.connections.items()}

    def get_peer_id(self) -> ID:
        """Return this side's peer id."""
        return self.self_id

    def get_connections(self, peer_id: ID | None = None) -> list[SwarmConn]:  # type: ignore[override]
        """Return the live connections to a peer, or to all; the best to use is last."""
        return self._table.live(None if peer_id is None else ID.of(peer_id))

    def get_connections_map(self) -> dict[ID, list[SwarmConn]]:
        """Return the connections by peer."""
        return {peer_id: list(peers) for peer_id, peers in self.connections.items()}

    def get_connection(self, peer_id: ID) -> SwarmConn | None:
        """Return the connection that a new stream to this peer would use."""
        live = self.get_connections(ID.of(peer_id))
        return self.health.choose(live, peer_id) if live else None

    def get_total_connections(self) -> int:
        """Return how many connections there are."""
        return self._table.count

    def get_metrics(self) -> dict[str, int]:
        """Count connections: total, inbound, outbound; and the peers they lead to."""
        every = [each for peers in self.connections.values() for each in peers]
        outbound = sum(each.is_initiator for each in every)
        counts = {"total": len(every), "inbound": len(every) - outbound, "outbound": outbound}
        return {**counts, "peers": len(self.connections)}

    def get_conn_mgr_info(self) -> CMInfo:
        """Return how many connections there are and may be."""
        table, at = self._table, self._table.trimmed_at
        trimmed = None if at is None else time.time() - (trio.current_time() - at)
        count, grace = self.get_total_connections(), self.config.idle_grace
        return CMInfo(table.low, table.high, count, grace, trimmed)

    async def close_peer(self, peer_id: ID) -> None:
        """Close all connections to a peer."""
        for connection in self.get_connections(ID.of(peer_id)):
            await connection.close()

    # -- py-libp2p's names of `health` ----------------------------------------------------------

    @property
    def health_data(self) -> dict[ID, dict[INetConn, ConnectionHealth]]:
        """The health of each connection, by peer; see `HealthWatch`, as for the next ones."""
        return self.health.data

    def initialize_connection_health(self, peer_id: ID, connection: INetConn) -> None:
        self.health.begin(peer_id, connection)

    def cleanup_connection_health(self, peer_id: ID, connection: INetConn) -> None:
        self.health.end(peer_id, connection)

    def record_connection_event(self, peer_id: ID, connection: INetConn, event: str) -> None:
        if (health := self.health.of(peer_id, connection)) is not None:
            health.add_connection_event(event)

    def record_connection_error(self, peer_id: ID, connection: INetConn, error: str) -> None:
        if (health := self.health.of(peer_id, connection)) is not None:
            health.add_error(error)

    def get_peer_health_summary(self, peer_id: ID) -> dict[str, Any]:
        return self.health.summary_of(peer_id)

    def get_global_health_summary(self) -> dict[str, Any]:
        return self.health.summary()

    def export_health_metrics(self, format: str = "json") -> str:
        return self.health.export(format)

    async def get_health_monitor_status(self) -> dict[str, Any]:
        return await self.health.status()

    # Only py-libp2p's own tests use these three.

    @property
    def _is_health_monitoring_enabled(self) -> bool:
        return self.health.monitor is not None

    @property
    def _health_monitor(self) -> ConnectionHealthMonitor | None:
        return self.health.monitor

    def _select_connection(self, connections: Sequence[INetConn], peer_id: ID) -> INetConn:
        return self.health.choose(connections, peer_id)

    # -- what peers are worth: py-libp2p's names of `connection_manager` ------------------------

    @property
    def tag_store(self) -> ConnectionManager:
        """What keeps tags and protections."""
        return self.connection_manager

    def tag_peer(self, peer_id: ID, tag: str, value: int) -> None:
        """Set the value of a peer for one reason; see `ConnectionManager`, as for the next ones."""
        self.connection_manager.tag_peer(peer_id, tag, value)

    def untag_peer(self, peer_id: ID, tag: str) -> None:
        self.connection_manager.untag_peer(peer_id, tag)

    def get_tag_info(self, peer_id: ID) -> TagInfo | None:
        return self.connection_manager.get_tag_info(peer_id)

    def protect(self, peer_id: ID, tag: str) -> None:
        self.connection_manager.protect(peer_id, tag)

    def unprotect(self, peer_id: ID, tag: str) -> bool:
        return self.connection_manager.unprotect(peer_id, tag)

    def is_protected(self, peer_id: ID, tag: str = "") -> bool:
        return self.connection_manager.is_protected(peer_id, tag)

    # -- streams ------------------------------------------------------------------------------

    def set_stream_handler(self, stream_handler: StreamHandlerFn) -> None:
        """Give every inbound stream to ``stream_handler``, in a task of its connection."""
        arguments.async_function(stream_handler, "stream_handler")

        self._accept_stream = lambda stream, start: start(stream_handler, stream)

    def set_stream_acceptor(self, accept: AcceptStream) -> None:
        """
        Give every inbound stream to ``accept``, in its connection's read loop.

        The second argument of ``accept`` runs a handler as a task of that connection.
        """
        arguments.function(accept, "accept")
        self._accept_stream = accept

    async def new_stream(self, peer_id: ID, *, no_dial: bool = False) -> NetStream:
        """
        Open a stream to a peer, connecting first if need be; nothing is agreed on it yet.

        :param no_dial: fail instead of connecting.
        :raises SwarmDialAllFailedError: if there is no connection and none can be made.
        :raises SwarmException: if the swarm is not running.
        :raises MuxedConnUnavailable: if the connection ends meanwhile.
        """
        if no_dial:
            connections = self.get_connections(ID.of(peer_id))
            if not connections:
                raise SwarmException(f"there is no connection to {peer_id}")
        else:
            connections = await self.dial_peer(peer_id)
        return await self.health.choose(connections, peer_id).new_stream()

    # -- notifees -----------------------------------------------------------------------------

    def register_notifee(self, notifee: INotifee) -> None:
        """Tell ``notifee`` what happens from now on."""
        if not any(callable(getattr(notifee, name, None)) for name in INotifee.__abstractmethods__):
            raise arguments.wrong_type("notifee", notifee, "an INotifee")
        self._notifees.add(notifee)

    def remove_notifee(self, notifee: INotifee) -> None:
        """Tell ``notifee`` nothing more."""
        self._notifees.remove(notifee)


def _several(transports: object) -> Sequence[Any]:
    """Return a list, where py-libp2p takes one transport as well."""
    return transports if isinstance(transports, Sequence) else (transports,)


def _only_defaults(retry_config: RetryConfig | None) -> RetryConfig:
    if retry_config not in (None, RetryConfig()):
        raise InvalidArgument("retry_config: a failed dial is not made again, but told with why")
    return RetryConfig()


def _refuse(stream: NetStream, _: StartHandler) -> None:
    stream.abort()


def _report(what: str, error: Exception) -> None:
    logger.error("%s", what, exc_info=error)


async def _supervise(task: Callable[..., Awaitable[object]], *args: object) -> None:
    with fault_barrier(lambda error: _report(f"the task {task!r} failed", error)):
        await task(*args)


async def _close_by(deadline: float, connection: SwarmConn) -> None:
    """Close a connection, and abort it at ``deadline``: closing cannot be cancelled."""

    async def abort_late() -> None:
        await trio.sleep_until(deadline)
        connection.abort()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(abort_late)
        await _close(connection)
        nursery.cancel_scope.cancel()


async def _close(closer: Listener | SwarmConn, *error_code: int) -> None:
    with fault_barrier(partial(_report, f"{closer!r} cannot be closed")):
        await closer.close(*error_code)
