"""
Hosts joined in memory: what bitswap uses of a host, its network and its streams.

Streams have a window, so that a reader that does not read stops the writer, and every way to end:
the clean end of each half, a reset from either side, a lost connection. `tests/conformance` runs
the same tests over these hosts and over real ones, so that what passes here is true there.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import trio
from multiaddr import Multiaddr

from libp2p.events import EVENTS, PeerConnected, PeerDisconnected
from libp2p.exceptions import (
    BaseLibp2pError,
    ConnectionFailure,
    HostException,
    ProtocolNotSupportedError,
    StreamClosed,
    StreamEOF,
    StreamFailure,
    StreamReset,
)
from libp2p.host.inbound import StreamAcceptor
from libp2p.network.config import SwarmConfig
from libp2p.network.connection_manager import ConnectionManager
from libp2p.network.notifees import Notifees
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.resources import Resources
from libp2p.utils.event_bus import EventBus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from libp2p.abc import INetConn, INetwork
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.utils.event_bus import Subscription

WINDOW = 256 * 1024
FRAME = 65_507

logger = logging.getLogger(__name__)
#: What handlers, services and subscribers have raised. A real host logs it and lives; here a test
#: fails that does not look at it (`tests/drivers/conftest.py`).
failures: list[Exception] = []

_ports = count(1)


def peer_id(name: str) -> ID:
    """A peer id made of a name."""
    return ID(b"\x00" + bytes((len(name),)) + name.encode())


class _Half:
    """One direction of a stream."""

    def __init__(self) -> None:
        self.buffers: deque[Buffer] = deque()
        self.size = 0
        self.ended = False
        self.was_reset = False
        self.changed = trio.lowlevel.ParkingLot()
        self.on_change: Callable[[], object] | None = None
        """Called, too, when something has come for the reader."""

    async def send(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            view = memoryview(buffer)
            for at in range(0, len(view), FRAME):
                await self._send_one(view[at : at + FRAME])
        await trio.lowlevel.checkpoint()

    def send_nowait(self, buffers: Sequence[Buffer]) -> bool:
        if self.size and self.size + sum(map(len, buffers)) > WINDOW:
            return False
        for buffer in buffers:
            self._put(memoryview(buffer))
        return True

    async def _send_one(self, view: memoryview) -> None:
        while self.size >= WINDOW and not self.was_reset:
            await self.changed.park()
        self._put(view)

    def _put(self, view: memoryview) -> None:
        if self.was_reset:
            raise StreamReset
        if self.ended:
            raise StreamClosed("closed for writing")
        self.buffers.append(view)
        self.size += len(view)
        self._note_change()

    async def receive(self) -> list[Buffer]:
        while (buffers := self.receive_nowait()) is None:
            await self.changed.park()
        return buffers

    def receive_nowait(self, limit: int = 2**31) -> list[Buffer] | None:
        if self.was_reset:
            raise StreamReset
        if not self.buffers:
            return [] if self.ended else None
        taken: list[Buffer] = []
        while self.buffers and limit:
            view = memoryview(self.buffers.popleft())
            if len(view) > limit:
                self.buffers.appendleft(view[limit:])
            taken.append(view[:limit])
            limit -= len(taken[-1])
        self.size -= sum(map(len, taken))
        self.changed.unpark_all()
        return taken

    def unread(self, data: Buffer) -> None:
        self.buffers.appendleft(data)
        self.size += len(data)

    def end(self) -> None:
        self.ended = True
        self._note_change()

    def reset(self) -> None:
        self.was_reset = True
        self._note_change()

    def _note_change(self) -> None:
        self.changed.unpark_all()
        if self.on_change is not None:
            self.on_change()


class FakeStream:
    """One end of a stream."""

    def __init__(
        self, connection: FakeConnection, protocol: TProtocol, outgoing: _Half, incoming: _Half
    ) -> None:
        self.muxed_conn = connection
        self._protocol = protocol
        self._outgoing = outgoing
        self._incoming = incoming
        self._unread = bytearray()
        self._callback: Callable[[], object] | None = None

    @property
    def remote_peer_id(self) -> ID:
        return self.muxed_conn.peer_id

    @property
    def write_ended(self) -> bool:
        return self._outgoing.ended

    @property
    def was_reset(self) -> bool:
        return self._outgoing.was_reset

    @property
    def unread_bytes(self) -> int:
        """Bytes sent here that the other end has not read."""
        return self._outgoing.size

    def get_protocol(self) -> TProtocol:
        return self._protocol

    async def send(self, buffers: Sequence[Buffer]) -> None:
        await self._outgoing.send(buffers)

    def send_nowait(self, buffers: Sequence[Buffer]) -> bool:
        return self._outgoing.send_nowait(buffers)

    async def receive(self) -> list[Buffer]:
        return await self._incoming.receive()

    def receive_nowait(self, limit: int = 2**31) -> list[Buffer] | None:
        return self._incoming.receive_nowait(limit)

    def on_readable(self, callback: Callable[[], object] | None) -> None:
        """Have ``callback`` called in the host's read loop whenever something has come."""
        host = self.muxed_conn.host
        self._callback = callback
        self._incoming.on_change = None if callback is None else partial(host.read_soon, self)

    def call_back(self) -> None:
        """Call the callback; what it raises ends the stream, as in `YamuxStream`."""
        if self._callback is None:
            return
        try:
            self._callback()
        except Exception as error:  # task's edge, as the real stream has it
            failures.append(error)
            logger.exception("reading failed")
            self.on_readable(None)
            self.cut()

    def unread(self, data: Buffer) -> None:
        self._incoming.unread(data)

    async def write(self, data: bytes) -> None:
        await self.send([data])

    async def read(self, n: int | None = None) -> bytes:
        """Return 1 to ``n`` bytes, or all up to the end if ``n`` is None."""
        pieces = self._unread
        while n is None or not pieces:
            if not (buffers := await self.receive()):
                break
            pieces += b"".join(buffers)
        if n is not None and not pieces:
            raise StreamEOF
        taken = bytes(pieces[:n])
        del pieces[:n]
        return taken

    async def close_write(self) -> None:
        self._outgoing.end()
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await self.close_write()

    def close_nowait(self) -> None:
        self._outgoing.end()

    async def reset(self, error_code: int = 0) -> None:
        self.cut()
        await trio.lowlevel.checkpoint()

    def abort(self, error_code: int = 0) -> None:
        self.cut()

    def cut(self) -> None:
        """Reset both directions, as a lost connection does."""
        self._outgoing.reset()
        self._incoming.reset()


class FakeConnection:
    """One end of a connection."""

    def __init__(self, host: FakeHost, remote: FakeHost) -> None:
        self.host = host
        self.remote = remote
        self.peer_id = remote.get_id()
        self.muxed_conn = self
        self.streams: list[FakeStream] = []

    def get_transport_addresses(self) -> list[Multiaddr]:
        return self.remote.addresses


class WatchedBus(EventBus):
    """Notes what subscribers have raised. A real host logs it and lives; here a test fails."""

    def subscribe(self, callback: Callable[[Any], object], *kinds: type[Any]) -> Subscription:
        def watched(event: object) -> None:
            try:
                callback(event)
            except Exception as error:
                failures.append(error)
                raise

        return super().subscribe(watched, *kinds)

    @property
    def is_used(self) -> bool:
        return self.wants(*EVENTS)

    def count_of(self, kind: type) -> int:
        return len(self._subscriptions.get(kind, ()))

    def forget_all(self) -> None:
        """Have nobody told any more, as if the news were still on its way."""
        self._subscriptions.clear()


class FakeNetwork:
    """The connections of a host and who is told of them."""

    def __init__(self, start: Callable[..., None]) -> None:
        self.connections: dict[ID, list[FakeConnection]] = {}
        self.events = WatchedBus()
        self.connection_manager = ConnectionManager(SwarmConfig().max_tagged_peers)
        notifees = Notifees(cast("INetwork", self), start)
        self.register_notifee = notifees.add
        self.remove_notifee = notifees.remove

    def get_connections(self, peer_id: ID) -> list[FakeConnection]:
        return self.connections.get(peer_id, [])


class FakeHost:
    """A host whose handlers and services run in ``nursery``, or for the length of `run`."""

    def __init__(self, nursery: trio.Nursery | None, name: str) -> None:
        self._nursery = nursery
        self._id = peer_id(name)
        self._closed = False
        self.network = FakeNetwork(self._start)
        self.resources = Resources()
        self.peerstore = PeerStore()
        self.handlers: dict[TProtocol, Callable[[FakeStream], Awaitable[None]]] = {}
        self.opened: list[FakeStream] = []
        """Every stream that this host has opened."""
        self.addresses: list[Multiaddr] = []
        """Where it is; near, if there are none."""
        self.known: dict[ID, FakeHost] = {}
        """Hosts that `connect` finds."""
        self.fail_streams = 0
        """How many of the next streams cannot be opened."""
        self.door = Door()
        """What dials of it pass through."""
        self._calls: deque[Callable[[], object]] = deque()
        self._called = trio.lowlevel.ParkingLot()
        self._reads = False

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run for the length of the block; afterwards the host is closed."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                yield
                self._nursery = None
                nursery.cancel_scope.cancel()
        finally:
            self._nursery, self._closed = None, True
            for peer in list(self.network.connections):
                await self.disconnect(peer)

    def get_id(self) -> ID:
        return self._id

    def get_network(self) -> FakeNetwork:
        return self.network

    def get_connected_peers(self) -> list[ID]:
        return list(self.network.connections)

    def set_stream_handler(
        self, protocol: TProtocol, handler: Callable[[FakeStream], Awaitable[None]]
    ) -> None:
        self.handlers[protocol] = handler

    def remove_stream_handler(self, protocol: TProtocol) -> None:
        self.handlers.pop(protocol, None)

    def start_service(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        self._in_use().start_soon(self._run_service, task, *args, name=task)

    def read_soon(self, stream: FakeStream) -> None:
        """Call back who reads a stream, in the read loop."""
        self._call_soon(stream.call_back)

    def _call_soon(self, call: Callable[[], object]) -> None:
        self._calls.append(call)
        self._called.unpark_all()
        if not self._reads and self._nursery is not None:
            self._reads = True
            self.start_service(self._read_loop)

    async def _read_loop(self) -> None:
        """Do what the read loops of a real host's connections do."""
        try:
            while True:
                while self._calls:
                    self._calls.popleft()()
                    await trio.lowlevel.checkpoint()
                await self._called.park()
        finally:
            self._reads = False

    def _start(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        if self._nursery is not None:
            self.start_service(task, *args)

    def _in_use(self, error: type[HostException] = HostException) -> trio.Nursery:
        if self._nursery is None:
            raise error("the host is closed" if self._closed else "the host is not running")
        return self._nursery

    async def _run_service(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        try:
            await task(*args)
        except Exception as error:  # task's edge, as the real host has it
            failures.append(error)
            logger.exception("the service %r failed", task)

    async def _handle(
        self, handler: Callable[[FakeStream], Awaitable[None]], stream: FakeStream
    ) -> None:
        try:
            await handler(stream)
        except StreamEOF:
            await stream.close()
        except BaseLibp2pError:
            stream.cut()
        except Exception as error:  # task's edge, as the real host has it
            failures.append(error)
            logger.exception("a handler failed")
            stream.cut()

    def get_peerstore(self) -> PeerStore:
        return self.peerstore

    async def connect(self, peer_info: PeerInfo, *, hearsay: bool = False) -> None:
        await trio.lowlevel.checkpoint()
        self._in_use(ConnectionFailure)
        peer = peer_info.peer_id
        found = [PLACES[address] for address in peer_info.addrs if address in PLACES]
        if found and found[0].get_id() == peer:
            self.known[peer] = found[0]
        await self._dial(peer)

    async def _dial(self, peer: ID) -> None:
        if self.network.get_connections(peer):
            return
        if peer == self._id:
            raise ConnectionFailure("a host cannot dial itself")
        remote = self.known.get(peer)
        if remote is None:
            raise ConnectionFailure(f"no way to {peer}")
        await remote.door.enter()
        self._in_use(ConnectionFailure)
        if remote._nursery is None:
            raise ConnectionFailure(f"nobody listens for {peer}")
        if remote.door.refuses:
            raise ConnectionFailure(f"{peer} closed the connection at once")
        if not self.network.get_connections(peer):
            await connect(self, remote)

    async def disconnect(self, peer: ID) -> None:
        """Close all connections to a peer."""
        await trio.lowlevel.checkpoint()
        while connections := self.network.get_connections(peer):
            await disconnect(self, connections[0].remote)

    async def new_stream(
        self, peer: ID, protocols: Sequence[TProtocol], *, no_dial: bool = False
    ) -> FakeStream:
        await trio.lowlevel.checkpoint()
        self._in_use(StreamFailure)
        if self.fail_streams:
            self.fail_streams -= 1
            raise StreamFailure("no stream today")
        if not no_dial:
            try:
                await self._dial(peer)
            except ConnectionFailure as error:
                raise StreamFailure(str(error)) from error
        connections = self.network.get_connections(peer)
        if not connections:
            raise StreamFailure(f"not connected to {peer}")
        for protocol in protocols:
            if protocol in connections[-1].remote.handlers:
                return self._open(connections[-1], protocol)
        raise StreamFailure("no protocol") from ProtocolNotSupportedError("none of them")

    def _open(self, connection: FakeConnection, protocol: TProtocol) -> FakeStream:
        remote = connection.remote
        other = next(c for c in remote.network.get_connections(self._id) if c.remote is self)
        there, back = _Half(), _Half()
        mine = FakeStream(connection, protocol, there, back)
        theirs = FakeStream(other, protocol, back, there)
        connection.streams.append(mine)
        other.streams.append(theirs)
        self.opened.append(mine)
        handler: Any = remote.handlers[protocol]
        if isinstance(handler, StreamAcceptor):
            remote._call_soon(partial(handler.accept, cast("NetStream", theirs), []))
        else:
            remote.start_service(remote._handle, handler, theirs)
        return mine


class Door:
    """The way in to a host: it may be shut, and it may lead out again at once."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.gate.set()
        self.refuses = False
        self.arrived = 0
        self._arrival = trio.lowlevel.ParkingLot()

    def shut(self) -> None:
        """Hold up whoever comes from now on until `gate` is set."""
        self.gate = trio.Event()

    async def enter(self) -> None:
        self.arrived += 1
        self._arrival.unpark_all()
        await self.gate.wait()

    async def until_arrived(self, number: int) -> None:
        """Wait until so many have come."""
        while self.arrived < number:
            await self._arrival.park()


PLACES: dict[Multiaddr, FakeHost] = {}
"""Hosts by their addresses, for those that have some."""


def place(host: FakeHost) -> Multiaddr:
    """Give a host an address by which all others find it."""
    address = Multiaddr(f"/ip4/127.0.0.1/tcp/{next(_ports)}")
    PLACES[address] = host
    return address


async def connect(one: FakeHost, two: FakeHost) -> None:
    """Join two hosts by a connection, by one more if they have one."""
    made = []
    for host, remote in ((one, two), (two, one)):
        connection = FakeConnection(host, remote)
        host.network.connections.setdefault(remote.get_id(), []).append(connection)
        made.append(connection)
    for connection in made:
        connection.host.network.events.emit(PeerConnected(cast("INetConn", connection)))
    await trio.lowlevel.checkpoint()


async def disconnect(one: FakeHost, two: FakeHost) -> None:
    """Lose the oldest connection between two hosts, with its streams."""
    lost = []
    for host, remote in ((one, two), (two, one)):
        connections = host.network.connections[remote.get_id()]
        lost.append(connections.pop(0))
        if not connections:
            del host.network.connections[remote.get_id()]
    for connection in lost:
        for stream in connection.streams:
            stream.cut()
    for connection in lost:
        connection.host.network.events.emit(PeerDisconnected(cast("INetConn", connection)))
    await trio.lowlevel.checkpoint()
