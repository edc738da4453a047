"""
The swarm: all connections of this process, by peer.

It listens, dials, upgrades, and keeps the table. `running` is its life: every task it starts is a
child of that block's nursery. A peer's fault ends that peer's connection and nothing else.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import trio

from libp2p.abc import INetworkService
from libp2p.exceptions import (
    BaseLibp2pError,
    OpenConnectionError,
    SwarmDialAllFailedError,
    SwarmException,
)
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.dialer import Dialer
from libp2p.resources import Resources
from libp2p.stream_muxer.yamux.flow_control import ReceiveBudget
from libp2p.transport.tcp.tcp import TCPListener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from multiaddr import Multiaddr

    from libp2p.abc import INotifee, IPeerStore
    from libp2p.custom_types import StreamHandlerFn
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID
    from libp2p.stream_muxer.yamux.yamux import Yamux
    from libp2p.transport.tcp.tcp import TCP
    from libp2p.transport.tcp.tcp_connection import TcpConnection
    from libp2p.transport.upgrader import TransportUpgrader

logger = logging.getLogger(__name__)


def _refuse(stream: NetStream) -> None:
    stream.abort()


class Swarm(INetworkService):
    """Connections, listeners, dials."""

    def __init__(
        self,
        peer_id: ID,
        peerstore: IPeerStore,
        upgrader: TransportUpgrader,
        transport: TCP,
        config: ConnectionConfig | None = None,
        resources: Resources | None = None,
    ) -> None:
        self.self_id = peer_id
        self.peerstore = peerstore
        self.upgrader = upgrader
        self.transport = transport
        self.config = config or ConnectionConfig()
        #: What everything on this host may hold, and what it holds.
        self.resources = resources or Resources()
        self.connections: dict[ID, list[SwarmConn]] = {}  # type: ignore[assignment]
        self.listeners: list[TCPListener] = []
        self._budget = ReceiveBudget(self.config.receive_budget)
        self._dialer = Dialer(
            self._dial_and_add, self.config.dial_timeout, self.config.dial_peer_timeout
        )
        self._dials: dict[ID, _SharedDial] = {}
        self._accept_stream: Callable[[NetStream], None] = _refuse
        self._notifees: list[INotifee] = []
        # Inbound connections that are not upgraded yet, oldest first.
        self._strangers: dict[trio.CancelScope, None] = {}
        self._nursery: trio.Nursery | None = None

    # -- life ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve connections for the length of the block; afterwards all of them are closed."""
        if self._nursery is not None:
            raise SwarmException("the swarm is running already")
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                try:
                    yield
                finally:
                    self._nursery = None
                    await self.close()
                    nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            # Nothing that runs here raises, so what came out is the block's own.
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from group.exceptions[0].__cause__
            raise

    async def close(self) -> None:
        """Stop listening and close every connection, politely but quickly."""
        for listener in self.listeners:
            await listener.close()
        self.listeners.clear()
        connections = self.get_connections()
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.shield = True
            for connection in connections:
                nursery.start_soon(connection.close)

    def start_soon(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        """
        Run ``task`` for as long as the swarm runs.

        :raises SwarmException: if the swarm is not running.
        """
        if self._nursery is None:
            raise SwarmException("the host is not running: use it within `async with host.run(…)`")
        self._nursery.start_soon(task, *args)

    # -- listening ----------------------------------------------------------------------------

    async def listen(self, *multiaddrs: Multiaddr) -> bool:
        """
        Listen on each address.

        :return: True if there is one.
        :raises OpenConnectionError: if one cannot be listened on.
        """
        for maddr in multiaddrs:
            if not self.transport.can_listen(maddr):
                raise OpenConnectionError(f"no transport listens on {maddr}; there is TCP")
            listener = TCPListener(self._on_inbound)
            await listener.listen(maddr)
            self.listeners.append(listener)
            self.start_soon(listener.serve, self._nursery)
            for notifee in self._notifees:
                await notifee.listen(self, maddr)
        return bool(multiaddrs)

    def get_listen_addrs(self) -> list[Multiaddr]:
        """Return the addresses listened on, with their real ports."""
        return [addr for listener in self.listeners for addr in listener.get_addrs()]

    async def _on_inbound(self, raw_conn: TcpConnection) -> None:
        """Upgrade and serve an accepted connection, in its own task."""
        if self._is_full():
            raw_conn.abort()
            return
        if len(self._strangers) >= self.config.max_pending_inbound:
            # An honest handshake is over soon, so the oldest one is the least likely to be one.
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.cancel()
        scope = trio.CancelScope(deadline=trio.current_time() + self.config.inbound_timeout)
        muxed_conn = None
        self._strangers[scope] = None
        try:
            with scope:
                muxed_conn = await self._upgrade(raw_conn, None)
        except BaseLibp2pError as error:
            logger.debug("inbound %s not upgraded: %s", raw_conn.get_remote_address(), error)
        finally:
            self._strangers.pop(scope, None)
        connection = self._add(muxed_conn) if muxed_conn is not None else None
        if connection is not None:
            await self._serve(connection)

    # -- dialling -----------------------------------------------------------------------------

    async def dial_peer(self, peer_id: ID) -> list[SwarmConn]:  # type: ignore[override]
        """
        Return the connections to a peer, dialling its known addresses if there is none.

        Callers who ask for the same peer at the same time share one dial.

        :raises SwarmDialAllFailedError: naming each address and why it failed.
        """
        if existing := self.get_connections(peer_id):
            return existing
        if peer_id == self.self_id:
            raise SwarmDialAllFailedError("a host cannot dial itself", peer_id)
        dial = self._dials.get(peer_id)
        if dial is None:
            dial = self._dials[peer_id] = _SharedDial()
            self.start_soon(self._run_dial, peer_id, dial)
        await dial.wait()
        return self.get_connections(peer_id)

    async def _run_dial(self, peer_id: ID, dial: _SharedDial) -> None:
        try:
            with dial.scope:
                addresses = [
                    address
                    for address in self.peerstore.addrs(peer_id)
                    if self.transport.can_dial(address)
                ]
                await self._dialer.dial_peer(peer_id, addresses)
        except SwarmDialAllFailedError as error:
            dial.error = error
        finally:
            del self._dials[peer_id]
            dial.done.set()

    async def dial_addr(self, addr: Multiaddr, peer_id: ID) -> SwarmConn:
        """
        Connect to a peer at this address.

        :raises DialError: saying why it failed.
        """
        return await self._dialer.dial_address(peer_id, addr)

    async def _dial_and_add(self, addr: Multiaddr, peer_id: ID) -> SwarmConn:
        raw_conn = await self.transport.dial(addr)
        connection = self._add(await self._upgrade(raw_conn, peer_id))
        if connection is None:
            raise SwarmException("the limit of connections is reached")
        self.start_soon(self._serve, connection)
        return connection

    async def _upgrade(self, raw_conn: TcpConnection, peer_id: ID | None) -> Yamux:
        """Secure and multiplex ``raw_conn``, or close it."""
        try:
            secured = await self.upgrader.upgrade_security(raw_conn, raw_conn.is_initiator, peer_id)
            remote_peer = secured.get_remote_peer()
            muxed_conn = cast("Yamux", await self.upgrader.upgrade_connection(secured, remote_peer))
            # The dial of another address may have won while this task was about to run.
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            raw_conn.abort()
            raise
        muxed_conn.session.budget.parent = self._budget
        return muxed_conn

    # -- the table ----------------------------------------------------------------------------

    def _is_full(self) -> bool:
        return self.get_total_connections() >= self.config.max_connections

    def _add(self, muxed_conn: Yamux) -> SwarmConn | None:
        """Enter a connection into the table; None, and it is dropped, if there is no room."""
        peers = self.connections.setdefault(muxed_conn.peer_id, [])
        if self._is_full() or len(peers) >= self.config.max_connections_per_peer:
            muxed_conn.secured_conn.abort()
            if not peers:
                del self.connections[muxed_conn.peer_id]
            return None
        connection = SwarmConn(muxed_conn)
        peers.append(connection)
        return connection

    async def _serve(self, connection: SwarmConn) -> None:
        """Run a connection of the table until it ends, and take it out."""
        self.peerstore.add_pubkey(
            connection.peer_id, connection.muxed_conn.secured_conn.get_remote_public_key()
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notify_connected, connection)
            try:
                await connection.run(self._accept_stream)
            finally:
                self._remove(connection)
        for notifee in tuple(self._notifees):
            await notifee.disconnected(self, connection)

    async def _notify_connected(self, connection: SwarmConn) -> None:
        for notifee in tuple(self._notifees):
            await notifee.connected(self, connection)

    def _remove(self, connection: SwarmConn) -> None:
        connection.event_identified.set()
        remaining = [c for c in self.connections[connection.peer_id] if c is not connection]
        if remaining:
            self.connections[connection.peer_id] = remaining
        else:
            del self.connections[connection.peer_id]

    def get_peer_id(self) -> ID:
        """Return this side's peer id."""
        return self.self_id

    def get_connections(self, peer_id: ID | None = None) -> list[SwarmConn]:  # type: ignore[override]
        """Return the live connections to a peer, or to all; the best to use is last."""
        if peer_id is not None:
            return [c for c in self.connections.get(peer_id, ()) if not c.is_closed]
        return [c for peers in self.connections.values() for c in peers if not c.is_closed]

    def get_connections_map(self) -> dict[ID, list[SwarmConn]]:
        """Return the connections by peer."""
        return {peer_id: list(peers) for peer_id, peers in self.connections.items()}

    def get_connection(self, peer_id: ID) -> SwarmConn | None:
        """Return the connection that a new stream to this peer would use."""
        live = self.get_connections(peer_id)
        return live[-1] if live else None

    def get_total_connections(self) -> int:
        """Return how many connections there are."""
        return sum(map(len, self.connections.values()))

    async def close_peer(self, peer_id: ID) -> None:
        """Close all connections to a peer."""
        for connection in self.get_connections(peer_id):
            await connection.close()

    # -- streams ------------------------------------------------------------------------------

    def set_stream_handler(self, stream_handler: StreamHandlerFn) -> None:
        """Give every inbound stream to ``stream_handler``, in a task of its connection."""

        def accept(stream: NetStream) -> None:
            assert stream.swarm_conn is not None
            stream.swarm_conn.start_handler(stream_handler, stream)

        self._accept_stream = accept

    def set_stream_acceptor(self, accept: Callable[[NetStream], None]) -> None:
        """Give every inbound stream to ``accept``, in its connection's read loop."""
        self._accept_stream = accept

    async def new_stream(self, peer_id: ID, *, no_dial: bool = False) -> NetStream:
        """
        Open a stream to a peer, connecting first if need be; nothing is agreed on it yet.

        :param no_dial: fail instead of connecting.
        :raises SwarmDialAllFailedError: if there is no connection and none can be made.
        :raises MuxedConnUnavailable: if the connection ends meanwhile.
        """
        if no_dial:
            connections = self.get_connections(peer_id)
            if not connections:
                raise SwarmException(f"there is no connection to {peer_id}")
        else:
            connections = await self.dial_peer(peer_id)
            if not connections:
                raise SwarmException(f"the connection to {peer_id} ended at once")
        return await connections[-1].new_stream()

    # -- notifees -----------------------------------------------------------------------------

    def register_notifee(self, notifee: INotifee) -> None:
        """Tell ``notifee`` what happens from now on."""
        self._notifees.append(notifee)

    def remove_notifee(self, notifee: INotifee) -> None:
        """Tell ``notifee`` nothing more."""
        if notifee in self._notifees:
            self._notifees.remove(notifee)


class _SharedDial:
    """A dial that several callers wait for; it is cancelled when the last of them gives up."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.scope = trio.CancelScope()
        self.error: SwarmDialAllFailedError | None = None
        self._waiting = 0

    async def wait(self) -> None:
        """Wait for the end of the dial."""
        self._waiting += 1
        try:
            await self.done.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.scope.cancel()
        if self.error is not None:
            raise SwarmDialAllFailedError(
                str(self.error),
                self.error.peer_id,
                self.error.num_addrs_tried,
                self.error.errors,
            )
