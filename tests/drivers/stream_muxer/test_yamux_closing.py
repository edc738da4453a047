"""What a yamux connection does between its last frame and its end."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.exceptions import MuxedStreamReset
from libp2p.stream_muxer.yamux.config import CLOSE_GRACE, CLOSE_PATIENCE, CLOSE_TIMEOUT
from tests.support.channels import connection_pair
from tests.support.ends import DATA, GO_AWAY, PING, SYN, WINDOW_UPDATE, RawFrame, frame, parse
from tests.support.memory_session import (
    RawPeer,
    against_raw_peer,
    joined,
    numbered,
    stream_between,
    yamux_over,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream

KIB = 1024


@pytest.mark.parametrize(
    "late", [frame(PING, SYN, 0, 7), frame(WINDOW_UPDATE, SYN, 2)], ids=["a ping", "a new stream"]
)
async def test_what_would_need_an_answer_does_not_cut_the_grace_short(
    autojump_clock: MockClock, late: bytes
) -> None:
    """The peer has not seen our end yet; it still reads what was sent before."""
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        await peer.receive()
        started = trio.current_time()
        nursery.start_soon(connection.close, 0x1006)
        assert await peer.receive_all() == [RawFrame(GO_AWAY, 0, 0, 0x1006)]
        await peer.send(late)
        await connection.event_closed.wait()
        assert CLOSE_GRACE <= trio.current_time() - started < 3 * CLOSE_GRACE


# -- what was written before -----------------------------------------------------------------------


async def read_slowly(peer: RawPeer, piece_bytes: int, pause: float) -> bytes:
    peer.connection.peer.piece_bytes = piece_bytes
    wire = bytearray()
    while buffers := await peer.connection.receive():
        wire += b"".join(buffers)
        await trio.sleep(pause)
    return bytes(wire)


async def test_what_was_written_reaches_a_peer_that_takes_it_slowly(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        stream = await connection.open_stream()
        await stream.write(numbered(200 * KIB))
        await stream.close()
        wire = b""

        async def read() -> None:
            nonlocal wire
            wire = await read_slowly(peer, 4 * KIB, pause=CLOSE_TIMEOUT / 70)
            await peer.connection.close()

        nursery.start_soon(read)
        started = trio.current_time()
        await connection.close()
        assert trio.current_time() - started > CLOSE_PATIENCE
        assert connection.undelivered_bytes == 0
    sent = parse(wire)
    data = b"".join(each.body for each in sent if each.kind == DATA)
    assert data == numbered(200 * KIB)
    assert [each.kind for each in sent[-2:]] == [WINDOW_UPDATE, GO_AWAY]


@pytest.mark.parametrize(("pause", "most"), [(60.0, CLOSE_PATIENCE), (1.0, CLOSE_TIMEOUT)])
async def test_who_closes_is_told_what_did_not_reach_the_peer(
    autojump_clock: MockClock, pause: float, most: float
) -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        stream = await connection.open_stream()
        await stream.write(bytes(200 * KIB))
        await stream.close()
        nursery.start_soon(read_slowly, peer, KIB, pause)
        started = trio.current_time()
        await connection.close()
        assert trio.current_time() - started == pytest.approx(most, abs=3 * CLOSE_GRACE)
        assert 150 * KIB < connection.undelivered_bytes <= 201 * KIB
        assert f"{connection.undelivered_bytes} bytes" in str(connection.close_cause)
        nursery.cancel_scope.cancel()


async def test_a_writer_that_never_ends_does_not_hold_up_closing(autojump_clock: MockClock) -> None:
    async with joined() as (a, b), trio.open_nursery() as nursery:
        ours, theirs = await stream_between(a, b)

        async def write_on() -> None:
            with suppress(MuxedStreamReset):
                while True:
                    await ours.write(bytes(10 * KIB))

        async def read_on() -> None:
            with suppress(MuxedStreamReset):
                while await theirs.receive():
                    pass

        nursery.start_soon(write_on)
        nursery.start_soon(read_on)
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        started = trio.current_time()
        await a.close()
        assert trio.current_time() - started < CLOSE_PATIENCE


async def test_where_both_sides_close_what_both_have_written_is_delivered(
    autojump_clock: MockClock,
) -> None:
    async with joined() as (a, b), trio.open_nursery() as nursery:
        ours, theirs = await stream_between(a, b)
        for stream in (ours, theirs):
            await stream.write(numbered(200 * KIB))
            await stream.close_write()
        for connection in (a, b):
            nursery.start_soon(connection.close)
        assert await ours.read() == numbered(200 * KIB)
        assert await theirs.read() == numbered(200 * KIB)
    assert a.undelivered_bytes == b.undelivered_bytes == 0


async def test_two_who_close_wait_for_the_same_end(autojump_clock: MockClock) -> None:
    async with against_raw_peer() as (connection, _), trio.open_nursery() as nursery:
        stream = await connection.open_stream()
        await stream.write(bytes(200 * KIB))
        nursery.start_soon(connection.close)
        await trio.sleep(CLOSE_PATIENCE / 2)
        await connection.close()
        assert connection.event_closed.is_set()
        assert trio.current_time() == pytest.approx(CLOSE_PATIENCE)


async def test_a_handler_that_closes_without_reading_all_still_delivers_its_answer(
    autojump_clock: MockClock,
) -> None:
    async with joined() as (a, b), trio.open_nursery() as nursery:
        ours, theirs = await stream_between(a, b)

        async def write_on() -> None:
            with suppress(MuxedStreamReset):
                await ours.write(bytes(1024 * KIB))

        async def answer() -> None:
            await theirs.read(1)
            await theirs.write(numbered(200 * KIB))
            await theirs.close()

        nursery.start_soon(write_on)
        nursery.start_soon(answer)
        assert await ours.read() == numbered(200 * KIB)


async def test_a_connection_that_never_runs_is_closed_soon(autojump_clock: MockClock) -> None:
    ours, _ = connection_pair()
    connection = yamux_over(ours)
    await connection.close()
    assert trio.current_time() == pytest.approx(CLOSE_GRACE)
    assert connection.event_closed.is_set()


# -- handlers that are told to read when something comes ------------------------------------------


async def test_who_reads_by_callback_hears_of_an_end_that_came_before_it_was_asked_for(
    autojump_clock: MockClock,
) -> None:
    async with joined() as (a, b):
        stream = await a.open_stream()
        await stream.write(b"data and the end")
        await stream.close_write()
        await wait_all_tasks_blocked()
        read: list[list[object] | None] = []

        def take(accepted: YamuxStream) -> None:
            accepted.on_readable(lambda: read.append(accepted.receive_nowait()))  # type: ignore[arg-type]

        b.on_stream(take)
        assert read == [[b"data and the end"], []]
