"""As much of a host as identify and ping need, over streams in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio
from multiaddr import Multiaddr

from libp2p.crypto import ed25519
from libp2p.exceptions import BaseLibp2pError, StreamFailure
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.protocol_muxer.multiselect import Multiselect
from tests.support.streams import FakeConnection, MemoryStream, stream_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.abc import IHost, INetConn, INetStream, StreamHandlerFn
    from libp2p.base_types import TProtocol
    from libp2p.crypto.keys import PrivateKey, PublicKey


async def serve(handler: StreamHandlerFn, stream: INetStream) -> None:
    """Run a handler as a connection does: an error resets the stream and nothing else."""
    try:
        await handler(stream)
    except BaseLibp2pError:
        await stream.reset()


class FakeHost:
    """A host whose streams lead to the handlers of another one, without negotiation."""

    def __init__(self, number: int, nursery: trio.Nursery) -> None:
        keys = ed25519.create_new_key_pair(bytes((number,)) * 32)
        self.private_key: PrivateKey = keys.private_key
        self.public_key: PublicKey = keys.public_key
        self.id = ID.from_pubkey(keys.public_key)
        self.transports = [Multiaddr(f"/ip4/10.0.0.{number}/tcp/4001")]
        self.peerstore = PeerStore(clock=trio.current_time)
        self.mux = Multiselect()
        self.peers: dict[ID, FakeHost] = {}
        self.streams: list[MemoryStream] = []
        self._nursery = nursery

    def get_id(self) -> ID:
        return self.id

    def get_public_key(self) -> PublicKey:
        return self.public_key

    def get_private_key(self) -> PrivateKey:
        return self.private_key

    def get_addrs(self) -> list[Multiaddr]:
        return [Multiaddr(f"{address}/p2p/{self.id}") for address in self.transports]

    def get_mux(self) -> Multiselect:
        return self.mux

    def get_peerstore(self) -> PeerStore:
        return self.peerstore

    def get_connected_peers(self) -> list[ID]:
        return list(self.peers)

    def set_stream_handler(self, protocol: TProtocol, handler: StreamHandlerFn) -> None:
        self.mux.add_handler(protocol, handler)

    def connect_to(self, other: FakeHost) -> None:
        self.peers[other.id] = other
        other.peers[self.id] = self

    def as_host(self) -> IHost:
        """Return this, as what it stands for."""
        return cast("IHost", self)

    async def new_stream(
        self, peer_id: ID, protocol_ids: Sequence[TProtocol], *, no_dial: bool = False
    ) -> INetStream:
        other = self.peers[peer_id]
        handler = other.mux.handlers.get(protocol_ids[0])
        if handler is None:
            raise StreamFailure("not supported")
        mine, theirs = self.open_to(other)
        self._nursery.start_soon(serve, handler, theirs)
        return mine

    def open_to(self, other: FakeHost) -> tuple[MemoryStream, MemoryStream]:
        mine, theirs = stream_pair(
            FakeConnection(other.id, other.transports), FakeConnection(self.id, self.transports)
        )
        self.streams.append(mine)
        return mine, theirs


class NegotiatingConnection:
    """A connection whose streams are negotiated at the other end, as real ones are."""

    def __init__(self, host: FakeHost, other: FakeHost, nursery: trio.Nursery) -> None:
        self.stream: MemoryStream | None = None
        self._host, self._other, self._nursery = host, other, nursery

    def as_connection(self) -> INetConn:
        """Return this, as what it stands for."""
        return cast("INetConn", self)

    async def new_stream(self) -> INetStream:
        self.stream, theirs = self._host.open_to(self._other)
        self._nursery.start_soon(serve, self._negotiate_and_serve, theirs)
        return self.stream

    async def _negotiate_and_serve(self, stream: INetStream) -> None:
        _, handler = await self._other.mux.negotiate(stream)
        assert handler is not None
        await handler(stream)
