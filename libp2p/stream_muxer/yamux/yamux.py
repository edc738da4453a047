"""
A yamux connection on a secure session: the waiting around `YamuxSession`.

Two tasks own the socket. The read loop decrypts, hands the bytes to the session and wakes whom the
events concern; it never waits for the application nor for the writer. The write loop waits for the
socket whenever the kernel did not take all at once, and for the time to look after the peer. All
writes are serialised: a batch of frames is sealed and given to the kernel in one step of one task.
If the kernel does not take all of it, `_full_since` is set, and that is the write lock: the write
loop holds it until the rest is sent, and nobody else gives the socket anything.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from libp2p.abc import IMuxedConn
from libp2p.exceptions import (
    ConnectionClosedError,
    IOException,
    LocalProtocolError,
    MuxedConnError,
    MuxedConnUnavailable,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
    RemoteProtocolError,
)
from libp2p.io.waiter import Waiter
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
from libp2p.stream_muxer.yamux.liveness import (
    CLOSE_GRACE,
    PING_TIMEOUT,
    WRITE_PROGRESS_TIMEOUT,
    Farewell,
    Finding,
    Liveness,
)
from libp2p.stream_muxer.yamux.session import MAX_PENDING_CONTROL, YamuxSession
from libp2p.stream_muxer.yamux.stream_state import OPEN, Half
from libp2p.stream_muxer.yamux.write_line import WriteLine
from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
from libp2p.utils.faults import without_traceback
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer, TProtocol
    from libp2p.connection_types import ConnectionType
    from libp2p.crypto.keys import PublicKey
    from libp2p.peer.id import ID
    from libp2p.resources import Resources
    from libp2p.security.secure_session import SecureSession
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

#: A writer yields to other tasks after this many bytes that needed no waiting, a reader after
#: sixteen times as many.
YIELD_BYTES: Final = 256 * 1024
#: What a call counts as besides its bytes: a thousand small ones take some milliseconds.
CALL_BYTES: Final = 256


class Yamux(IMuxedConn):
    """Streams over one secure connection. `run` does the work; until it runs nothing moves."""

    def __init__(
        self,
        secured_conn: SecureSession,
        peer_id: ID,
        is_initiator: bool | None = None,
        on_close: Callable[[], Awaitable[object]] | None = None,
        resources: Resources | None = None,
    ) -> None:
        """
        Take over ``secured_conn``.

        :param resources: what the host of this connection may hold; see also `use`.
        """
        self.secured_conn = secured_conn
        self.peer_id = peer_id
        initiator = secured_conn.is_initiator if is_initiator is None else is_initiator
        self.session = self._new_session(initiator, resources)
        self._on_close = on_close
        self._on_stream: Callable[[YamuxStream], None] | None = None
        self._backlog: dict[YamuxStream, None] = {}  # the next to be accepted first
        self._acceptors = trio.lowlevel.ParkingLot()
        self._openers = trio.lowlevel.ParkingLot()
        self._line: WriteLine[YamuxStream] = WriteLine()
        self._drained = trio.lowlevel.ParkingLot()
        self._flush_wanted = Waiter()
        # The write lock: since when the socket is full, in the middle of a batch. Until it has
        # taken the rest, the write loop alone gives it anything.
        self._full_since: float | None = None
        self._writing_ended = False
        self._is_closing = False
        # The last batch before the end has been taken from the session; the socket has taken it.
        self._goodbye_taken = self._has_said_all = False
        #: After `close`: how many bytes of what was written, encrypted, did not reach the peer.
        self.undelivered_bytes = 0
        self._timer = trio.CancelScope()
        #: True once as much was read and written without a wait as others should wait for.
        self.must_yield = False
        self._unyielded = 0
        #: Set while the read loop handles what came; what that queues goes out together behind it.
        self.handling = False
        #: Whether the peer is there, and when its last bytes came.
        self.liveness = Liveness(0.0)
        self._scope = trio.CancelScope()
        self._cause: BaseException | None = None
        self.event_started = trio.Event()
        self.event_closed = trio.Event()

    def _new_session(self, is_initiator: bool, resources: Resources | None) -> YamuxSession:
        session = YamuxSession(is_initiator, resources=resources, name=str(self.peer_id))
        session.on_cut = lambda state: self._wake_ended((state,))
        return session

    def use(self, resources: Resources) -> None:
        """
        Count what this connection holds in ``resources``, which are its host's.

        For a network whose upgrader makes muxers without knowing of them; before `run`.

        :raises LocalProtocolError: if the connection runs already.
        """
        if self.event_started.is_set():
            raise LocalProtocolError("a connection that runs already has its resources")
        unused, self.session = self.session, self._new_session(self.is_initiator, resources)
        unused.on_cut = None
        unused.close(ConnectionClosedError("another session has taken its place"))

    # -- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """
        Serve the connection until either side ends it; never raises for what the peer does.

        Why it ended is in `close_cause` then.
        """
        self.liveness = Liveness(trio.current_time())
        self.event_started.set()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    # A task of its own: all that await each other are resumed for each read.
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
        Tell the peer, let it get what was written before, and end.

        That takes as long as the peer goes on taking it, and cannot be cancelled: see `Farewell`.
        `undelivered_bytes` and `close_cause` tell what was not delivered. Streams that are still
        open then fail with a reset.
        """
        if self.is_closed:
            if self._is_closing:
                await self.event_closed.wait()
            return
        self._is_closing = True
        self._cause = ConnectionClosedError("the connection was closed by this side")
        self.session.go_away(error_code)
        self.flush_now()
        with trio.CancelScope(shield=True):
            await self._take_leave()
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

    async def _take_leave(self) -> None:
        """Wait until the peer has got all that was written, and has closed its side."""
        with trio.move_on_after(CLOSE_GRACE):
            await self.event_started.wait()
        farewell = Farewell(trio.current_time(), self.secured_conn.delivered_bytes())
        while (
            self.event_started.is_set()
            and not self.event_closed.is_set()
            and farewell.goes_on(
                trio.current_time(), self.secured_conn.delivered_bytes(), self._missing_bytes()
            )
        ):
            with trio.move_on_after(CLOSE_GRACE):
                if not self._writing_ended:
                    await self._drain()
                    self._end_writing()
                await self.event_closed.wait()

    def _missing_bytes(self) -> int:
        """Return how much of what was written and encrypted the peer's kernel has not got."""
        queued = 0 if self._has_said_all else self.session.statistics().bytes_queued
        return queued + self.secured_conn.undelivered_bytes()

    def _end_writing(self) -> None:
        """
        Tell the peer that nothing more comes; what is queued from now on stays here.

        Sending it would fail, and the connection end before its grace: closing a socket with
        unread input makes TCP drop what the peer has not got yet.
        """
        self._writing_ended = self._has_said_all = True
        self.secured_conn.shutdown_write()

    def _end(self, cause: BaseException) -> None:
        """End the connection at once."""
        if self._cause is None:
            self._cause = without_traceback(cause)
        self._scope.cancel()

    def _finish(self, default_cause: BaseException) -> None:
        """Wake everybody who waits for this connection; it is over."""
        if self.event_closed.is_set():
            return
        cause = self._cause = self._cause or default_cause
        logger.debug("connection to %s ended: %s", self.peer_id, cause)
        self._writing_ended = True
        self.secured_conn.abort()
        self._wake_ended(self.session.close(cause))
        self._on_stream = self.session.on_cut = None  # circles, as in `_wake_ended`
        self.event_closed.set()
        for lot in (self._acceptors, self._openers, self._drained):
            lot.unpark_all()

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
    def received_at(self) -> float:
        """When the last bytes came, in trio's time."""
        return self.liveness.read_at

    @property
    def active_at(self) -> float:
        """When a stream was opened last, or stream data came, in trio's time; 0 before."""
        return self.session.active_at

    def rtt(self) -> float:
        """Return the smoothed round-trip time in seconds; 0 until it was measured."""
        return self.session.rtt

    def statistics(self) -> SessionStatistics:
        """Return how the connection stands: round-trip time, streams, bytes, budget."""
        return self.session.statistics()

    # -- streams ------------------------------------------------------------------------------

    async def open_stream(self) -> YamuxStream:
        """
        Open a stream, waiting while 256 opened ones have not been acknowledged.

        :raises MuxedConnUnavailable: if the connection has ended.
        """
        while not self.is_closed and not self.session.can_open:
            await self._openers.park()
        if self.is_closed:
            raise MuxedConnUnavailable() from self._cause
        stream = YamuxStream(self, self.session.open_stream(trio.current_time()))
        self.flush_soon()
        return stream

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
            stream.wake_reader()  # for what has come meanwhile
            if stream.state.reading is not OPEN:
                stream.wake_reader()  # and for the end: who has read the data is called again

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
        self.flush_soon()

    def after_local_end(self) -> None:
        """A stream or a half of one was ended here; for `YamuxStream`."""
        self.flush_soon()
        self._let_open()

    def _let_open(self) -> None:
        if self._openers and self.session.can_open:
            self._openers.unpark_all()

    # -- reading ------------------------------------------------------------------------------

    async def _read_loop(self) -> None:
        """Own the receiving half of the socket until it ends."""
        clock = trio.lowlevel.current_clock().current_time
        try:
            while pieces := await self.secured_conn.receive():
                now = clock()
                self.liveness.on_read(now)
                for turn, events in enumerate(self.session.receive(pieces, now)):
                    if turn:
                        await trio.lowlevel.checkpoint()
                    self._handle(events)
                del pieces, events  # an idle connection keeps nothing of what came last
            # Where both sides close, this one may still have something to deliver.
            if not (self._is_closing and self._missing_bytes()):
                self._end(ConnectionClosedError("the peer closed the connection"))
        except RemoteProtocolError as error:
            logger.debug("%s broke the yamux protocol: %s", self.peer_id, error)
            await self._turn_away(error)
        except IOException as error:
            self._end(error)

    def _handle(self, events: list[Event]) -> None:
        self.handling = True
        for event in events:
            if type(event) is not StreamReadable:
                self._on_event(event)
            elif event.stream.handle is not None:  # nearly all
                event.stream.handle.wake_reader()
                if event.stream.reading is not OPEN and event.stream.writing is Half.CLOSED:
                    event.stream.handle = None  # see `_wake_ended`
        self.handling = False
        self.flush_now()

    async def _turn_away(self, error: RemoteProtocolError) -> None:
        """
        Tell a peer which rule it broke, and end.

        What it goes on sending is read and dropped for at most `CLOSE_GRACE`: closing a socket
        with unread input makes TCP reset it, and the peer may lose our last frame.
        """
        self.handling = False
        self._cause = self._cause or without_traceback(error)
        self._wake_ended(self.session.close(error))
        self.session.go_away(error.code)
        self.flush_now()
        with trio.move_on_after(CLOSE_GRACE), suppress(IOException):
            await self._drain()
            self._end_writing()
            while await self.secured_conn.receive():
                pass
        self._end(error)

    def _on_event(self, event: Event) -> None:
        match event:
            case StreamWritable(stream, is_last):
                if stream.handle is not None:
                    stream.handle.wake_writer()
                    if is_last:
                        stream.handle = None  # see `_wake_ended`
            case StreamOpened(stream):
                self._deliver(YamuxStream(self, stream))
            case OpenAllowed():
                self._openers.unpark()
            case GoAwayReceived(code) if not self._is_closing:
                self._end(MuxedConnUnavailable(f"the peer is going away (code {code})", code))

    def _wake_ended(self, states: Iterable[StreamState]) -> None:
        """
        Wake all who wait for streams that have ended; nobody has to be woken again.

        Their states forget the streams: a circle would keep what is unread in memory until the next
        garbage collection.
        """
        for state in states:
            handle, state.handle = state.handle, None
            if handle is not None:
                handle.wake_reader()
                handle.wake_writer()
        self.flush_soon()

    # -- writing ------------------------------------------------------------------------------

    def flush_now(self) -> None:
        """Send what is queued, as far as the kernel takes it without waiting."""
        if self._full_since is not None or self._writing_ended or self.handling:
            return  # the write loop is at it, or the read loop soon
        if not self._send_batch():
            self._flush_wanted.wake()

    def flush_soon(self) -> None:
        """
        Send what is queued once the tasks that are ready to run have had their turn.

        For control frames: a system call costs more than a task switch, and when a peer's batch
        woke many streams, what they answer goes out together.
        """
        if not self.handling:
            self._flush_wanted.wake()

    def _send_batch(self) -> bool:
        """Seal and send all that is queued, in one go; return False if the socket is full now."""
        if self._goodbye_taken:
            return True  # nothing comes after it: a peer may have closed when it reads it
        batch = self.session.take_outgoing()
        self._goodbye_taken = self._cause is not None
        return not batch or self._give_to_socket(batch)

    def _give_to_socket(self, batch: Sequence[Buffer]) -> bool:
        """Send what the socket did not take before, and then ``batch``; False if it is full."""
        try:
            done = self.secured_conn.send_nowait(batch)
        except (IOException, LocalProtocolError) as error:
            self._writing_ended = True  # or writers would go on into nothing
            self._full_since = None
            self._end(error)
            return True
        if done:
            if self._full_since is not None:
                self._full_since = None
                self.session.on_socket(0)
            if self._goodbye_taken:
                self._drained.unpark_all()
        elif self._full_since is None:
            self._full_since = now = trio.current_time()
            self.session.on_socket(sum(map(len, batch)))
            if self.liveness.on_full(now, self.secured_conn.delivered_bytes()):
                self._timer.deadline = self.liveness.look_at
        if batch and (self._line.long or self._line.short):
            self.give_turns()
        if len(batch) >= MAX_PENDING_CONTROL:
            self._let_open()
        return done

    async def _write_loop(self) -> None:
        """Own the sending half of the socket while it is full, and the timer at all times."""
        while True:
            self._look()
            with trio.CancelScope(deadline=self.liveness.look_at) as self._timer:
                await self._flush_when_wanted()

    async def _flush_when_wanted(self) -> None:
        while True:
            if self._full_since is not None:
                with suppress(IOException):  # writing will say the same
                    await self.secured_conn.wait_writable()
                self._give_to_socket(())
            elif self.session.has_outgoing and not self._writing_ended and not self._goodbye_taken:
                self._send_batch()
            else:
                await self._flush_wanted.wait()

    def _look(self) -> None:
        """Look whether the peer is still there; measure the round-trip time now and then."""
        finding = self.liveness.look(
            trio.current_time(),
            self.secured_conn.delivered_bytes(),
            self.session.ping_sent_at,
            self._full_since,
        )
        if finding is Finding.PING:
            self.session.ping(trio.current_time())
            self.flush_now()
        elif finding is Finding.SILENT:
            self._end(MuxedConnError(f"no sign of life for {PING_TIMEOUT:.0f} s"))
        elif finding is Finding.STUCK:
            self._end(MuxedConnError(f"the peer read nothing for {WRITE_PROGRESS_TIMEOUT:.0f} s"))

    async def _drain(self) -> None:
        """Wait until the socket has taken everything that was queued before the goodbye."""
        while not self._goodbye_taken or self._full_since is not None:
            await self._drained.park()

    def may_queue(self, has_turn: bool, short: bool) -> bool:
        """Tell a writer whether it may queue a frame now; if not, it has to wait for its turn."""
        if self.session.is_congested:
            self.flush_now()
            if self.session.is_congested:
                return False
        return has_turn or self._line.may_pass(short)

    async def wait_for_turn(self, stream: YamuxStream, short: bool, woken: Waiter) -> bool:
        """
        Stand in line behind the other writers until woken; return whether it is for one's turn.

        If not, the stream has ended. Whoever called this owes `leave_line` in either case.
        """
        self.give_turns()
        self._line.join(stream, short)
        await woken.wait()
        self.has_waited()
        return self._line.has_turn(stream)

    def leave_line(self, stream: YamuxStream) -> None:
        """End a writer's turn, or let one leave the line that has failed or was cancelled."""
        self._line.leave(stream)
        self.give_turns()

    def give_turns(self) -> None:
        """Let the next writers in line go on if there is room."""
        while not self.session.is_congested and (stream := self._line.give_turn()):
            stream.wake_writer()

    async def yield_turn(self) -> None:
        """Let other tasks run, as this connection's have not waited for long."""
        self.has_waited()
        await trio.lowlevel.checkpoint()

    def has_waited(self) -> None:
        """A task of this connection has let others run."""
        self.must_yield = False
        self._unyielded = 0

    def spend(self, size: int) -> None:
        """A call has read or written so much without a wait."""
        self._unyielded += size + CALL_BYTES
        self.must_yield = self._unyielded >= YIELD_BYTES

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
