"""
A yamux connection on a secure session: the tasks around `YamuxSession`.

Two tasks own the socket. The read loop decrypts, hands the bytes to the session and wakes the tasks
that the events concern; it never waits for the application nor for the writer. The write loop waits
while the socket is full, and for the session's next deadline. `WriteScheduler` holds the write lock
and decides which task sends what.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from libp2p.abc import IMuxedConn
from libp2p.exceptions import (
    ConnectionClosedError,
    IOException,
    LocalProtocolError,
    MuxedConnUnavailable,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
    RemoteProtocolError,
)
from libp2p.security.adapted import session_over
from libp2p.stream_muxer.yamux.config import DEFAULT_CONFIG, YamuxConfig
from libp2p.stream_muxer.yamux.events import (
    Event,
    GoAwayReceived,
    OpenAllowed,
    StreamOpened,
    StreamReadable,
    StreamWritable,
)
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, MAX_WINDOW_SIZE
from libp2p.stream_muxer.yamux.frame import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    GO_AWAY_INTERNAL_ERROR,
    GO_AWAY_NORMAL,
    GO_AWAY_PROTOCOL_ERROR,
    HEADER_SIZE,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
)
from libp2p.stream_muxer.yamux.frame import MAX_FRAME_PAYLOAD as MAX_MESSAGE_SIZE
from libp2p.stream_muxer.yamux.session import YamuxSession
from libp2p.stream_muxer.yamux.stream_state import OPEN, Half
from libp2p.stream_muxer.yamux.write_scheduler import WriteScheduler
from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
from libp2p.utils.faults import without_traceback
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import ISecureConn
    from libp2p.base_types import TProtocol
    from libp2p.connection_types import ConnectionType
    from libp2p.crypto.keys import PublicKey
    from libp2p.peer.id import ID
    from libp2p.resources import Resources
    from libp2p.stream_muxer.yamux.statistics import SessionStatistics
    from libp2p.stream_muxer.yamux.stream_state import StreamState

__all__ = [
    "DEFAULT_WINDOW_SIZE",
    "FLAG_ACK",
    "FLAG_FIN",
    "FLAG_RST",
    "FLAG_SYN",
    "GO_AWAY_INTERNAL_ERROR",
    "GO_AWAY_NORMAL",
    "GO_AWAY_PROTOCOL_ERROR",
    "HEADER_SIZE",
    "MAX_MESSAGE_SIZE",
    "MAX_WINDOW_SIZE",
    "MuxedConnUnavailable",
    "MuxedStreamEOF",
    "MuxedStreamError",
    "MuxedStreamReset",
    "PROTOCOL_ID",
    "TYPE_DATA",
    "TYPE_GO_AWAY",
    "TYPE_PING",
    "TYPE_WINDOW_UPDATE",
    "YAMUX_HEADER_FORMAT",
    "Yamux",
    "YamuxStream",
]

logger = get_logger(__name__)

PROTOCOL_ID: Final = "/yamux/1.0.0"


class Yamux(IMuxedConn):
    """Streams over one secure connection. `run` does the work; before it runs no data moves."""

    def __init__(
        self,
        secured_conn: ISecureConn,
        peer_id: ID,
        is_initiator: bool | None = None,
        on_close: Callable[[], Awaitable[object]] | None = None,
        *,
        config: YamuxConfig = DEFAULT_CONFIG,
        resources: Resources | None = None,
    ) -> None:
        """
        Take over ``secured_conn``.

        :param is_initiator: whether this side's stream ids are odd; by default, if it has dialled.
        :param on_close: awaited by `run` when the connection has ended.
        :param config: limits and times.
        :param resources: what the host of this connection may hold; None counts it alone.
        """
        self.secured_conn = secured_conn = session_over(secured_conn)
        self.peer_id = peer_id
        self.config = config
        self.session = YamuxSession(
            secured_conn.is_initiator if is_initiator is None else is_initiator,
            config=config,
            resources=resources,
            name=str(peer_id),
            on_cut=lambda state: self._wake_ended((state,)),
        )
        self._scheduler = WriteScheduler(self.session, secured_conn)
        self._on_close = on_close
        self._on_stream: Callable[[YamuxStream], None] | None = None
        self._backlog: dict[YamuxStream, None] = {}  # the next to be accepted first
        self._acceptors = trio.lowlevel.ParkingLot()
        self._is_closing = False
        #: After `close`: how many of the encrypted bytes did not reach the peer.
        self.undelivered_bytes = 0
        self._scope = trio.CancelScope()
        self._cause: BaseException | None = None
        self.event_started = trio.Event()
        self.event_closed = self.event_shutting_down = trio.Event()
        # Closing has waited for the peer long enough, or the connection has ended.
        self._farewell_over = trio.Event()

    # -- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """
        Serve the connection until either side ends it; never raises for what the peer does.

        Afterwards `close_cause` tells why the connection ended.
        """
        self.session.start(trio.current_time())
        self.event_started.set()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    # A task of its own: every read resumes all coroutines that await each other.
                    nursery.start_soon(self._read_loop)
                    await self._write_loop()
        finally:
            self._finish(ConnectionClosedError("the connection was cancelled"))
        if self._on_close is not None:
            await self._on_close()

    async def start(self) -> None:
        """Serve the connection; py-libp2p's name for `run`."""
        await self.run()

    async def close(self, error_code: int = GO_AWAY_NORMAL) -> None:
        """
        Tell the peer, wait until it has what was written before, and end.

        Closing waits as long as the peer goes on reading, up to `YamuxConfig.close_timeout`, and
        cannot be cancelled. `undelivered_bytes` and `close_cause` tell what was not delivered.
        Streams that are still open then fail with a reset.
        """
        if self.is_closed:
            if self._is_closing:
                await self.event_closed.wait()
            return
        self._is_closing = True
        self._cause = ConnectionClosedError("the connection was closed by this side")
        self.session.leave(error_code, trio.current_time(), self.secured_conn.delivered_bytes())
        self._scheduler.flush_now()
        self._scheduler.reset_deadline()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(self.config.close_grace):
                await self.event_started.wait()
            if self.event_started.is_set():
                await self._farewell_over.wait()
            self.undelivered_bytes = self._missing_bytes()
            if self.undelivered_bytes:
                self._cause = ConnectionClosedError(
                    f"closed by this side, and {self.undelivered_bytes} bytes did not get there"
                )
            await self.secured_conn.close()
        self._scope.cancel()
        self._finish(self._cause)

    def abort(self) -> None:
        """End the connection at once, also one that never ran; what was written may be lost."""
        cause = ConnectionClosedError("the connection was aborted by this side")
        self._end(cause)
        self._finish(cause)

    def _missing_bytes(self) -> int:
        """Return how many of the encrypted bytes the peer's kernel has not acknowledged."""
        return self.session.missing_bytes(self.secured_conn.undelivered_bytes())

    def _can_deliver(self) -> bool:
        return bool(self._missing_bytes()) and not self.secured_conn.is_reset()

    def _end(self, cause: BaseException) -> None:
        """End the connection at once."""
        if self._cause is None:
            self._cause = without_traceback(cause)
        self._scope.cancel()

    def _finish(self, default_cause: BaseException) -> None:
        """Wake all tasks that wait for this connection: it has ended."""
        if self.event_closed.is_set():
            return
        cause = self._cause = self._cause or default_cause
        logger.debug("connection to %s ended: %s", self.peer_id, cause)
        self.secured_conn.abort()
        self._wake_ended(self.session.close(cause))
        self._on_stream = None  # it refers back: only the garbage collector would free the circle
        self.event_closed.set()
        self._farewell_over.set()
        self._scheduler.close()
        self._acceptors.unpark_all()

    @property
    def close_cause(self) -> BaseException | None:
        """What ended the connection; None while it lives."""
        return self._cause

    @property
    def remote_public_key(self) -> PublicKey:
        """The key that the peer's id belongs to."""
        return self.secured_conn.get_remote_public_key()

    @property
    def security_protocol(self) -> TProtocol | None:
        """What secures the connection; None if that has no name."""
        return getattr(self.secured_conn, "protocol", None)

    @property
    def is_initiator(self) -> bool:
        """True if this side dialled."""
        return self.session.is_initiator

    def __repr__(self) -> str:
        return shown(self, self._facts)

    def _facts(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"{state} to {self.peer_id}, streams: {len(self.session.streams)}"

    @property
    def is_closed(self) -> bool:
        """True once the connection has ended or is ending."""
        return self._cause is not None or self.event_closed.is_set()

    @property
    def is_established(self) -> bool:
        """True while the connection is served."""
        return self.event_started.is_set() and not self.is_closed

    @property
    def active_at(self) -> float:
        """When a stream was opened or stream data received last, in trio's time; 0 before."""
        return self.session.active_at

    def rtt(self) -> float:
        """Return the smoothed round-trip time in seconds; 0 until it was measured."""
        return self.session.liveness.rtt

    def statistics(self) -> SessionStatistics:
        """Return the connection's round-trip time, streams, bytes and budget as they are now."""
        return self.session.statistics()

    # -- streams ------------------------------------------------------------------------------

    async def open_stream(self) -> YamuxStream:
        """
        Open a stream, waiting while 256 opened ones have not been acknowledged.

        :raises MuxedConnUnavailable: if the connection has ended.
        """
        while not self.is_closed and not self.session.can_open:
            await self._scheduler.wait_to_open()
        if self.is_closed:
            raise MuxedConnUnavailable() from self._cause
        stream = self._new_stream(self.session.open_stream(trio.current_time()))
        self._scheduler.flush_soon()
        return stream

    def _new_stream(self, state: StreamState) -> YamuxStream:
        return YamuxStream(self, self.session, self._scheduler, state)

    async def accept_stream(self) -> YamuxStream:
        """
        Return the next stream that the peer opens.

        :raises MuxedConnUnavailable: if the connection has ended.
        """
        while not self._backlog:
            if self.is_closed:
                raise MuxedConnUnavailable() from self._cause
            await self._acceptors.park()
        stream = self._next_in_backlog()
        self._accept(stream)
        return stream

    def on_stream(self, handler: Callable[[YamuxStream], None]) -> None:
        """Hand each inbound stream to ``handler``, which must not wait, instead of queueing it."""
        self._on_stream = handler
        while self._backlog:
            stream = self._next_in_backlog()
            self._deliver(stream)
            stream.wake_reader()  # for data received meanwhile
            if stream.state.reading is not OPEN:
                stream.wake_reader()  # and for the end: a call may read the data only

    def on_stream_end(self, callback: Callable[[int], object] | None) -> None:
        """Tell of streams that have ended: see `YamuxSession.on_stream_end`."""
        self.session.on_stream_end(callback)

    def _next_in_backlog(self) -> YamuxStream:
        stream = next(iter(self._backlog))
        del self._backlog[stream]
        return stream

    def _deliver(self, stream: YamuxStream) -> None:
        if self._on_stream is None:
            self._backlog[stream] = None
            self._acceptors.unpark()
        else:
            self._accept(stream)
            self._on_stream(stream)

    def _accept(self, stream: YamuxStream) -> None:
        self.session.accept(stream.state)
        self._scheduler.flush_soon()

    # -- the two loops ------------------------------------------------------------------------

    async def _read_loop(self) -> None:
        """Own the receiving half of the socket until it ends."""
        clock = trio.lowlevel.current_clock().current_time
        try:
            while pieces := await self.secured_conn.receive():
                for turn, events in enumerate(self.session.receive(pieces, clock())):
                    if turn:
                        await trio.lowlevel.checkpoint()
                    self._handle(events)
                del pieces, events  # an idle connection keeps nothing of what it received last
            # Where both sides close, this side may still have something to deliver.
            if not (self._is_closing and self._can_deliver()):
                self._end(ConnectionClosedError("the peer closed the connection"))
        except RemoteProtocolError as error:
            logger.debug("%s broke the yamux protocol: %s", self.peer_id, error)
            await self._turn_away(error)
        except IOException as error:
            self._end(error)

    def _handle(self, events: list[Event]) -> None:
        self._scheduler.cork()
        try:
            for event in events:
                if type(event) is not StreamReadable:
                    self._on_event(event)
                elif (handle := event.stream.handle) is not None:  # nearly all
                    handle.wake_reader()
                    if event.stream.reading is not OPEN and event.stream.writing is Half.CLOSED:
                        handle.wake_reader()  # for the end: a call may read the data only
                        event.stream.detach()
        finally:
            self._scheduler.uncork()

    async def _turn_away(self, error: RemoteProtocolError) -> None:
        """
        Tell a peer which rule it broke, and end.

        What the peer goes on sending is read and dropped meanwhile: if a socket is closed with
        unread input, TCP resets the connection, and the peer may lose our last frame.
        """
        self._cause = self._cause or without_traceback(error)
        self._wake_ended(self.session.turn_away(error, trio.current_time()))
        self._scheduler.flush_now()
        self._scheduler.reset_deadline()
        with suppress(IOException):
            while await self.secured_conn.receive():
                pass
            if self._missing_bytes():
                await trio.sleep_forever()  # until its time is over
        self._end(error)

    async def _write_loop(self) -> None:
        """Own the sending half of the socket while it is full, and the timer at all times."""
        conn, session = self.secured_conn, self.session
        try:
            while True:
                now = trio.current_time()
                if session.next_deadline() <= now:
                    if self._is_closing and conn.is_reset():
                        self._farewell_over.set()
                    cause = session.on_time(now, conn.delivered_bytes(), conn.undelivered_bytes())
                    if cause is not None:
                        self._on_deadline(cause)
                    self._scheduler.flush_now()
                await self._scheduler.run(session.next_deadline())
        except (IOException, LocalProtocolError) as error:
            self._end(error)

    def _on_deadline(self, cause: Exception) -> None:
        if self._is_closing:
            self._farewell_over.set()
        else:
            self._end(cause)

    def _on_event(self, event: Event) -> None:
        match event:
            case StreamWritable(stream, is_last):
                handle = stream.detach() if is_last else stream.handle
                if handle is not None:
                    handle.wake_writer()
            case StreamOpened(stream):
                self._deliver(self._new_stream(stream))
            case OpenAllowed():
                self._scheduler.let_one_open()
            case GoAwayReceived(code) if not self._is_closing:
                self._end(MuxedConnUnavailable(f"the peer is going away (code {code})", code))

    def _wake_ended(self, states: Iterable[StreamState]) -> None:
        """Wake the readers and writers of streams that have ended, for the last time."""
        for state in states:
            if (handle := state.detach()) is not None:
                handle.wake_reader()
                handle.wake_writer()
        self._scheduler.flush_soon()

    # -- the rest -----------------------------------------------------------------------------

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port)."""
        return self.secured_conn.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the peer's address as a multiaddr."""
        return self.secured_conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Tell whether the connection is direct or relayed."""
        return self.secured_conn.get_connection_type()
