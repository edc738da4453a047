"""
What one peer sends on the streams that it opens: read, decoded and acted on without a task each.

    stream ─┐ bytes                     ┌─ blocks, presences ──> `IntakeOwner.take`
    stream ─┼─────────> queue ─ decode ─┤
    stream ─┘ (in the read loop)        └─ wantlists ──> `IntakeOwner.answer`, in order

Kubo opens a stream for every reply, so a stream must cost little. Its bytes are queued where they
arrive, cut into messages and decoded: at once if they are few and nothing is before them, else in
turns (`reception`), some at a time. Wantlists that have to wait for a request filter are another
task's. What waits is bounded: beyond, streams are not read, and so the peer's windows stay used up.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import (
    CUT_OFF_SECONDS,
    ENTRY_BYTES,
    FIELD_COST,
    INTAKE_NOW_BYTES,
    INTAKE_TURN_BYTES,
    MAX_CUT_OFF_SECONDS,
    MAX_INBOUND_STREAMS_PER_PEER,
    MAX_INTAKE_BYTES,
    MAX_MESSAGES_AT_ONCE,
    MIN_INTAKE_BYTES,
    MIN_MESSAGE_COST,
    MIN_UNFINISHED_PROGRESS,
    STEP_ITEMS,
    UNFINISHED_SECONDS,
)
from libp2p.bitswap.net.inbound_stream import AnswerStream, InboundStream, PushedStream
from libp2p.bitswap.net.stream_ends import reset_stream
from libp2p.bitswap.wire.decode import Decoding, owned
from libp2p.exceptions import StreamError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer
    from libp2p.bitswap.net.faults import FaultLog
    from libp2p.bitswap.net.reception import Reception
    from libp2p.bitswap.want.timers import Timed, Timers
    from libp2p.bitswap.want.tracker import WantTracker
    from libp2p.bitswap.wire.message import Message
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID

logger = get_logger(__name__)


class IntakeOwner(Protocol):
    """What an intake uses of its client."""

    tracker: WantTracker
    reception: Reception
    faults: FaultLog
    timeouts: Timers[Timed]

    @property
    def is_running(self) -> bool:
        """True while tasks can be started."""

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task in the client's nursery."""

    def heard(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Note that messages have come."""

    def take(self, peer_id: ID, messages: Sequence[Message], now: float) -> None:
        """Act on the blocks and presences of messages; blocks are stored later."""

    def answer_now(self, peer_id: ID, messages: Sequence[Message]) -> bool:
        """Take in the wantlists of messages, or return False if that may take time."""

    async def answer(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Do the same, however long it takes."""

    def limit_time(self, waiter: Timed, when: float) -> None:
        """Call ``waiter.end`` at ``when``."""


class Intake:
    """All that comes from one peer."""

    def __init__(self, owner: IntakeOwner, peer_id: ID) -> None:
        self.peer_id = peer_id
        self._owner = owner
        self._reception = reception = owner.reception
        name = str(peer_id)
        self._unfinished = reception.unfinished.open(
            name, cut=self._cut_unfinished, weigh=self._weight
        )
        self._waiting = reception.waiting.open(name)
        self._open = reception.streams.open(name, cut=self._cut_idle)
        self._streams: dict[InboundStream, None] = {}
        # What has come of a stream, None at its end, and how much that was.
        self._queue: deque[tuple[InboundStream, list[Buffer] | None, int]] = deque()
        self._frames: deque[tuple[InboundStream, list[Buffer]]] = deque()  # cut out of its front
        self._cut_bytes = 0  # that these were cut out of
        self._decoding: tuple[InboundStream, Decoding] | None = None
        self._answers_left: Iterator[Message] | None = None  # of a long message
        self._ended: list[InboundStream] = []
        self._asked: deque[tuple[list[Message], int]] = deque()
        self._paused: list[PushedStream] = []
        self._room = trio.lowlevel.ParkingLot()
        self._answers = self._closed = False
        self._busy = False  # a turn is waited for, or being taken
        self._cut_off_until = 0.0
        self._cut_off_seconds = CUT_OFF_SECONDS
        self._held_up = False  # until there is room of all peers

    def close(self) -> None:
        """The peer is gone; what has come is still taken in."""
        self._closed = True
        self._close_scopes()

    def stop(self) -> None:
        """Drop what has come and all streams; the client has stopped."""
        self._waiting.release(self._cut_bytes + sum(size for _, _, size in self._queue))
        self._cut_bytes = 0
        self._queue.clear()
        self._frames.clear()
        self._decoding = self._answers_left = None
        for inbound in (*self._streams, *self._ended):
            inbound.abort()
        self._ended.clear()
        self._close_scopes()

    def _close_scopes(self) -> None:
        if self._closed and not (self._streams or self._queue or self._asked):
            for scope in (self._unfinished, self._waiting, self._open):
                scope.close()

    @property
    def streams(self) -> int:
        """How many streams of the peer are open."""
        return len(self._streams)

    @property
    def partial_bytes(self) -> int:
        """Bytes of unfinished messages."""
        return self._unfinished.held

    @property
    def is_wanted(self) -> bool:
        """True if the peer is to send us a block."""
        return self._owner.tracker.is_asked(self.peer_id)

    # -- streams --------------------------------------------------------------------------------

    def accept(self, stream: NetStream, buffers: list[Buffer]) -> None:
        """Read a stream, of which ``buffers`` have been read, from its connection's read loop."""
        if self._may_not_open():
            stream.abort()
            return
        inbound = PushedStream(self, stream)
        self._add(inbound)
        stream.on_readable(inbound.on_readable)
        if buffers:
            self.push(inbound, buffers)

    def _may_not_open(self) -> bool:
        full = len(self._streams) >= MAX_INBOUND_STREAMS_PER_PEER
        return full or trio.current_time() < self._cut_off_until

    async def serve(self, stream: INetStream) -> None:
        """Read a stream in the caller's task."""
        if self._may_not_open():
            await reset_stream(stream)
            return
        inbound = InboundStream(self, stream)
        try:
            self._add(inbound)
            await self._read(inbound, stream)
        except StreamError as error:
            self.lost(inbound, error)
        finally:
            if not inbound.finished:
                inbound.forget()

    async def read(self, stream: INetStream) -> None:
        """
        Read what the peer answers on a stream of ours, until it ends.

        :raises StreamError: if it is reset.
        :raises ParseError: if a message is malformed; also `MessageTooLargeError`.
        :raises MissingMessageException: if it ends inside a message.
        """
        inbound = AnswerStream(self, stream)
        try:
            self._add(inbound)
            await self._read(inbound, stream)
            if inbound.error is not None:
                raise copy(inbound.error)
        finally:
            if not inbound.finished:
                inbound.forget()

    async def _read(self, inbound: InboundStream, stream: INetStream) -> None:
        while not inbound.finished:
            while self.is_full:
                self._wait_for_room()
                await self._room.park()
            self.push(inbound, await stream.receive())

    def _add(self, inbound: InboundStream) -> None:
        self._streams[inbound] = None
        self._open.hold(1)

    # -- what has arrived -----------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """True while so much waits to be decoded or answered that nothing more is read."""
        held = self._waiting.held
        return held >= MAX_INTAKE_BYTES or (held >= MIN_INTAKE_BYTES and self._reception.is_full)

    def push(self, inbound: InboundStream, buffers: list[Buffer]) -> None:
        """Queue bytes of a stream; none at all are its end."""
        now = trio.current_time()
        size = sum(map(len, buffers))
        if buffers:
            self._owner.tracker.bytes_arrived(self.peer_id, size, now)
        else:
            inbound.finished = True
        if not self._owner.is_running:
            self.stop()
            return
        at_once = size <= INTAKE_NOW_BYTES and not self._busy and self._reception.may_take_now(now)
        if at_once or not buffers:
            self._queue.append((inbound, buffers or None, 0))
        else:
            self._queue.append((inbound, list(owned(buffers)), size))
            self._waiting.hold(size)
        if self._busy:
            return
        self._busy = True
        messages = 0
        if at_once and buffers:
            messages, cost = self._take(now, INTAKE_TURN_BYTES // 2)
            self._reception.spend(cost)
        # Where more than one has come, what other streams have brought is better taken together.
        if messages > 1 or self._has_more or self._ended:
            self._reception.add(self)
        else:
            self._busy = False

    @property
    def _has_more(self) -> bool:
        return bool(self._queue or self._frames or self._decoding or self._answers_left)

    def lost(self, inbound: InboundStream, error: StreamError) -> None:
        """Note that nothing more comes of a stream; what has come is still taken."""
        logger.debug("stream of %s: %s", self.peer_id, error)
        self.push(inbound, [])

    def pause(self, inbound: PushedStream) -> None:
        """Let a stream wait until there is room."""
        self._paused.append(inbound)
        self._wait_for_room()

    def _wait_for_room(self) -> None:
        if self._waiting.held < MAX_INTAKE_BYTES and not self._held_up:
            self._held_up = True
            self._reception.hold_up(self)

    async def take_turn(self) -> bool:
        """Decode some messages and act on them; return whether something is left."""
        try:
            self._take(trio.current_time(), INTAKE_TURN_BYTES)
            while self._ended:
                await self._ended.pop(0).end()
        except Exception as error:  # noqa: BLE001 - task's edge: as in `_take`
            self._fail(error)
        self.read_on()
        self._close_scopes()
        self._busy = self._has_more
        return self._busy

    def _take(self, now: float, limit: int) -> tuple[int, int]:
        """Decode messages up to a cost and act on them; return how many, and the cost."""
        messages: list[Message] = []
        count = cost = 0
        queue, frames = self._queue, self._frames
        try:
            while cost < limit and (queue or frames or self._decoding or self._answers_left):
                if self._answers_left is not None:
                    cost += self._take_answers(now)
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
                self._owner.heard(self.peer_id, [message])
                self._answers_left = message.answers(STEP_ITEMS)
                if message.entries or message.full:
                    self._ask([message])
            self._act(messages, now)
        except Exception as error:  # noqa: BLE001 - task's edge: one peer must not end the client
            self._fail(error)
        return count, cost

    def _fail(self, error: Exception) -> None:
        self._owner.faults.note("taking in what a peer sends", error)
        self.stop()

    def _decode_some(self, room: int) -> tuple[Message | None, int]:
        """Go on with the first message, for a cost of ``room``; return it if it is decoded."""
        cost = 0
        if self._decoding is None:
            if not self._frames:
                self._cut()
            if not self._frames:
                return None, 0
            inbound, frame = self._frames.popleft()
            cost = max(sum(map(len, frame)), MIN_MESSAGE_COST)
            self._decoding = inbound, Decoding(frame)
        inbound, decoding = self._decoding
        before = decoding.fields
        done = inbound.advance(decoding, max(room // FIELD_COST, 1))
        cost += (decoding.fields - before) * FIELD_COST
        if done is False:
            return None, cost
        self._decoding = None
        if done is None or not self._frames:
            self._all_decoded(inbound)
        return (decoding.message if done else None), cost

    def _cut(self) -> None:
        """Cut messages out of what has come first."""
        inbound, buffers, size = self._queue[0]
        frames = inbound.cut(buffers)
        self._frames.extend((inbound, frame) for frame in frames)
        if len(frames) == MAX_MESSAGES_AT_ONCE:
            self._queue[0] = inbound, [], size  # there may be more of it
            return
        self._queue.popleft()
        self._cut_bytes += size
        if not frames:
            self._all_decoded(inbound)

    def _all_decoded(self, inbound: InboundStream) -> None:
        """All messages that were cut out of a stream are decoded, or it has failed."""
        if inbound.to_end:
            for item in [item for item in self._frames if item[0] is inbound]:
                self._frames.remove(item)
            inbound.forget()
            self._ended.append(inbound)
        if self._cut_bytes and not self._frames:
            size, self._cut_bytes = self._cut_bytes, 0
            self._waiting.release(size)
            self._reception.made_room()

    # -- acting on it ---------------------------------------------------------------------------

    def _act(self, messages: list[Message], now: float) -> None:
        if messages:
            self._owner.heard(self.peer_id, messages)
            self._owner.take(self.peer_id, messages, now)
            asked = [message for message in messages if message.entries or message.full]
            if asked:
                self._ask(asked)

    def _take_answers(self, now: float) -> int:
        """Act on some of a long message."""
        assert self._answers_left is not None
        part = next(self._answers_left, None)
        if part is None:
            self._answers_left = None
            return 0
        self._owner.take(self.peer_id, [part], now)
        return part.parts * FIELD_COST

    def _ask(self, messages: list[Message]) -> None:
        """Have wantlists taken in: at once if that takes no time, else by a task."""
        if not self._answers and self._owner.answer_now(self.peer_id, messages):
            return
        size = sum(ENTRY_BYTES * len(message.entries) for message in messages)
        self._asked.append((messages, size))
        self._waiting.hold(size)
        if not self._answers:
            self._answers = True
            self._owner.start_task(self._answer)

    async def _answer(self) -> None:
        """Take in wantlists, one after the other."""
        try:
            while self._asked:
                messages, size = self._asked[0]
                try:
                    await self._owner.answer(self.peer_id, messages)
                finally:
                    self._asked.popleft()
                    self._waiting.release(size)
                self._reception.made_room()
                self.read_on()
        except Exception as error:  # noqa: BLE001 - task's edge: as in `_take`
            self._owner.faults.note("taking in what a peer wants", error)
        finally:
            self._waiting.release(sum(size for _, size in self._asked))
            self._asked.clear()
            self._answers = False
            self._close_scopes()
            self.read_on()

    def read_on(self) -> None:
        """Read streams that wait for room, if there is any."""
        self._held_up = False
        if self.is_full:
            if self._paused or self._room:
                self._wait_for_room()
            return
        self._room.unpark_all()
        paused, self._paused = self._paused, []
        for inbound in paused:
            inbound.read_on()

    # -- accounts, for the streams --------------------------------------------------------------

    def hold(self, inbound: InboundStream, change: int) -> None:
        """Account for bytes of an unfinished message."""
        if change > 0:
            self._unfinished.hold(change)
            if inbound.held and inbound not in self._owner.timeouts:
                self._watch(inbound)
        else:
            self._unfinished.release(-change)

    def _watch(self, inbound: InboundStream) -> None:
        inbound.arrived = 0
        self._owner.limit_time(inbound, trio.current_time() + UNFINISHED_SECONDS)

    def look_after(self, inbound: InboundStream) -> None:
        """A message has been unfinished for a while: give it up unless it grows."""
        if inbound.arrived >= MIN_UNFINISHED_PROGRESS or self.is_full or self._busy:
            self._watch(inbound)
        else:
            logger.debug("%s does not finish a message", self.peer_id)
            inbound.abort()

    def _weight(self) -> float:
        """Tell how soon this peer is cut off: what it holds, less if it is of use."""
        tracker, held = self._owner.tracker, self._unfinished.held
        if tracker.has_delivered(self.peer_id, trio.current_time()):
            return held * 1e-6
        return held * 1e-3 if tracker.is_asked(self.peer_id) else held

    def _cut_unfinished(self) -> None:
        """All peers hold too much, and this one the most."""
        logger.debug("%s holds too much of unfinished messages", self.peer_id)
        if not self._owner.tracker.has_delivered(self.peer_id, now := trio.current_time()):
            self._cut_off_until = now + self._cut_off_seconds
            self._cut_off_seconds = min(2 * self._cut_off_seconds, MAX_CUT_OFF_SECONDS)
        for inbound in [inbound for inbound in self._streams if inbound.held]:
            inbound.abort()

    def _cut_idle(self) -> None:
        """All peers have too many streams, and this one the most: half of them go."""
        streams = [inbound for inbound in self._streams if inbound.can_be_spared]
        streams.sort(key=lambda inbound: inbound.held > 0)
        for inbound in streams[: (len(streams) + 1) // 2]:
            inbound.abort()

    def forget(self, inbound: InboundStream) -> None:
        """Count a stream no longer."""
        if self._streams.pop(inbound, inbound) is None:
            self._open.release(1)
        self._owner.timeouts.drop(inbound)
