"""Asking peers: one stream for many requests, and whatever can go wrong with an answer."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.kad_dht import DHTConfig
from libp2p.kad_dht import requests as requests_module
from libp2p.kad_dht.messages import Message, MessageType, PeerEntry
from libp2p.kad_dht.requests import RequestFailed, Requests
from libp2p.kad_dht.statistics import Counters
from libp2p.utils.varint import encode_uvarint
from tests.support.dht_hosts import PROTOCOL, framed, info_of, memory_host, peer_that, requests_on
from tests.support.identities import peer_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from trio.testing import MockClock

    from libp2p import BasicHost
    from libp2p.abc import INetStream

PING = Message(MessageType.PING, b"hello")
HUGE = 4 * 1024 * 1024


@asynccontextmanager
async def requests_to(
    serve: Callable[[INetStream], Awaitable[None]], config: DHTConfig | None = None
) -> AsyncIterator[tuple[Requests, BasicHost]]:
    """Give what asks, and the peer that is asked, to which it is connected."""
    host = memory_host()
    async with peer_that(serve) as peer, host.run():
        requests = Requests(host, PROTOCOL, Counters(), config or DHTConfig())
        await host.connect(info_of(peer))
        yield requests, peer
        requests.close()


async def echo(stream: INetStream) -> None:
    """Answer each request with itself."""
    async with aclosing(requests_on(stream)) as requests:
        async for request in requests:
            await stream.write(framed(request))


def answers_with(data: bytes) -> Callable[[INetStream], Awaitable[None]]:
    async def serve(stream: INetStream) -> None:
        await stream.receive()
        await stream.write(data)
        await stream.receive()

    return serve


async def test_a_stream_is_used_again(autojump_clock: MockClock) -> None:
    streams = 0

    async def counted(stream: INetStream) -> None:
        nonlocal streams
        streams += 1
        await echo(stream)

    async with requests_to(counted) as (requests, peer):
        for _ in range(5):
            assert await requests.ask(peer.get_id(), PING) == PING
        assert streams == 1
        assert requests.kept_streams == 1
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(requests.ask, peer.get_id(), PING)
        assert streams == 3
        assert requests.kept_streams == 1
        await trio.sleep(50)
        requests.close_idle(trio.current_time())
        assert requests.kept_streams == 0
        await requests.ask(peer.get_id(), PING)
        await trio.sleep(50)
        await requests.ask(peer.get_id(), PING)  # the kept one is too old
        assert streams == 5
        requests.forget(peer.get_id())
        requests.forget(peer.get_id())
        assert requests.kept_streams == 0


async def test_a_stream_that_the_peer_has_closed_is_replaced(autojump_clock: MockClock) -> None:
    async def once(stream: INetStream) -> None:
        await stream.receive()
        await stream.write(framed(PING))
        await stream.close()

    async with requests_to(once) as (requests, peer):
        for _ in range(3):
            assert await requests.ask(peer.get_id(), PING) == PING


async def test_few_streams_are_kept(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "MAX_KEPT_STREAMS", 3)
    host = memory_host()
    async with host.run(), trio.open_nursery() as nursery:
        requests = Requests(host, PROTOCOL, Counters())
        for _ in range(5):
            started = trio.Event()
            nursery.start_soon(_serve, started, host)
            await started.wait()
        for peer in host.get_connected_peers():
            await requests.ask(peer, PING)
        assert requests.kept_streams == 3
        nursery.cancel_scope.cancel()


async def _serve(started: trio.Event, host: BasicHost) -> None:
    async with peer_that(echo) as peer:
        await peer.connect(info_of(host))
        started.set()
        await trio.sleep_forever()


async def test_a_mute_peer_costs_its_time_out(autojump_clock: MockClock) -> None:
    async def mute(stream: INetStream) -> None:
        await trio.sleep_forever()

    async with requests_to(mute, DHTConfig(request_seconds=3.0)) as (requests, peer):
        began = trio.current_time()
        with pytest.raises(RequestFailed, match="did not answer PING in 3 s"):
            await requests.ask(peer.get_id(), PING)
        assert 3 <= trio.current_time() - began < 3.1
        assert requests.under_way == 0


async def test_a_peer_that_drips_costs_its_time_out(autojump_clock: MockClock) -> None:
    async def drip(stream: INetStream) -> None:
        await stream.write(encode_uvarint(HUGE))
        while True:
            await stream.write(b"x" * 1000)
            await trio.sleep(0.01)

    async with requests_to(drip) as (requests, peer):
        with pytest.raises(RequestFailed, match="in 10 s"):
            await requests.ask(peer.get_id(), PING)
        assert unfinished(requests) == 0


def unfinished(requests: Requests) -> int:
    return requests._unfinished.held


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (encode_uvarint(HUGE + 1), "4194305|too large|longer"),
        (b"\xff" * 11, "varint|length"),
        (encode_uvarint(3) + b"\x0a\xff\xff", "malformed"),
        (encode_uvarint(HUGE) + b"\x42\x00" * (HUGE // 2), "fields"),
        (framed(PING) * 2, "more than one answer"),
        (framed(Message(MessageType.FIND_NODE, b"x")), "FIND_NODE in answer to PING"),
    ],
)
async def test_an_answer_that_is_none(sent: bytes, why: str, autojump_clock: MockClock) -> None:
    async with requests_to(answers_with(sent)) as (requests, peer):
        with pytest.raises(RequestFailed, match=why):
            await requests.ask(peer.get_id(), PING)
        assert requests.kept_streams == 0
        assert unfinished(requests) == 0


async def test_the_end_in_place_of_an_answer(autojump_clock: MockClock) -> None:
    async def hang_up(stream: INetStream) -> None:
        await stream.receive()
        await stream.close()

    async with requests_to(hang_up) as (requests, peer):
        with pytest.raises(RequestFailed, match="ended before the answer"):
            await requests.ask(peer.get_id(), PING)


async def test_unfinished_answers_of_all_peers_have_a_limit(autojump_clock: MockClock) -> None:
    async def half(stream: INetStream) -> None:
        await stream.receive()
        await stream.write(encode_uvarint(HUGE) + bytes(HUGE - 1))
        await trio.sleep_forever()

    async with requests_to(half) as (requests, peer):
        errors: list[str] = []

        async def ask() -> None:
            try:
                await requests.ask(peer.get_id(), PING)
            except RequestFailed as error:
                errors.append(str(error))

        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(ask)
        assert sum("too many bytes of unfinished answers" in error for error in errors) >= 4
        assert unfinished(requests) == 0


async def test_a_peer_that_nobody_can_reach(autojump_clock: MockClock) -> None:
    async with requests_to(echo) as (requests, _):
        with pytest.raises(RequestFailed, match="no address"):
            await requests.ask(peer_id_of("nobody"), PING)
        with pytest.raises(RequestFailed):
            await requests.ask(peer_id_of("nobody"), PING, [b"garbage", b""])


async def test_a_peer_is_dialled_at_the_addresses_of_an_answer(autojump_clock: MockClock) -> None:
    host = memory_host()
    async with peer_that(echo) as peer, host.run():
        requests = Requests(host, PROTOCOL, Counters())
        addrs = [addr.to_bytes() for addr in peer.get_transport_addrs()]
        assert await requests.ask(peer.get_id(), PING, addrs) == PING
        requests.close()


async def test_a_peer_that_does_not_speak_the_protocol(autojump_clock: MockClock) -> None:
    async with requests_to(echo) as (requests, peer):
        peer.remove_stream_handler(PROTOCOL)
        with pytest.raises(RequestFailed):
            await requests.ask(peer.get_id(), PING)


async def test_records_are_sent_and_not_answered(autojump_clock: MockClock) -> None:
    received: list[Message] = []

    async def collect(stream: INetStream) -> None:
        async with aclosing(requests_on(stream)) as requests:
            async for request in requests:
                received.append(request)

    async with requests_to(collect) as (requests, peer):
        entry = PeerEntry(peer_id_of("me"), (b"\x04\x7f\x00\x00\x01\x06\x00\x01",))
        messages = [
            Message(MessageType.ADD_PROVIDER, b"%d" % number, providers=(entry,))
            for number in range(300)
        ]
        await requests.tell(peer.get_id(), messages)
        await wait_all_tasks_blocked()
        assert received == messages
        with pytest.raises(RequestFailed):
            await requests.tell(peer_id_of("nobody"), messages)
