"""
The receiver of one peer's messages: it reads and decodes all streams without a task for each.

    stream ─┐ unread bytes                ┌─ blocks, presences ──> `MessageHandler.take`
    stream ─┼──────────────> read, decode ┤
    stream ─┘ in its window               └─ wantlists ──────────> `Server`, in order

Kubo opens a stream for every reply, so a stream must cost little. A readable stream is read in its
connection's read loop until a message is complete. A small message is decoded there. Others wait
for a turn of the peer (`receiver`), which decodes and reads until its quantum is used up. Until the
turn no stream of the peer is read: its bytes fill the windows of the streams, and the peer has to
wait.

A task takes in wantlists that are long or that a request filter must judge. The peer has no turns
while too many of these wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.config import (
    CUT_OFF_SECONDS,
    ENTRY_BYTES,
    FIELD_COST,
    INTAKE_NOW_BYTES,
    INTAKE_TURN_BYTES,
    MAX_CUT_OFF_SECONDS,
    MAX_MESSAGES_AT_ONCE,
    MIN_INTAKE_BYTES,
    MIN_MESSAGE_COST,
    MIN_READ_BYTES,
    MIN_UNFINISHED_PROGRESS,
    STEP_ITEMS,
)
from libp2p.bitswap.wire.decode import Decoding, MessageReader
from libp2p.exceptions import (
    BaseLibp2pError,
    MissingMessageException,
    MsgioException,
    ParseError,
    StreamError,
)
from libp2p.io.utils import put_back
from libp2p.utils.faults import without_traceback
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.bitswap.net.message_handler import MessageHandler
    from libp2p.bitswap.net.receiver import Receiver
    from libp2p.bitswap.net.service import Service
    from libp2p.bitswap.net.time_watch import TimeWatch
    from libp2p.bitswap.wire.message import Message
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID

logger = get_logger(__name__)


class InboundStream:
    """
    One stream that the peer writes on, and the size of its unfinished message.

    Owner: libp2p.bitswap.net.peer_receiver
    """

    __slots__ = (
        "_on_end", "_peer", "_reader", "_stream", "arrived", "failed", "finished",
        "held", "notices",
    )  # fmt: skip

    def __init__(
        self,
        peer: PeerReceiver,
        stream: NetStream,
        on_end: Callable[[BaseLibp2pError | None], object] | None,
    ) -> None:
        self._peer = peer
        self._stream = stream
        self._on_end = on_end
        self._reader = MessageReader()
        self.held = 0
        """Bytes of the unfinished message."""
        self.arrived = 0
        """Bytes that have come since `PeerReceiver` began to watch the unfinished message."""
        self.finished = False
        """The stream is not read any more."""
        self.failed = False
        """A message was malformed, or the stream was aborted: later messages are dropped."""
        self.notices = 0
        """How often the stream became readable since it was read; written by `PeerReceiver`."""

    @property
    def can_be_spared(self) -> bool:
        """True if the peer has opened the stream: it may be reset when there are too many."""
        return self._on_end is None

    def receive(self, limit: int) -> list[Buffer] | None:
        """
        Read up to ``limit`` bytes that are at hand; None if there are none. End an ended stream.

        Earlier messages were acted on before the end, as `PeerReceiver` reads a stream only when
        all messages that were read are decoded.
        """
        try:
            buffers = self._stream.receive_nowait(limit)
        except StreamError as error:
            logger.debug("stream of %s: %s", self._peer.peer_id, error)
            if self._on_end is None and self._reader.at_boundary:
                self.end(None)
            else:
                self.end(error)
            return None
        if buffers is None or buffers:
            return buffers
        whole = self._reader.at_boundary
        self.end(None if whole else MissingMessageException("the stream ended inside a message"))
        return None

    def cut(self, buffers: Sequence[Buffer], size: int) -> list[list[Buffer]]:
        """Return the messages that these bytes complete, `MAX_MESSAGES_AT_ONCE` at most."""
        if self.failed:
            return []
        try:
            frames = self._reader.receive_frames(buffers, MAX_MESSAGES_AT_ONCE)
        except (ParseError, MsgioException) as error:
            self.end(error)
            return []
        self.arrived += size
        change = self._reader.buffered - self.held
        if change:
            self.held += change
            self._peer.hold(self, change)
        return frames

    def end(self, error: BaseLibp2pError | None) -> None:
        """Stop reading: close the stream, or reset it because of ``error``."""
        if error is not None:
            logger.debug("a stream of %s ends: %s", self._peer.peer_id, error)
            self.failed = True
            without_traceback(error)
        if self.finished:
            return
        self.forget()
        if self._on_end is not None:
            self._on_end(error)
        elif error is None:
            self._stream.close_nowait()
        else:
            self._stream.abort()

    def expire(self) -> None:
        """Have a message looked after that was unfinished for long; called by `TimeWatch`."""
        if self.held:
            self._peer.look_after(self)

    def abort(self) -> None:
        """Reset the stream."""
        self.end(StreamError("given up"))

    def forget(self) -> None:
        """Stop reading and drop the unfinished message."""
        self.finished = True
        self._stream.on_readable(None)
        held, self.held = self.held, 0
        self._reader = MessageReader()
        self._peer.forget(self, held)


class PeerReceiver:
    """Reads and decodes the messages of one peer, and has them acted on."""

    def __init__(
        self,
        peer_id: ID,
        receiver: Receiver,
        handler: MessageHandler,
        service: Service,
        time_watch: TimeWatch,
    ) -> None:
        self.peer_id = peer_id
        self._receiver = receiver
        self._config = receiver.config
        self._handler = handler
        self._service = service
        self._time_watch = time_watch
        self._tracker = handler.tracker
        name = str(peer_id)
        self._unfinished = receiver.unfinished.open(
            name, cut=self._cut_unfinished, weigh=self._weight
        )
        # The bytes of messages that wait for a turn, and of wantlists that wait for the task.
        self._waiting = receiver.waiting.open(name)
        self._open = receiver.streams.open(name, cut=self._cut_idle)
        self._streams: dict[InboundStream, None] = {}
        self._readable: deque[InboundStream] = deque()
        # The stream that was read last, and its messages that are not decoded yet.
        self._source: InboundStream | None = None
        self._frames: deque[tuple[list[Buffer], int]] = deque()  # with their lengths
        self._frame_bytes = 0
        self._may_have_more = False  # the reader of ``_source`` may hold further messages
        self._decoding: Decoding | None = None
        self._answers_left: Iterator[Message] | None = None  # the rest of a long message
        self._held_bytes = 0  # of ``_frames``, as counted in ``_waiting``
        self._asked: deque[tuple[list[Message], int]] = deque()
        self._answers = False  # the task for wantlists runs
        self._closed = False
        self._busy = False  # a turn is due or being taken: the read loop reads nothing
        self._cut_off_until = 0.0
        self._cut_off_seconds = CUT_OFF_SECONDS

    def close(self) -> None:
        """Note that the peer has disconnected; messages that have come are still decoded."""
        self._closed = True
        self._close_scopes()

    def stop(self) -> None:
        """Reset all streams and drop their messages; the client has stopped."""
        self._drop_frames()
        for stream in list(self._streams):
            stream.abort()
        self._readable.clear()
        self._source = None
        self._hold_frames()
        self._close_scopes()

    def _drop_frames(self) -> None:
        self._frames.clear()
        self._frame_bytes = 0
        self._decoding = self._answers_left = None
        self._may_have_more = False

    def _close_scopes(self) -> None:
        if self._closed and not (self._streams or self._asked or self._has_more):
            for scope in (self._unfinished, self._waiting, self._open):
                scope.close()

    @property
    def is_wanted(self) -> bool:
        """True if the peer is to send us a block."""
        return self._tracker.is_asked(self.peer_id)

    # -- streams --------------------------------------------------------------------------------

    def accept(
        self,
        stream: NetStream,
        buffers: list[Buffer],
        on_end: Callable[[BaseLibp2pError | None], object] | None = None,
    ) -> None:
        """
        Read a stream until it ends.

        :param buffers: bytes that were read of the stream already.
        :param on_end: for a stream that this side has opened: called with the error, or None, at
            its end, instead of closing it.
        """
        if on_end is None and self._refuses_streams:
            stream.abort()
            return
        inbound = InboundStream(self, stream, on_end)
        self._streams[inbound] = None
        self._open.hold(1)  # may reset this stream at once, if there are too many
        if not inbound.finished:
            stream.on_readable(partial(self.on_readable, inbound))
            if buffers and self._busy:
                put_back(stream, buffers)
                buffers = []
            self.on_readable(inbound, buffers, 2)  # after some bytes, the end may be at hand too

    @property
    def _refuses_streams(self) -> bool:
        full = len(self._streams) >= self._config.max_inbound_streams_per_peer
        return full or trio.current_time() < self._cut_off_until

    # -- reading --------------------------------------------------------------------------------

    def on_readable(
        self, stream: InboundStream, buffers: Sequence[Buffer] = (), notices: int = 1
    ) -> None:
        """
        Read a stream, unless a turn is due; called in the connection's read loop.

        :param buffers: bytes that were read of the stream already.
        :param notices: how many reads it may take to reach its end.
        """
        if not self._service.is_running:
            self.stop()
            return
        if not buffers:
            if not stream.notices:
                self._readable.append(stream)
            stream.notices += notices
        if self._busy:
            return
        self._busy = True
        now = trio.current_time()
        messages = 0
        try:
            if buffers:
                self._cut(stream, buffers, now)
            elif not self._receiver.is_full:
                self._read(INTAKE_TURN_BYTES, now)
            is_little = bool(self._frames) and self._frame_bytes <= INTAKE_NOW_BYTES
            if is_little and self._receiver.may_decode_now(now):
                messages, cost = self._take(now, INTAKE_TURN_BYTES // 2)
                self._receiver.spend(cost)
        except Exception as error:  # noqa: BLE001 - task's edge: as in `take_turn`
            self._fail(error)
        # If several messages came at once, a turn takes the next ones together.
        self._go_on(messages > 1)

    @property
    def _has_more(self) -> bool:
        return bool(
            self._frames
            or self._readable
            or self._decoding
            or self._answers_left
            or self._may_have_more
        )

    @property
    def is_full(self) -> bool:
        """True while so many wantlists wait for the task that no message is decoded."""
        held = self._waiting.held - self._held_bytes
        if held >= self._config.max_intake_per_peer:
            return True
        return held >= MIN_INTAKE_BYTES and self._receiver.is_full

    def take_turn(self) -> None:
        """Decode some messages and act on them."""
        try:
            self._take(trio.current_time(), INTAKE_TURN_BYTES)
        except Exception as error:  # noqa: BLE001 - task's edge: one peer must not end the client
            self._fail(error)
        self._go_on()

    def _go_on(self, again: bool = False) -> None:
        """Ask for a turn, or wait for room, if messages are left; else read in the read loop."""
        if self._frame_bytes != self._held_bytes:
            self._hold_frames()
        if self._waiting.held and self.is_full:
            self._busy = True
            self._receiver.hold_up(self)
        elif again or self._has_more:
            self._busy = True
            self._receiver.add(self)
        else:
            self._busy = False
            self._source = None
            if self._closed:
                self._close_scopes()

    def _hold_frames(self) -> None:
        """Count the messages that wait in ``_waiting``."""
        change, self._held_bytes = self._frame_bytes - self._held_bytes, self._frame_bytes
        self._waiting.hold(change)
        if change < 0:
            self._receiver.made_room()

    def _fail(self, error: Exception) -> None:
        self._service.faults.note("taking in what a peer sends", error)
        self.stop()

    def _take(self, now: float, limit: int) -> tuple[int, int]:
        """Decode messages up to a cost and act on them; return their number and the cost."""
        messages: list[Message] = []
        count = cost = 0
        while cost < limit:
            if self._answers_left is not None:
                cost += self._take_answers(now)
                continue
            if not self._frames and self._decoding is None:
                if not (self._readable or self._may_have_more):
                    break
                self._read(limit - cost, now)
                cost += 0 if self._frames else MIN_MESSAGE_COST
                continue
            message, step = self._decode_some(limit - cost)
            cost += step
            if message is None:
                continue
            count += 1
            if message.parts <= STEP_ITEMS:
                messages.append(message)
                continue
            self._act(messages, now)
            messages = []
            self._handler.heard(self.peer_id, [message])
            self._answers_left = message.answers(STEP_ITEMS)
            if message.entries or message.full:
                self._ask([message])
        self._act(messages, now)
        return count, cost

    def _read(self, limit: int, now: float) -> None:
        """Cut messages out of bytes that were read, or that the next stream has at hand."""
        if self._may_have_more:
            assert self._source is not None
            self._cut(self._source, (), now)
            return
        if not self._readable:
            return
        stream = self._readable.popleft()
        notices, stream.notices = stream.notices, 0
        limit = max(limit, MIN_READ_BYTES)
        if stream.finished or not (buffers := stream.receive(limit)):
            return
        size = self._cut(stream, buffers, now)
        if size >= limit or notices > 1:
            # More bytes may be at hand, or the end behind these.
            stream.notices += notices if size >= limit else 1
            self._readable.append(stream)

    def _cut(self, stream: InboundStream, buffers: Sequence[Buffer], now: float) -> int:
        """Cut messages out of bytes that were read of a stream; return the number of bytes."""
        size = sum(map(len, buffers))
        if size:
            self._tracker.bytes_arrived(self.peer_id, size, now)
        frames = stream.cut(buffers, size)
        self._source = stream
        for frame in frames:
            length = sum(map(len, frame))
            self._frames.append((frame, length))
            self._frame_bytes += length
        self._may_have_more = len(frames) == MAX_MESSAGES_AT_ONCE
        return size

    def _decode_some(self, room: int) -> tuple[Message | None, int]:
        """Decode the first message for a cost of ``room``; return it when whole, and the cost."""
        cost = 0
        if self._decoding is None:
            frame, length = self._frames.popleft()
            self._frame_bytes -= length
            cost = max(length, MIN_MESSAGE_COST)
            self._decoding = Decoding(frame)
        decoding, source = self._decoding, self._source
        assert source is not None
        before = decoding.fields
        done = False
        try:
            if not source.failed:
                done = decoding.advance(max(room // FIELD_COST, 1))
        except (ParseError, MsgioException) as error:
            source.end(error)
        cost += (decoding.fields - before) * FIELD_COST
        if done:
            self._decoding = None
            return decoding.message, cost
        if source.failed:  # the messages behind a malformed one are dropped
            self._drop_frames()
        return None, cost

    # -- acting on messages ---------------------------------------------------------------------

    def _act(self, messages: list[Message], now: float) -> None:
        if messages:
            self._handler.heard(self.peer_id, messages)
            self._handler.take(self.peer_id, messages, now)
            asked = [message for message in messages if message.entries or message.full]
            if asked:
                self._ask(asked)

    def _take_answers(self, now: float) -> int:
        """Act on the next part of a long message; return its cost."""
        assert self._answers_left is not None
        part = next(self._answers_left, None)
        if part is None:
            self._answers_left = None
            return 0
        self._handler.take(self.peer_id, [part], now)
        return part.parts * FIELD_COST

    def _ask(self, messages: list[Message]) -> None:
        """Have the server take wantlists in: at once if it need not wait, else in the task."""
        server = self._handler.server
        if not self._answers and server.receive_now(self.peer_id, messages):
            return
        size = sum(ENTRY_BYTES * len(message.entries) for message in messages)
        self._asked.append((messages, size))
        self._waiting.hold(size)
        if not self._answers:
            self._answers = True
            self._service.start_task(self._answer)

    async def _answer(self) -> None:
        """Have the server take wantlists in, one after the other."""
        try:
            while self._asked:
                messages, size = self._asked[0]
                try:
                    await self._handler.server.receive(self.peer_id, messages)
                finally:
                    self._asked.popleft()
                    self._waiting.release(size)
                self._receiver.made_room()
        except Exception as error:  # noqa: BLE001 - task's edge: as in `take_turn`
            self._service.faults.note("taking in what a peer wants", error)
        finally:
            self._waiting.release(sum(size for _, size in self._asked))
            self._asked.clear()
            self._answers = False
            self._close_scopes()
            self._receiver.made_room()

    # -- the bytes that streams hold ------------------------------------------------------------

    def hold(self, stream: InboundStream, change: int) -> None:
        """Count the change in bytes of a stream's unfinished message."""
        if change > 0:
            self._unfinished.hold(change)
            if stream.held and stream not in self._time_watch:
                self._watch(stream)
        else:
            self._unfinished.release(-change)

    def _watch(self, stream: InboundStream) -> None:
        stream.arrived = 0
        self._time_watch.set(stream, trio.current_time() + self._config.unfinished_seconds)

    def look_after(self, stream: InboundStream) -> None:
        """Reset a stream whose message has been unfinished for long, unless the message grows."""
        if stream.arrived >= MIN_UNFINISHED_PROGRESS or self._busy:
            self._watch(stream)
        else:
            logger.debug("%s does not finish a message", self.peer_id)
            stream.abort()

    def _weight(self) -> float:
        """Return the bytes of unfinished messages, scaled down if we want blocks of the peer."""
        tracker, held = self._tracker, self._unfinished.held
        if tracker.has_delivered(self.peer_id, trio.current_time()):
            return held * 1e-6
        return held * 1e-3 if tracker.is_asked(self.peer_id) else held

    def _cut_unfinished(self) -> None:
        """Reset the streams with unfinished messages: all peers hold too much, this one most."""
        logger.debug("%s holds too much of unfinished messages", self.peer_id)
        if not self._tracker.has_delivered(self.peer_id, now := trio.current_time()):
            self._cut_off_until = now + self._cut_off_seconds
            self._cut_off_seconds = min(2 * self._cut_off_seconds, MAX_CUT_OFF_SECONDS)
        for stream in [stream for stream in self._streams if stream.held]:
            stream.abort()

    def _cut_idle(self) -> None:
        """Reset half of the streams: all peers have too many, this one most."""
        streams = [stream for stream in self._streams if stream.can_be_spared]
        streams.sort(key=lambda stream: stream.held > 0)
        for stream in streams[: (len(streams) + 1) // 2]:
            stream.abort()

    def forget(self, stream: InboundStream, held: int) -> None:
        """Count off a stream, and the ``held`` bytes of its unfinished message."""
        self._unfinished.release(held)
        if self._streams.pop(stream, stream) is None:
            self._open.release(1)
        self._time_watch.drop(stream)
