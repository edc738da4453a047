"""Requests and responses between two hosts: what comes back, and what fails in which way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import WrongArgumentType
from libp2p.request_response import (
    BytesCodec,
    JSONCodec,
    MessageTooLargeError,
    ProtocolNotSupportedError,
    RequestContext,
    RequestEncodeError,
    RequestResponse,
    RequestResponseCodec,
    RequestResponseConfig,
    RequestTimeoutError,
    RequestTransportError,
    ResponseDecodeError,
)
from tests.support.hosts import connected_hosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p import BasicHost
    from libp2p.abc import INetStream

SUM = TProtocol("/sum/1.0.0")
OTHER = TProtocol("/sum/2.0.0")


async def add_up(request: Any, context: RequestContext) -> Any:
    if request == "late":
        await trio.sleep_forever()
    if request == "odd":
        return {1, 2}  # JSON cannot say it
    if request == "large":
        return "x" * 2000
    if request == "who":
        return [str(context.peer_id), context.protocol_id]
    return sum(request)


class Pair:
    def __init__(self, client: BasicHost, server: BasicHost) -> None:
        self.client, self.server = RequestResponse(client), RequestResponse(server)
        self.peer_id = server.get_id()
        self.server.set_handler(SUM, add_up, JSONCodec(), RequestResponseConfig(timeout=0.5))

    async def ask(self, request: Any, *protocols: TProtocol, **limits: Any) -> Any:
        config = RequestResponseConfig(**limits)
        return await self.client.send_request(
            self.peer_id, protocols or [SUM], request, JSONCodec(), config
        )


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with connected_hosts() as (client, server):
        yield Pair(client, server)


async def test_a_request_is_answered_and_its_stream_is_gone(pair: Pair) -> None:
    assert await pair.ask([1, 2, 3]) == 6
    assert await pair.ask([1], OTHER, SUM) == 1
    assert await pair.ask("who") == [str(pair.client.host.get_id()), SUM]
    with trio.fail_after(5):
        while any(  # noqa: ASYNC110 - no event
            c.get_streams() for c in pair.client.host.get_network().get_connections()
        ):
            await trio.sleep(0.01)  # time: the other side closes


async def test_many_requests_at_once(pair: Pair) -> None:
    answers: dict[int, int] = {}

    async def one(number: int) -> None:
        answers[number] = await pair.ask([number, number], timeout=30)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(one, number)
    assert answers == {number: 2 * number for number in range(100)}


@pytest.mark.parametrize(
    ("request_", "limits", "error"),
    [
        ("late", {"timeout": 0.1}, RequestTimeoutError),
        ("late", {}, RequestTransportError),  # the server gives up first
        ("odd", {}, RequestTransportError),
        (7, {}, RequestTransportError),
        ("large", {"max_response_size": 1000}, MessageTooLargeError),
        ("x" * 2000, {"max_request_size": 1000}, MessageTooLargeError),
        ({1, 2}, {}, RequestEncodeError),
    ],
)
async def test_what_fails_is_told_by_its_kind_and_fails_alone(
    pair: Pair, request_: object, limits: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await pair.ask(request_, **limits)
    assert await pair.ask([1, 2]) == 3


async def test_no_such_protocol_and_no_such_peer(pair: Pair) -> None:
    with pytest.raises(ProtocolNotSupportedError):
        await pair.ask([1], OTHER)
    pair.server.remove_handler(SUM)
    with pytest.raises(ProtocolNotSupportedError):
        await pair.ask([1])
    with pytest.raises(ValueError, match="protocol_ids"):
        await pair.client.send_request(pair.peer_id, [], [1], JSONCodec())
    stranger = RequestResponse(pair.server.host)
    with pytest.raises(RequestTransportError):
        await stranger.send_request(
            type(pair.peer_id).from_string("12D3KooWEoWPDpkUF2dpbBg875xsP3iwLrD62GqZ3BU1p1RvA91r"),
            [SUM],
            [1],
            JSONCodec(),
        )


async def test_more_requests_than_may_be_are_refused(pair: Pair) -> None:
    config = RequestResponseConfig(max_concurrent_inbound=1)
    release = trio.Event()

    async def wait(request: Any, context: RequestContext) -> Any:
        await release.wait()
        return request

    pair.server.set_handler(OTHER, wait, JSONCodec(), config)
    answers = list[Any]()

    async def first() -> None:
        answers.append(await pair.ask(1, OTHER))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        with trio.fail_after(5):
            [connection] = pair.server.host.get_network().get_connections()
            while not connection.get_streams():  # noqa: ASYNC110 - no event
                await trio.sleep(0.01)  # time: until it has begun
        with pytest.raises(RequestTransportError):
            await pair.ask(2, OTHER)
        release.set()
    assert answers == [1]


async def test_a_response_that_cannot_be_read(pair: Pair) -> None:
    class Odd(JSONCodec):
        def decode_response(self, payload: bytes) -> Any:
            raise LookupError("no")

    with pytest.raises(ResponseDecodeError, match="no"):
        await pair.client.send_request(pair.peer_id, [SUM], [1], Odd())


async def test_an_announced_length_beyond_the_limit_is_not_waited_for(pair: Pair) -> None:
    async def large(stream: INetStream) -> None:
        await stream.write(b"\xff\xff\xff\xff\x0f")

    pair.server.host.set_stream_handler(OTHER, large)
    with trio.fail_after(5), pytest.raises(MessageTooLargeError):
        await pair.ask([1], OTHER)


def test_bytes_are_not_numbers() -> None:
    codec = BytesCodec()
    assert isinstance(codec, RequestResponseCodec)
    assert codec.encode_request(b"a") == b"a" == codec.decode_response(b"a")
    with pytest.raises(TypeError):
        codec.encode_response(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "limits", [{"timeout": 0}, {"max_request_size": 0}, {"max_concurrent_inbound": -1}]
)
def test_limits_are_above_nothing(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        RequestResponseConfig(**limits)
    with pytest.raises(WrongArgumentType):
        RequestResponseConfig(max_response_size="many")  # type: ignore[arg-type]
