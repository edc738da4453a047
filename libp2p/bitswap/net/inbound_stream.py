"""One stream of what a peer sends: its bytes, its messages, its end; see `Intake`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from libp2p.bitswap.config import MAX_MESSAGES_AT_ONCE
from libp2p.bitswap.net.stream_ends import end_stream, reset_stream
from libp2p.bitswap.wire.decode import MessageReader
from libp2p.exceptions import (
    BaseLibp2pError,
    MissingMessageException,
    MsgioException,
    ParseError,
    StreamError,
)
from libp2p.utils.faults import without_traceback
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer
    from libp2p.bitswap.net.intake import Intake
    from libp2p.bitswap.wire.decode import Decoding
    from libp2p.network.stream.net_stream import NetStream

logger = get_logger(__name__)


class InboundStream:
    """One stream that the peer has opened, and the account of its unfinished message."""

    __slots__ = (
        "_failed", "_intake", "_reader", "_stream", "arrived", "error", "finished", "held",
        "to_end",
    )  # fmt: skip

    can_be_spared: ClassVar[bool] = True
    """It may be reset when there are too many."""

    def __init__(self, intake: Intake, stream: INetStream) -> None:
        self._intake = intake
        self._stream = stream
        self._reader = MessageReader()
        self._failed = False
        self.error: BaseLibp2pError | None = None
        """What was wrong with a message."""
        self.held = 0
        """Bytes of the unfinished message."""
        self.arrived = 0
        """Bytes that have come since it was looked at."""
        self.finished = False
        """Nothing more is read."""
        self.to_end = False
        """All that is of worth has been cut into messages; the stream can be ended behind them."""

    def cut(self, buffers: list[Buffer] | None) -> list[list[Buffer]]:
        """Return the next messages, if any; ``buffers`` are what is new, None the end."""
        if self._failed:
            return []  # behind a bad message nothing is of worth
        try:
            if buffers is not None:
                return self._cut(buffers)
            if not self._reader.at_boundary:
                raise MissingMessageException("the stream ended inside a message")
            self.to_end = True
        except (ParseError, MsgioException) as error:
            self._fail(error)
        return []

    def _cut(self, buffers: list[Buffer]) -> list[list[Buffer]]:
        frames = self._reader.receive_frames(buffers, MAX_MESSAGES_AT_ONCE)
        self.arrived += sum(map(len, buffers))
        change = self._reader.buffered - self.held
        if change:
            self.held += change
            self._intake.hold(self, change)
        return frames

    def advance(self, decoding: Decoding, fields: int) -> bool | None:
        """Decode some of a message; True when it is done, None if it is bad, as is the stream."""
        if self._failed:
            return None
        try:
            return decoding.advance(fields)
        except (ParseError, MsgioException) as error:
            self._fail(error)
            return None

    def _fail(self, error: BaseLibp2pError) -> None:
        logger.debug("bad message from %s: %s", self._intake.peer_id, error)
        self.error = without_traceback(error)
        self._failed = self.to_end = True

    async def end(self) -> None:
        """Close the stream that is forgotten, or reset it if it has failed."""
        await (reset_stream if self._failed else end_stream)(self._stream)

    def expire(self) -> None:
        """Its message has been unfinished for a while."""
        if self.held:
            self._intake.look_after(self)

    def abort(self) -> None:
        """Give the stream up."""
        self._failed = True
        self.forget()
        cast("NetStream", self._stream).abort()

    def forget(self) -> None:
        """Read no more and hold nothing."""
        self.finished = True
        self.to_end = False
        held, self.held = self.held, 0
        self._reader = MessageReader()
        self._intake.hold(self, -held)
        self._intake.forget(self)


class AnswerStream(InboundStream):
    """A stream of ours on which the peer answers; who writes on it ends it."""

    __slots__ = ()

    can_be_spared = False

    async def end(self) -> None:
        if self._failed:
            await reset_stream(self._stream)


class PushedStream(InboundStream):
    """A stream whose bytes are pushed from the connection's read loop."""

    __slots__ = ("_paused",)

    _stream: NetStream

    def __init__(self, intake: Intake, stream: NetStream) -> None:
        super().__init__(intake, stream)
        self._paused = False

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
        if self._paused or self.finished:
            return False
        if self._intake.is_full:
            self._paused = True
            self._intake.pause(self)
            return False
        try:
            buffers = self._stream.receive_nowait()
        except StreamError as error:
            self._intake.lost(self, error)
            return False
        if buffers is None:
            return False
        self._intake.push(self, buffers)
        return True

    def forget(self) -> None:
        super().forget()
        self._stream.on_readable(None)
