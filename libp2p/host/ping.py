"""
Ping: 32 random bytes there and back, as often as the dialling side likes.

https://github.com/libp2p/specs/blob/master/ping/ping.md
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Final

import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import IncompleteReadError, PingError, StreamEOF, StreamError, StreamTimeout
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.abc import IHost, INetStream
    from libp2p.peer.id import ID as PeerID

ID: Final = TProtocol("/ipfs/ping/1.0.0")
SERVICE_NAME: Final = "libp2p.ping"
PING_LENGTH: Final = 32

#: Seconds that an answer may take.
RESP_TIMEOUT: Final = 10
#: Seconds without a ping after which the answering side closes: go-libp2p pings once and forgets.
IDLE_TIMEOUT: Final = 60
#: Streams answered per peer (the spec's limit): each costs a task.
MAX_INBOUND_STREAMS: Final = 2


async def handle_ping(stream: INetStream) -> None:
    """
    Answer pings until the peer ends or resets the stream, or sends none for a minute.

    :raises IncompleteReadError: if the stream ends inside a ping.
    """
    size = 0
    try:
        while True:
            with trio.fail_after(IDLE_TIMEOUT):
                if not (buffers := await stream.receive()):
                    break
                await stream.send(buffers)
            size += sum(map(len, buffers))
    except (StreamError, trio.TooSlowError):
        size = 0
    if size % PING_LENGTH:
        raise IncompleteReadError("the stream ended inside a ping", PING_LENGTH)
    await stream.close()


async def ping_once(stream: INetStream, cancel_scope: trio.CancelScope | None = None) -> float:
    """
    Ping once on a stream that speaks ping; return seconds.

    :param cancel_scope: entered for the ping, so that its owner can cancel it.
    :raises PingError: if the peer sends back something else; the stream is reset then.
    :raises StreamEOF: if the peer closes instead of answering.
    :raises StreamTimeout: if ``cancel_scope`` was cancelled.
    :raises trio.TooSlowError: if the answer takes longer than `RESP_TIMEOUT`.
    """
    payload, answer = os.urandom(PING_LENGTH), b""
    started_at = trio.current_time()
    with cancel_scope or nullcontext(), trio.fail_after(RESP_TIMEOUT):
        await stream.send((payload,))
        while len(answer) < PING_LENGTH:
            if not (buffers := await stream.receive()):
                raise StreamEOF("the peer closed the stream instead of answering a ping")
            answer += b"".join(buffers)
        if answer != payload:
            await stream.reset()
            raise PingError("ping was answered with other bytes than were sent")
        return trio.current_time() - started_at
    raise StreamTimeout("the ping was cancelled")


async def perform_ping_roundtrip(
    stream: INetStream, cancel_scope: trio.CancelScope | None = None
) -> int:
    """Return the same as `ping_once` in whole milliseconds, as py-libp2p does."""
    return int(await ping_once(stream, cancel_scope) * 1000)


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
        :raises StreamError: if the stream fails; see also `ping_once`.
        """
        count = arguments.count(count, "count", least=1)
        async with aclosing(self._round_trips(peer_id, count)) as round_trips:
            return [seconds * 1e6 async for seconds in round_trips]

    async def ping(self, peer_id: PeerID, ping_amt: int = 1) -> list[int]:
        """Return the same as `ping_microseconds` in whole milliseconds, as py-libp2p 0.8 does."""
        count = arguments.count(ping_amt, "ping_amt", least=1)
        return [int(rtt / 1000) for rtt in await self.ping_microseconds(peer_id, count)]

    async def ping_iter(
        self, peer_id: PeerID, ping_amt: int = 1, cancel_scope: trio.CancelScope | None = None
    ) -> AsyncIterator[int]:
        """Yield the same as `ping`; ``cancel_scope`` is entered for each ping, so for one only."""
        count = arguments.count(ping_amt, "ping_amt", least=1)
        async with aclosing(self._round_trips(peer_id, count, cancel_scope)) as round_trips:
            async for seconds in round_trips:
                yield int(seconds * 1000)

    async def _round_trips(
        self, peer_id: PeerID, count: int, cancel_scope: trio.CancelScope | None = None
    ) -> AsyncGenerator[float, None]:
        while count:
            async with await self._host.new_stream(peer_id, [ID]) as stream:
                asked = count
                while count:
                    try:
                        seconds = await ping_once(stream, cancel_scope)
                    except StreamEOF:
                        if count == asked:
                            raise
                        break  # go-libp2p closes after ten seconds without a ping: open another one
                    count -= 1
                    self._host.get_peerstore().record_latency(peer_id, seconds)
                    yield seconds

    async def handle_ping(self, stream: INetStream) -> None:
        """Answer pings as the function `handle_ping` does; reset streams beyond the limit."""
        peer_id = stream.muxed_conn.peer_id
        if self._inbound[peer_id] >= MAX_INBOUND_STREAMS:
            await stream.reset()
            return
        self._inbound[peer_id] += 1
        try:
            await handle_ping(stream)
        finally:
            self._inbound -= Counter((peer_id,))  # this drops those that are at 0
