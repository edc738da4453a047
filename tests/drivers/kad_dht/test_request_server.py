"""The server's streams: many requests on each, slow and idle peers, and those that send garbage."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.exceptions import RoutingError, StreamError
from libp2p.kad_dht import DHTConfig, server
from libp2p.kad_dht.config import ANSWERS_NOW
from libp2p.kad_dht.messages import Message, MessageType, PeerEntry, Record
from libp2p.records.validator import Validator
from libp2p.utils.varint import encode_uvarint
from tests.support.dht_hosts import (
    PROTOCOL,
    answers,
    ask,
    framed,
    info_of,
    memory_host,
    running_dht,
)
from tests.support.identities import peer_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from libp2p import BasicHost
    from libp2p.kad_dht import KadDHT
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.peer.id import ID

PING = Message(MessageType.PING, b"hello")
FIND = Message(MessageType.FIND_NODE, peer_id_of("somebody").to_bytes())


@asynccontextmanager
async def asker(dht: KadDHT) -> AsyncIterator[BasicHost]:
    """Run a host that is connected to a server."""
    host = memory_host()
    async with host.run():
        await host.connect(info_of(dht.host))
        yield host


async def stream_to(host: BasicHost, dht: KadDHT) -> NetStream:
    return await host.new_stream(dht.local_peer_id, [PROTOCOL])


async def test_many_requests_share_a_stream_and_need_no_task(autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        stream = await stream_to(host, dht)
        for _ in range(20):
            assert await ask(stream, PING) == [PING]
        served = dht.statistics().kinds["PING"].served
        assert (served, dht.statistics().served_streams) == (20, 1)
        tasks = trio.lowlevel.current_statistics().tasks_living
        others = [await stream_to(host, dht) for _ in range(10)]
        for other in others:
            assert await ask(other, PING) == [PING]
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        await stream.close()
        await wait_all_tasks_blocked()
        assert dht.statistics().served_streams == 10


@pytest.mark.parametrize("count", [ANSWERS_NOW, ANSWERS_NOW + 1, 5000])
async def test_requests_that_come_at_once_are_answered_in_their_order(
    count: int, autojump_clock: MockClock
) -> None:
    async with running_dht() as dht, asker(dht) as host:
        stream = await stream_to(host, dht)
        pings = [Message(MessageType.PING, b"%d" % number) for number in range(count)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, b"".join(map(framed, pings)))
            assert await answers(stream, count) == pings
        assert await ask(stream, PING) == [PING]


async def test_a_request_may_come_in_pieces(autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        stream = await stream_to(host, dht)
        for byte in framed(PING):
            await stream.write(bytes((byte,)))
            await wait_all_tasks_blocked()
        assert await answers(stream, 1) == [PING]
        assert host_unfinished(dht) == 0
        await stream.write(encode_uvarint(1000) + b"x" * 500)
        await wait_all_tasks_blocked()
        assert host_unfinished(dht) >= 500
        await stream.reset()
        await wait_all_tasks_blocked()
        assert host_unfinished(dht) == 0


def host_unfinished(dht: KadDHT) -> int:
    return dht.host.resources.scope("dht unfinished requests").held


async def test_who_does_not_read_waits_and_then_is_cut_off(autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        stream = await stream_to(host, dht)
        big = Message(MessageType.PING, b"x" * 1000)
        requests = framed(big) * 2000
        with trio.move_on_after(5):
            await stream.write(requests)
        # Others are served meanwhile.
        other = await stream_to(host, dht)
        assert await ask(other, PING) == [PING]
        await trio.sleep(40)
        with pytest.raises(StreamError):
            await answers(stream, 2000)
        assert await ask(await stream_to(host, dht), PING) == [PING]


async def test_an_idle_stream_is_closed(autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        idle, used = await stream_to(host, dht), await stream_to(host, dht)
        assert await ask(idle, PING) == [PING]
        for _ in range(4):
            assert await ask(used, PING) == [PING]
            await trio.sleep(20)
        assert await idle.read() == b""
        assert await ask(used, PING) == [PING]
        assert dht.statistics().served_streams == 1


async def test_one_peer_has_no_more_than_its_share_of_streams(autojump_clock: MockClock) -> None:
    config = DHTConfig(max_served_streams=3, max_served_streams_per_peer=2)
    async with running_dht(config=config) as dht, asker(dht) as one, asker(dht) as two:
        first, second = [await stream_to(one, dht) for _ in range(2)]
        assert await ask(first, PING) == await ask(second, PING) == [PING]
        third = await stream_to(one, dht)
        with pytest.raises(StreamError):
            await ask(third, PING)
        assert await ask(first, PING) == [PING]
        # A new stream of another peer takes the place of the one that was used the longest ago.
        others = [await stream_to(two, dht) for _ in range(2)]
        for other in others:
            assert await ask(other, PING) == [PING]
        with pytest.raises(StreamError):
            await ask(second, PING)
        assert await ask(first, PING) == [PING]


@pytest.mark.parametrize(
    "sent",
    [
        encode_uvarint(4 * 1024 * 1024 + 1),
        b"\xff" * 11,
        encode_uvarint(3) + b"\x0a\xff\xff",
        framed(Message(MessageType.FIND_NODE)),
        framed(Message(MessageType.GET_PROVIDERS, b"x" * 81)),
        framed(Message(MessageType.ADD_PROVIDER, b"x", providers=(PeerEntry(peer_id_of("y")),))),
        framed(Message(MessageType.PUT_VALUE, b"/pk/x", Record(b"/pk/x", b"no key"))),
        framed(Message(MessageType.PUT_VALUE, b"/pk/x")),
    ],
)
async def test_garbage_costs_the_stream_alone(sent: bytes, autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        stream = await stream_to(host, dht)
        await stream.write(sent)
        with pytest.raises(StreamError):
            await answers(stream, 1)
        assert await ask(await stream_to(host, dht), PING) == [PING]
        assert host_unfinished(dht) == 0


class Broken(Validator):
    def validate(self, key: str, value: bytes) -> None:
        raise SystemError("the program's fault")

    def select(self, key: str, values: list[bytes]) -> int:
        raise SystemError("the program's fault")


async def test_a_fault_of_a_validator_costs_the_stream_alone(autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        dht.register_validator("broken", Broken())
        stream = await stream_to(host, dht)
        record = Record(b"/broken/x", b"1")
        with pytest.raises(StreamError):
            await ask(stream, Message(MessageType.PUT_VALUE, record.key, record))
        assert await ask(await stream_to(host, dht), PING) == [PING]
        assert dht.statistics().kinds["PUT_VALUE"].refused == 1


async def test_few_streams_get_tasks(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_SLOW_STREAMS", 1)
    async with running_dht() as dht, asker(dht) as host:
        deaf, other = await stream_to(host, dht), await stream_to(host, dht)
        with trio.move_on_after(5):
            while True:  # one by one, and no answer is read
                await deaf.write(framed(Message(MessageType.PING, b"x" * 1000)))
        with pytest.raises(StreamError):
            await ask(other, *[PING] * (ANSWERS_NOW + 1))
        await trio.sleep(40)  # the deaf one is cut off
        with pytest.raises(StreamError):
            await answers(deaf, 100_000)
        other = await stream_to(host, dht)
        assert len(await ask(other, *[PING] * (ANSWERS_NOW + 1))) == ANSWERS_NOW + 1


async def test_requests_that_do_not_come_whole_have_a_limit(autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        dht.host.resources.scope("dht unfinished requests").limit = 10_000
        streams = [await stream_to(host, dht) for _ in range(3)]
        for stream in streams:
            await stream.write(encode_uvarint(100_000) + bytes(4_500))
            await wait_all_tasks_blocked()
        assert dht.statistics().served_streams == 2
        with pytest.raises(StreamError):
            await answers(streams[2], 1)
        await streams[0].write(bytes(5_000))  # and what goes on coming
        with pytest.raises(StreamError):
            await answers(streams[0], 1)
        assert host_unfinished(dht) < 10_000


class Faulty:
    """A handler with a fault."""

    def handle(self, remote: ID, message: Message, now: float) -> Message | None:
        raise KeyError("our own fault")


async def test_a_fault_of_ours_costs_the_stream_alone(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_dht() as dht, asker(dht) as host:
        right, dht._server.handler = dht._server.handler, Faulty()
        with pytest.raises(StreamError):
            await ask(await stream_to(host, dht), PING)
        assert "answering PING failed" in caplog.text
        dht._server.handler = right
        assert await ask(await stream_to(host, dht), PING) == [PING]


async def test_a_host_with_tasks_alone_can_serve(autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        dht.host.get_mux().add_handler(PROTOCOL, dht._server.__call__)
        assert await ask(await stream_to(host, dht), PING) == [PING]


async def test_a_task_that_cannot_start_ends_the_stream(autojump_clock: MockClock) -> None:
    def closing(*_: object) -> None:
        raise RoutingError("it is closing")

    async with running_dht() as dht, asker(dht) as host:
        dht._server.start = closing
        with pytest.raises(StreamError):
            await ask(await stream_to(host, dht), *[PING] * (ANSWERS_NOW + 1))
        assert await ask(await stream_to(host, dht), PING) == [PING]


async def test_the_stream_ends_when_the_dht_does(autojump_clock: MockClock) -> None:
    async with running_dht() as dht, asker(dht) as host:
        stream = await stream_to(host, dht)
        assert await ask(stream, FIND)
        await dht.switch_mode(type(dht.mode).CLIENT)
        with pytest.raises(StreamError):
            await ask(stream, FIND)
