"""
Asking peers: one request and its answer on a stream, which is kept for the next request.

Everything that a lookup waits for passes through `Requests.ask`: the time-out of a peer, the limits
of the host and the counters are here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import BaseLibp2pError, RoutingError, StreamEOF, StreamError
from libp2p.io.frame_reader import FrameReader
from libp2p.kad_dht.config import (
    DEFAULT_DHT_CONFIG,
    KEPT_STREAM_SECONDS,
    MAX_DIALLED_ADDRESSES,
    MAX_KEPT_STREAMS,
    MAX_UNFINISHED_ANSWERS,
)
from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.kad_dht.messages import MAX_MESSAGE_BYTES, decode, encode
from libp2p.peer.addresses import addresses_from_wire
from libp2p.peer.peerinfo import PeerInfo
from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import TProtocol
    from libp2p.host.basic_host import BasicHost
    from libp2p.kad_dht.config import DHTConfig
    from libp2p.kad_dht.messages import Message
    from libp2p.kad_dht.statistics import Counters
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID


class RequestFailed(RoutingError):
    """A peer could not be asked, or did not give a valid answer."""


class Requests:
    """
    Sends requests to peers, connecting to them if need be.

    :param protocol: the protocol of the DHT.
    """

    def __init__(
        self,
        host: BasicHost,
        protocol: TProtocol,
        counters: Counters,
        config: DHTConfig = DEFAULT_DHT_CONFIG,
    ) -> None:
        self._host = host
        self._protocol = protocol
        self._counters = counters
        self._config = config
        self._slots = trio.CapacityLimiter(config.max_requests)
        self._unfinished = host.resources.scope("dht unfinished answers", MAX_UNFINISHED_ANSWERS)
        # An idle stream of each peer, with the time of its last answer; the longest unused first.
        self._kept: dict[ID, tuple[NetStream, float]] = {}

    @property
    def under_way(self) -> int:
        """Requests that wait for their answers."""
        return int(self._slots.borrowed_tokens)

    @property
    def kept_streams(self) -> int:
        """Idle streams that are kept."""
        return len(self._kept)

    async def ask(self, peer: ID, request: Message, addrs: Sequence[bytes] = ()) -> Message:
        """
        Send a request and return its answer.

        :param addrs: where the peer is said to be, in binary form.
        :raises RequestFailed: if no valid answer comes within the time-out of a request.
        """
        async with self._slots:
            with self._failing(peer, request, self._config.request_seconds):
                await self._connect(peer, addrs)
                data = _framed(request)
                stream = self._take(peer)
                if stream is not None:
                    try:
                        return await self._exchange(peer, stream, data, request)
                    except StreamError:
                        pass  # the peer has closed the stream meanwhile; asking twice does no harm
                stream = await self._host.new_stream(peer, self._protocol, no_dial=True)
                return await self._exchange(peer, stream, data, request)

    async def tell(
        self, peer: ID, messages: Sequence[Message], addrs: Sequence[bytes] = ()
    ) -> None:
        """
        Send messages that have no answer: provider records.

        :raises RequestFailed: if they could not be sent. Whether the peer takes them is not known.
        """
        async with self._slots:
            with self._failing(peer, messages[0], self._config.store_seconds):
                await self._connect(peer, addrs)
                stream = await self._host.new_stream(peer, self._protocol, no_dial=True)
                try:
                    await stream.send([_framed(message) for message in messages])
                    self._counters.count_sent(messages[0].kind, len(messages))
                except BaseException:
                    stream.abort()
                    raise
                stream.close_nowait()

    async def _connect(self, peer: ID, addrs: Sequence[bytes]) -> None:
        if not self._host.is_peer_connected(peer):
            known = addresses_from_wire(addrs, MAX_DIALLED_ADDRESSES)
            await self._host.connect(PeerInfo(peer, known), hearsay=True)

    @contextmanager
    def _failing(self, peer: ID, request: Message, seconds: float) -> Iterator[None]:
        """Turn every failure that a peer can cause, silence included, into `RequestFailed`."""
        kind = request.kind
        try:
            with trio.fail_after(seconds):
                yield
        except trio.TooSlowError:
            self._counters.count_failure(kind)
            raise RequestFailed(f"{peer} did not answer {kind.name} in {seconds:g} s") from None
        except BaseLibp2pError as error:
            self._counters.count_failure(kind)
            raise RequestFailed(f"{kind.name} to {peer}: {error}") from error

    async def _exchange(
        self, peer: ID, stream: NetStream, data: bytes, request: Message
    ) -> Message:
        done = False
        try:
            await stream.write(data)
            self._counters.count_sent(request.kind)
            answer = decode(await self._read_one(stream))
            if answer.kind is not request.kind:
                raise InvalidMessageError(f"{answer.kind.name} in answer to {request.kind.name}")
            done = True
        finally:
            if done:
                self._keep(peer, stream)
            else:
                stream.abort()
        self._counters.count_answer(answer)
        return answer

    async def _read_one(self, stream: NetStream) -> bytes:
        reader, held = FrameReader(MAX_MESSAGE_BYTES), 0
        try:
            while buffers := await stream.receive():
                messages = reader.receive(buffers)
                if len(messages) == 1 and reader.at_boundary:
                    return messages[0]
                if messages:
                    raise InvalidMessageError("more than one answer to one request")
                size = sum(map(len, buffers))
                if not self._unfinished.try_hold(size):
                    raise InvalidMessageError("too many bytes of unfinished answers")
                held += size
        finally:
            self._unfinished.release(held)
        raise StreamEOF("the stream ended before the answer")

    # -- kept streams -------------------------------------------------------------------------

    def _take(self, peer: ID) -> NetStream | None:
        kept = self._kept.pop(peer, None)
        if kept is None:
            return None
        stream, used_at = kept
        if trio.current_time() < used_at + KEPT_STREAM_SECONDS and not stream.is_closed:
            return stream
        stream.close_nowait()
        return None

    def _keep(self, peer: ID, stream: NetStream) -> None:
        if stream.is_closed or peer in self._kept:
            stream.close_nowait()
            return
        self._kept[peer] = stream, trio.current_time()
        if len(self._kept) > MAX_KEPT_STREAMS:
            oldest = next(iter(self._kept))
            self._kept.pop(oldest)[0].close_nowait()

    def forget(self, peer: ID) -> None:
        """Drop the kept stream of a peer that is gone."""
        kept = self._kept.pop(peer, None)
        if kept is not None:
            kept[0].abort()

    def close_idle(self, now: float) -> None:
        """Close the streams that have not been used for a while."""
        for peer, (stream, used_at) in list(self._kept.items()):
            if used_at + KEPT_STREAM_SECONDS > now:
                break
            del self._kept[peer]
            stream.close_nowait()

    def close(self) -> None:
        """Close all streams that are kept."""
        for stream, _ in self._kept.values():
            stream.close_nowait()
        self._kept.clear()


def _framed(message: Message) -> bytes:
    data = encode(message)
    return encode_uvarint(len(data)) + data
