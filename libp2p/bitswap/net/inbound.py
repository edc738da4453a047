"""The stream handler of bitswap's protocols: it gives a stream to the receiver of its peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from libp2p.host.inbound import StreamAcceptor

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer
    from libp2p.bitswap.net.peer_receiver import PeerReceiver
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID


class InboundStreams(StreamAcceptor):
    """
    Accepts streams; none of them needs a task.

    :param receiver_of: returns the receiver of a peer, None if it is not connected.
    """

    def __init__(self, receiver_of: Callable[[ID], PeerReceiver | None]) -> None:
        self._receiver_of = receiver_of

    def accept(self, stream: NetStream, buffers: list[Buffer]) -> None:
        """Have a stream read; ``buffers`` were read of it already."""
        receiver = self._receiver_of(stream.remote_peer_id)
        if receiver is None:
            stream.abort()  # the connection has closed
        else:
            receiver.accept(stream, buffers)

    async def __call__(self, stream: INetStream) -> None:
        """Accept a stream of a host that runs a task for each handler."""
        self.accept(cast("NetStream", stream), [])
