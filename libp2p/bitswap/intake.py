"""
What one peer sends on the streams that it opens: read, decoded and acted on without a task each.

    stream ─┐ frames                    ┌─ blocks, presences ──> `IntakeOwner.take`
    stream ─┼─────────> queue ─ decode ─┤
    stream ─┘ (in the read loop)        └─ wantlists ──> `IntakeOwner.answer`, in order

Kubo opens a stream for every reply, so a stream must cost little. Its bytes are cut into messages
where they arrive; one task for the peer decodes them, many at a time, and another takes in the
wantlists, which may have to wait for a filter. What waits is bounded: beyond, streams are not
read, and so the peer's windows stay used up.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import (
    INTAKE_TURN_BYTES,
    MAX_INBOUND_STREAMS_PER_PEER,
    MAX_INTAKE_BYTES,
    MAX_PARTIAL_BYTES_PER_PEER,
)
from libp2p.bitswap.errors import MessageTooLargeError
from libp2p.bitswap.message_reader import MessageReader, decode
from libp2p.bitswap.stream_ends import end_stream, reset_stream
from libp2p.exceptions import (
    BaseLibp2pError,
    MissingMessageException,
    MsgioException,
    ParseError,
    StreamError,
)
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

    def take(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Act on the blocks and presences of messages; blocks are stored later."""

    async def answer(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Take in the wantlists of messages."""

    async def receive(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Do both, and return when the blocks are stored."""


class Intake:
    """All that comes from one peer."""

    def __init__(self, owner: IntakeOwner, peer_id: ID) -> None:
        self.peer_id = peer_id
        self._owner = owner
        self._streams: set[_Inbound] = set()
        self._partial_bytes = 0  # of unfinished messages, on all streams
        self._queue: deque[tuple[_Inbound, list[Buffer] | None, int]] = deque()
        self._asked: deque[tuple[Message, int]] = deque()
        self._queued_bytes = 0  # of both
        self._paused: list[_Pushed] = []
        self._room = trio.lowlevel.ParkingLot()
        self._arrived = Waiter()
        self._runs = self._answers = self._closed = False

    def close(self) -> None:
        """End the task once it has done what there is to do; the peer is gone."""
        self._closed = True
        self._arrived.wake()

    def stop(self) -> None:
        """Read no more of any stream."""
        for inbound in list(self._streams):
            inbound.abort()
        self._queue.clear()
        self._asked.clear()

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
        inbound = _Pushed(self, stream)
        self._streams.add(inbound)
        stream.on_readable(inbound.on_readable)
        if buffers:
            inbound.take(buffers)

    async def serve(self, stream: INetStream) -> None:
        """Read a stream in the caller's task; what is wrong with it ends it."""
        if len(self._streams) >= MAX_INBOUND_STREAMS_PER_PEER:
            await reset_stream(stream)
            return
        inbound = _Inbound(self, stream)
        self._streams.add(inbound)
        try:
            while not inbound.ended:
                while self.is_full:
                    await self._room.park()
                inbound.take(await stream.receive())
        except StreamError as error:
            logger.debug("stream of %s: %s", self.peer_id, error)
        finally:
            inbound.forget()

    async def read(self, stream: INetStream) -> None:
        """
        Read what the peer answers on a stream of ours, until it ends.

        :raises StreamError: if it is reset.
        :raises ParseError: if a message is malformed; also `MessageTooLargeError`.
        :raises MissingMessageException: if it ends inside a message.
        """
        assembly = _Assembly(self)
        try:
            while buffers := await stream.receive():
                if frames := assembly.receive(buffers):
                    await self._owner.receive(self.peer_id, [decode(frame) for frame in frames])
            assembly.check_end()
        finally:
            assembly.release()

    # -- what has arrived -----------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """True while so much waits to be decoded or answered that nothing more is read."""
        return self._queued_bytes >= MAX_INTAKE_BYTES

    def push(self, inbound: _Inbound, frames: Sequence[list[Buffer] | None]) -> None:
        """Queue messages of a stream; None is its end."""
        for frame in frames:
            size = 0 if frame is None else sum(map(len, frame))
            self._queue.append((inbound, frame, size))
            self._queued_bytes += size
        if self._runs:
            self._arrived.wake()
        elif self._owner.is_running:
            self._runs = True
            self._owner.start_task(self._run)
        else:
            self.stop()

    def pause(self, inbound: _Pushed) -> None:
        """Let a stream wait until there is room."""
        self._paused.append(inbound)

    async def _run(self) -> None:
        try:
            while True:
                if self._queue:
                    await self._take_turn()
                elif self._closed:
                    return
                else:
                    await self._arrived.wait()
        finally:
            self._runs = False

    async def _take_turn(self) -> None:
        """Decode some messages and act on them, then let others run."""
        messages: list[Message] = []
        size = 0
        while self._queue and size < INTAKE_TURN_BYTES:
            inbound, frame, frame_bytes = self._queue.popleft()
            message = None
            if inbound.is_over:
                pass  # a message before this one was bad
            elif frame is None:
                await inbound.end()
            else:
                message = self._decode(inbound, frame)
                if message is None:
                    await inbound.end()
            if message is not None and (message.entries or message.full):
                self._asked.append((message, frame_bytes))
            else:
                self._queued_bytes -= frame_bytes
            if message is not None:
                messages.append(message)
                size += frame_bytes
        if messages:
            self._owner.take(self.peer_id, messages)
        if self._asked and not self._answers:
            self._answers = True
            self._owner.start_task(self._answer)
        await self._owner.keeper.until_stored()
        self._read_on()
        await trio.lowlevel.checkpoint()

    @staticmethod
    def _decode(inbound: _Inbound, frame: list[Buffer]) -> Message | None:
        try:
            return decode(frame)
        except (ParseError, MsgioException) as error:
            inbound.fail(error)
            return None

    async def _answer(self) -> None:
        """Take in wantlists, one after the other."""
        try:
            while self._asked:
                message, size = self._asked[0]
                await self._owner.answer(self.peer_id, [message])
                self._asked.popleft()
                self._queued_bytes -= size
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

    def arrived(self, size: int) -> None:
        """Note that bytes have come: the peer is at work."""
        self._owner.tracker.bytes_arrived(self.peer_id, size, trio.current_time())

    def hold(self, change: int) -> None:
        """
        Account for bytes of unfinished messages.

        :raises MessageTooLargeError: if the peer has too many of them.
        """
        self._partial_bytes += change
        if change > 0 and self._partial_bytes > MAX_PARTIAL_BYTES_PER_PEER:
            raise MessageTooLargeError(f"{self._partial_bytes} bytes are unfinished")

    def forget(self, inbound: _Inbound) -> None:
        """A stream has ended."""
        self._streams.discard(inbound)


class _Assembly:
    """The messages of one stream, and the account of its unfinished one."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._reader = MessageReader()
        self._held = 0

    def receive(self, buffers: list[Buffer]) -> list[list[Buffer]]:
        """Cut what has come into messages; see `MessageReader.receive_frames`."""
        self._intake.arrived(sum(map(len, buffers)))
        frames = self._reader.receive_frames(buffers)
        change = self._reader.buffered - self._held
        if change:
            self._held += change
            self._intake.hold(change)
        return frames

    def check_end(self) -> None:
        """:raises MissingMessageException: if a message is unfinished."""
        if not self._reader.at_boundary:
            raise MissingMessageException("the stream ended inside a message")

    def release(self) -> None:
        """Hold nothing more."""
        held, self._held = self._held, 0
        self._intake.hold(-held)


class _Inbound:
    """One stream that the peer has opened."""

    def __init__(self, intake: Intake, stream: INetStream) -> None:
        self._intake = intake
        self._stream = stream
        self._assembly = _Assembly(intake)
        self.ended = False
        """Nothing more is read of it."""
        self.is_over = False
        """What is still queued of it is worth nothing."""
        self._failed = False

    def take(self, buffers: list[Buffer]) -> None:
        """Queue the messages that ``buffers`` complete; none at all are the stream's end."""
        try:
            if buffers:
                if frames := self._assembly.receive(buffers):
                    self._intake.push(self, frames)
                return
            self._assembly.check_end()
        except (ParseError, MsgioException) as error:
            self.fail(error)
        self.ended = True
        self._intake.push(self, [None])

    def fail(self, error: BaseLibp2pError) -> None:
        """Have the stream end with a reset: a message is bad."""
        logger.debug("bad message from %s: %s", self._intake.peer_id, error)
        self._failed = True

    async def end(self) -> None:
        """End the stream; all that came on it has been decoded, or it is bad."""
        self.is_over = True
        self.forget()
        await (reset_stream if self._failed else end_stream)(self._stream)

    def abort(self) -> None:
        """The client has stopped; whoever reads in a task is cancelled by itself."""

    def forget(self) -> None:
        """Read no more and hold nothing."""
        self.ended = True
        self._assembly.release()
        self._intake.forget(self)


class _Pushed(_Inbound):
    """A stream whose bytes are pushed from the connection's read loop."""

    _stream: NetStream

    _paused = False

    def on_readable(self) -> None:
        """Read what there is, if there is room."""
        self._read()

    def read_on(self) -> None:
        """Read what has come in the pause, and the end if that has come as well."""
        self._paused = False
        while self._read():
            pass

    def _read(self) -> bool:
        """Read once; return whether that gave something and there may be more."""
        if self._intake.is_full:
            if not self._paused:
                self._paused = True
                self._intake.pause(self)
            return False
        try:
            buffers = self._stream.receive_nowait()
        except StreamError as error:
            logger.debug("stream of %s: %s", self._intake.peer_id, error)
            self.forget()
            return False
        if buffers is not None:
            self.take(buffers)
        return buffers is not None and not self.ended

    def forget(self) -> None:
        super().forget()
        self._stream.on_readable(None)

    def abort(self) -> None:
        self.forget()
        self._stream.abort()
