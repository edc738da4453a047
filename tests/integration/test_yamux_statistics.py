"""Two hosts on loopback: what their connection says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from libp2p.base_types import TProtocol
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.stream_state import Half
from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
from tests.support.hosts import (
    connected_hosts,
    yamux_of,
)

if TYPE_CHECKING:
    from libp2p.abc import INetStream

BULK = TProtocol("/bulk/1.0.0")
SIZE = 32 * 1024 * 1024


async def test_a_transfer_measures_the_round_trip_and_grows_the_readers_window() -> None:
    async def send_bulk(stream: INetStream) -> None:
        for _ in range(32):
            await stream.write(bytes(SIZE // 32))
        await stream.close()

    async with connected_hosts() as (a, b):
        b.set_stream_handler(BULK, send_bulk)
        stream = await a.new_stream(b.get_id(), [BULK])
        with trio.fail_after(30):
            while await stream.receive():
                pass
        connection = yamux_of(stream)
        assert isinstance(stream.muxed_stream, YamuxStream)
        now, bulk = connection.statistics(), stream.muxed_stream.statistics()
        assert isinstance(now.rtt, float)
        assert 0 < now.rtt == connection.rtt() < 10
        assert bulk.window_growths > 0
        assert bulk.receive_window == DEFAULT_WINDOW_SIZE << bulk.window_growths
        assert now.receive_budget_used == bulk.receive_window - DEFAULT_WINDOW_SIZE
        assert SIZE <= bulk.bytes_received <= now.bytes_received
        assert (bulk.reading, bulk.unread) == (Half.EOF, 0)
        await stream.close()
        assert connection.statistics().receive_budget_used == 0
