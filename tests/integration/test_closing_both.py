"""Both sides of a connection close it at the same time."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.stream_muxer.yamux.config import CLOSE_PATIENCE
from tests.support.hosts import connected_hosts, yamux_of


async def test_a_farewell_that_the_peer_resets_is_not_waited_for() -> None:
    async with connected_hosts() as (a, b):
        [ours] = a.get_network().get_connections(b.get_id())
        [theirs] = b.get_network().get_connections(a.get_id())
        await wait_all_tasks_blocked(0.05)
        yamux_of(theirs).secured_conn.abort()
        started = trio.current_time()
        await ours.close()
        assert trio.current_time() - started < CLOSE_PATIENCE / 2
