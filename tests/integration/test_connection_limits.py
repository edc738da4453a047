"""
How many connections a host lets in, and how long a stranger may take.

CVE-2022-23492 of go-libp2p (CVE-2022-23486 of rust's, CVE-2022-23487 of js's): peers could open
connections and streams without limit. The limits of streams are tested with yamux.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from copy import copy
from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p import new_host
from libp2p.base_types import TProtocol
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.bitswap.config import BITSWAP_PROTOCOL_V120
from libp2p.bitswap.wire.entry import Entry
from libp2p.bitswap.wire.message import Message
from libp2p.exceptions import ConnectionFailure, IOException
from libp2p.network.config import SwarmConfig
from libp2p.network.connection.swarm_connection import RESOURCE_LIMIT_EXCEEDED
from tests.support.blocks import block
from tests.support.ends import GO_AWAY
from tests.support.hosts import (
    ECHO,
    LOOPBACK,
    info_of,
    running_host,
    yamux_of,
)
from tests.support.identities import ed25519_pair
from tests.support.raw_dialler import raw_dialler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio.testing import MockClock

    from libp2p import BasicHost
    from libp2p.abc import INetStream
    from libp2p.network.stream.net_stream import NetStream


@asynccontextmanager
async def limited_host(**limits: Any) -> AsyncIterator[BasicHost]:
    host = new_host(connection_config=SwarmConfig(**limits))
    async with host.run(listen_addrs=[LOOPBACK]):
        yield host


async def open_tcp(host: BasicHost) -> trio.SocketStream:
    [address] = host.get_transport_addrs()
    return await trio.open_tcp_stream("127.0.0.1", int(address.value_for_protocol("tcp")))


async def wait_for_hang_up(raw: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        assert await raw.receive_some() == b""


async def test_limits_may_be_changed_while_a_swarm_runs_as_py_libp2ps_programs_do() -> None:
    async with limited_host(max_connections=8) as host, AsyncExitStack() as stack:
        limits = host.get_network().connection_config
        assert (limits.high_watermark, limits.low_watermark, limits.idle_grace) == (6, 5, 30)
        limits.high_watermark, limits.low_watermark, limits.max_connections = 2, 1, 2
        assert (limits.high_watermark, limits.low_watermark, limits.max_connections) == (2, 1, 2)
        told = host.get_network().get_conn_mgr_info()
        assert (told.high_watermark, told.low_watermark, told.last_trim) == (2, 1, None)
        assert copy(limits).high_watermark == 2
        first, second, third = [await stack.enter_async_context(running_host()) for _ in range(3)]
        for peer in (first, second):
            await peer.connect(info_of(host))
        with pytest.raises(ConnectionFailure):
            await third.connect(info_of(host))
        limits.max_connections = 100  # there are sockets for 8
        assert limits.max_connections == 8
        await third.connect(info_of(host))
        with pytest.raises(ValueError, match="high_watermark"):
            limits.high_watermark = -1


async def test_when_connections_were_last_closed_for_being_too_many_is_told() -> None:
    async with limited_host(max_connections=8, idle_grace=0.0) as host, AsyncExitStack() as stack:
        network = host.get_network()
        network.connection_config.high_watermark, network.connection_config.low_watermark = 1, 1
        for _ in range(2):
            peer = await stack.enter_async_context(running_host())
            await peer.connect(info_of(host))
        told = network.get_conn_mgr_info().last_trim
        assert told is not None
        assert 0 <= time.time() - told < 60


async def test_cve_2022_23492_connections_are_limited_and_one_that_ends_makes_room() -> None:
    async with limited_host(max_connections=2) as host, AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(running_host()) for _ in range(3)]
        for peer in (first, second):
            await peer.connect(info_of(host))
        with pytest.raises(ConnectionFailure):
            await third.connect(info_of(host))
        assert set(host.get_connected_peers()) == {first.get_id(), second.get_id()}
        await first.disconnect(host.get_id())
        with trio.fail_after(5):
            while first.get_id() in host.get_connected_peers():
                await trio.testing.wait_all_tasks_blocked()
        await third.get_network().dial_addr(host.get_transport_addrs()[0], host.get_id())
        with trio.fail_after(5):
            while third.get_id() not in host.get_connected_peers():
                await trio.testing.wait_all_tasks_blocked()


async def test_cve_2022_23492_connections_of_one_peer_are_limited() -> None:
    async with running_host() as host, AsyncExitStack() as stack:
        [address] = host.get_transport_addrs()
        diallers = [
            await stack.enter_async_context(
                raw_dialler(address, host.get_id(), ed25519_pair("many"))
            )
            for _ in range(9)
        ]
        with trio.fail_after(5), suppress(IOException):
            [farewell] = await diallers[-1].receive_all()
            assert (farewell.kind, farewell.length) == (GO_AWAY, RESOURCE_LIMIT_EXCEEDED)
        assert len(host.get_network().get_connections()) == 8
        async with running_host() as other:
            await other.connect(info_of(host))


async def test_cve_2022_23492_strangers_are_few_at_a_time_and_have_15_seconds(
    patient_clock: MockClock,
) -> None:
    async with limited_host(max_pending_inbound=4) as host, running_host() as honest:
        started = trio.current_time()
        oldest, *silent = [await open_tcp(host) for _ in range(5)]
        # Nobody makes room at once: an honest handshake may take as long.
        await wait_for_hang_up(oldest)
        assert trio.current_time() - started == pytest.approx(SAFE, abs=0.1)
        await honest.connect(info_of(host))
        assert trio.current_time() - started < SAFE + 1
        for raw in silent:
            await wait_for_hang_up(raw)
        assert trio.current_time() - started < 15 + SAFE + 0.1
        for raw in (oldest, *silent):
            await raw.aclose()


@pytest.mark.skipif(sys.platform == "darwin", reason="it has one address of its own")
async def test_a_flood_from_one_address_keeps_no_other_waiting(patient_clock: MockClock) -> None:
    async with limited_host(max_pending_inbound=8) as host, running_host() as honest:
        port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
        strangers = [
            await trio.open_tcp_stream("127.0.0.1", port, local_address="127.0.0.9")
            for _ in range(20)
        ]
        await trio.testing.wait_all_tasks_blocked()
        started = trio.current_time()
        await honest.connect(info_of(host))
        assert trio.current_time() - started < SAFE / 2
        for stranger in strangers:
            await stranger.aclose()


@asynccontextmanager
async def crowd(host: BasicHost, size: int) -> AsyncIterator[list[BasicHost]]:
    """So many hosts that have connected to ``host`` and are idle."""
    async with AsyncExitStack() as stack:
        members = [await stack.enter_async_context(running_host()) for _ in range(size)]
        for member in members:
            await member.connect(info_of(host))
        yield members


async def wait_for(condition: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not condition():
            await trio.testing.wait_all_tasks_blocked()


SAFE = SwarmConfig().safe_handshake


def grow_old(host: BasicHost, seconds: float) -> None:
    """Let all connections have been idle for so long."""
    for connection in host.get_network().get_connections():
        connection.opened_at -= seconds  # type: ignore[misc]
        yamux_of(connection).session.active_at -= seconds


async def test_an_idle_stranger_makes_room_for_a_newcomer_and_is_told_why() -> None:
    async with (
        limited_host(max_connections=4, outbound_share=0, high_water=1) as host,
        crowd(host, 4) as members,
        running_host() as newcomer,
    ):
        with pytest.raises(ConnectionFailure):
            await newcomer.connect(info_of(host))
        grow_old(host, SwarmConfig().idle_when_full)
        friend = members[0].get_id()
        host.get_network().connection_manager.protect(friend, "friend")
        [evicted] = members[-1].get_network().get_connections(host.get_id())
        await newcomer.connect(info_of(host))
        await wait_for(lambda: evicted.is_closed)
        assert evicted.end_reason == "it closes idle connections"
        assert host.is_peer_connected(friend)
        assert host.is_peer_connected(newcomer.get_id())
        assert host.get_network().get_total_connections() == 4


async def test_above_the_high_water_idle_connections_are_closed_down_to_the_low_one() -> None:
    async with (
        limited_host(max_connections=10, high_water=0.6, low_water=0.3) as host,
        crowd(host, 6) as members,
        running_host() as newcomer,
    ):
        assert host.get_network().get_total_connections() == 6
        grow_old(host, host.get_network().config.idle_grace)
        busy = members[0].get_id()
        [connection] = host.get_network().get_connections(busy)
        yamux_of(connection).session.active_at = trio.current_time()
        await newcomer.connect(info_of(host))
        await wait_for(lambda: len(host.get_connected_peers()) == 3)
        assert {busy, newcomer.get_id()} < set(host.get_connected_peers())


async def test_a_peer_that_waits_for_a_block_stays_rather_than_one_that_does_not() -> None:
    cid, _ = block(1)
    async with (
        limited_host(max_connections=10, high_water=0.6, low_water=0.3) as host,
        BitswapClient(host, MemoryBlockStore()).run() as server,
        crowd(host, 6) as members,
        running_host() as newcomer,
    ):
        stream = await members[0].new_stream(host.get_id(), [BITSWAP_PROTOCOL_V120])
        for frame in Message([Entry(cid)]).frames():
            await stream.send(frame)
        await wait_for(lambda: server.wantlist_for_peer(members[0].get_id()) == [cid])
        grow_old(host, host.get_network().config.idle_grace)
        [waiting] = host.get_network().get_connections(members[0].get_id())
        yamux_of(waiting).session.active_at -= 60  # the first to go, but for what it waits for
        await newcomer.connect(info_of(host))
        await wait_for(lambda: len(host.get_connected_peers()) == 3)
        assert host.is_peer_connected(members[0].get_id())


async def test_strangers_leave_room_for_what_this_side_dials() -> None:
    async with (
        limited_host(max_connections=4, outbound_share=0.25) as host,
        crowd(host, 3),
        running_host() as stranger,
        running_host() as wanted,
        running_host() as other,
    ):
        with pytest.raises(ConnectionFailure):
            await stranger.connect(info_of(host))
        await host.connect(info_of(wanted))
        with pytest.raises(ConnectionFailure, match="the limit of connections is reached"):
            await host.connect(info_of(other))


async def test_a_connection_that_has_ended_counts_no_longer_while_its_handlers_linger() -> None:
    async def linger(stream: INetStream) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.5)

    async with limited_host(max_connections_per_peer=1, max_connections=1) as host:
        host.set_stream_handler(ECHO, linger)
        async with running_host() as peer:
            for _ in range(5):
                await peer.connect(info_of(host))
                stream = await peer.new_stream(host.get_id(), [ECHO])
                await stream.write(b"x")
                await trio.testing.wait_all_tasks_blocked()
                await peer.disconnect(host.get_id())
                await wait_for(lambda: not host.get_connected_peers())


async def test_handlers_that_outlive_their_streams_are_limited() -> None:
    """CVE-2023-44487 of HTTP/2, rapid reset: a stream that is reset at once costs a handler."""
    running = [0]

    async def compute(stream: INetStream) -> None:
        running[0] += 1
        try:
            await trio.sleep_forever()
        finally:
            running[0] -= 1

    async with (
        limited_host(max_stream_handlers=15, max_connection_handlers=10) as host,
        crowd(host, 2) as (greedy, modest),
    ):
        host.set_stream_handler(ECHO, compute)

        async def open_stream(peer: BasicHost) -> NetStream:
            stream = await peer.new_stream(host.get_id(), [ECHO])
            await stream.write(b"x")
            await trio.testing.wait_all_tasks_blocked(0.005)  # its handler begins
            return stream

        kept = [await open_stream(modest) for _ in range(3)]
        await wait_for(lambda: running[0] == 3)
        for _ in range(100):
            await (await open_stream(greedy)).reset()
        await wait_for(lambda: running[0] == 13)
        others = [await open_stream(modest) for _ in range(4)]
        await wait_for(lambda: running[0] == 15)
        assert not any(stream.is_closed for stream in (*kept, *others))
        handlers = host.resources.statistics()["stream handlers"]
        assert sorted(child.held for child in handlers.children) == [7, 8]
    assert running[0] == 0
    assert host.resources.statistics()["stream handlers"].held == 0


async def test_handlers_of_one_protocol_leave_room_for_the_others() -> None:
    running: Counter[str] = Counter()
    crowded, other = TProtocol("/crowded/1"), TProtocol("/other/1")

    async def wait(stream: INetStream) -> None:
        name = str(stream.get_protocol())
        stream.set_protocol(TProtocol("/called/otherwise/by/the/handler"))
        running[name] += 1
        try:
            await stream.read()
        finally:
            running[name] -= 1

    async with (
        limited_host(max_stream_handlers=12, max_protocol_handlers=8) as host,
        crowd(host, 2) as (greedy, modest),
    ):
        for protocol in (crowded, other):
            host.set_stream_handler(protocol, wait)

        async def open_stream(peer: BasicHost, protocol: TProtocol) -> NetStream:
            stream = await peer.new_stream(host.get_id(), [protocol])
            await stream.write(b"x")
            await trio.testing.wait_all_tasks_blocked(0.005)
            return stream

        first = [await open_stream(greedy, crowded) for _ in range(10)]
        await wait_for(lambda: running[crowded] == 8)
        others = [await open_stream(peer, other) for peer in (greedy, modest) for _ in range(2)]
        # The share of a peer that has less is taken from the one that has the most of the protocol.
        modest_ones = [await open_stream(modest, crowded) for _ in range(2)]
        await wait_for(lambda: running == {crowded: 8, other: 4})
        assert not any(stream.is_closed for stream in (*others, *modest_ones))
        scope = host.resources.statistics()[f"stream handlers of {crowded}"]
        assert (scope.held, scope.limit) == (8, 8)
        assert sorted(child.held for child in scope.children) == [2, 6]
        for stream in (*first, *others, *modest_ones):
            await stream.close()
        await wait_for(lambda: running.total() == 0)
        statistics = host.resources.statistics()
        for name in ("stream handlers", *(f"stream handlers of {p}" for p in (crowded, other))):
            assert statistics[name].held == 0
        assert not statistics[f"stream handlers of {crowded}"].children
