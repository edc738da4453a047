"""
A yamux connection without its socket (sans-I/O): bytes and the time in, events and bytes out.

Specification: libp2p/specs yamux r0. The session owns the table of streams, all windows, the
frames waiting to be sent, the ping in flight and all deadlines. `receive` takes received bytes and
returns events; the methods named after what an application does change state and queue frames;
`take_outgoing` hands the frames to the owner of the socket; `on_time`, called at `next_deadline`,
pings the peer and decides when the connection has ended. Nothing here waits.

All control frames (open, accept, close, reset) are WindowUpdates with a delta of 0. They go out
before data, except close and GoAway, which end the data. Each flag is handled on its own: ACK and
FIN may be set on one frame. A peer that breaks the protocol makes `receive` raise
`RemoteProtocolError`; the driver then calls `turn_away`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import (
    ConnectionClosedError,
    LocalProtocolError,
    MuxedConnError,
    MuxedConnUnavailable,
    RemoteProtocolError,
)
from libp2p.resources import Resources
from libp2p.stream_muxer.yamux.config import (
    DEFAULT_CONFIG,
    LEAST_PENDING_CONTROL,
    LEAST_SEND_QUEUE_BYTES,
    YamuxConfig,
)
from libp2p.stream_muxer.yamux.events import (
    Event,
    GoAwayReceived,
    OpenAllowed,
    StreamOpened,
    StreamReadable,
    StreamWritable,
)
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, ReceiveWindow
from libp2p.stream_muxer.yamux.frame import (
    CONTINUATION,
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    FrameParser,
)
from libp2p.stream_muxer.yamux.holdings import CONTROL_FRAME_BYTES, Holdings
from libp2p.stream_muxer.yamux.liveness import Farewell, Finding, Liveness
from libp2p.stream_muxer.yamux.send_queue import SendQueue
from libp2p.stream_muxer.yamux.statistics import SessionStatistics
from libp2p.stream_muxer.yamux.stream_state import OPEN, Half, StreamState

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: What is handled in one go before other connections have their turn: about a millisecond's worth.
#: Else a peer that sends only headers would hold up all others. Each event wakes a task.
MAX_FRAMES_AT_ONCE: Final = 256
MAX_EVENTS_AT_ONCE: Final = 16
#: What a writer may queue before the next writer in line has its turn: two frames, since a write of
#: 64 KiB makes two, and each turn costs a task switch. A quarter of what may be queued in all.
TURN_BYTES: Final = 128 * 1024
#: Idle streams that are reset at once where a host has too many.
CUT_STREAMS: Final = 16
#: Stream ids are u32 and never used again.
MAX_STREAM_ID: Final = 2**32 - 1

_BODIES: Final = (TYPE_DATA, CONTINUATION)

#: Stream error code of go-libp2p: refused for lack of resources.
RESOURCE_LIMIT_EXCEEDED: Final = 0x1002


class YamuxSession:
    """One connection's streams and frames."""

    def __init__(
        self,
        is_initiator: bool,
        *,
        config: YamuxConfig = DEFAULT_CONFIG,
        resources: Resources | None = None,
        name: str = "connection",
        on_cut: Callable[[StreamState], object] | None = None,
    ) -> None:
        """
        Begin a connection on which nothing has been sent yet.

        :param resources: what the host of this connection may hold; None counts it alone.
        :param name: the name of the connection in ``resources``.
        :param on_cut: called with each stream that is reset because the host holds too much.
        """
        self.is_initiator = is_initiator
        self.streams: dict[int, StreamState] = {}
        #: Stream data in bytes, in all.
        self.bytes_sent = 0
        self.bytes_received = 0
        self.closed_by: BaseException | None = None
        self._on_stream_end: Callable[[int], object] | None = None
        #: When a stream was last opened or data received; pings do not count. 0 before the first.
        self.active_at = 0.0
        #: When bytes were received last.
        self.received_at = 0.0
        self._config = config
        self._on_cut = on_cut
        self._holdings = Holdings(
            resources or Resources(),
            name,
            config.receive_budget,
            self._cut_unread,
            self._cut_inbound,
        )
        #: Pings, round-trip times, and whether the peer is still there.
        self.liveness = Liveness(config)
        self._farewell: Farewell | None = None
        #: True once `take_outgoing` has returned the last frames of a connection that is closed.
        self.has_left = False
        self._parser = FrameParser()
        self._next_id = 1 if is_initiator else 2
        self._unacknowledged = 0
        self._inbound = 0
        self._unaccepted = 0
        self._lingering: dict[int, None] = {}
        #: The frames that wait for the socket.
        self.send_queue = SendQueue()
        self._going_away = False
        self._streams_opened = 0
        self._streams_accepted = 0
        self._streams_refused = 0
        self._pongs_dropped = 0

    # -- what the application does ------------------------------------------------------------

    @property
    def can_open(self) -> bool:
        """True unless `open_stream` has to wait for an acknowledgement or for the socket."""
        return (
            self._unacknowledged < self._config.max_unacknowledged
            and len(self.send_queue.control) < self._config.max_pending_control
        )

    def open_stream(self, now: float) -> StreamState:
        """
        Open an outbound stream.

        :raises MuxedConnUnavailable: if the connection is closed or has used up its ids.
        :raises LocalProtocolError: if `can_open` is false.
        """
        self._check_open()
        if not self.can_open:
            raise LocalProtocolError(f"{self._unacknowledged} opens await acknowledgement")
        if self._next_id > MAX_STREAM_ID:
            raise MuxedConnUnavailable("the connection has used up its stream ids")
        stream = self._new_stream(self._next_id, True, now)
        self._next_id += 2
        self._unacknowledged += 1
        self._streams_opened += 1
        self.send_queue.add_control(TYPE_WINDOW_UPDATE, FLAG_SYN, stream.stream_id, 0)
        return stream

    def _new_stream(self, stream_id: int, outbound: bool, now: float) -> StreamState:
        window = ReceiveWindow(now, self._holdings.windows, self._config.max_window)
        stream = self.streams[stream_id] = StreamState(stream_id, outbound, window)
        self.active_at = now
        return stream

    def accept(self, stream: StreamState) -> None:
        """Accept an inbound stream; this tells the peer, which may then open another one."""
        if stream.accept():
            self._unaccepted -= 1
            self._streams_accepted += 1
        if stream.stream_id in self.streams and stream.acknowledge():
            self.send_queue.note_provoked()
            self.send_queue.add_control(TYPE_WINDOW_UPDATE, FLAG_ACK, stream.stream_id, 0)

    def read(self, stream: StreamState, limit: int, now: float) -> list[Buffer]:
        """
        Take up to ``limit`` bytes from the inbox; empty if there are none.

        :raises MuxedStreamReset: if the stream was reset (unread data is lost then).
        :raises MuxedStreamClosed: if reading was closed here.
        """
        inbox = stream.inbox
        before = inbox.size
        if before:
            buffers = inbox.take_buffers(limit)
            left = inbox.size
            self._holdings.on_read(stream, before - left)
            if stream.reading is OPEN:
                rtt = self.liveness.least_rtt
                delta = stream.receive_window.consumed(before - left, left, now, rtt)
                if delta:
                    self.send_queue.add_credit(stream.stream_id, delta)
            return buffers
        if stream.reading in (Half.CLOSED, Half.RESET):
            raise stream.error(stream.reading)
        return []

    def unread(self, stream: StreamState, data: Buffer) -> None:
        """Put back what `read` has returned; it counts in the window again."""
        if stream.reading in (OPEN, Half.EOF) or stream.lost_to is not None:
            stream.inbox.prepend(data)
            self._holdings.on_put_back(stream, len(data))

    def sendable(self, stream: StreamState) -> int:
        """
        Return how many bytes may be sent in one go: 0 means wait for credit.

        :raises MuxedStreamReset: if the stream was reset.
        :raises MuxedStreamClosed: if writing was closed here.
        """
        if stream.writing is not OPEN:
            raise stream.error(stream.writing)
        most = LEAST_SEND_QUEUE_BYTES if self._holdings.must_queue_less else TURN_BYTES
        return most if stream.send_credit > most else stream.send_credit

    def try_send(self, stream: StreamState, pieces: Sequence[Buffer], size: int) -> bool:
        """
        Queue ``pieces``, ``size`` bytes in all, if there is credit and room in the queue for them.

        :raises MuxedStreamReset: if the stream was reset.
        :raises MuxedStreamClosed: if writing was closed here.
        """
        if stream.writing is not OPEN:
            raise stream.error(stream.writing)
        if self._holdings.must_queue_less:
            most = turn = LEAST_SEND_QUEUE_BYTES
        else:
            most, turn = self._config.max_send_queue, TURN_BYTES
        queued = self.send_queue.data_bytes
        if size > stream.send_credit or queued >= most or queued + size > most + turn:
            return False
        self.send(stream, pieces, size)
        return True

    def send(self, stream: StreamState, pieces: Sequence[Buffer], size: int) -> None:
        """Queue ``pieces``, ``size`` bytes in all, at most `sendable`."""
        stream.charge(size)
        self.send_queue.add_data(stream.stream_id, pieces)
        self.bytes_sent += size
        if self._holdings.sealed:
            self._report_queued()

    def close_write(self, stream: StreamState) -> None:
        """Send FIN after everything queued; reading goes on."""
        if stream.writing is not OPEN:
            return
        stream.close_write()
        owes_ack = not stream.outbound and stream.acknowledge()
        flags = FLAG_FIN | FLAG_ACK if owes_ack else FLAG_FIN
        self.send_queue.add_after_data(TYPE_WINDOW_UPDATE, flags, stream.stream_id, 0)
        self._after_close(stream)

    def close_read(self, stream: StreamState) -> None:
        """Drop unread and later data; yamux has no frame that would stop the peer."""
        if stream.reading in (OPEN, Half.EOF):
            self._holdings.forget(stream)
            stream.close_read()
            self._after_close(stream)

    def reset(self, stream: StreamState, code: int = 0) -> None:
        """Abort both directions and tell the peer, with an error code."""
        was_finished = stream.finished
        self._holdings.forget(stream)
        stream.reset(code, remote=False)
        if not was_finished:
            self._send_reset(stream.stream_id, code)
            self._forget(stream)

    def on_stream_end(self, callback: Callable[[int], object] | None) -> None:
        """
        Call ``callback`` with the id of each stream that has ended in both directions.

        The callback must not use the session, which is in the middle of a step. None removes it.
        """
        self._on_stream_end = callback

    def ping(self, now: float) -> bool:
        """Queue a ping, unless one is in flight; return whether it was queued."""
        value = self.liveness.ping(now)
        if value is not None:
            self.send_queue.add_control(TYPE_PING, FLAG_SYN, 0, value)
        return value is not None

    def go_away(self, code: int) -> None:
        """Queue GoAway, once, after all data; inbound streams are refused from now on."""
        if not self._going_away:
            self._going_away = True
            self.send_queue.add_after_data(TYPE_GO_AWAY, 0, 0, code)

    def statistics(self) -> SessionStatistics:
        """Return how the connection stands."""
        outbound = [stream for stream in self.streams.values() if stream.outbound]
        return SessionStatistics(
            rtt=self.liveness.rtt or None,
            least_rtt=self.liveness.least_rtt or None,
            inbound_streams=len(self.streams) - len(outbound),
            outbound_streams=len(outbound),
            unacknowledged=sum(not stream.acknowledged for stream in outbound),
            unaccepted=self._unaccepted,
            streams_opened=self._streams_opened,
            streams_accepted=self._streams_accepted,
            streams_refused=self._streams_refused,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            bytes_queued=self.send_queue.data_bytes,
            receive_budget_used=self._holdings.windows.held,
            receive_budget=self._holdings.windows.limit or 0,
            pongs_dropped=self._pongs_dropped,
            pongs_unsolicited=self.liveness.pongs_unsolicited,
        )

    def close(self, cause: BaseException) -> list[StreamState]:
        """End everything, because of ``cause``; return the streams whose users must be woken."""
        if self.closed_by is None:
            self.closed_by = cause
        ended = list(self.streams.values())
        for stream in ended:
            self._holdings.forget(stream)
            stream.receive_window.release()
            stream.lose(self.closed_by)
        self.streams.clear()
        self._lingering.clear()
        self._holdings.close()
        self._on_cut = None
        return ended

    # -- what goes out ------------------------------------------------------------------------

    @property
    def has_outgoing(self) -> bool:
        """True if `take_outgoing` would return something."""
        queue = self.send_queue
        return (
            bool(queue.data or queue.control or queue.window_updates or queue.pongs)
            and not self.has_left
        )

    @property
    def is_congested(self) -> bool:
        """True if so much data is queued that writers should wait for the socket."""
        config, less = self._config, self._holdings.must_queue_less
        return self.send_queue.data_bytes >= (
            LEAST_SEND_QUEUE_BYTES if less else config.max_send_queue
        )

    def take_outgoing(self) -> list[Buffer]:
        """
        Return every queued frame, in the order to send them: control first, then data.

        After `leave` or `turn_away` only the first call returns frames: a peer may close the
        connection as soon as it reads the GoAway.
        """
        if self.has_left:
            return []
        self.has_left = self._farewell is not None
        return self.send_queue.take()

    def on_socket_full(self, now: float, sealed: int, delivered: int) -> None:
        """
        Note that the socket has left ``sealed`` encrypted bytes of the last frames.

        :param delivered: see `Liveness.look`.
        """
        self._holdings.on_socket(sealed)
        self._report_queued()
        self.liveness.on_full(now, delivered)

    def on_socket_drained(self) -> None:
        """Note that the socket has taken all bytes of the last frames."""
        self._holdings.on_socket(0)
        self._report_queued()
        self.liveness.on_drained()

    def _report_queued(self) -> None:
        waiting = self.send_queue
        self._holdings.on_queued(waiting.data_bytes + CONTROL_FRAME_BYTES * len(waiting.control))

    def _send_reset(self, stream_id: int, code: int) -> None:
        self.send_queue.drop_credit(stream_id)
        self.send_queue.add_control(TYPE_WINDOW_UPDATE, FLAG_RST, stream_id, code)

    def _reset_after_data(self, stream: StreamState) -> None:
        """Send RST after our FIN: the peer still reads what was written before the FIN."""
        self.send_queue.drop_credit(stream.stream_id)
        self.send_queue.add_after_data(TYPE_WINDOW_UPDATE, FLAG_RST, stream.stream_id, 0)

    # -- time ---------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to watch the peer; the first ping is due at once."""
        self.received_at = now
        self.liveness.start(now)

    def next_deadline(self) -> float:
        """Return when `on_time` is to be called next; infinity for never."""
        if self._farewell is not None:
            return self._farewell.next_deadline
        return self.liveness.next_deadline

    def on_time(
        self, now: float, delivered: int, undelivered: int
    ) -> ConnectionClosedError | MuxedConnError | None:
        """
        Act on a deadline that has passed: ping the peer, or return why the connection ends now.

        :param delivered: see `Liveness.look`.
        :param undelivered: encrypted bytes that the peer's kernel has not acknowledged.
        """
        if self._farewell is not None:
            missing = self.missing_bytes(undelivered)
            if self._farewell.goes_on(now, delivered, missing):
                return None
            return ConnectionClosedError("what was written is delivered, or no longer waited for")
        match self.liveness.look(now, delivered, self.received_at):
            case Finding.PING:
                self.ping(now)
            case Finding.SILENT:
                return MuxedConnError(f"no sign of life for {self._config.ping_timeout:.0f} s")
            case Finding.STUCK:
                seconds = self._config.write_progress_timeout
                return MuxedConnError(f"the peer read nothing for {seconds:.0f} s")
        return None

    def leave(self, code: int, now: float, delivered: int) -> None:
        """
        Close the connection: send GoAway after all data, and then nothing more.

        `on_time` ends the connection when the peer has taken everything, or takes nothing more.

        :param delivered: see `Liveness.look`.
        """
        self.go_away(code)
        self._farewell = Farewell(now, delivered, self._config, self._config.close_timeout)

    def turn_away(self, error: RemoteProtocolError, now: float) -> list[StreamState]:
        """
        End everything because of what the peer did, and tell the peer; see `close`.

        `on_time` ends the connection after `close_grace`, in which the peer can read the GoAway.
        """
        ended = self.close(error)
        self.go_away(error.code)
        self._farewell = Farewell(now, 0, self._config, self._config.close_grace)
        return ended

    def missing_bytes(self, undelivered: int) -> int:
        """
        Return how much of what was written, with its headers, the peer's kernel has not got.

        :param undelivered: see `on_time`.
        """
        return undelivered if self.has_left else undelivered + self.send_queue.data_bytes

    # -- received frames ----------------------------------------------------------------------

    def receive(self, pieces: Sequence[Buffer], now: float) -> Iterator[list[Event]]:
        """
        Handle received bytes, some at a time; the iterator has to be used up.

        Between two lists of events other tasks may run, and queued frames should be sent.

        :raises RemoteProtocolError: if the peer broke the protocol; nothing after the offending
            frame is handled.
        """
        self.received_at = now
        events: list[Event] = []
        frames = 0
        streams = self.streams
        before = self.bytes_received
        self._holdings.begin_batch(sum(map(len, pieces)))
        for kind, flags, stream_id, length, body in self._parser.receive(pieces):
            stream = streams.get(stream_id)
            if flags or stream is None or kind not in _BODIES:
                stream = self._on_frame(kind, flags, stream_id, length, now, events)
            if stream is not None:
                size = len(body)
                stream.receive_window.charge(size, length)
                self.bytes_received += size
                if stream.reading is OPEN:
                    inbox = stream.inbox
                    if size and not inbox.size:
                        events.append(StreamReadable(stream))
                    inbox.append(body)
                    self._holdings.on_body(stream, size)
                else:
                    self._on_unread_body(stream, events)
                if flags & FLAG_FIN:
                    self._on_fin(stream, events)
            frames += 1
            if frames == MAX_FRAMES_AT_ONCE or len(events) >= MAX_EVENTS_AT_ONCE:
                self._check_limits()
                yield events
                events, frames = [], 0
        self._check_limits()
        if self.bytes_received != before:
            self.active_at = now
            self._holdings.end_batch()
        yield events

    def _check_limits(self) -> None:
        provoked = self.send_queue.provoked
        if provoked > self._config.max_pending_control or (
            provoked > LEAST_PENDING_CONTROL and self._holdings.must_queue_less
        ):
            raise RemoteProtocolError("the peer provokes control frames and does not read them")

    def _cut_unread(self) -> None:
        """Reset the fullest stream: too much lies unread in the host's streams."""
        if self._holdings.settle() or not self.streams:
            return
        fullest = max(self.streams.values(), key=lambda stream: stream.inbox.size)
        self._cut(fullest)
        self._holdings.settle()

    def _cut_inbound(self) -> None:
        """Reset some idle inbound streams: the host has too many streams."""
        inbound = [stream for stream in self.streams.values() if not stream.outbound]
        idle = [stream for stream in inbound if not stream.inbox.size]
        for stream in (idle or inbound)[:CUT_STREAMS]:
            self._cut(stream)

    def _cut(self, stream: StreamState) -> None:
        self.reset(stream, RESOURCE_LIMIT_EXCEEDED)
        if self._on_cut is not None:
            self._on_cut(stream)

    def _on_frame(
        self, kind: int, flags: int, stream_id: int, length: int, now: float, events: list[Event]
    ) -> StreamState | None:
        """Handle everything but a body; return the stream that the frame's body is for, if any."""
        if kind == TYPE_PING:
            self._on_ping(flags, length, now)
            return None
        if kind == TYPE_GO_AWAY:
            events.append(GoAwayReceived(length))
            return None
        stream = self.streams.get(stream_id)
        if kind == CONTINUATION:
            return stream
        if flags or stream is None:
            stream = self._on_flags(kind, flags, stream_id, length, now, events)
        if kind == TYPE_DATA or stream is None:
            return stream
        if length:
            self._on_credit(stream, length, events)
        if flags & FLAG_FIN:
            self._on_fin(stream, events)
        return None

    def _on_flags(
        self, kind: int, flags: int, stream_id: int, length: int, now: float, events: list[Event]
    ) -> StreamState | None:
        """Handle SYN, ACK and RST; return the stream that the frame's rest is for, if any."""
        if stream_id == 0:
            raise RemoteProtocolError("a stream frame with the session's id 0")
        if flags & FLAG_SYN:
            self._on_syn(kind, stream_id, length, now, events)
        stream = self.streams.get(stream_id)
        if stream is None:
            return None  # refused, or a late frame for a stream that has ended
        if flags & FLAG_ACK and stream.outbound and stream.acknowledge():
            self._unacknowledged -= 1
            events.append(OpenAllowed())
        if flags & FLAG_RST:
            code = length if kind == TYPE_WINDOW_UPDATE else 0
            self._on_reset(stream, code, events)
            return None
        return stream

    def _on_syn(
        self, kind: int, stream_id: int, length: int, now: float, events: list[Event]
    ) -> None:
        """Validate, then create or refuse an inbound stream."""
        if (stream_id % 2 == 1) == self.is_initiator:
            raise RemoteProtocolError(f"stream id {stream_id} has this side's parity")
        if stream_id in self.streams:
            raise RemoteProtocolError(f"stream id {stream_id} opened twice")
        if kind == TYPE_DATA and length > DEFAULT_WINDOW_SIZE:
            raise RemoteProtocolError(f"stream {stream_id} opened with {length} bytes of data")
        if (
            self._going_away
            or self._inbound >= self._config.max_inbound_streams
            or self._unaccepted >= self._config.accept_backlog
            or not self._holdings.add_inbound()
        ):
            self._streams_refused += 1
            self.send_queue.note_provoked()
            self._send_reset(stream_id, RESOURCE_LIMIT_EXCEEDED)
            return
        stream = self._new_stream(stream_id, False, now)
        self._inbound += 1
        self._unaccepted += 1
        events.append(StreamOpened(stream))

    def _on_unread_body(self, stream: StreamState, events: list[Event]) -> None:
        """
        Drop a body on a stream that is not read; reset the stream if no credit is left.

        Without a reset the peer would wait for credit for ever. An earlier reset would make the
        peer drop data of ours that it has not read yet.
        """
        if stream.reading is Half.CLOSED and not stream.receive_window.credit:
            if stream.writing is OPEN:
                self.send_queue.note_provoked()
                self._send_reset(stream.stream_id, 0)
                stream.reset(0, remote=False)
                events.append(StreamWritable(stream, is_last=True))
            else:
                self._reset_after_data(stream)
            self._end(stream, events)

    def _on_credit(self, stream: StreamState, delta: int, events: list[Event]) -> None:
        if stream.send_credit == 0:
            events.append(StreamWritable(stream))
        stream.grant(delta)

    def _on_fin(self, stream: StreamState, events: list[Event]) -> None:
        if stream.finish():
            self.send_queue.drop_credit(stream.stream_id)
            events.append(StreamReadable(stream))
        if stream.finished:
            self._end(stream, events)

    def _on_reset(self, stream: StreamState, code: int, events: list[Event]) -> None:
        self._holdings.forget(stream)
        stream.reset(code, remote=True)
        self.send_queue.drop_credit(stream.stream_id)
        events.append(StreamReadable(stream))
        events.append(StreamWritable(stream, is_last=True))
        self._end(stream, events)

    def _on_ping(self, flags: int, value: int, now: float) -> None:
        if flags & FLAG_SYN:
            if len(self.send_queue.pongs) >= self._config.max_pending_pongs:
                self._pongs_dropped += 1
            else:
                self.send_queue.add_pong(value)
        elif flags & FLAG_ACK:
            self.liveness.on_pong(value, now)

    # -- ends ---------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.closed_by is not None or self._going_away:
            raise MuxedConnUnavailable() from self.closed_by

    def _after_close(self, stream: StreamState) -> None:
        """Forget a stream of which a half was closed here, or remember that it lingers."""
        if stream.finished:
            self._forget(stream)
        elif stream.writing is Half.CLOSED and stream.reading is Half.CLOSED:
            if not stream.receive_window.credit:  # the peer would wait for credit for ever
                self._reset_after_data(stream)
                self._forget(stream)
                return
            self._lingering[stream.stream_id] = None
            if len(self._lingering) > self._config.max_lingering:
                oldest = self.streams[next(iter(self._lingering))]
                self._reset_after_data(oldest)
                self._forget(oldest)

    def _end(self, stream: StreamState, events: list[Event]) -> None:
        if stream.outbound and not stream.acknowledged:
            events.append(OpenAllowed())
        self._forget(stream)

    def _forget(self, stream: StreamState) -> None:
        """Remove a stream from the session; its user keeps its object, with unread data in it."""
        if self.streams.pop(stream.stream_id, None) is None:
            return
        if self._on_stream_end is not None:
            self._on_stream_end(stream.stream_id)
        self._lingering.pop(stream.stream_id, None)
        self._holdings.forget(stream)
        stream.receive_window.release()
        if not stream.outbound:
            self._holdings.remove_inbound()
            self._inbound -= 1  # if not accepted, it still waits for `accept` in the backlog
        elif stream.acknowledge():
            self._unacknowledged -= 1
