"""
The interfaces that users subclass or annotate with, by py-libp2p's names.

They are typed against names only: importing this module loads nothing but other interfaces. What
the stack itself needs of a part stands as a `Protocol` beside its user.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

from libp2p.connection_types import ConnectionType as ConnectionType  # noqa: TC001 - re-export
from libp2p.io.abc import Closer, ReadWriteCloser
from libp2p.peer.abc import IAddrBook as IAddrBook
from libp2p.peer.abc import ICertifiedAddrBook as ICertifiedAddrBook
from libp2p.peer.abc import IKeyBook as IKeyBook
from libp2p.peer.abc import IMetrics as IMetrics
from libp2p.peer.abc import IPeerMetadata as IPeerMetadata
from libp2p.peer.abc import IPeerStore as IPeerStore  # noqa: TC001 - re-export
from libp2p.peer.abc import IProtoBook as IProtoBook
from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer, TProtocol
    from libp2p.crypto.keys import PrivateKey, PublicKey
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo as PeerInfo
    from libp2p.utils.event_bus import EventBus

# They are no texts, so that programs can annotate with ``TMuxerOptions | None``.
THandler: TypeAlias = Callable[[ReadWriteCloser], Awaitable[None]]
StreamHandlerFn: TypeAlias = Callable[["INetStream"], Awaitable[None]]
#: A class, or another function that takes a secure connection, a peer id, and the rest by name.
TMuxerClass: TypeAlias = Callable[..., "IMuxedConn"]
TMuxerOptions: TypeAlias = Mapping["TProtocol", TMuxerClass]
TSecurityOptions: TypeAlias = Mapping["TProtocol", "ISecureTransport"]

# Other names of py-libp2p's module; they are loaded when they are first used.
if TYPE_CHECKING:
    from libp2p.routing import abc as routers

    IContentRouting = routers.ContentRouter
    IPeerRouting = routers.PeerRouter
else:
    __getattr__, _, _ = lazy_names(
        __name__,
        {
            "libp2p.peer.peerinfo": ["PeerInfo"],
            "libp2p.routing.abc": [
                "ContentRouter as IContentRouting",
                "PeerRouter as IPeerRouting",
            ],
        },
    )


@dataclass
class CMInfo:
    """
    How many connections there are and may be.

    :param grace_period: seconds in which a new or idle connection is left alone.
    :param last_trim: when connections were closed for being too many, in seconds of the epoch.
    """

    low_watermark: int
    high_watermark: int
    connected_count: int
    grace_period: float
    last_trim: float | None


# -- connections and streams ----------------------------------------------------------------------


class IRawConnection(ReadWriteCloser):
    """A transport's connection, neither secured nor multiplexed."""

    @abstractmethod
    def get_transport_addresses(self) -> list[Multiaddr]: ...

    @abstractmethod
    def get_connection_type(self) -> ConnectionType: ...


class AbstractSecureConn(ABC):
    """The identities of both ends, which a handshake has proved."""

    @abstractmethod
    def get_local_peer(self) -> ID: ...

    @abstractmethod
    def get_local_private_key(self) -> PrivateKey: ...

    @abstractmethod
    def get_remote_peer(self) -> ID: ...

    @abstractmethod
    def get_remote_public_key(self) -> PublicKey: ...


class ISecureConn(AbstractSecureConn, IRawConnection):
    """An encrypted connection with a peer whose identity is proved."""


class IMuxedConn(ABC):
    """A connection that carries many streams."""

    peer_id: ID

    @property
    @abstractmethod
    def is_initiator(self) -> bool: ...

    @property
    @abstractmethod
    def is_established(self) -> bool: ...

    @property
    @abstractmethod
    def is_closed(self) -> bool: ...

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def open_stream(self) -> IMuxedStream: ...

    @abstractmethod
    async def accept_stream(self) -> IMuxedStream: ...

    @abstractmethod
    def get_transport_addresses(self) -> list[Multiaddr]: ...

    @abstractmethod
    def get_connection_type(self) -> ConnectionType: ...


class _ResettableStream(ReadWriteCloser):
    """What ``async with`` does with the streams below."""

    @abstractmethod
    async def reset(self, error_code: int = 0) -> None: ...

    async def aclose(self) -> None:
        """Do what `close` does, under trio's name for it."""
        await self.close()

    async def __aenter__(self) -> Self:
        """Use the stream for the block."""
        return self

    async def __aexit__(self, exc_type: object, *_: object) -> None:
        """Close the stream, or reset it if the block failed: the peer must not take it for all."""
        if exc_type is None:
            await self.close()
        else:
            await self.reset()


class IMuxedStream(_ResettableStream):
    """One stream of a multiplexed connection."""

    muxed_conn: IMuxedConn

    @abstractmethod
    def set_deadline(self, ttl: float) -> bool: ...


class INetStream(_ResettableStream):
    """A stream on which a protocol has been agreed, as handlers get it; a `Channel`."""

    muxed_conn: IMuxedConn

    @abstractmethod
    async def receive(self) -> list[Buffer]: ...

    @abstractmethod
    def unread(self, data: Buffer) -> None: ...

    @abstractmethod
    async def send(self, buffers: Sequence[Buffer]) -> None: ...

    def send_nowait(self, buffers: Sequence[Buffer]) -> bool:
        """Do as `send` if it need not wait; else return False, and nothing was written."""
        return False

    @abstractmethod
    def get_protocol(self) -> TProtocol | None: ...

    @abstractmethod
    def set_protocol(self, protocol_id: TProtocol) -> None: ...

    @abstractmethod
    async def close_write(self) -> None: ...

    @abstractmethod
    async def close_read(self) -> None: ...


class INetConn(Closer):
    """A connection as the network sees it."""

    muxed_conn: IMuxedConn

    @property
    @abstractmethod
    def is_closed(self) -> bool: ...

    @abstractmethod
    async def new_stream(self) -> INetStream: ...

    @abstractmethod
    def get_streams(self) -> tuple[INetStream, ...]: ...

    @abstractmethod
    def get_transport_addresses(self) -> list[Multiaddr]: ...

    @abstractmethod
    def get_connection_type(self) -> ConnectionType: ...


# -- network and host -----------------------------------------------------------------------------


class IListener(ABC):
    """A transport's open ports."""

    @abstractmethod
    async def listen(self, maddr: Multiaddr) -> None: ...

    @abstractmethod
    def get_addrs(self) -> tuple[Multiaddr, ...]: ...

    @abstractmethod
    async def close(self) -> None: ...


class INetwork(ABC):
    """All connections of this process, by peer."""

    peerstore: IPeerStore
    connections: dict[ID, list[INetConn]]
    events: EventBus

    @abstractmethod
    def get_peer_id(self) -> ID: ...

    @abstractmethod
    def get_connections(self, peer_id: ID | None = None) -> list[INetConn]: ...

    @abstractmethod
    async def dial_peer(self, peer_id: ID) -> list[INetConn]: ...

    @abstractmethod
    async def new_stream(self, peer_id: ID) -> INetStream: ...

    @abstractmethod
    def set_stream_handler(self, stream_handler: StreamHandlerFn) -> None: ...

    @abstractmethod
    async def listen(self, *multiaddrs: Multiaddr) -> bool: ...

    @abstractmethod
    def register_notifee(self, notifee: INotifee) -> None: ...

    @abstractmethod
    def remove_notifee(self, notifee: INotifee) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def close_peer(self, peer_id: ID) -> None: ...


class INetworkService(INetwork):
    """A network that has a life of its own: the swarm."""


class INotifee(ABC):
    """Called when connections and listeners begin and end; its methods must be quick."""

    @abstractmethod
    async def opened_stream(self, network: INetwork, stream: INetStream) -> None: ...

    @abstractmethod
    async def closed_stream(self, network: INetwork, stream: INetStream) -> None: ...

    @abstractmethod
    async def connected(self, network: INetwork, conn: INetConn) -> None: ...

    @abstractmethod
    async def disconnected(self, network: INetwork, conn: INetConn) -> None: ...

    @abstractmethod
    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None: ...

    @abstractmethod
    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...


class IHost(ABC):
    """A peer: identity, connections, protocols."""

    @abstractmethod
    def get_id(self) -> ID: ...

    @abstractmethod
    def get_public_key(self) -> PublicKey: ...

    @abstractmethod
    def get_private_key(self) -> PrivateKey: ...

    @abstractmethod
    def get_network(self) -> INetworkService: ...

    @abstractmethod
    def get_mux(self) -> IMultiselectMuxer: ...

    @abstractmethod
    def get_addrs(self) -> list[Multiaddr]: ...

    @abstractmethod
    def get_peerstore(self) -> IPeerStore: ...

    @abstractmethod
    def get_connected_peers(self) -> list[ID]: ...

    @abstractmethod
    def start_service(self, task: Callable[..., Awaitable[object]], *args: object) -> None: ...

    @abstractmethod
    def run(self, listen_addrs: Sequence[Multiaddr]) -> AbstractAsyncContextManager[None]: ...

    @abstractmethod
    def set_stream_handler(
        self, protocol_id: TProtocol, stream_handler: StreamHandlerFn
    ) -> None: ...

    @abstractmethod
    def remove_stream_handler(self, protocol_id: TProtocol) -> None: ...

    @abstractmethod
    async def new_stream(
        self, peer_id: ID, protocol_ids: Sequence[TProtocol], *, no_dial: bool = False
    ) -> INetStream: ...

    @abstractmethod
    async def connect(self, peer_info: PeerInfo, *, hearsay: bool = False) -> None: ...

    @abstractmethod
    async def disconnect(self, peer_id: ID) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...


# -- negotiation, transports, routing -------------------------------------------------------------


class IMultiselectCommunicator(ABC):
    """A channel of negotiation messages."""

    @abstractmethod
    async def write(self, msg_str: str) -> None: ...

    @abstractmethod
    async def read(self) -> str: ...


class IMultiselectClient(ABC):
    """The proposing side of a negotiation."""

    @abstractmethod
    async def handshake(self, communicator: IMultiselectCommunicator) -> None: ...

    @abstractmethod
    async def select_one_of(
        self, protocols: Sequence[TProtocol], communicator: IMultiselectCommunicator
    ) -> TProtocol: ...

    @abstractmethod
    async def try_select(
        self, communicator: IMultiselectCommunicator, protocol: TProtocol
    ) -> TProtocol: ...


class IMultiselectMuxer(ABC):
    """The answering side of a negotiation, with a handler for each protocol."""

    @abstractmethod
    def add_handler(self, protocol: TProtocol, handler: StreamHandlerFn) -> None: ...

    @abstractmethod
    def remove_handler(self, protocol: TProtocol) -> None: ...

    @abstractmethod
    def get_protocols(self) -> tuple[TProtocol | None, ...]: ...

    @abstractmethod
    async def negotiate(
        self, communicator: IMultiselectCommunicator
    ) -> tuple[TProtocol | None, StreamHandlerFn | None]: ...


class ISecureTransport(ABC):
    """Turns a raw connection into a secure one."""

    @abstractmethod
    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn: ...

    @abstractmethod
    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn: ...


class ITransport(ABC):
    """Dials and listens for addresses of its kind."""

    @abstractmethod
    async def dial(self, maddr: Multiaddr) -> IRawConnection: ...

    @abstractmethod
    def create_listener(self, handler_function: THandler) -> IListener: ...

    @abstractmethod
    def can_dial(self, maddr: Multiaddr) -> bool: ...

    @abstractmethod
    def can_listen(self, maddr: Multiaddr) -> bool: ...

    @abstractmethod
    def protocols(self) -> list[str]: ...
