"""
One peer: a stream that our wants go on, and what comes in.

    wants    ──> one stream for as long as it lasts; whatever comes back on it is read as well,
                 since py-libp2p answers there
    inbound  <── any number of streams: see `Intake`

A stream that fails costs that stream: its message goes out again on a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import SEND_ATTEMPTS, WANT_SEND_SECONDS
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.net.intake import Intake, IntakeOwner
from libp2p.bitswap.net.stream_ends import back_off, end_stream, is_refusal, reset_stream
from libp2p.bitswap.wire.message import Message
from libp2p.bitswap.wire.protocols import speaks_have
from libp2p.exceptions import (
    BaseLibp2pError,
    MsgioException,
    ParseError,
    StreamError,
)
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libp2p.abc import IHost, INetStream
    from libp2p.base_types import TProtocol
    from libp2p.bitswap.tracer import Tracing
    from libp2p.peer.id import ID

logger = get_logger(__name__)


class LinkOwner(IntakeOwner, Protocol):
    """What a link uses of its client."""

    host: IHost
    supported_protocols: list[TProtocol]
    tracing: Tracing

    def peer_unreachable(self, peer_id: ID) -> None:
        """A peer turned out not to be connected, or cannot be dealt with."""

    def apply(self) -> None:
        """Wake whoever has something to do after a change of the tracker."""

    def keep_time(self) -> None:
        """Call the tracker at the time that it says now."""


class PeerLink:
    """Everything that is sent to one peer and received from it."""

    def __init__(self, owner: LinkOwner, peer_id: ID) -> None:
        self.peer_id = peer_id
        self._owner = owner
        self._wants = trio.lowlevel.ParkingLot()
        self._runs = False
        self._scopes: set[trio.CancelScope] = set()
        self._closed = False
        # wants
        self._want_stream: INetStream | None = None
        self._writing_wants = False
        self.intake = Intake(owner, peer_id)

    # -- life -----------------------------------------------------------------------------------

    def close(self) -> None:
        """End all tasks of this link; its streams are reset."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()
        self.intake.close()

    def wake_wants(self) -> None:
        """There may be something to ask."""
        if self._send_now():
            return
        # The task is started when there is work for the first time: a peer that never trades costs
        # none.
        if self._runs:
            self._wants.unpark()
        elif not self._closed:
            self._runs = True
            self._owner.start_task(self._run, self._write_wants)

    async def _run(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        if self._closed:
            return
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await task(*args)
            except Exception as error:  # noqa: BLE001 - task's edge: it costs this peer
                self._owner.faults.note("what wants are sent with", error)
                self._owner.peer_unreachable(self.peer_id)
            finally:
                self._scopes.discard(scope)

    # -- wants ----------------------------------------------------------------------------------

    async def _write_wants(self) -> None:
        try:
            while True:
                if self._owner.tracker.has_outgoing(self.peer_id):
                    await self._send_wants()
                else:
                    await self._wants.park()
        finally:
            stream, self._want_stream = self._want_stream, None
            await end_stream(stream)

    async def _send_wants(self) -> None:
        """Send all wants there are in one message, on another stream if one fails."""
        tracker = self._owner.tracker
        for _ in range(SEND_ATTEMPTS):
            try:
                with trio.fail_after(WANT_SEND_SECONDS):
                    await self._send_wants_once()
                return
            except (BaseLibp2pError, trio.TooSlowError) as error:
                logger.debug("wants to %s failed: %s", self.peer_id, error)
                if is_refusal(error):
                    self._wants_refused()
                    return
            if self.peer_id not in self._owner.host.get_connected_peers():
                self._owner.peer_unreachable(self.peer_id)
                return
            await back_off()
        tracker.peer_failed(self.peer_id, PeerAnswer.UNRESPONSIVE, trio.current_time())
        self._owner.apply()

    async def _send_wants_once(self) -> None:
        stream = self._want_stream
        if stream is None:
            stream = await self._open_want_stream()
        # Only now, so that the message has all that has come up until this moment.
        entries = self._owner.tracker.take_message(self.peer_id)
        if not entries:
            return
        sent = False
        self._writing_wants = True
        try:
            message = Message(entries)
            for frame in message.frames():
                await stream.send(frame)
            sent = True
            self._note_written(stream, message)
        finally:
            self._writing_wants = False
            if not sent:
                self._owner.tracker.message_lost(self.peer_id, entries)
                if self._want_stream is stream:
                    self._want_stream = None
                await reset_stream(stream)
        if self._want_stream is not stream:
            await end_stream(stream)  # the peer has ended its half meanwhile

    def _send_now(self) -> bool:
        """Send what is to be asked, if the peer owes no answer and the stream need not wait."""
        stream, tracker = self._want_stream, self._owner.tracker
        if stream is None or self._writing_wants:
            return False
        # What comes up together, or while an answer is due, the task sends in one message.
        entries = tracker.take_message(self.peer_id, if_single=True)
        if not entries:
            return False
        message = Message(entries)
        sent = False
        try:
            sent = all(map(stream.send_nowait, message.frames()))
        except BaseLibp2pError as error:
            logger.debug("wants to %s failed: %s", self.peer_id, error)  # the task sees to it
        if sent:
            self._note_written(stream, message)
        else:
            tracker.message_lost(self.peer_id, entries)
        return sent

    def _note_written(self, stream: INetStream, message: Message) -> None:
        now = trio.current_time()
        self._owner.tracker.message_written(self.peer_id, now, _round_trip(stream))
        self._owner.keep_time()
        self._owner.tracing.sent(self.peer_id, message)

    async def _open_want_stream(self) -> INetStream:
        owner = self._owner
        stream = await owner.host.new_stream(self.peer_id, owner.supported_protocols)
        owner.tracker.set_supports_have(self.peer_id, speaks_have(stream.get_protocol()))
        owner.apply()
        self._want_stream = stream
        owner.start_task(self._run, self._read_want_stream, stream)
        return stream

    async def _read_want_stream(self, stream: INetStream) -> None:
        """Read what py-libp2p answers on our stream, and notice when the peer ends it."""
        failed = refused = False
        try:
            await self.intake.read(stream)
        except (StreamError, ParseError, MsgioException) as error:
            logger.debug("want stream of %s: %s", self.peer_id, error)
            failed, refused = True, is_refusal(error)
        if self._want_stream is not stream:
            return
        # Helia ends its half at once, py-libp2p when it stops listening: either way the next
        # message gets a stream of its own, and the peer's end of this one is no error.
        self._want_stream = None
        if failed:
            await reset_stream(stream)
            if refused:  # a protocol agreed on lazily is refused only now
                self._wants_refused()
            else:
                self._owner.tracker.stream_reset(self.peer_id, trio.current_time())
                self._owner.apply()
        elif not self._writing_wants:
            await end_stream(stream)

    def _wants_refused(self) -> None:
        now = trio.current_time()
        self._owner.tracker.peer_failed(self.peer_id, PeerAnswer.NOT_SUPPORTED, now)
        self._owner.apply()


def _round_trip(stream: INetStream) -> float:
    """Give the round-trip time of the connection below a stream in seconds, 0 if it has none."""
    measured = getattr(stream.muxed_conn, "rtt", None)
    return measured() if callable(measured) else 0.0
