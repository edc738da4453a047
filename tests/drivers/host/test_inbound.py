"""Streams that a peer opens: the negotiation in the read loop, and who gets the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.base_types import TProtocol
from libp2p.exceptions import MuxedStreamReset
from libp2p.host.inbound import InboundNegotiations, StreamAcceptor
from libp2p.network.config import SwarmConfig
from libp2p.network.connection.stream_handlers import HandlerScopes
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.protocol_muxer.negotiation import HEADER, NOT_AVAILABLE, encode_message
from libp2p.resources import Resources
from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
from libp2p.utils.event_bus import EventBus
from tests.support.memory_session import bounded_pair, yamux_over

if TYPE_CHECKING:
    from libp2p.abc import INetStream, StreamHandlerFn
    from libp2p.base_types import Buffer
    from libp2p.network.stream.net_stream import NetStream

ECHO = TProtocol("/echo/1.0.0")
SINK = TProtocol("/sink/1.0.0")
TIMEOUT = 10.0

PROPOSAL = encode_message(HEADER) + encode_message(ECHO)


async def echo(stream: INetStream) -> None:
    while data := await stream.read(100):
        await stream.write(data)


class Sink(StreamAcceptor):
    """Keeps what it is given, and notes when."""

    def __init__(self) -> None:
        self.streams: list[NetStream] = []
        self.received: list[bytes] = []
        self.errors: list[Exception] = []

    def accept(self, stream: NetStream, buffers: list[Buffer]) -> None:
        self.streams.append(stream)
        self.received.append(b"".join(buffers))
        stream.on_readable(lambda: self.read(stream))

    def read(self, stream: NetStream) -> None:
        try:
            buffers = stream.receive_nowait()
        except MuxedStreamReset as error:
            self.errors.append(error)
            return
        if buffers is not None:
            self.received.append(b"".join(buffers))

    async def __call__(self, stream: INetStream) -> None:
        raise AssertionError("this host can push")


class Two:
    """A peer that opens streams, and the streams of the host at the other end."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.sink = Sink()
        self.handlers: dict[TProtocol, StreamHandlerFn | None] = {ECHO: echo, SINK: self.sink}
        self.inbound = InboundNegotiations(self.handlers, TIMEOUT)
        self.peer, connection = map(yamux_over, bounded_pair())
        config = SwarmConfig()
        self.connection = SwarmConn(
            connection, EventBus(), HandlerScopes(Resources(), config), config
        )
        nursery.start_soon(self.peer.run)
        nursery.start_soon(self.connection.run, self.inbound.add, id)
        nursery.start_soon(self.inbound.run)

    async def open(self, data: bytes = b"") -> YamuxStream:
        stream = await self.peer.open_stream()
        if data:
            await stream.write(data)
        return stream


@pytest.fixture
async def two(nursery: trio.Nursery) -> Two:
    return Two(nursery)


async def is_reset(stream: YamuxStream) -> bool:
    try:
        await stream.read()
    except MuxedStreamReset:
        return True
    return False


@pytest.mark.parametrize("split", [1, 7, 1000])
async def test_a_handler_gets_the_stream_with_what_came_behind_the_proposal(
    two: Two, split: int
) -> None:
    stream = await two.open()
    data = PROPOSAL + b"hello"
    for start in range(0, len(data), split):
        await stream.write(data[start : start + split])
        await wait_all_tasks_blocked()
    assert await stream.read_exactly(len(data)) == data
    assert [s.get_protocol() for s in two.connection.get_streams()] == [ECHO]
    await stream.close_write()
    await wait_all_tasks_blocked()


async def test_an_acceptor_is_given_bytes_the_end_and_resets_without_a_task(two: Two) -> None:
    proposal = encode_message(HEADER) + encode_message(SINK)
    stream = await two.open(proposal + b"one")
    await wait_all_tasks_blocked()
    assert two.sink.streams[0].get_protocol() == SINK
    assert two.sink.received == [b"one"]
    assert await stream.read_exactly(len(proposal)) == proposal
    await stream.write(b"two")
    await wait_all_tasks_blocked()
    await stream.close_write()
    await wait_all_tasks_blocked()
    assert two.sink.received == [b"one", b"two", b""]

    other = await two.open(proposal)
    await wait_all_tasks_blocked()
    await other.reset(7)
    await wait_all_tasks_blocked()
    assert [error.args[0] for error in two.sink.errors] == ["stream 3 was reset by the peer"]


async def test_what_is_not_spoken_is_refused_and_the_next_proposal_heard(two: Two) -> None:
    stream = await two.open(encode_message(HEADER) + encode_message("/no/1.0.0"))
    refusal = encode_message(HEADER) + encode_message(NOT_AVAILABLE)
    assert await stream.read_exactly(len(refusal)) == refusal
    await stream.write(encode_message(ECHO) + b"x")
    assert await stream.read_exactly(len(encode_message(ECHO)) + 1) == encode_message(ECHO) + b"x"


async def test_each_peer_that_is_too_slow_is_given_up_at_its_own_time(
    two: Two, autojump_clock: MockClock
) -> None:
    quick = await two.open(PROPOSAL)
    first = await two.open(PROPOSAL[:-1])
    await trio.sleep(3)
    second = await two.open()
    assert await is_reset(first)
    assert trio.current_time() == pytest.approx(TIMEOUT)
    assert await is_reset(second)
    assert trio.current_time() == pytest.approx(3 + TIMEOUT)
    await trio.sleep(5 * TIMEOUT)
    third = await two.open(b"\x13")
    assert await is_reset(third)
    assert trio.current_time() == pytest.approx(3 + 7 * TIMEOUT)
    await quick.write(b"still there")
    assert await quick.read_exactly(len(PROPOSAL) + 11) == PROPOSAL + b"still there"


@pytest.mark.parametrize("data", [b"\xff\xff\x7f", encode_message("/other/9"), PROPOSAL[:5]])
async def test_a_bad_or_broken_off_negotiation_ends_the_stream_alone(two: Two, data: bytes) -> None:
    stream = await two.open(data)
    await stream.close_write()
    assert await is_reset(stream)
    good = await two.open(PROPOSAL + b"x")
    assert await good.read_exactly(len(PROPOSAL) + 1) == PROPOSAL + b"x"


async def test_a_protocol_without_a_handler_is_reset(two: Two) -> None:
    two.handlers[ECHO] = None
    assert await is_reset(await two.open(PROPOSAL + b"x"))


async def test_a_lost_connection_leaves_no_negotiation_behind(
    two: Two, autojump_clock: MockClock
) -> None:
    await two.open(b"\x13")
    await wait_all_tasks_blocked()
    await two.peer.close()
    await wait_all_tasks_blocked()
    assert two.connection.is_closed
    assert not two.inbound._pending


async def test_a_stream_that_cannot_be_given_up_keeps_no_other_open(
    two: Two, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    abort, failed = YamuxStream.abort, [0]

    def fail_once(stream: YamuxStream, error_code: int = 0) -> None:
        if stream.muxed_conn is not two.peer and not failed[0]:
            failed[0] += 1
            raise RuntimeError("a bug")
        abort(stream, error_code)

    monkeypatch.setattr(YamuxStream, "abort", fail_once)
    await two.open(b"\x13")
    second = await two.open(b"\x13")
    assert await is_reset(second)
    assert failed == [1]
    await trio.sleep(TIMEOUT)
    assert await is_reset(await two.open(b"\x13"))
