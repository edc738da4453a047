"""One stream of what a peer sends: its bytes, its messages, its end; see `Intake`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from libp2p.bitswap.config import MAX_MESSAGES_AT_ONCE
from libp2p.bitswap.message_reader import MessageReader, decode
from libp2p.bitswap.stream_ends import end_stream, reset_stream
from libp2p.exceptions import (
    BaseLibp2pError,
    MissingMessageException,
    MsgioException,
    ParseError,
    StreamError,
)

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.bitswap.intake import Intake
    from libp2p.bitswap.messages import Message
    from libp2p.custom_types import Buffer
    from libp2p.network.stream.net_stream import NetStream

logger = logging.getLogger(__name__)


class Assembly:
    """The messages of one stream, and the account of its unfinished one."""

    __slots__ = ("_held", "_intake", "_reader")

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._reader = MessageReader()
        self._held = 0

    def cut(self, buffers: list[Buffer]) -> list[list[Buffer]]:
        """Take in ``buffers`` and return the next messages; call it again until there are none."""
        frames = self._reader.receive_frames(buffers, MAX_MESSAGES_AT_ONCE)
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


class InboundStream:
    """One stream that the peer has opened."""

    __slots__ = ("_assembly", "_failed", "_intake", "_stream", "finished", "to_end")

    def __init__(self, intake: Intake, stream: INetStream) -> None:
        self._intake = intake
        self._stream = stream
        self._assembly = Assembly(intake)
        self._failed = False
        #: Nothing more is read.
        self.finished = False
        #: All that is of worth has been decoded, and the stream can be ended.
        self.to_end = False

    def cut(self, buffers: list[Buffer] | None) -> list[list[Buffer]]:
        """Return the next messages, if any; ``buffers`` are what is new, None the end."""
        if self._failed:
            return []  # behind a bad message nothing is of worth
        try:
            if buffers is not None:
                return self._assembly.cut(buffers)
            self._assembly.check_end()
            self.to_end = True
        except (ParseError, MsgioException) as error:
            self._fail(error)
        return []

    def decode(self, frame: list[Buffer]) -> Message | None:
        """Decode a message; None if that fails, and so the stream."""
        try:
            return decode(frame)
        except (ParseError, MsgioException) as error:
            self._fail(error)
            return None

    def _fail(self, error: BaseLibp2pError) -> None:
        logger.debug("bad message from %s: %s", self._intake.peer_id, error)
        self._failed = self.to_end = True

    async def end(self) -> None:
        """Close the stream that is forgotten, or reset it if it has failed."""
        await (reset_stream if self._failed else end_stream)(self._stream)

    def abort(self) -> None:
        """The client has stopped; whoever reads in a task is cancelled by itself."""

    def forget(self) -> None:
        """Read no more and hold nothing."""
        self.finished = True
        self.to_end = False
        self._assembly.release()
        self._intake.forget(self)


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

    def abort(self) -> None:
        self.forget()
        self._stream.abort()
