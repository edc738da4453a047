"""
The link to one peer: the stream that our wants go on, and the peer's receiver.

    wants    ──> one want stream for as long as it lasts; it is read as well, since py-libp2p
                 answers on it
    inbound  <── any number of streams: see `PeerReceiver`

If the want stream fails, its message is sent again on a new stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import trio

from libp2p.bitswap.common.stream_ends import back_off, end_stream, is_refusal, reset_stream
from libp2p.bitswap.config import SEND_ATTEMPTS
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.wire.message import Message
from libp2p.bitswap.wire.protocols import speaks_have
from libp2p.exceptions import BaseLibp2pError, StreamError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import IHost
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.bitswap.config import BitswapConfig
    from libp2p.bitswap.net.peer_receiver import PeerReceiver
    from libp2p.bitswap.net.service import Service
    from libp2p.bitswap.net.time_watch import TimeWatch
    from libp2p.bitswap.tracer import Tracing
    from libp2p.bitswap.want.tracker import WantTracker
    from libp2p.bitswap.wire.entry import Entry
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID

logger = get_logger(__name__)


@dataclass(frozen=True)
class LinkContext:
    """
    The parts of a client that all its links use.

    :param apply: called after each change of the tracker.
    :param unreachable: called with a peer that turned out not to be connected.
    """

    host: IHost
    protocols: Sequence[TProtocol]
    service: Service
    tracker: WantTracker
    time_watch: TimeWatch
    tracing: Tracing
    apply: Callable[[], object]
    unreachable: Callable[[ID], object]
    config: BitswapConfig


class PeerLink:
    """Sends the wants to one peer, and has its `PeerReceiver`."""

    def __init__(self, context: LinkContext, peer_id: ID, receiver: PeerReceiver) -> None:
        self.peer_id = peer_id
        self.receiver = receiver
        self._context = context
        self._tracker = context.tracker
        self._wants = trio.lowlevel.ParkingLot()
        self._runs = False
        self._scopes: set[trio.CancelScope] = set()
        self._closed = False
        self._want_stream: NetStream | None = None
        # The message that is being written, its stream, and its frames that are not written yet.
        self._entries: list[Entry] = []
        self._message: Message | None = None
        self._message_stream: NetStream | None = None
        self._unsent: deque[list[Buffer]] = deque()

    # -- life -----------------------------------------------------------------------------------

    def close(self) -> None:
        """End all tasks of this link; its streams are reset."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()
        self.receiver.close()

    def wake_wants(self) -> None:
        """Send the wants that the tracker has for the peer, if any."""
        # A single want is written at once if the peer owes no answer. The task sends other wants,
        # all that have come up in one message.
        stream = None if self._message is not None else self._want_stream
        if stream is not None and self._take_message(stream, if_single=True):
            try:
                if self._write_now(stream):
                    return
            except BaseLibp2pError as error:
                logger.debug("wants to %s failed: %s", self.peer_id, error)
                self._message_lost()
        # The first wants start the task: a peer without wants has none.
        if self._runs:
            self._wants.unpark()
        elif not self._closed:
            self._runs = True
            self._context.service.start_task(self._run, self._write_wants)

    async def _run(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        if self._closed:
            return
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await task(*args)
            except Exception as error:  # noqa: BLE001 - task's edge: it costs this peer
                self._context.service.faults.note("what wants are sent with", error)
                self._context.unreachable(self.peer_id)
            finally:
                self._scopes.discard(scope)

    # -- wants ----------------------------------------------------------------------------------

    async def _write_wants(self) -> None:
        try:
            while True:
                if self._message is not None or self._tracker.has_outgoing(self.peer_id):
                    await self._send_wants()
                    await trio.lowlevel.checkpoint()  # writing may not have waited
                else:
                    await self._wants.park()
        finally:
            stream, self._want_stream = self._want_stream, None
            await end_stream(stream)

    async def _send_wants(self) -> None:
        """Send all wants in one message; try again on another stream if one fails."""
        for _ in range(SEND_ATTEMPTS):
            try:
                with trio.fail_after(self._context.config.want_send_seconds):
                    await self._send_message()
                return
            except (BaseLibp2pError, trio.TooSlowError) as error:
                logger.debug("wants to %s failed: %s", self.peer_id, error)
                if is_refusal(error):
                    self._peer_failed(PeerAnswer.NOT_SUPPORTED)
                    return
            if self.peer_id not in self._context.host.get_connected_peers():
                self._context.unreachable(self.peer_id)
                return
            await back_off()
        self._peer_failed(PeerAnswer.UNRESPONSIVE)

    async def _send_message(self) -> None:
        stream = self._want_stream
        if stream is None:
            stream = await self._open_want_stream()
        if self._message is not None and self._message_stream is not stream:
            self._message_lost()  # its stream has ended
        # Taken as late as possible, so that the message has all wants of this moment.
        if self._message is None and not self._take_message(stream):
            return
        try:
            while not self._write_now(stream):
                await stream.send(self._unsent[0])
                self._unsent.popleft()
        finally:
            if self._message is not None:
                self._message_lost()
                await reset_stream(stream)
        if self._want_stream is not stream:
            await end_stream(stream)  # the peer has ended its half while the message was written

    def _take_message(self, stream: NetStream, *, if_single: bool = False) -> bool:
        """Begin the next message; return False if there are no entries for it."""
        self._message_stream = stream
        self._entries = self._tracker.take_message(self.peer_id, if_single=if_single)
        if self._entries:
            self._message = Message(self._entries)
            self._unsent.extend(self._message.frames())
        return bool(self._entries)

    def _write_now(self, stream: NetStream) -> bool:
        """Write frames as long as the stream need not wait; return True if all were written."""
        while self._unsent:
            if not stream.send_nowait(self._unsent[0]):
                return False
            self._unsent.popleft()
        message, self._message = self._message, None
        assert message is not None
        now = trio.current_time()
        self._tracker.message_written(self.peer_id, now, _round_trip(stream))
        self._context.time_watch.check_tracker()
        self._context.tracing.sent(self.peer_id, message)
        return True

    def _message_lost(self) -> None:
        """Give the message back to the tracker; its stream is not used again."""
        self._message = None
        self._unsent.clear()
        self._tracker.message_lost(self.peer_id, self._entries)
        if self._want_stream is self._message_stream:
            self._want_stream = None

    def _peer_failed(self, answer: PeerAnswer) -> None:
        self._tracker.peer_failed(self.peer_id, answer, trio.current_time())
        self._context.apply()

    # -- the want stream ------------------------------------------------------------------------

    async def _open_want_stream(self) -> NetStream:
        context = self._context
        stream = cast("NetStream", await context.host.new_stream(self.peer_id, context.protocols))
        self._tracker.set_supports_have(self.peer_id, speaks_have(stream.get_protocol()))
        context.apply()
        self._want_stream = stream
        context.service.start_task(self._run, self._read_want_stream, stream)
        return stream

    async def _read_want_stream(self, stream: NetStream) -> None:
        """
        Wait until the peer answers on our want stream, as py-libp2p does, or ends it.

        If the protocol was only proposed so far, the first read waits for the peer to agree.
        """
        ended = partial(self._want_stream_ended, stream)
        try:
            buffers = await stream.receive()
        except StreamError as error:
            ended(error)
            return
        if buffers:
            self.receiver.accept(stream, buffers, ended)
        else:
            ended(None)

    def _want_stream_ended(self, stream: NetStream, error: BaseLibp2pError | None) -> None:
        if error is not None:
            logger.debug("want stream of %s: %s", self.peer_id, error)
        if self._want_stream is not stream:
            return
        # Helia ends its half at once, py-libp2p when it stops listening. Neither is an error; the
        # next message gets a new stream.
        self._want_stream = None
        if error is not None:
            stream.abort()
            if is_refusal(error):  # a proposed protocol is refused as late as this
                self._peer_failed(PeerAnswer.NOT_SUPPORTED)
            else:
                self._tracker.stream_reset(self.peer_id, trio.current_time())
                self._context.apply()
        elif self._message is None:
            stream.close_nowait()


def _round_trip(stream: NetStream) -> float:
    """Return the round-trip time of the connection below a stream in seconds, 0 if unknown."""
    measured = getattr(stream.muxed_conn, "rtt", None)
    return measured() if callable(measured) else 0.0
