"""The streams that peers open for bitswap, for as long as the client works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.host.inbound import StreamAcceptor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from libp2p.abc import IHost, INetStream
    from libp2p.base_types import Buffer
    from libp2p.bitswap.net.peer_link import PeerLink
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID


class InboundOwner(Protocol):
    """What inbound streams use of their client."""

    host: IHost

    def has_link(self, peer_id: ID) -> bool:
        """Tell whether a peer is known to be connected."""

    def ensure_link(self, peer_id: ID) -> PeerLink:
        """Give the link to a peer."""


class InboundStreams(StreamAcceptor):
    """The handler of bitswap's protocols."""

    def __init__(self, owner: InboundOwner) -> None:
        self._owner = owner
        self._scopes: set[trio.CancelScope] = set()

    def accept(self, stream: NetStream, buffers: list[Buffer]) -> None:
        """Have a stream's bytes pushed; it needs no task."""
        peer_id = stream.remote_peer_id
        if self._is_connected(peer_id):
            self._owner.ensure_link(peer_id).intake.accept(stream, buffers)
        else:
            stream.abort()  # what is left of a connection that has gone

    async def __call__(self, stream: INetStream) -> None:
        """Do the same in the host's task."""
        peer_id = stream.muxed_conn.peer_id
        if self._is_connected(peer_id):
            await self.serve(self._owner.ensure_link(peer_id).intake.serve, stream)
        else:
            await stream.reset()

    async def serve(
        self, serve: Callable[[INetStream], Coroutine[None, None, None]], stream: INetStream
    ) -> None:
        """Serve a stream in the host's task until it or the client ends."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await serve(stream)
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            await stream.reset()

    def cancel(self) -> None:
        """The client has stopped."""
        for scope in self._scopes:
            scope.cancel()

    def _is_connected(self, peer_id: ID) -> bool:
        return self._owner.has_link(peer_id) or peer_id in self._owner.host.get_connected_peers()
