"""
Ping: 32 random bytes there and back, as often as the dialling side likes.

https://github.com/libp2p/specs/blob/master/ping/ping.md

A task switch takes as long as the rest of a ping. So pings are answered in the connection's read
loop, and those in a row are measured and sent there; their tasks wait for errors, for the time
limits, and to write where that has to wait.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from libp2p.custom_types import TProtocol
from libp2p.exceptions import (
    BaseLibp2pError,
    IncompleteReadError,
    PingError,
    StreamEOF,
    StreamError,
    StreamTimeout,
)
from libp2p.io.utils import read_exactly
from libp2p.io.waiter import Waiter
from libp2p.network.stream.net_stream import NetStream
from libp2p.utils import arguments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from libp2p.abc import IHost, INetStream
    from libp2p.custom_types import Buffer
    from libp2p.peer.id import ID as PeerID
    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream

ID: Final = TProtocol("/ipfs/ping/1.0.0")
SERVICE_NAME: Final = "libp2p.ping"
PING_LENGTH: Final = 32

#: Seconds that an answer may take.
RESP_TIMEOUT: Final = 10

#: Seconds without a ping after which the answering side closes: go-libp2p pings once and forgets.
IDLE_TIMEOUT: Final = 60

#: Streams answered per peer (the spec's limit): each costs a task.
MAX_INBOUND_STREAMS: Final = 2

_OTHER_BYTES: Final = "ping was answered with other bytes than were sent"

logger = logging.getLogger(__name__)


async def handle_ping(stream: INetStream) -> None:
    """
    Answer pings until the peer ends or resets the stream, or falls silent for a minute.

    :raises IncompleteReadError: if the stream ends inside a ping.
    """
    echo = _Echo(stream)
    try:
        while buffers := await echo.receive():
            with trio.move_on_after(IDLE_TIMEOUT) as scope:
                await stream.send(buffers)
            if scope.cancelled_caught:
                break
    except StreamError as error:
        logger.debug("pings of %s ended: %s", stream.muxed_conn.peer_id, error)
        return
    if buffers == [] and (got := echo.size % PING_LENGTH):
        raise IncompleteReadError("the stream ended inside a ping", PING_LENGTH, got)
    await stream.close()


class _Echo:
    """The answering side of a stream; what comes in pieces is sent back in pieces."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        #: Bytes that have come.
        self.size = 0
        self._heard_at = trio.current_time()
        self._left: list[Buffer] | None = None
        self._error: StreamError | None = None
        self._waiter = Waiter()

    async def receive(self) -> list[Buffer] | None:
        """Answer in the read loop; return what cannot be, [] at the end, None after silence."""
        while (deadline := self._heard_at + IDLE_TIMEOUT) > trio.current_time():
            with trio.move_on_at(deadline):
                if isinstance(self._stream, NetStream):
                    buffers = await self._push(self._stream.muxed_stream)
                else:
                    buffers = await self._stream.receive()
                self._note(buffers, trio.current_time())
                return buffers
        return None

    def _note(self, buffers: list[Buffer], now: float) -> None:
        self.size += sum(map(len, buffers))
        self._heard_at = now

    async def _push(self, stream: YamuxStream) -> list[Buffer]:
        """Answer in the read loop for as long as that goes; return what is left then."""
        answer = partial(self._answer, stream)
        stream.on_readable(answer)
        try:
            while answer():
                pass  # what has come before, and the end that may be behind it
            while self._left is None:
                await self._waiter.wait()
        finally:
            stream.on_readable(None)
        if self._error is not None:
            raise self._error
        left, self._left = self._left, None
        return left

    def _answer(self, stream: YamuxStream) -> bool:
        """
        Answer without waiting; leave to the task what that cannot be done for, and the end.

        :return: whether something was answered, behind which there may be more.
        """
        if self._left is not None:
            return False
        try:
            buffers = stream.receive_nowait()
            if buffers is None:
                return False
            if buffers and stream.send_nowait(buffers):
                self._note(buffers, stream.muxed_conn.received_at)
                return True
        except StreamError as error:
            self._error, buffers = error, []
        self._left = buffers
        self._waiter.wake()
        return False


async def perform_ping_roundtrip(
    stream: INetStream, cancel_scope: trio.CancelScope | None = None
) -> int:
    """
    Ping once on a stream that speaks ping; return whole milliseconds.

    :param cancel_scope: entered for the ping, so that its owner can call it off.
    :raises PingError: if the peer sends back something else; the stream is reset then.
    :raises StreamTimeout: if ``cancel_scope`` was cancelled.
    :raises trio.TooSlowError: if the answer takes longer than `RESP_TIMEOUT`.
    """
    return _milliseconds(await _ping_within(cancel_scope, stream))


async def _ping_within(scope: trio.CancelScope | None, stream: INetStream) -> float:
    with scope or trio.CancelScope():
        return await ping_once(stream)
    raise StreamTimeout("the ping was called off")


async def ping_once(stream: INetStream) -> float:
    """
    Ping once on a stream that speaks ping; return seconds.

    :raises PingError: if the peer sends back something else; the stream is reset then.
    :raises StreamEOF: if the peer closes instead of answering.
    :raises trio.TooSlowError: if the answer takes longer than `RESP_TIMEOUT`.
    """
    payload = os.urandom(PING_LENGTH)
    with trio.fail_after(RESP_TIMEOUT):
        started_at = trio.current_time()
        await stream.write(payload)
        try:
            answer = await read_exactly(stream, PING_LENGTH)
        except IncompleteReadError as error:
            raise StreamEOF("peer closed the stream instead of answering a ping") from error
        seconds = trio.current_time() - started_at
    if answer != payload:
        await stream.reset()
        raise PingError(_OTHER_BYTES)
    return seconds


class _Series:
    """Pings in a row: each is sent in the read loop, as soon as the last one is answered."""

    def __init__(self, stream: YamuxStream, count: int) -> None:
        self._stream = stream
        self._count = count
        self._sent_at = 0.0
        self._payload = self._answer = b""
        self._seconds: list[float] = []
        self._ended = False
        self._error: BaseLibp2pError | None = None
        self._waiter = Waiter()

    async def run(self) -> list[float]:
        """
        Return the seconds that each ping took; fewer if one cannot be sent at once, or at the end.

        It raises what `ping_once` does, and leaves the stream to be reset then.
        """
        self._stream.on_readable(self._on_readable)
        try:
            self._on_readable()  # the end may have come with the last answer
            self._ended = self._ended or not self._send()
            while not self._ended:
                sent_at = self._sent_at
                with trio.move_on_at(sent_at + RESP_TIMEOUT) as scope:
                    await self._waiter.wait()
                if scope.cancelled_caught and sent_at == self._sent_at and not self._ended:
                    raise trio.TooSlowError
        finally:
            self._stream.on_readable(None)
        if self._error is not None:
            raise self._error
        return self._seconds

    def _send(self) -> bool:
        """Send the next ping, if there is one and that needs no waiting; return whether it was."""
        if len(self._seconds) == self._count:
            return False
        self._payload = os.urandom(PING_LENGTH)
        self._sent_at = trio.current_time()
        return self._stream.send_nowait((self._payload,))

    def _on_readable(self) -> None:
        if self._ended:
            return
        try:
            self._ended = not self._go_on()
        except BaseLibp2pError as error:
            self._ended, self._error = True, error
        if self._ended:
            self._waiter.wake()

    def _go_on(self) -> bool:
        """Take in an answer, and send the next ping; return whether there is more to come."""
        buffers = self._stream.receive_nowait()
        if not buffers:
            return buffers is None
        self._answer += b"".join(buffers)
        if len(self._answer) < PING_LENGTH:
            return True
        if self._answer != self._payload:
            raise PingError(_OTHER_BYTES)
        self._answer = b""
        self._seconds.append(self._stream.muxed_conn.received_at - self._sent_at)
        return self._send()


class PingService:
    """Pings peers of a host, and answers theirs with a limit on streams per peer."""

    def __init__(self, host: IHost, rcmgr: object = None) -> None:
        """:param rcmgr: accepted for py-libp2p's callers, not used."""
        self._host = host
        self._inbound: Counter[PeerID] = Counter()

    async def ping_microseconds(self, peer_id: PeerID, count: int = 1) -> list[float]:
        """
        Ping ``count`` times, one after the other; return microseconds.

        :raises StreamFailure: if the peer cannot be reached or does not speak ping.
        :raises PingError: if it sends back something else.
        :raises StreamError: if the stream fails.
        :raises trio.TooSlowError: if an answer takes longer than `RESP_TIMEOUT`.
        """
        count = arguments.count(count, "count", least=1)
        async with aclosing(self._round_trips(peer_id, count, in_a_row=True)) as round_trips:
            return [seconds * 1e6 async for seconds in round_trips]

    async def ping(self, peer_id: PeerID, ping_amt: int = 1) -> list[int]:
        """Return the same as `ping_microseconds` in whole milliseconds, as py-libp2p 0.8 does."""
        return [int(rtt / 1000) for rtt in await self.ping_microseconds(peer_id, ping_amt)]

    async def ping_iter(
        self,
        peer_id: PeerID,
        ping_amt: int = 1,
        cancel_scope: trio.CancelScope | None = None,
    ) -> AsyncIterator[int]:
        """
        Ping ``ping_amt`` times and yield whole milliseconds as they are measured.

        :param cancel_scope: entered for the ping; for a single one, since trio lets it be entered
            only once.
        """
        ping_amt = arguments.count(ping_amt, "ping_amt", least=1)
        async with aclosing(self._round_trips(peer_id, ping_amt, cancel_scope)) as round_trips:
            async for seconds in round_trips:
                yield _milliseconds(seconds)

    async def _round_trips(
        self,
        peer_id: PeerID,
        count: int,
        scope: trio.CancelScope | None = None,
        *,
        in_a_row: bool = False,
    ) -> AsyncGenerator[float, None]:
        """
        Yield the seconds that each ping took, on one stream while the peer keeps it open.

        go-libp2p closes it after ten seconds without a ping, and after thirty in any case.
        """
        while count:
            async with self._stream_to(peer_id) as stream:
                answered = False
                while count:
                    try:
                        found = [await _ping_within(scope, stream)]
                    except StreamEOF:
                        if not answered:
                            raise
                        break
                    if in_a_row and isinstance(stream, NetStream):
                        found += await _Series(stream.muxed_stream, count - 1).run()
                    answered = True
                    count -= len(found)
                    for seconds in found:
                        self._host.get_peerstore().record_latency(peer_id, seconds)
                        yield seconds

    @asynccontextmanager
    async def _stream_to(self, peer_id: PeerID) -> AsyncIterator[INetStream]:
        """Open a stream for the block; it is closed afterwards, or reset if the block failed."""
        stream = await self._host.new_stream(peer_id, [ID])
        finished = False
        try:
            yield stream
            finished = True
        finally:
            if not finished:
                await stream.reset()
        await stream.close()

    async def handle_ping(self, stream: INetStream) -> None:
        """Answer pings like the function `handle_ping`, for so many streams of a peer at once."""
        peer_id = stream.muxed_conn.peer_id
        if self._inbound[peer_id] >= MAX_INBOUND_STREAMS:
            logger.debug("%s opens too many ping streams", peer_id)
            await stream.reset()
            return
        self._inbound[peer_id] += 1
        try:
            await handle_ping(stream)
        finally:
            self._inbound[peer_id] -= 1
            if not self._inbound[peer_id]:
                del self._inbound[peer_id]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
