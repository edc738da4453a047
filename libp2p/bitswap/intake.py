"""
What one peer sends on the streams that it opens: read, decoded and acted on without a task each.

    stream ─┐ bytes                     ┌─ blocks, presences ──> `IntakeOwner.take`
    stream ─┼─────────> queue ─ decode ─┤
    stream ─┘ (in the read loop)        └─ wantlists ──> `IntakeOwner.answer`, in order

Kubo opens a stream for every reply, so a stream must cost little. Its bytes are queued where they
arrive, cut into messages and decoded: at once if they are few and nothing is before them, else by
one task for the peer, some at a time. Wantlists that have to wait for a request filter are another
task's. What waits is bounded: beyond, streams are not read, and so the peer's windows stay used up.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import (
    INTAKE_NOW_BYTES,
    INTAKE_TURN_BYTES,
    MAX_INBOUND_STREAMS_PER_PEER,
    MAX_INTAKE_BYTES,
    MAX_MESSAGES_AT_ONCE,
    MAX_PARTIAL_BYTES_PER_PEER,
    MIN_MESSAGE_COST,
)
from libp2p.bitswap.errors import MessageTooLargeError
from libp2p.bitswap.inbound_stream import Assembly, InboundStream, PushedStream
from libp2p.bitswap.message_reader import decode
from libp2p.bitswap.stream_ends import reset_stream
from libp2p.exceptions import StreamError
from libp2p.io.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from libp2p.abc import INetStream
    from libp2p.bitswap.keeper import Keeper
    from libp2p.bitswap.messages import Message
    from libp2p.bitswap.want_tracker import WantTracker
    from libp2p.custom_types import Buffer
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID

logger = logging.getLogger(__name__)


class IntakeOwner(Protocol):
    """What an intake uses of its client."""

    tracker: WantTracker
    keeper: Keeper

    @property
    def is_running(self) -> bool:
        """True while tasks can be started."""

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task in the client's nursery."""

    def take(self, peer_id: ID, messages: Sequence[Message], now: float) -> None:
        """Act on the blocks and presences of messages; blocks are stored later."""

    def answer_now(self, peer_id: ID, messages: Sequence[Message]) -> bool:
        """Take in the wantlists of messages, or return False if that may take time."""

    async def answer(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Do the same, however long it takes."""

    async def receive(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Do both, and return when the blocks are stored."""


class Intake:
    """All that comes from one peer."""

    def __init__(self, owner: IntakeOwner, peer_id: ID) -> None:
        self.peer_id = peer_id
        self._owner = owner
        self._streams: set[InboundStream] = set()
        self._partial_bytes = 0  # of unfinished messages, on all streams
        # What has come of a stream, None at its end, and how much that was.
        self._queue: deque[tuple[InboundStream, list[Buffer] | None, int]] = deque()
        self._ended: list[InboundStream] = []
        self._asked: deque[tuple[list[Message], int]] = deque()
        self._queued_bytes = self._asked_bytes = 0
        self._paused: list[PushedStream] = []
        self._room = trio.lowlevel.ParkingLot()
        self._arrived = Waiter()
        self._runs = self._answers = self._closed = False
        self._busy = False  # the task has something to do, or a turn is being taken

    def close(self) -> None:
        """End the task once it has done what there is to do; the peer is gone."""
        self._closed = True
        self._arrived.wake()

    def stop(self) -> None:
        """Drop what has come and all streams; the client has stopped."""
        self._queue.clear()
        self._queued_bytes = 0
        for inbound in (*self._streams, *self._ended):
            inbound.abort()
        self._ended.clear()

    @property
    def streams(self) -> int:
        """How many streams of the peer are open."""
        return len(self._streams)

    @property
    def partial_bytes(self) -> int:
        """Bytes of unfinished messages."""
        return self._partial_bytes

    # -- streams --------------------------------------------------------------------------------

    def accept(self, stream: NetStream, buffers: list[Buffer]) -> None:
        """Read a stream, of which ``buffers`` have been read, from its connection's read loop."""
        if len(self._streams) >= MAX_INBOUND_STREAMS_PER_PEER:
            stream.abort()
            return
        inbound = PushedStream(self, stream)
        self._streams.add(inbound)
        stream.on_readable(inbound.on_readable)
        if buffers:
            self.push(inbound, buffers)

    async def serve(self, stream: INetStream) -> None:
        """Read a stream in the caller's task."""
        if len(self._streams) >= MAX_INBOUND_STREAMS_PER_PEER:
            await reset_stream(stream)
            return
        inbound = InboundStream(self, stream)
        self._streams.add(inbound)
        try:
            while not inbound.finished:
                while self.is_full:
                    await self._room.park()
                self.push(inbound, await stream.receive())
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
        assembly = Assembly(self)
        try:
            while buffers := await stream.receive():
                now = trio.current_time()
                self._owner.tracker.bytes_arrived(self.peer_id, sum(map(len, buffers)), now)
                while frames := assembly.cut(buffers):
                    await self._owner.receive(self.peer_id, [decode(frame) for frame in frames])
                    buffers = []
            assembly.check_end()
        finally:
            assembly.release()

    # -- what has arrived -----------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """True while so much waits to be decoded or answered that nothing more is read."""
        return self._queued_bytes + self._asked_bytes >= MAX_INTAKE_BYTES

    def push(self, inbound: InboundStream, buffers: list[Buffer]) -> None:
        """Queue bytes of a stream; none at all are its end."""
        now = trio.current_time()
        if buffers:
            size = sum(map(len, buffers))
            self._owner.tracker.bytes_arrived(self.peer_id, size, now)
            self._queue.append((inbound, buffers, size))
            self._queued_bytes += size
        else:
            inbound.finished = True
            self._queue.append((inbound, None, 0))
        if self._busy:
            return
        if not self._owner.is_running:
            self.stop()
            return
        messages = 0
        if buffers and size <= INTAKE_NOW_BYTES and self._owner.keeper.has_room:
            self._busy = True
            messages = self._take_turn(now)
            self._busy = False
        # Where more than one has come, what other streams have brought is better taken together.
        if messages > 1 or self._queue or self._ended:
            self._begin()

    def _begin(self) -> None:
        """Let the task do the rest."""
        self._busy = True
        if self._runs:
            self._arrived.wake()
        else:
            self._runs = True
            self._owner.start_task(self._run)

    def lost(self, inbound: InboundStream, error: StreamError) -> None:
        """Note that nothing more comes of a stream; what has come is still taken."""
        logger.debug("stream of %s: %s", self.peer_id, error)
        self.push(inbound, [])

    def pause(self, inbound: PushedStream) -> None:
        """Let a stream wait until there is room."""
        self._paused.append(inbound)

    async def _run(self) -> None:
        try:
            while True:
                if self._queue or self._ended:
                    await self._owner.keeper.until_stored()
                    self._take_turn(trio.current_time())
                    while self._ended:
                        await self._ended.pop(0).end()
                    self._read_on()
                    if self._queue:  # else it waits anyway
                        await trio.lowlevel.checkpoint()
                elif self._closed:
                    return
                else:
                    self._busy = False
                    await self._arrived.wait()
        except Exception:  # task's edge: as in `_take_turn`
            logger.exception("what %s sends cannot be acted on", self.peer_id)
            self.stop()
        finally:
            self._runs = self._busy = False

    def _take_turn(self, now: float) -> int:
        """Decode some messages and act on them; return how many."""
        messages: list[Message] = []
        asked: list[Message] = []
        queue = self._queue
        cost = asked_bytes = 0
        try:
            while queue and cost < INTAKE_TURN_BYTES:
                inbound, buffers, size = queue[0]
                frames = inbound.cut(buffers)
                for frame in frames:
                    frame_bytes = sum(map(len, frame))
                    cost += max(frame_bytes, MIN_MESSAGE_COST)
                    message = inbound.decode(frame)
                    if message is None:
                        break
                    messages.append(message)
                    if message.entries or message.full:
                        asked.append(message)
                        asked_bytes += frame_bytes
                if len(frames) == MAX_MESSAGES_AT_ONCE:
                    queue[0] = inbound, [], size  # there may be more of it
                    continue
                queue.popleft()
                self._queued_bytes -= size
                if inbound.to_end:
                    inbound.forget()
                    self._ended.append(inbound)
            if messages:
                self._owner.take(self.peer_id, messages, now)
            if asked and (self._answers or not self._owner.answer_now(self.peer_id, asked)):
                self._ask(asked, asked_bytes)
        except Exception:  # task's edge: what one peer sends must not end the client
            logger.exception("what %s sends cannot be acted on", self.peer_id)
            self.stop()
        return len(messages)

    def _ask(self, messages: list[Message], size: int) -> None:
        """Have wantlists taken in by a task."""
        self._asked.append((messages, size))
        self._asked_bytes += size
        if not self._answers:
            self._answers = True
            self._owner.start_task(self._answer)

    async def _answer(self) -> None:
        """Take in wantlists, one after the other."""
        try:
            while self._asked:
                messages, size = self._asked.popleft()
                await self._owner.answer(self.peer_id, messages)
                self._asked_bytes -= size
                self._read_on()
        except Exception:  # task's edge: as in `_take_turn`
            logger.exception("wants of %s cannot be taken in", self.peer_id)
            self._asked.clear()
            self._asked_bytes = 0
            self._read_on()
        finally:
            self._answers = False

    def _read_on(self) -> None:
        if self.is_full:
            return
        self._room.unpark_all()
        paused, self._paused = self._paused, []
        for inbound in paused:
            inbound.read_on()

    # -- accounts, for the streams --------------------------------------------------------------

    def hold(self, change: int) -> None:
        """
        Account for bytes of unfinished messages.

        :raises MessageTooLargeError: if the peer has too many of them.
        """
        self._partial_bytes += change
        if change > 0 and self._partial_bytes > MAX_PARTIAL_BYTES_PER_PEER:
            raise MessageTooLargeError(f"{self._partial_bytes} bytes are unfinished")

    def forget(self, inbound: InboundStream) -> None:
        """Count a stream no longer."""
        self._streams.discard(inbound)
