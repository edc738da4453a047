"""Connections that share what their host may hold."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.exceptions import MuxedStreamReset
from libp2p.resources import Resources
from libp2p.stream_muxer.yamux.config import LEAST_SEND_QUEUE_BYTES
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.session import RESOURCE_LIMIT_EXCEEDED
from tests.support.memory_session import bounded_pair, stream_between, yamux_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.stream_muxer.yamux.yamux import Yamux

KIB = 1024
MIB = 1024 * KIB


@asynccontextmanager
async def of_one_host(
    resources: Resources, count: int
) -> AsyncIterator[tuple[list[Yamux], list[Yamux]]]:
    """Connections of a host, and their other ends."""
    pairs = []
    for _ in range(count):
        near, far = bounded_pair()
        pairs.append((yamux_over(near, resources=resources), yamux_over(far)))
    async with trio.open_nursery() as nursery:
        for ours, theirs in pairs:
            nursery.start_soon(ours.run)
            nursery.start_soon(theirs.run)
        yield [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
        nursery.cancel_scope.cancel()


async def test_who_waits_on_a_stream_that_is_cut_is_told_at_both_ends() -> None:
    resources = Resources()
    host = resources.scope("unread bytes", MIB)
    async with of_one_host(resources, 2) as (ours, theirs), trio.open_nursery() as nursery:
        far, near = await stream_between(theirs[0], ours[0])
        errors: list[MuxedStreamReset] = []

        async def write_into_a_window_that_stays_full() -> None:
            near.state.send_credit = 0
            with pytest.raises(MuxedStreamReset) as caught:
                await near.write(b"x")
            errors.append(caught.value)

        nursery.start_soon(write_into_a_window_that_stays_full)
        await far.write(bytes(DEFAULT_WINDOW_SIZE))
        await wait_all_tasks_blocked()
        assert not errors
        for _ in range(4):
            another, _ = await stream_between(theirs[1], ours[1])
            await another.write(bytes(100 * KIB))
            await wait_all_tasks_blocked()
        more, _ = await stream_between(theirs[0], ours[0])
        await more.write(bytes(DEFAULT_WINDOW_SIZE))
        await wait_all_tasks_blocked()
        extra, _ = await stream_between(theirs[0], ours[0])
        await extra.write(bytes(DEFAULT_WINDOW_SIZE))
        await wait_all_tasks_blocked()
        assert [error.error_code for error in errors] == [RESOURCE_LIMIT_EXCEEDED]
        with pytest.raises(MuxedStreamReset):
            await far.read(1)
        assert len(ours[1].session.streams) == 4
        assert host.held <= MIB
        assert host.statistics().children[0].name == str(ours[0].peer_id)
    assert host.held == 0


async def test_many_writers_to_peers_that_do_not_read_queue_little() -> None:
    resources = Resources()
    host = resources.scope("queued bytes", MIB)
    async with of_one_host(resources, 20) as (ours, theirs), trio.open_nursery() as nursery:
        for connection, other in zip(ours, theirs, strict=True):
            other.secured_conn.receive = trio.sleep_forever  # type: ignore[method-assign]
            for _ in range(4):
                stream = await connection.open_stream()
                stream.state.send_credit = MIB
                nursery.start_soon(stream.write, bytes(MIB))
        await wait_all_tasks_blocked()
        queued = sorted(connection.statistics().bytes_queued for connection in ours)
        assert LEAST_SEND_QUEUE_BYTES <= queued[0] < 3 * LEAST_SEND_QUEUE_BYTES
        assert MIB <= host.held < 2 * MIB + 20 * 4 * LEAST_SEND_QUEUE_BYTES
        nursery.cancel_scope.cancel()


async def test_a_connection_tells_when_something_was_last_done_on_it() -> None:
    async with of_one_host(Resources(), 1) as (ours, theirs):
        await wait_all_tasks_blocked()
        assert ours[0].active_at == 0
        ours[0].session.ping(0.0)
        ours[0]._scheduler.flush_now()
        await wait_all_tasks_blocked()
        assert ours[0].active_at == 0
        near, _ = await stream_between(ours[0], theirs[0])
        assert trio.current_time() - 1 < ours[0].active_at <= trio.current_time()
        opened_at = theirs[0].active_at
        await trio.sleep(0.01)
        await near.write(b"data")
        await wait_all_tasks_blocked()
        assert theirs[0].active_at > opened_at
