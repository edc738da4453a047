"""
A DHT on real hosts among peers that are mute, lie, send garbage or too much: what they cost.

Hostile peers are in the victim's routing table, as if they had behaved until now, and named by
honest ones. Whatever they do, a lookup ends in time with what the honest peers know, other lookups
go on, and little memory is held.
"""

from __future__ import annotations

import os
import random
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.exceptions import BaseLibp2pError, RoutingError
from libp2p.ipld.cid import CID
from libp2p.kad_dht import DHTConfig, DHTMode, KadDHT
from libp2p.kad_dht.messages import Message, MessageType, PeerEntry
from libp2p.peer.id import ID
from libp2p.utils.varint import encode_uvarint
from tests.support.dht_hosts import (
    PROTOCOL,
    ask,
    framed,
    info_of,
    peer_that,
    requests_on,
    until_in_table,
)
from tests.support.hosts import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from libp2p import BasicHost
    from libp2p.abc import INetStream

    Serve = Callable[[INetStream], Awaitable[None]]

MESSAGE = 4 * 1024 * 1024
QUICK = DHTConfig(request_seconds=2.0, slow_seconds=0.3, query_seconds=10.0)
HOSTILE = 12
HONEST = 4
LOOKUP_SECONDS = 8.0
"""More than a lookup takes among hostile peers, on a machine that is busy."""
BLOCK = CID.for_block(b"a block")

pytestmark = pytest.mark.slow


def some_peers(count: int) -> tuple[PeerEntry, ...]:
    """Peers that nobody has ever seen, at addresses where nobody listens."""
    made = random.Random(count)
    addr = Multiaddr("/ip4/127.0.0.1/tcp/9").to_bytes()
    return tuple(PeerEntry(ID(b"\x12\x20" + made.randbytes(32)), (addr,)) for _ in range(count))


async def mute(stream: INetStream) -> None:
    """Take each request and say nothing."""
    while await stream.receive():
        pass


async def garbage(stream: INetStream) -> None:
    """Answer with random bytes."""
    while await stream.receive():
        await stream.write(os.urandom(300))


async def huge(stream: INetStream) -> None:
    """Answer with a message of 4 MiB, all of it empty peers."""
    while await stream.receive():
        await stream.write(encode_uvarint(MESSAGE) + b"\x42\x00" * (MESSAGE // 2))


async def too_long(stream: INetStream) -> None:
    """Announce more than a message may have, and send it."""
    while await stream.receive():
        await stream.write(encode_uvarint(2**40))
        for _ in range(64):
            await stream.write(bytes(65_536))


async def endless(stream: INetStream) -> None:
    """Send answers without end."""
    await stream.receive()
    answer = framed(Message(MessageType.PING, b"x" * 1000)) * 50
    while True:
        await stream.write(answer)


async def drip(stream: INetStream) -> None:
    """Send an answer of 4 MiB byte by byte."""
    await stream.receive()
    await stream.write(encode_uvarint(MESSAGE))
    while True:
        await stream.write(b"\x42")
        await trio.sleep(0.01)


CROWD = some_peers(10_000)


async def crowd(stream: INetStream) -> None:
    """Name ten thousand peers that do not exist."""
    async with aclosing(requests_on(stream)) as requests:
        async for request in requests:
            answer = Message(request.kind, request.key, closer=CROWD, providers=CROWD)
            await stream.write(framed(answer))


KINDS: list[Serve] = [mute, garbage, huge, too_long, endless, drip, crowd]


@asynccontextmanager
async def attacked(*kinds: Serve) -> AsyncIterator[tuple[KadDHT, list[KadDHT]]]:
    """Give a victim with hostile peers in its table, and honest servers that it knows too."""
    async with AsyncExitStack() as stack:
        honest = [await stack.enter_async_context(server()) for _ in range(HONEST)]
        victim = await stack.enter_async_context(server())
        for dht in [victim, *honest[1:]]:
            await dht.host.connect(info_of(honest[0].host))
        await until_in_table(victim, HONEST)
        for number in range(HOSTILE):
            host = new_host()
            serving = quietly(kinds[number % len(kinds)])
            await stack.enter_async_context(running(host, serving))
            for dht in (victim, *honest):
                await dht.host.connect(info_of(host))
                dht.table.consider(
                    host.get_id(),
                    [addr.to_bytes() for addr in host.get_transport_addrs()],
                    trio.current_time(),
                    verified=True,
                )
        yield victim, honest


@asynccontextmanager
async def server(mode: DHTMode = DHTMode.SERVER) -> AsyncIterator[KadDHT]:
    host = new_host()
    dht = KadDHT(host, mode, config=QUICK)
    async with host.run(listen_addrs=[LOOPBACK]), dht.run():
        yield dht


@asynccontextmanager
async def running(host: BasicHost, serve: Serve) -> AsyncIterator[None]:
    async with host.run(listen_addrs=[LOOPBACK]):
        host.set_stream_handler(PROTOCOL, serve)
        yield


def quietly(serve: Serve) -> Serve:
    """An attacker does not mind that its stream is cut off."""

    async def handler(stream: INetStream) -> None:
        with suppress(BaseLibp2pError):
            await serve(stream)

    return handler


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_a_lookup_finds_what_honest_peers_know(kind: Serve) -> None:
    async with attacked(kind) as (victim, honest):
        await noted_by(honest[2], honest[1:3])
        with trio.fail_after(LOOKUP_SECONDS):
            found = [info.peer_id async for info in victim.find_provider_iter(BLOCK, 0)]
        assert honest[2].local_peer_id in found
        with trio.fail_after(LOOKUP_SECONDS):
            closest = [info.peer_id for info in await victim.get_closest_peers(b"key")]
        assert {dht.local_peer_id for dht in honest} <= set(closest)
        assert not set(closest) & {entry.peer_id for entry in CROWD}
        await until_no_lookups(victim)
        assert victim.statistics().requests <= HOSTILE  # the checks of the table
        held = victim.host.resources.statistics()
        assert held["dht unfinished answers"].peak <= 32 * 1024 * 1024
        # Nobody of the crowd was dialled for longer than a lookup lasts, and none is in the table.
        assert len(victim.table) <= HONEST + HOSTILE


async def until_no_lookups(dht: KadDHT) -> None:
    """Wait until no lookup is under way: those that refresh the table begin when they like."""
    with trio.fail_after(LOOKUP_SECONDS):
        while dht.lookups():  # noqa: ASYNC110 - no event tells the end of a refresh
            await trio.sleep(0.01)


async def noted_by(provider: KadDHT, dhts: list[KadDHT]) -> None:
    """Let some servers know a provider of the block."""
    for dht in dhts:
        if dht is not provider:
            await provider.send_provider_records(dht.local_peer_id, [bytes(BLOCK.multihash)])
    await provider.provide(BLOCK, announce=False)


async def test_lookups_go_on_beside_those_that_meet_hostile_peers() -> None:
    async with attacked(*KINDS) as (victim, honest), trio.open_nursery() as nursery:
        await noted_by(honest[0], honest[:2])

        async def look_up(number: int) -> None:
            with suppress(RoutingError):  # all that it came upon were hostile
                await victim.get_closest_peers(b"%d" % number)

        for number in range(30):
            nursery.start_soon(look_up, number)
        with trio.fail_after(LOOKUP_SECONDS):
            assert await victim.find_providers(BLOCK, 1)
            # The victim answers others meanwhile.
            stream = await honest[3].host.new_stream(victim.local_peer_id, [PROTOCOL])
            ping = Message(MessageType.PING, b"x")
            assert await ask(stream, ping) == [ping]


@pytest.mark.parametrize("count", [2000])
async def test_streams_and_requests_without_end_cost_little(count: int) -> None:
    async with server() as victim, peer_that(mute, new_host()) as attacker:
        await attacker.connect(info_of(victim.host))
        request = framed(Message(MessageType.FIND_NODE, b"x")) * 100

        async def flood() -> None:
            with suppress(BaseLibp2pError):
                stream = await attacker.new_stream(victim.local_peer_id, [PROTOCOL])
                while True:
                    await stream.write(request)  # and never read

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(flood)
            async with server(DHTMode.CLIENT) as client:
                await client.host.connect(info_of(victim.host))
                for _ in range(5):
                    with trio.fail_after(LOOKUP_SECONDS):
                        assert await client.get_closest_peers(b"key")
            assert victim.statistics().served_streams <= QUICK.max_served_streams_per_peer + 1
            nursery.cancel_scope.cancel()
