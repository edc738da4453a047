"""
Answering peers: many requests on each stream that a peer has opened.

Most requests are answered in the connection's read loop, without a task: looking up the table takes
less time than starting one. A stream gets a task for a while if its peer asks many things at once,
or does not read the answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, cast

import trio

from libp2p.exceptions import BaseLibp2pError
from libp2p.host.inbound import StreamAcceptor
from libp2p.io.frame_reader import FrameReader
from libp2p.io.waiter import Waiter
from libp2p.kad_dht.config import (
    ANSWER_SECONDS,
    ANSWERS_NOW,
    DEFAULT_DHT_CONFIG,
    MAX_SLOW_STREAMS,
    MAX_UNFINISHED_REQUESTS,
    READ_AT_ONCE,
)
from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.kad_dht.messages import MAX_MESSAGE_BYTES, MessageType, decode, encode
from libp2p.network.connection.stream_handlers import STREAM_LIMIT_EXCEEDED
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.logs import get_logger
from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer
    from libp2p.kad_dht.config import DHTConfig
    from libp2p.kad_dht.messages import Message
    from libp2p.kad_dht.statistics import Counters
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID
    from libp2p.resources import Resources

logger = get_logger(__name__)

_STORING: Final = (MessageType.ADD_PROVIDER, MessageType.PUT_VALUE)


class Answerer(Protocol):
    """Answers requests: `RequestHandler`."""

    def handle(self, remote: ID, message: Message, now: float) -> Message | None:
        """
        Return the answer; None if the kind of request has none.

        :raises InvalidMessageError: if the request is invalid.
        """


class RequestServer(StreamAcceptor):
    """
    Serves the streams of all peers.

    :param start: runs a task for as long as the host runs.
    :param now: returns the time for the stores, in Unix seconds.
    :param on_stored: called when a record was stored for a peer.
    """

    def __init__(
        self,
        handler: Answerer,
        start: Callable[[Callable[[], Awaitable[object]]], object],
        now: Callable[[], float],
        counters: Counters,
        resources: Resources,
        config: DHTConfig = DEFAULT_DHT_CONFIG,
        on_stored: Callable[[], object] = lambda: None,
    ) -> None:
        self.on_stored = on_stored
        self.handler = handler
        self.start = start
        self.now = now
        self.counters = counters
        self.unfinished = resources.scope("dht unfinished requests", MAX_UNFINISHED_REQUESTS)
        self.faults = FaultLog()
        self._slow_streams = 0
        self._config = config
        # Streams with the time of their last request, the longest unused one first.
        self._streams: dict[ServedStream, float] = {}
        self._of_peer: dict[ID, int] = {}
        self._added = Waiter()

    def __len__(self) -> int:
        """Streams that are open."""
        return len(self._streams)

    def accept(self, stream: NetStream, buffers: list[Buffer]) -> None:
        """Serve a stream; the connection's read loop calls this."""
        peer = stream.remote_peer_id
        if self._of_peer.get(peer, 0) >= self._config.max_served_streams_per_peer:
            stream.abort(STREAM_LIMIT_EXCEEDED)
            return
        if len(self._streams) >= self._config.max_served_streams:
            next(iter(self._streams)).abort(STREAM_LIMIT_EXCEEDED)
        if not self._streams:
            self._added.wake()
        served = ServedStream(self, stream)
        self._streams[served] = trio.current_time()
        self._of_peer[peer] = self._of_peer.get(peer, 0) + 1
        stream.on_readable(served.on_readable)
        if buffers:
            served.receive(buffers)
        served.on_readable()

    async def __call__(self, stream: INetStream) -> None:
        """Serve a stream for a host that runs each handler in a task."""
        self.accept(cast("NetStream", stream), [])

    def asked(self, served: ServedStream) -> None:
        """Note that a stream was used: it becomes the last one to be closed as idle."""
        if self._streams.pop(served, None) is not None:
            self._streams[served] = trio.current_time()

    def remove(self, served: ServedStream) -> None:
        """Forget a stream that has ended."""
        if self._streams.pop(served, None) is None:
            return
        peer = served.peer
        left = self._of_peer[peer] - 1
        if left:
            self._of_peer[peer] = left
        else:
            del self._of_peer[peer]

    def begin_slow(self) -> bool:
        """Count a stream that needs a task; return False if there are too many."""
        if self._slow_streams >= MAX_SLOW_STREAMS:
            return False
        self._slow_streams += 1
        return True

    def end_slow(self) -> None:
        """Count one slow stream less."""
        self._slow_streams -= 1

    async def run(self) -> None:
        """Close idle streams, for ever."""
        idle = self._config.served_idle_seconds
        while True:
            if not self._streams:
                await self._added.wait()
            latest = trio.current_time()
            await trio.sleep_until(next(iter(self._streams.values()), latest) + idle)
            now = trio.current_time()
            for served, used_at in list(self._streams.items()):
                if used_at + idle > now:
                    break
                served.close()

    def close(self) -> None:
        """Reset all streams."""
        for served in list(self._streams):
            served.abort()


class ServedStream:
    """One stream that a peer has opened to ask."""

    __slots__ = ("_held", "_is_slow", "_reader", "_server", "_stream", "_waiting", "peer")

    def __init__(self, server: RequestServer, stream: NetStream) -> None:
        self.peer = stream.remote_peer_id
        self._server = server
        self._stream = stream
        self._reader = FrameReader(MAX_MESSAGE_BYTES)
        self._held = 0  # bytes of an incomplete request
        self._waiting: deque[bytes] = deque()  # requests for the task, if there is one
        self._is_slow = False

    def on_readable(self) -> None:
        """Answer the requests that have arrived."""
        try:
            while (
                not self._is_slow
                and (buffers := self._stream.receive_nowait(READ_AT_ONCE)) is not None
            ):
                if not buffers:
                    self.close()
                    return
                self.receive(buffers)
        except BaseLibp2pError as error:
            self._fail(error)

    def receive(self, buffers: list[Buffer]) -> None:
        """Answer the requests in ``buffers``, or have a task do it."""
        try:
            requests = self._reader.receive(buffers)
            self._hold(0 if self._reader.at_boundary else sum(map(len, buffers)), bool(requests))
            if requests:
                self._server.asked(self)
            for count, request in enumerate(requests):
                if count == ANSWERS_NOW:
                    self._be_slow(requests[count:], None)
                    return
                answer = self._answer(request)
                if answer is not None and not self._stream.send_nowait(answer):
                    self._be_slow(requests[count + 1 :], answer)
                    return
        except BaseLibp2pError as error:
            self._fail(error)

    def _hold(self, more: int, begun: bool) -> None:
        """Count the bytes of an incomplete request."""
        kept = more if begun else self._held + more if more else 0
        unfinished = self._server.unfinished
        unfinished.release(self._held)
        self._held = 0
        if kept and not unfinished.try_hold(kept):
            raise InvalidMessageError("too many bytes of unfinished requests")
        self._held = kept

    def _answer(self, data: bytes) -> tuple[bytes, bytes] | None:
        server = self._server
        request = decode(data)
        try:
            answer = server.handler.handle(self.peer, request, server.now())
        except BaseLibp2pError:
            server.counters.count_refused(request.kind)
            raise
        except Exception as error:  # task's edge: a validator of the program's may raise anything
            server.faults.note(f"answering {request.kind.name}", error)
            raise InvalidMessageError(f"{request.kind.name} could not be answered") from error
        server.counters.count_served(request.kind)
        if request.kind in _STORING:
            server.on_stored()
        if answer is None:
            return None
        encoded = encode(answer)
        return encode_uvarint(len(encoded)), encoded

    def _be_slow(self, requests: list[bytes], unsent: tuple[bytes, bytes] | None) -> None:
        """Start a task that answers the remaining requests; nothing is read meanwhile."""
        server = self._server
        if not server.begin_slow():
            self.abort(STREAM_LIMIT_EXCEEDED)
            return
        self._is_slow = True
        self._waiting.extend(requests)
        try:
            server.start(partial(self._work, unsent))
        except BaseLibp2pError:  # the DHT is closing
            server.end_slow()
            self._is_slow = False
            self.abort()

    async def _work(self, unsent: tuple[bytes, bytes] | None) -> None:
        try:
            while True:
                if unsent is not None:
                    with trio.fail_after(ANSWER_SECONDS):
                        await self._stream.send(unsent)
                await trio.lowlevel.checkpoint()
                if not self._waiting:
                    break
                unsent = self._answer(self._waiting.popleft())
                self._server.asked(self)
        except (BaseLibp2pError, trio.TooSlowError) as error:
            self._fail(error)
            return
        finally:
            self._server.end_slow()
            self._is_slow = False
        self.on_readable()

    # -- the end ------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        logger.debug("%r: %s", self._stream, error)
        self.abort()

    def close(self) -> None:
        """Close the stream; answers that were written are still delivered."""
        self._end()
        self._stream.close_nowait()

    def abort(self, code: int = 0) -> None:
        """Reset the stream."""
        self._end()
        self._stream.abort(code)

    def _end(self) -> None:
        self._stream.on_readable(None)
        self._waiting.clear()
        self._server.unfinished.release(self._held)
        self._held = 0
        self._server.remove(self)
