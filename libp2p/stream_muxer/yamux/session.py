"""
A yamux connection without its socket (sans-I/O): bytes in, events and bytes out.

Specification: libp2p/specs yamux r0. The session owns the table of streams, all windows, the
frames waiting to be sent and the ping in flight. `receive` takes what came off the wire and
returns events; the methods named after what an application does change state and queue frames;
`take_outgoing` hands the frames to whoever owns the socket. Nothing here waits.

All control frames (open, accept, close, reset) are WindowUpdates with a delta of 0. They go out
before data, except those that end what the data belongs to: close, and GoAway. Flags are handled
each on its own: ACK and FIN may come on one frame. A peer that breaks the protocol makes `receive`
raise `RemoteProtocolError`; the driver then sends GoAway.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import LocalProtocolError, MuxedConnUnavailable, RemoteProtocolError
from libp2p.io.chunk_queue import detached
from libp2p.resources import Resources
from libp2p.stream_muxer.yamux.events import (
    Event,
    GoAwayReceived,
    OpenAllowed,
    PongReceived,
    StreamOpened,
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
from libp2p.stream_muxer.yamux.outgoing import Outgoing
from libp2p.stream_muxer.yamux.statistics import SessionStatistics
from libp2p.stream_muxer.yamux.stream_state import OPEN, Half, StreamState
from libp2p.stream_muxer.yamux.write_line import TURN_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from libp2p.base_types import Buffer
    from libp2p.stream_muxer.yamux.frame import Frame

#: The specification's advice for both sides: opens that the peer has not acknowledged, and
#: streams that our application has not taken. Beyond, opening waits and accepting refuses.
MAX_UNACKNOWLEDGED: Final = 256
ACCEPT_BACKLOG: Final = 256
#: go-yamux's default; bounds what one connection can make us hold.
MAX_INBOUND_STREAMS: Final = 1000
#: Pongs waiting to be sent; more mean that the peer floods pings without reading.
MAX_PENDING_PONGS: Final = 32
#: Control frames waiting to be sent. A peer that provokes more without reading them is cut off
#: (CVE-2024-32984): one that keeps to 256 unacknowledged opens stays far below. Where they are
#: this side's own, opening waits.
MAX_PENDING_CONTROL: Final = 4096
#: What is handled in one go before other connections have their turn, or one that sends nothing
#: but headers would hold up all others: about a millisecond's worth. Each event wakes a task.
MAX_FRAMES_AT_ONCE: Final = 256
MAX_EVENTS_AT_ONCE: Final = 16
#: Streams closed here whose peer has not finished; the oldest is reset when there are more.
MAX_LINGERING: Final = 256
#: Data queued per connection, in bytes, before writers wait: enough for the socket to stay busy
#: while a writer is scheduled, little enough that a short stream is not kept waiting.
MAX_OUTGOING_BYTES: Final = 512 * 1024
#: Data that is sealed and sent in one go, where there is so much: a system call for each 64 KiB
#: costs bulk a tenth, and full TLS records are made only of what goes out together.
BATCH_BYTES: Final = 256 * 1024
#: What a connection may queue, in data and in control frames, when too much waits in all of them:
#: so much that each goes on, and that a peer may open the streams that it may have unacknowledged.
LEAST_OUTGOING_BYTES: Final = 32 * 1024
LEAST_PENDING_CONTROL: Final = 512
#: Idle streams that are reset at once where a host has too many.
CUT_STREAMS: Final = 16
#: Stream ids are never used again; ids and ping values are u32.
MAX_STREAM_ID: Final = 2**32 - 1

_BODIES: Final = (TYPE_DATA, CONTINUATION)

#: Stream error code of go-libp2p: refused for lack of resources.
RESOURCE_LIMIT_EXCEEDED: Final = 0x1002


class YamuxSession:
    """One connection's streams and frames."""

    def __init__(
        self,
        is_initiator: bool,
        max_inbound_streams: int = MAX_INBOUND_STREAMS,
        resources: Resources | None = None,
        name: str = "connection",
    ) -> None:
        """
        Begin a connection on which nothing has been said yet.

        :param resources: what the host of this connection may hold; None for a host of its own.
        :param name: how the connection is called there.
        """
        self.is_initiator = is_initiator
        self.streams: dict[int, StreamState] = {}
        #: Stream data in bytes, in all.
        self.bytes_sent = 0
        self.bytes_received = 0
        #: Smoothed round-trip time in seconds; 0 until the first pong.
        self.rtt = 0.0
        # A window too large fills queues on the way, and these delay the pong that would justify
        # a larger one still. So windows go by the link's own round trip: the shortest seen.
        self._least_rtt = math.inf
        self.closed_by: BaseException | None = None
        #: Told of streams that are reset because the host holds too much.
        self.on_cut: Callable[[StreamState], object] | None = None
        self._on_stream_end: Callable[[int], object] | None = None
        #: When a stream was opened last, or data came; pings do not count. 0 before.
        self.active_at = 0.0
        self._holdings = Holdings(
            resources or Resources(), name, self._cut_unread, self._cut_inbound
        )
        self._parser = FrameParser()
        self._max_inbound_streams = max_inbound_streams
        self._next_id = 1 if is_initiator else 2
        self._unacknowledged = 0
        self._inbound = 0
        self._unaccepted = 0
        self._lingering: dict[int, None] = {}
        self._outgoing = Outgoing()
        self._ping_id = 0
        self._ping_sent_at: float | None = None
        self._going_away = False
        self._streams_opened = 0
        self._streams_accepted = 0
        self._streams_refused = 0
        self._pongs_dropped = 0
        self._pongs_unsolicited = 0

    # -- what the application does ------------------------------------------------------------

    @property
    def can_open(self) -> bool:
        """True if `open_stream` would not have to wait for an acknowledgement or the socket."""
        return (
            self._unacknowledged < MAX_UNACKNOWLEDGED
            and len(self._outgoing.control) < MAX_PENDING_CONTROL
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
        stream = StreamState(self._next_id, True, ReceiveWindow(now, self._holdings.windows))
        self.active_at = now
        self._next_id += 2
        self._unacknowledged += 1
        self._streams_opened += 1
        self.streams[stream.stream_id] = stream
        self._outgoing.add_control(TYPE_WINDOW_UPDATE, FLAG_SYN, stream.stream_id, 0)
        return stream

    def accept(self, stream: StreamState) -> None:
        """Take an inbound stream: the peer is told, and may open another in its place."""
        if not stream.accepted:
            stream.accepted = True
            self._unaccepted -= 1
            self._streams_accepted += 1
        if not stream.acknowledged and stream.stream_id in self.streams:
            stream.acknowledged = True
            self._outgoing.provoked += 1
            self._outgoing.add_control(TYPE_WINDOW_UPDATE, FLAG_ACK, stream.stream_id, 0)

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
                rtt = self._least_rtt if self.rtt else 0.0
                delta = stream.receive_window.consumed(before - left, left, now, rtt)
                if delta:
                    self._outgoing.add_credit(stream.stream_id, delta)
            return buffers
        if stream.reading in (Half.CLOSED, Half.RESET):
            raise stream.error(stream.reading)
        return []

    def unread(self, stream: StreamState, data: Buffer) -> None:
        """Put back what `read` has returned; in the window it counts again."""
        if stream.reading in (OPEN, Half.EOF) or stream.lost_to is not None:
            stream.inbox.prepend(detached(data))
            self._holdings.on_put_back(stream, len(data))

    def sendable(self, stream: StreamState) -> int:
        """
        Return how many bytes may be sent in one go: 0 means wait for credit.

        :raises MuxedStreamReset: if the stream was reset.
        :raises MuxedStreamClosed: if writing was closed here.
        """
        if stream.writing is not OPEN:
            raise stream.error(stream.writing)
        most = LEAST_OUTGOING_BYTES if self._holdings.must_queue_less else TURN_BYTES
        return most if stream.send_credit > most else stream.send_credit

    def send(self, stream: StreamState, pieces: Sequence[Buffer], size: int) -> None:
        """Queue ``pieces``, ``size`` bytes in all, at most `sendable`."""
        stream.send_credit -= size
        self._outgoing.add_data(stream.stream_id, pieces)
        self.bytes_sent += size
        if self._holdings.sealed:
            self._tell_queued()

    def close_write(self, stream: StreamState) -> None:
        """Send FIN after everything queued; reading goes on."""
        if stream.writing is not OPEN:
            return
        stream.writing = Half.CLOSED
        flags = self._pending_ack(stream) | FLAG_FIN
        self._outgoing.add_after_data(TYPE_WINDOW_UPDATE, flags, stream.stream_id, 0)
        self._after_close(stream)

    def close_read(self, stream: StreamState) -> None:
        """Drop what is unread and what may still come; yamux has no frame to say so."""
        if stream.reading in (OPEN, Half.EOF):
            stream.reading = Half.CLOSED
            self._holdings.forget(stream)
            stream.inbox.clear()
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

        It must not use the session, which is in the middle of a step. None ends this.
        """
        self._on_stream_end = callback

    def ping(self, now: float) -> bool:
        """Queue a ping, unless one is in flight; return whether it was queued."""
        if self._ping_sent_at is not None:
            return False
        self._ping_id = (self._ping_id + 1) & MAX_STREAM_ID
        self._ping_sent_at = now
        self._outgoing.add_control(TYPE_PING, FLAG_SYN, 0, self._ping_id)
        return True

    @property
    def ping_sent_at(self) -> float | None:
        """When the unanswered ping was queued; None if there is none."""
        return self._ping_sent_at

    def go_away(self, code: int) -> None:
        """Queue GoAway, once, after all data; inbound streams are refused from now on."""
        if not self._going_away:
            self._going_away = True
            self._outgoing.add_after_data(TYPE_GO_AWAY, 0, 0, code)

    def statistics(self) -> SessionStatistics:
        """Return how the connection stands."""
        outbound = [stream for stream in self.streams.values() if stream.outbound]
        return SessionStatistics(
            rtt=self.rtt or None,
            least_rtt=self._least_rtt if self.rtt else None,
            inbound_streams=len(self.streams) - len(outbound),
            outbound_streams=len(outbound),
            unacknowledged=sum(not stream.acknowledged for stream in outbound),
            unaccepted=self._unaccepted,
            streams_opened=self._streams_opened,
            streams_accepted=self._streams_accepted,
            streams_refused=self._streams_refused,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            bytes_queued=self._outgoing.data_bytes,
            receive_budget_used=self._holdings.windows.held,
            receive_budget=self._holdings.windows.limit or 0,
            pongs_dropped=self._pongs_dropped,
            pongs_unsolicited=self._pongs_unsolicited,
        )

    def close(self, cause: BaseException) -> list[StreamState]:
        """End everything, because of ``cause``; return the streams whose users must be woken."""
        if self.closed_by is None:
            self.closed_by = cause
        ended = list(self.streams.values())
        for stream in ended:
            del stream.readable
            self._holdings.forget(stream)
            stream.receive_window.release()
            stream.lose(self.closed_by)
        self.streams.clear()
        self._lingering.clear()
        self._holdings.close()
        return ended

    # -- what goes out ------------------------------------------------------------------------

    @property
    def has_outgoing(self) -> bool:
        """True if `take_outgoing` would return something."""
        waiting = self._outgoing
        return bool(waiting.data or waiting.control or waiting.window_updates or waiting.pongs)

    @property
    def is_congested(self) -> bool:
        """True if so much data is queued that writers should wait for the socket."""
        most = LEAST_OUTGOING_BYTES if self._holdings.must_queue_less else MAX_OUTGOING_BYTES
        return self._outgoing.data_bytes >= most

    @property
    def has_batch(self) -> bool:
        """True if so much data is queued that it should not wait for more."""
        return self._outgoing.data_bytes >= BATCH_BYTES

    def take_outgoing(self) -> list[Buffer]:
        """Return every queued frame, in the order to send them: control first, then data."""
        return self._outgoing.take()

    def on_socket(self, sealed: int) -> None:
        """The socket has left ``sealed`` encrypted bytes of what was taken; 0 if none."""
        self._holdings.on_socket(sealed)
        self._tell_queued()

    def _tell_queued(self) -> None:
        waiting = self._outgoing
        self._holdings.on_queued(waiting.data_bytes + CONTROL_FRAME_BYTES * len(waiting.control))

    def _send_reset(self, stream_id: int, code: int) -> None:
        self._outgoing.drop_credit(stream_id)
        self._outgoing.add_control(TYPE_WINDOW_UPDATE, FLAG_RST, stream_id, code)

    def _reset_after_data(self, stream: StreamState) -> None:
        """Send RST behind our FIN: the peer then still reads what was written before it."""
        self._outgoing.drop_credit(stream.stream_id)
        self._outgoing.add_after_data(TYPE_WINDOW_UPDATE, FLAG_RST, stream.stream_id, 0)

    def _pending_ack(self, stream: StreamState) -> int:
        """Return FLAG_ACK, once, if the peer's open has not been acknowledged yet."""
        if stream.outbound or stream.acknowledged:
            return 0
        stream.acknowledged = True
        return FLAG_ACK

    # -- what comes in ------------------------------------------------------------------------

    def receive(self, pieces: Sequence[Buffer], now: float) -> Iterator[list[Event]]:
        """
        Handle what came off the wire, some at a time: all that is returned has to be asked for.

        Between two lists of events others may run, and what is to be sent should be.

        :raises RemoteProtocolError: if the peer broke the protocol; nothing after the offending
            frame is handled.
        """
        events: list[Event] = []
        frames = 0
        streams = self.streams
        before = self.bytes_received
        self._holdings.begin_batch(sum(map(len, pieces)))
        for frame in self._parser.receive(pieces):
            kind, flags, stream_id, length, body = frame
            if flags or kind not in _BODIES or (stream := streams.get(stream_id)) is None:
                self._on_frame(frame, now, events)
            else:  # nearly all that comes
                self._on_body(stream, body, length, events)
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
        provoked = self._outgoing.provoked
        if provoked > MAX_PENDING_CONTROL or (
            provoked > LEAST_PENDING_CONTROL and self._holdings.must_queue_less
        ):
            raise RemoteProtocolError("the peer provokes control frames and does not read them")

    def _cut_unread(self) -> None:
        """Reset the fullest stream: too much lies unread in all of the host's."""
        if self._holdings.settle() or not self.streams:
            return
        fullest = max(self.streams.values(), key=lambda stream: stream.inbox.size)
        self._cut(fullest)
        self._holdings.settle()

    def _cut_inbound(self) -> None:
        """Reset some streams on which nothing happens: the host has too many."""
        inbound = [stream for stream in self.streams.values() if not stream.outbound]
        idle = [stream for stream in inbound if not stream.inbox.size]
        for stream in (idle or inbound)[:CUT_STREAMS]:
            self._cut(stream)

    def _cut(self, stream: StreamState) -> None:
        self.reset(stream, RESOURCE_LIMIT_EXCEEDED)
        if self.on_cut is not None:
            self.on_cut(stream)

    def _on_frame(self, frame: Frame, now: float, events: list[Event]) -> None:
        kind, flags, stream_id, length, body = frame
        stream = self.streams.get(stream_id)
        if kind == CONTINUATION:
            if stream is not None:
                self._on_body(stream, body, 0, events)
                self._on_fin(stream, events)
        elif kind <= TYPE_WINDOW_UPDATE:
            if flags or stream is None:
                stream = self._on_flags(kind, flags, stream_id, length, now, events)
            if stream is None:
                return
            if kind == TYPE_DATA:
                self._on_body(stream, body, length, events)
            elif length:
                self._on_credit(stream, length, events)
            if flags & FLAG_FIN:
                self._on_fin(stream, events)
        elif kind == TYPE_PING:
            self._on_ping(flags, length, now, events)
        else:
            events.append(GoAwayReceived(length))

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
        if flags & FLAG_ACK and stream.outbound and not stream.acknowledged:
            stream.acknowledged = True
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
            or self._inbound >= self._max_inbound_streams
            or self._unaccepted >= ACCEPT_BACKLOG
            or not self._holdings.add_inbound()
        ):
            self._streams_refused += 1
            self._outgoing.provoked += 1
            self._send_reset(stream_id, RESOURCE_LIMIT_EXCEEDED)
            return
        stream = StreamState(stream_id, False, ReceiveWindow(now, self._holdings.windows))
        self.streams[stream_id] = stream
        self.active_at = now
        self._inbound += 1
        self._unaccepted += 1
        events.append(StreamOpened(stream))

    def _on_body(
        self, stream: StreamState, body: Buffer, announced: int, events: list[Event]
    ) -> None:
        size = len(body)
        stream.receive_window.charge(size, announced)
        self.bytes_received += size
        if stream.reading is OPEN:
            inbox = stream.inbox
            if size and not inbox.size:
                events.append(stream.readable)
            inbox.append(body)
            self._holdings.on_body(stream, size)
        elif stream.reading is Half.CLOSED and not stream.receive_window.credit:
            # The application has closed it, and the peer has written until its credit was gone:
            # without a word it would wait for ever. Not sooner, for a reset also makes the peer
            # drop what it has not read yet of ours.
            if stream.writing is OPEN:
                self._outgoing.provoked += 1
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
        stream.peer_finished = True
        if stream.reading is OPEN:
            stream.reading = Half.EOF
            self._outgoing.drop_credit(stream.stream_id)
            events.append(stream.readable)
        if stream.finished:
            self._end(stream, events)

    def _on_reset(self, stream: StreamState, code: int, events: list[Event]) -> None:
        self._holdings.forget(stream)
        stream.reset(code, remote=True)
        self._outgoing.drop_credit(stream.stream_id)
        events.append(stream.readable)
        events.append(StreamWritable(stream, is_last=True))
        self._end(stream, events)

    def _on_ping(self, flags: int, value: int, now: float, events: list[Event]) -> None:
        if flags & FLAG_SYN:
            if len(self._outgoing.pongs) >= MAX_PENDING_PONGS:
                self._pongs_dropped += 1
            else:
                self._outgoing.pongs.append(value)
        elif flags & FLAG_ACK:
            if self._ping_sent_at is None or value != self._ping_id:
                self._pongs_unsolicited += 1  # must never feed the RTT
                return
            sample = max(now - self._ping_sent_at, 0.0)
            self._ping_sent_at = None
            self._least_rtt = min(self._least_rtt, sample)
            self.rtt = sample if self.rtt == 0 else (self.rtt + sample) / 2
            events.append(PongReceived(sample))

    # -- ends ---------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.closed_by is not None or self._going_away:
            raise MuxedConnUnavailable() from self.closed_by

    def _after_close(self, stream: StreamState) -> None:
        """A half was closed here: forget the stream, or remember that it lingers."""
        if stream.finished:
            self._forget(stream)
        elif stream.writing is Half.CLOSED and stream.reading is Half.CLOSED:
            if not stream.receive_window.credit:  # the peer is waiting for some, for ever
                self._reset_after_data(stream)
                self._forget(stream)
                return
            self._lingering[stream.stream_id] = None
            if len(self._lingering) > MAX_LINGERING:
                oldest = self.streams[next(iter(self._lingering))]
                self._reset_after_data(oldest)
                self._forget(oldest)

    def _end(self, stream: StreamState, events: list[Event]) -> None:
        if stream.outbound and not stream.acknowledged:
            events.append(OpenAllowed())
        self._forget(stream)

    def _forget(self, stream: StreamState) -> None:
        """Drop all trace of a stream; its object, and unread data in it, live on with its user."""
        if self.streams.pop(stream.stream_id, None) is None:
            return
        if self._on_stream_end is not None:
            self._on_stream_end(stream.stream_id)
        del stream.readable
        self._lingering.pop(stream.stream_id, None)
        self._holdings.forget(stream)
        stream.receive_window.release()
        if not stream.outbound:
            self._holdings.remove_inbound()
            self._inbound -= 1  # if not accepted, it still waits for `accept` in the backlog
        elif not stream.acknowledged:
            stream.acknowledged = True
            self._unacknowledged -= 1
