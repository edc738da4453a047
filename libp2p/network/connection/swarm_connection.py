"""A connection as the network keeps it: its streams, its handlers, its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import ref

import trio

from libp2p.abc import INetConn
from libp2p.exceptions import (
    BaseLibp2pError,
    IncompleteReadError,
    MuxedConnUnavailable,
    StreamEOF,
)
from libp2p.network.connection.stream_handlers import (
    STREAM_LIMIT_EXCEEDED,
    StreamHandlers,
)
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.stream.stream_events import StreamEvents
from libp2p.peer.addresses import text_of
from libp2p.utils.faults import consists_of, fault_barrier
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import StreamHandlerFn
    from libp2p.connection_types import ConnectionType
    from libp2p.network.config import SwarmConfig
    from libp2p.network.connection.stream_handlers import HandlerScopes
    from libp2p.peer.id import ID
    from libp2p.rcmgr.metrics import Direction
    from libp2p.resources import Scope
    from libp2p.transport.abc import MuxedConnection, MuxedStream
    from libp2p.utils.event_bus import EventBus

logger = get_logger(__name__)

#: Why a peer closed a connection, by the codes of libp2p's specification that it may give.
REASONS: Final = {
    0x1001: "its limit of connections is reached",
    0x1002: "it is dialled too often",
    0x1003: "it says that the protocol was violated",
    0x1004: "it has another connection",
    0x1005: "it closes idle connections",
    0x1006: "it is shutting down",
    0x1007: "it does not let this peer in",
}
RESOURCE_LIMIT_EXCEEDED: Final = 0x1001
GARBAGE_COLLECTED: Final = 0x1005
GATED: Final = 0x1007
_OWN_REASONS: Final = {
    GATED: "it is not allowed",
    RESOURCE_LIMIT_EXCEEDED: "there are as many connections as there may be",
    GARBAGE_COLLECTED: "it was idle and made room",
}

#: What reading raises when the peer has ended its half cleanly.
_ENDS: Final = (StreamEOF, IncompleteReadError)


#: Runs a stream's handler as a task of its connection.
StartHandler: TypeAlias = "Callable[[StreamHandlerFn, NetStream], None]"
#: Takes each stream that the peer has opened.
AcceptStream: TypeAlias = "Callable[[NetStream, StartHandler], None]"


class SwarmConn(INetConn):
    """A multiplexed connection to a peer, and the nursery of its stream handlers."""

    def __init__(
        self,
        muxed_conn: MuxedConnection,
        events: EventBus,
        handlers: HandlerScopes,
        config: SwarmConfig,
        scopes: Sequence[Scope] = (),
    ) -> None:
        """
        Wrap a connection that does not run yet.

        :param events: where its streams are announced.
        :param handlers: the scopes that count its stream handlers.
        :param scopes: the scopes that count the connection already, until `release`.
        """
        self.muxed_conn: MuxedConnection = muxed_conn  # type: ignore[assignment]
        self.peer_id: ID = muxed_conn.peer_id
        #: Set once identify has ended, well or not.
        self.event_identified = trio.Event()
        #: Set when the connection has ended.
        self.event_closed = trio.Event()
        self._scopes = scopes
        self._config = config
        self.opened_at: Final = trio.current_time()
        self._own_reason = ""
        self._nursery: trio.Nursery | None = None
        self._handlers = StreamHandlers(handlers, str(self.peer_id))
        self._streams: set[ref[NetStream]] = set()
        self._stream_events = StreamEvents(events, muxed_conn)

    async def run(self, accept: AcceptStream, ended: Callable[[SwarmConn], object]) -> None:
        """
        Serve the connection and give each inbound stream to ``accept``, until it ends.

        :param accept: called in the read loop, with the stream and `start_handler`.
        :param ended: called at its end, before the handlers have finished.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                with fault_barrier(self._failed):
                    self.muxed_conn.on_stream(partial(self._give, accept))
                    await self.muxed_conn.run()
            finally:
                self.release()
                self._streams.clear()
                self._stream_events.close()
                ended(self)
                self.event_closed.set()
            await self._handlers.finish(self._config.handler_grace)
        self._handlers.close()
        self._nursery = None

    def _failed(self, error: Exception) -> None:
        logger.error("the connection to %s failed", self.peer_id, exc_info=error)
        self.abort()

    def _give(self, accept: AcceptStream, stream: MuxedStream) -> None:
        try:
            accept(self._wrap(stream), self.start_handler)
        except Exception:  # task's edge: the read loop serves all streams, and only this one ends
            logger.exception("stream %d of %s cannot be accepted", stream.stream_id, self.peer_id)
            stream.abort()

    def start_handler(self, handler: StreamHandlerFn, stream: NetStream) -> None:
        """Run a stream's handler as a task of this connection, if there are not too many."""
        if self._nursery is None or (scope := self._handlers.begin(stream)) is None:
            stream.abort(STREAM_LIMIT_EXCEEDED)
        else:
            self._nursery.start_soon(self._handle, handler, stream, scope)

    async def _handle(
        self, handler: StreamHandlerFn, stream: NetStream, scope: trio.CancelScope
    ) -> None:
        """Run the handler; an error in it ends this stream and nothing else."""
        try:
            with fault_barrier(partial(_end_after_fault, stream)), scope:
                await handler(stream)
        finally:
            self._handlers.end(stream)

    @property
    def is_initiator(self) -> bool:
        """True if this side dialled."""
        return self.muxed_conn.is_initiator

    @property
    def direction(self) -> Direction:
        """py-libp2p's word for `is_initiator`."""
        from libp2p.rcmgr.metrics import Direction  # py-libp2p's view, which few programs load

        return Direction.OUTBOUND if self.is_initiator else Direction.INBOUND

    @property
    def is_counted(self) -> bool:
        """True while the connection counts towards the limits."""
        return bool(self._scopes)

    @property
    def active_at(self) -> float:
        """When a stream last received data, or when the connection began."""
        return max(self.opened_at, self.muxed_conn.active_at)

    @property
    def is_closed(self) -> bool:
        """True once the connection has ended or is ending."""
        return self.muxed_conn.is_closed

    async def new_stream(self) -> NetStream:
        """
        Open a stream on which nothing is agreed yet.

        :raises MuxedConnUnavailable: if the connection has ended.
        """
        return self._wrap(await self.muxed_conn.open_stream())

    def _wrap(self, muxed_stream: MuxedStream) -> NetStream:
        stream = NetStream(muxed_stream, self._stream_events.opened)
        self._streams.add(ref(stream, self._streams.discard))
        return stream

    def get_streams(self) -> tuple[NetStream, ...]:
        """Return the streams that are open and in use."""
        streams = [reference() for reference in self._streams]
        return tuple(s for s in streams if s is not None and not s.is_closed)

    def remove_stream(self, stream: NetStream) -> None:
        """Leave ``stream`` out of `get_streams`, even if it has not ended yet."""
        self._streams.discard(ref(stream))

    async def close(self, error_code: int = 0) -> None:
        """End the connection; what was written before is still delivered."""
        if not self.is_closed:
            self._own_reason = _OWN_REASONS.get(error_code, "")
        await self.muxed_conn.close(error_code)

    def abort(self) -> None:
        """Drop the connection at once."""
        self.muxed_conn.abort()
        self.release()

    def release(self) -> None:
        """Release the scopes that the connection is counted in; a second call does nothing."""
        scopes, self._scopes = self._scopes, ()
        for scope in scopes:
            scope.release(1)

    @property
    def end_reason(self) -> str:
        """Why the connection ended, in words."""
        cause = self.muxed_conn.close_cause
        if isinstance(cause, MuxedConnUnavailable) and cause.code in REASONS:
            return REASONS[cause.code]
        return self._own_reason or str(cause or "this side could not serve it")

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address."""
        return self.muxed_conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Tell whether the connection is direct or relayed."""
        return self.muxed_conn.get_connection_type()

    def __repr__(self) -> str:
        """Name the peer and how the connection stands."""
        return shown(self, self._facts)

    def _facts(self) -> str:
        addresses = " ".join(map(text_of, self.get_transport_addresses()))
        return f"{'closed' if self.is_closed else 'open'} to {self.peer_id} at {addresses}"


def _end_after_fault(stream: NetStream, error: Exception) -> None:
    """Log what ended a stream's handler, and end the stream."""
    if consists_of(error, BaseLibp2pError):
        # A peer that hangs up or resets is normal life, not an event for the user.
        logger.debug("%r ended: %s", stream, error)
    else:
        logger.error("the handler of %r failed", stream, exc_info=error)
    if consists_of(error, _ENDS):
        # Many handlers end with such an error while their answers are queued: a reset drops those.
        stream.muxed_stream.close_nowait()
    else:
        stream.abort()
