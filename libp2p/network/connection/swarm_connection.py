"""A connection as the network keeps it: its streams, its handlers, its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from libp2p.abc import INetConn
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from multiaddr import Multiaddr

    from libp2p.connection_types import ConnectionType
    from libp2p.custom_types import StreamHandlerFn
    from libp2p.peer.id import ID
    from libp2p.stream_muxer.yamux.yamux import Yamux

logger = logging.getLogger(__name__)

#: When a connection has ended, its handlers get this long, in seconds, to finish with what they
#: had received: a block that has come should still reach the disk.
HANDLER_GRACE: Final = 5.0


class SwarmConn(INetConn):
    """A multiplexed connection to a peer, and the nursery of its stream handlers."""

    def __init__(self, muxed_conn: Yamux) -> None:
        self.muxed_conn: Yamux = muxed_conn
        self.peer_id: ID = muxed_conn.peer_id
        #: Set once identify has ended, well or not.
        self.event_identified = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self, accept: Callable[[NetStream], None]) -> None:
        """Serve the connection and give each inbound stream to ``accept``, until it ends."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.muxed_conn.on_stream(lambda stream: accept(NetStream(stream, self)))
            await self.muxed_conn.run()
            nursery.cancel_scope.deadline = trio.current_time() + HANDLER_GRACE

    def start_handler(self, handler: StreamHandlerFn, stream: NetStream) -> None:
        """Run a stream's handler as a task of this connection."""
        if self._nursery is not None:
            self._nursery.start_soon(self._handle, handler, stream)

    async def _handle(self, handler: StreamHandlerFn, stream: NetStream) -> None:
        """Run the handler; whatever goes wrong in it ends this stream and nothing else."""
        try:
            await handler(stream)
        except BaseLibp2pError as error:
            # A peer that hangs up or resets is normal life, not an event for the user.
            logger.debug("%r ended: %s", stream, error)
            await stream.reset()
        except Exception:  # task's edge: it runs the user's code
            logger.exception("the handler of %r failed", stream)
            await stream.reset()

    @property
    def is_closed(self) -> bool:
        """True once the connection has ended or is ending."""
        return self.muxed_conn.is_closed

    async def new_stream(self) -> NetStream:
        """
        Open a stream on which nothing is agreed yet.

        :raises MuxedConnUnavailable: if the connection has ended.
        """
        return NetStream(await self.muxed_conn.open_stream(), self)

    def get_streams(self) -> tuple[NetStream, ...]:
        """Return a view of the open streams."""
        states = self.muxed_conn.session.streams.values()
        return tuple(
            NetStream(state.handle, self)
            for state in states
            if isinstance(state.handle, YamuxStream)
        )

    async def close(self) -> None:
        """End the connection; what was written before is still delivered."""
        await self.muxed_conn.close()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address."""
        return self.muxed_conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Tell whether the connection is direct or relayed."""
        return self.muxed_conn.get_connection_type()

    def __repr__(self) -> str:
        """Name the peer and how the connection stands."""
        state = "closed" if self.is_closed else "open"
        return f"<SwarmConn {state} to {self.peer_id} at {self.get_transport_addresses()}>"
