"""`RequestResponse`: send a request to a peer, and answer those of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import trio

from libp2p.exceptions import (
    BaseLibp2pError,
    IOException,
    MessageTooLarge,
    StreamError,
    StreamFailure,
)
from libp2p.exceptions import ProtocolNotSupportedError as NotSupported
from libp2p.io.msgio import VarIntLengthMsgReadWriter
from libp2p.request_response.exceptions import (
    MessageTooLargeError,
    ProtocolNotSupportedError,
    RequestDecodeError,
    RequestEncodeError,
    RequestResponseError,
    RequestTimeoutError,
    RequestTransportError,
    ResponseDecodeError,
    ResponseEncodeError,
)
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import IHost, INetStream
    from libp2p.base_types import TProtocol
    from libp2p.peer.id import ID
    from libp2p.request_response.codec import RequestResponseCodec

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

#: Seconds in which a request is sent and answered.
DEFAULT_TIMEOUT: Final = 10.0
MAX_REQUEST_BYTES: Final = 1024 * 1024
MAX_RESPONSE_BYTES: Final = 10 * 1024 * 1024
#: Requests of one protocol that are answered at the same time; further ones are refused.
MAX_CONCURRENT_INBOUND: Final = 128

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Where a request comes from."""

    peer_id: ID
    protocol_id: TProtocol


@dataclass(frozen=True, slots=True)
class RequestResponseConfig:
    """
    Limits of one protocol.

    :param timeout: seconds in which a request is sent and answered.
    :param max_request_size: bytes of a request.
    :param max_response_size: bytes of a response.
    :param max_concurrent_inbound: requests that are answered at the same time.
    :raises ValueError: if one of them is not above 0.
    """

    timeout: float = DEFAULT_TIMEOUT
    max_request_size: int = MAX_REQUEST_BYTES
    max_response_size: int = MAX_RESPONSE_BYTES
    max_concurrent_inbound: int = MAX_CONCURRENT_INBOUND

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least=1)
        if not self.timeout:
            raise arguments.out_of_range("timeout", self.timeout, "more than 0")


Handler: TypeAlias = Callable[[RequestT, RequestContext], Awaitable[ResponseT]]


class RequestResponse:
    """Requests and responses of a host, each pair on a stream of its own."""

    def __init__(self, host: IHost) -> None:
        self.host: Final = host

    def set_handler(
        self,
        protocol_id: TProtocol,
        handler: Handler[RequestT, ResponseT],
        codec: RequestResponseCodec[RequestT, ResponseT],
        config: RequestResponseConfig | None = None,
    ) -> None:
        """
        Answer requests of a protocol.

        A request that is too large or late, that the codec cannot read or the handler fails at, is
        refused: its stream is reset.
        """
        answering = _Answering(protocol_id, handler, codec, config or RequestResponseConfig())
        self.host.set_stream_handler(protocol_id, answering.on_stream)

    def remove_handler(self, protocol_id: TProtocol) -> None:
        """Answer requests of a protocol no longer; those that have begun are answered."""
        self.host.remove_stream_handler(protocol_id)

    async def send_request(
        self,
        peer_id: ID,
        protocol_ids: Sequence[TProtocol],
        request: RequestT,
        codec: RequestResponseCodec[RequestT, ResponseT],
        config: RequestResponseConfig | None = None,
    ) -> ResponseT:
        """
        Send a request and return the response.

        :param protocol_ids: the first of them that the peer speaks is used.
        :raises RequestTimeoutError: if it takes longer than ``config.timeout``.
        :raises ProtocolNotSupportedError: if the peer speaks none of the protocols.
        :raises MessageTooLargeError: if the request or the response is too large.
        :raises RequestEncodeError: if the codec cannot write the request.
        :raises ResponseDecodeError: if it cannot read the response.
        :raises RequestTransportError: if the peer cannot be reached, or refuses the request.
        """
        if not protocol_ids:
            raise arguments.out_of_range("protocol_ids", protocol_ids, "at least one protocol")
        limits = config or RequestResponseConfig()
        payload = _encoded(codec.encode_request, request, RequestEncodeError, "the request")
        _check_size(payload, limits.max_request_size, "the request")
        try:
            with trio.fail_after(limits.timeout):
                stream = await self._open(peer_id, protocol_ids)
                async with _ended(stream):
                    await _write(stream, payload, limits.max_request_size)
                    answer = await _read(stream, limits.max_response_size)
                    decode = codec.decode_response
                    return _decoded(decode, answer, ResponseDecodeError, "the response")
        except trio.TooSlowError as error:
            raise RequestTimeoutError(f"no response within {limits.timeout:g} s") from error

    async def _open(self, peer_id: ID, protocol_ids: Sequence[TProtocol]) -> INetStream:
        try:
            return await self.host.new_stream(peer_id, protocol_ids)
        except BaseLibp2pError as error:
            cause = error.__cause__ if isinstance(error, StreamFailure) else None
            if isinstance(cause, NotSupported) or isinstance(error, NotSupported):
                raise ProtocolNotSupportedError(str(cause or error)) from error
            raise RequestTransportError(str(error)) from error


class _Answering(Generic[RequestT, ResponseT]):
    """Answers the requests of one protocol."""

    def __init__(
        self,
        protocol_id: TProtocol,
        handler: Handler[RequestT, ResponseT],
        codec: RequestResponseCodec[RequestT, ResponseT],
        config: RequestResponseConfig,
    ) -> None:
        self._protocol_id = protocol_id
        self._handler = handler
        self._codec = codec
        self._config = config
        self._free = trio.Semaphore(config.max_concurrent_inbound)

    async def on_stream(self, stream: INetStream) -> None:
        """Answer one request; what the handler raises is logged and costs that request only."""
        peer_id = stream.muxed_conn.peer_id
        try:
            self._free.acquire_nowait()
        except trio.WouldBlock:
            logger.info("too many requests of %s: one of %s is refused", self._protocol_id, peer_id)
            return await stream.reset()
        try:
            with trio.fail_after(self._config.timeout):
                async with _ended(stream):
                    await self._answer(stream, RequestContext(peer_id, self._protocol_id))
        except trio.TooSlowError:
            logger.info("a request of %s by %s took too long", self._protocol_id, peer_id)
        except RequestResponseError as error:
            logger.info("a request of %s by %s: %s", self._protocol_id, peer_id, error)
        except Exception:  # task's edge: a program's handler
            logger.exception("the handler of %s failed", self._protocol_id)
        finally:
            self._free.release()

    async def _answer(self, stream: INetStream, context: RequestContext) -> None:
        config, codec = self._config, self._codec
        payload = await _read(stream, config.max_request_size)
        request = _decoded(codec.decode_request, payload, RequestDecodeError, "the request")
        response = await self._handler(request, context)
        answer = _encoded(codec.encode_response, response, ResponseEncodeError, "the response")
        await _write(stream, answer, config.max_response_size)


@asynccontextmanager
async def _ended(stream: INetStream) -> AsyncIterator[None]:
    """Close a stream at the end of the block, or reset it if the block fails."""
    try:
        yield
        await stream.close()
    except BaseException:
        with trio.CancelScope(shield=True), suppress(StreamError):
            await stream.reset()
        raise


def _check_size(payload: bytes, most: int, what: str) -> None:
    if len(payload) > most:
        raise MessageTooLargeError(f"{what} has {len(payload)} bytes, at most {most} may be sent")


async def _read(stream: INetStream, most: int) -> bytes:
    try:
        return await VarIntLengthMsgReadWriter(stream, most).read_msg()
    except MessageTooLarge as error:
        raise MessageTooLargeError(str(error)) from error
    except (StreamError, IOException) as error:
        raise RequestTransportError(f"the stream ended before a whole message: {error}") from error


async def _write(stream: INetStream, payload: bytes, most: int) -> None:
    _check_size(payload, most, "a message")
    try:
        await VarIntLengthMsgReadWriter(stream, most).write_msg(payload)
    except (StreamError, IOException) as error:
        raise RequestTransportError(f"the stream ended before all was sent: {error}") from error


def _encoded(
    encode: Callable[[Any], bytes], value: object, kind: type[RequestResponseError], what: str
) -> bytes:
    try:
        return bytes(memoryview(encode(value)))
    except Exception as error:  # task's edge: a program's codec
        raise kind(f"{what} cannot be written: {error}") from error


def _decoded(
    decode: Callable[[bytes], ResponseT], data: bytes, kind: type[RequestResponseError], what: str
) -> ResponseT:
    try:
        return decode(data)
    except Exception as error:  # task's edge: a program's codec
        raise kind(f"{what} cannot be read: {error}") from error
