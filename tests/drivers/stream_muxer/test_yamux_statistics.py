"""What a running connection says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.stream_state import Half
from tests.support.ends import ACK, PING, frame
from tests.support.memory_session import against_raw_peer, joined, stream_between

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_a_transfer_is_told_by_both_ends(autojump_clock: MockClock) -> None:
    async with joined() as (a, b):
        ours, theirs = await stream_between(a, b)
        await ours.write(bytes(100_000))
        await ours.close_write()
        await wait_all_tasks_blocked()
        assert (ours.statistics().bytes_sent, ours.statistics().writing) == (100_000, Half.CLOSED)
        there = theirs.statistics()
        assert (there.bytes_received, there.unread, there.reading) == (100_000, 100_000, Half.EOF)
        assert there.receive_credit == DEFAULT_WINDOW_SIZE - 100_000
        assert (a.statistics().bytes_sent, b.statistics().bytes_received) == (100_000, 100_000)
        assert (a.statistics().outbound_streams, b.statistics().inbound_streams) == (1, 1)
        await theirs.read()
        await theirs.close()
        await wait_all_tasks_blocked()
        assert (a.statistics().outbound_streams, b.statistics().inbound_streams) == (0, 0)
        assert theirs.statistics().bytes_received == 100_000


async def test_the_round_trip_time_is_unknown_until_the_first_pong(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer):
        (ping,) = await peer.receive()
        assert (connection.statistics().rtt, connection.rtt()) == (None, 0)
        await trio.sleep(0.2)
        await peer.send(frame(PING, ACK, 0, ping.length))
        await wait_all_tasks_blocked()
        assert connection.statistics().rtt == connection.rtt() == pytest.approx(0.2)


async def test_streams_that_wait_to_be_accepted_are_told() -> None:
    async with joined() as (a, b):
        for _ in range(3):
            await a.open_stream()
        await wait_all_tasks_blocked()
        await b.accept_stream()
        await wait_all_tasks_blocked()
        assert (a.statistics().unacknowledged, b.statistics().unaccepted) == (2, 2)
        assert (a.statistics().streams_opened, b.statistics().streams_accepted) == (3, 1)


async def test_what_waits_for_the_socket_is_told() -> None:
    async with against_raw_peer(pipe_bytes=1) as (connection, _), trio.open_nursery() as nursery:
        await wait_all_tasks_blocked()
        stream = await connection.open_stream()
        nursery.start_soon(stream.write, bytes(200_000))
        await wait_all_tasks_blocked()
        assert connection.statistics().bytes_queued >= 200_000
        nursery.cancel_scope.cancel()
