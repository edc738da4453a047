"""Yamux writers that wait for a full socket: their line, and how they leave it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.exceptions import MuxedStreamClosed, MuxedStreamError, MuxedStreamReset
from tests.support.ends import FIN, RST, SYN, WINDOW_UPDATE, data_frame, frame
from tests.support.memory_session import RawPeer, against_raw_peer, numbered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.stream_muxer.yamux.yamux import Yamux
    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream

KIB = 1024
MIB = 1024 * KIB


class Line:
    """Writers on streams of one connection whose peer does not read; how each has ended."""

    def __init__(self, connection: Yamux, peer: RawPeer) -> None:
        self.connection = connection
        self.peer = peer
        self.streams: list[YamuxStream] = []
        self.scopes: list[trio.CancelScope] = []
        self.ended: dict[int, MuxedStreamError | None] = {}

    async def write(self, number: int) -> None:
        stream, scope = self.streams[number], self.scopes[number]
        stream.state.send_credit = 2 * MIB
        error = None
        with scope:
            try:
                await stream.write(bytes(2 * MIB))
            except MuxedStreamError as raised:
                error = raised
        self.ended[number] = error


@asynccontextmanager
async def line_of(writers: int) -> AsyncIterator[Line]:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        line = Line(connection, peer)
        for number in range(writers):
            line.streams.append(await connection.open_stream())
            line.scopes.append(trio.CancelScope())
            nursery.start_soon(line.write, number)
            await wait_all_tasks_blocked()  # so that they stand in this order
        assert not line.ended
        yield line
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("number", [1, 3])
async def test_a_writer_in_line_learns_of_a_reset_at_once(number: int) -> None:
    async with line_of(4) as line:
        await line.peer.send(frame(WINDOW_UPDATE, RST, line.streams[number].stream_id, 7))
        await wait_all_tasks_blocked()
        assert list(line.ended) == [number]
        error = line.ended[number]
        assert isinstance(error, MuxedStreamReset)
        assert (error.error_code, error.remote) == (7, True)


async def test_a_writer_in_line_learns_of_a_reset_from_this_side_at_once() -> None:
    async with line_of(3) as line:
        await line.streams[2].reset()
        await wait_all_tasks_blocked()
        assert [type(error) for error in line.ended.values()] == [MuxedStreamReset]


async def test_a_writer_in_line_learns_that_its_stream_was_closed_at_once() -> None:
    async with line_of(3) as line:
        await line.streams[1].close()
        await wait_all_tasks_blocked()
        assert [type(error) for error in line.ended.values()] == [MuxedStreamClosed]


async def test_news_for_the_reader_does_not_move_a_writer_in_line() -> None:
    async with line_of(3) as line:
        stream_id = line.streams[1].stream_id
        await line.peer.send(data_frame(stream_id, b"hello"), frame(WINDOW_UPDATE, FIN, stream_id))
        await line.peer.send(frame(WINDOW_UPDATE, 0, stream_id, 1000))
        await wait_all_tasks_blocked()
        assert not line.ended
        assert await line.streams[1].read() == b"hello"


async def test_those_behind_a_reset_writer_go_on_once_the_peer_reads() -> None:
    async with line_of(6) as line, trio.open_nursery() as nursery:
        for number in (0, 2, 5):
            await line.peer.send(frame(WINDOW_UPDATE, RST, line.streams[number].stream_id))
        await wait_all_tasks_blocked()
        assert line.ended.keys() == {0, 2, 5}
        nursery.start_soon(line.peer.drain)
        with trio.fail_after(5):
            while len(line.ended) < 6:
                await wait_all_tasks_blocked()
        assert [line.ended[number] for number in (1, 3, 4)] == [None] * 3
        nursery.cancel_scope.cancel()


async def test_a_writer_that_is_cancelled_as_its_turn_comes_passes_it_on() -> None:
    async with line_of(3) as line, trio.open_nursery() as nursery:
        line.scopes[1].cancel()
        line.connection.session.take_outgoing()  # there is room before the task has run again
        line.connection._scheduler._begin_turns()
        await wait_all_tasks_blocked()
        assert list(line.ended) == [1]
        nursery.start_soon(line.peer.drain)
        with trio.fail_after(5):
            while len(line.ended) < 3:
                await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_reading_goes_on_while_nothing_can_be_written() -> None:
    # A peer may stop reading while it waits for us to read: we must not wait for it in turn.
    async with line_of(3) as line:
        await line.peer.send(frame(WINDOW_UPDATE, SYN, 2))
        stream = await line.connection.accept_stream()
        data = numbered(200 * KIB)
        with trio.fail_after(5):
            for start in range(0, len(data), 10 * KIB):
                await line.peer.send(data_frame(2, data[start : start + 10 * KIB]))
            assert await stream.read_exactly(len(data)) == data
        assert not line.ended
