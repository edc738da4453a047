"""
How many connections a host lets in, and how long a stranger may take.

CVE-2022-23492 of go-libp2p (CVE-2022-23486 of rust's, CVE-2022-23487 of js's): peers could open
connections and streams without limit. The limits of streams are tested with yamux.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p import new_host
from libp2p.exceptions import ConnectionFailure, IOException
from libp2p.network.config import ConnectionConfig
from tests.support.hosts import LOOPBACK, info_of, running_host
from tests.support.identities import ed25519_pair
from tests.support.raw_dialler import raw_dialler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from libp2p import BasicHost


@asynccontextmanager
async def limited_host(**limits: int) -> AsyncIterator[BasicHost]:
    host = new_host(connection_config=ConnectionConfig(**limits))
    async with host.run(listen_addrs=[LOOPBACK]):
        yield host


async def open_tcp(host: BasicHost) -> trio.SocketStream:
    [address] = host.get_transport_addrs()
    return await trio.open_tcp_stream("127.0.0.1", int(address.value_for_protocol("tcp")))


async def wait_for_hang_up(raw: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        assert await raw.receive_some() == b""


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
            assert await diallers[-1].receive_all() == []
        assert len(host.get_network().get_connections()) == 8
        async with running_host() as other:
            await other.connect(info_of(host))


async def test_cve_2022_23492_strangers_are_few_at_a_time_and_have_15_seconds(
    patient_clock: MockClock,
) -> None:
    async with limited_host(max_pending_inbound=4) as host, running_host() as honest:
        started = trio.current_time()
        oldest, *silent = [await open_tcp(host) for _ in range(5)]
        await wait_for_hang_up(oldest)  # it makes room for the newest
        assert trio.current_time() - started < 1
        await honest.connect(info_of(host))
        next_oldest, *silent = silent
        await wait_for_hang_up(next_oldest)
        assert trio.current_time() - started < 2
        for raw in silent:
            await wait_for_hang_up(raw)
        assert trio.current_time() - started == pytest.approx(15, abs=0.1)
        for raw in (oldest, next_oldest, *silent):
            await raw.aclose()
