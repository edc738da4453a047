"""
The seam between transports and the network above them.

A `Transport` yields secured and multiplexed connections, and the network knows nothing else of
it: no socket, no security protocol, no muxer. Where the bytes of a connection have to be secured
and multiplexed first, as those of TCP, `UpgradedTransport` makes a `Transport` of a `RawTransport`
and an upgrader.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import trio
    from multiaddr import Multiaddr

    from libp2p.abc import IRawConnection
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.connection_types import ConnectionType
    from libp2p.crypto.keys import PublicKey
    from libp2p.peer.id import ID
    from libp2p.resources import Resources


class MuxedStream(Protocol):
    """
    One stream of a `MuxedConnection`. `YamuxStream` says in detail what each method does and
    raises; every other muxer's has to do the same.
    """

    @property
    def muxed_conn(self) -> MuxedConnection:
        """The connection that the stream belongs to."""
        ...

    @property
    def stream_id(self) -> int:
        """A number that no other open stream of the connection has."""
        ...

    @property
    def is_closed(self) -> bool:
        """True once both directions have ended."""
        ...

    @property
    def is_writable(self) -> bool:
        """True until this side closes or resets the stream, or the connection ends."""
        ...

    @property
    def is_reset(self) -> bool:
        """True once either side has reset the stream, or the connection was lost."""
        ...

    @property
    def recv_closed(self) -> bool:
        """True once the peer has sent its last byte, or this side reads no more."""
        ...

    def receive(self) -> Coroutine[object, object, list[Buffer]]:
        """Return all bytes at hand, waiting for at least one; empty at the clean end."""
        ...

    def receive_nowait(self, limit: int = ...) -> list[Buffer] | None:
        """Do as `receive`, for up to ``limit`` bytes, if it need not wait; else return None."""
        ...

    def on_readable(self, callback: Callable[[], object] | None) -> None:
        """Call ``callback`` whenever `receive_nowait` may have something new."""
        ...

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back: it is what the next read returns."""
        ...

    async def read(self, n: int | None = -1) -> bytes:
        """Return 1 to ``n`` bytes; all up to the end if ``n`` is None or negative."""
        ...

    async def read_exactly(self, n: int) -> bytes:
        """Return exactly ``n`` bytes."""
        ...

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Write ``buffers`` in order."""
        ...

    def send_nowait(self, buffers: Sequence[Buffer]) -> bool:
        """Do as `send` if it need not wait; else return False, and nothing was written."""
        ...

    async def wait_writable(self) -> None:
        """Wait until there is room for something, or until `send` would fail."""
        ...

    def queue(self, data: bytes) -> None:
        """Put a few bytes before what is written next, without sending them yet."""
        ...

    async def close(self) -> None:
        """Close both directions; what was written is still delivered."""
        ...

    def close_nowait(self) -> None:
        """Do what `close` does, which never waits."""
        ...

    async def close_read(self) -> None:
        """Read no more."""
        ...

    async def close_write(self) -> None:
        """Write no more; reading goes on."""
        ...

    def abort(self, error_code: int = 0) -> None:
        """Abort both directions at once, with an error code for the peer."""
        ...

    def set_deadline(self, ttl: float) -> bool:
        """Let reads and writes fail that are not done within ``ttl`` seconds; 0 means never."""
        ...

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port), if it has them."""
        ...


@runtime_checkable
class MuxedConnection(Protocol):
    """A connection to a peer whose identity is proved, and that carries any number of streams."""

    @property
    def peer_id(self) -> ID:
        """The peer at the other end."""
        ...

    @property
    def remote_public_key(self) -> PublicKey:
        """The key that the peer's id belongs to."""
        ...

    @property
    def security_protocol(self) -> TProtocol | None:
        """What secures the connection; None if that has no name."""
        ...

    @property
    def is_initiator(self) -> bool:
        """True if this side dialled."""
        ...

    @property
    def is_closed(self) -> bool:
        """True once the connection has ended or is ending."""
        ...

    @property
    def close_cause(self) -> BaseException | None:
        """What ended the connection; None while it lives."""
        ...

    @property
    def active_at(self) -> float:
        """When a stream was opened last, or stream data came, in trio's time; 0 before."""
        ...

    def rtt(self) -> float:
        """Return the round-trip time in seconds; 0 until it was measured."""
        ...

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port), if it has them."""
        ...

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address."""
        ...

    def get_connection_type(self) -> ConnectionType:
        """Tell whether the connection is direct or relayed."""
        ...

    async def run(self) -> None:
        """Serve the connection until either side ends it; before that no data moves."""
        ...

    async def open_stream(self) -> MuxedStream:
        """
        Open a stream.

        :raises MuxedConnUnavailable: if the connection has ended.
        """
        ...

    def on_stream(self, handler: Callable[[MuxedStream], None]) -> None:
        """Hand each inbound stream to ``handler``, which must not wait."""
        ...

    def on_stream_end(self, callback: Callable[[int], object] | None) -> None:
        """
        Call ``callback`` with the id of each stream that has ended in both directions.

        The callback must not use any stream: the connection is in the middle of a step. None
        removes the callback.
        """
        ...

    async def close(self, error_code: int = 0) -> None:
        """Tell the peer, wait until it has what was written before, and end."""
        ...

    def abort(self) -> None:
        """End the connection at once, also one that never ran; what was written may be lost."""
        ...


class Incoming(Protocol):
    """A connection that a peer has opened and that is not secured yet."""

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port), if it has them."""
        ...

    async def upgrade(self) -> MuxedConnection:
        """
        Secure and multiplex the connection; if that fails or is cancelled, it is closed.

        :raises UpgradeFailure: if the peer and this side do not come to terms.
        """
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...


#: Handles an inbound connection; each call is awaited in a task of its own.
OnConnection: TypeAlias = "Callable[[Incoming], Awaitable[None]]"
#: Waits until there is room for a connection; awaited before one is accepted. Meanwhile connections
#: wait where the transport keeps them.
Admit: TypeAlias = "Callable[[], Awaitable[None]]"


class Listener(Protocol):
    """An address that is listened on."""

    def get_addrs(self) -> Sequence[Multiaddr]:
        """Return the addresses listened on, with what the transport has chosen, such as a port."""
        ...

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept connections until `close`, each handled in ``nursery``."""
        ...

    async def close(self) -> None:
        """Stop listening; accepted connections are not touched."""
        ...


@runtime_checkable
class Transport(Protocol):
    """A way to connect to peers."""

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Tell whether `dial` understands ``maddr``."""
        ...

    def can_listen(self, maddr: Multiaddr) -> bool:
        """Tell whether `listen` understands ``maddr``."""
        ...

    async def dial(self, maddr: Multiaddr, peer_id: ID) -> MuxedConnection:
        """
        Connect to ``peer_id`` at ``maddr``. The deadline is the caller's.

        :raises OpenConnectionError: if nothing answers there.
        :raises UpgradeFailure: if it is another peer, or the two do not come to terms.
        """
        ...

    async def listen(self, maddr: Multiaddr, on_connection: OnConnection, admit: Admit) -> Listener:
        """
        Begin to listen; connections wait until the listener's `serve` runs.

        :raises OpenConnectionError: if ``maddr`` cannot be listened on.
        """
        ...


class RawListener(Listener, Protocol):
    """A `Listener` whose connections are neither secured nor multiplexed."""

    async def listen(self, maddr: Multiaddr) -> None:
        """
        Begin to listen.

        :raises OpenConnectionError: if ``maddr`` cannot be listened on.
        """
        ...


@runtime_checkable
class RawTransport(Protocol):
    """
    A way to exchange bytes with peers. The connections are of the kind that moves batches: each is
    a `libp2p.io.abc.RawChannel` as well.
    """

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Tell whether `dial` understands ``maddr``."""
        ...

    def can_listen(self, maddr: Multiaddr) -> bool:
        """Tell whether a listener understands ``maddr``."""
        ...

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        """
        Connect.

        :raises OpenConnectionError: if nothing answers there.
        """
        ...

    def create_listener(
        self,
        handler_function: Callable[..., Awaitable[None]],
        admit: Admit | None = None,
    ) -> RawListener:
        """Return a listener that gives each connection to ``handler_function``."""
        ...


class Upgrader(Protocol):
    """What secures and multiplexes the connections of raw transports."""

    def over(self, raw: RawTransport, resources: Resources) -> Transport:
        """Return a transport that secures and multiplexes the connections of ``raw``."""
        ...
