"""Yamux streams over a bounded pipe, in virtual time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.exceptions import (
    IncompleteReadError,
    LocalProtocolError,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamReset,
    MuxedStreamTimeout,
)
from libp2p.stream_muxer.yamux.config import MAX_SEND_QUEUE_BYTES, WRITE_PROGRESS_TIMEOUT
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.session import TURN_BYTES
from libp2p.stream_muxer.yamux.write_scheduler import CALL_BYTES, YIELD_BYTES
from tests.support.ends import (
    ACK,
    DATA,
    FIN,
    PING,
    SYN,
    WINDOW_UPDATE,
    data_frame,
    frame,
)
from tests.support.memory_session import (
    PIPE_BYTES,
    RawPeer,
    against_raw_peer,
    joined,
    numbered,
    stream_between,
    stream_pair,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libp2p.base_types import Buffer
    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream

KIB = 1024
MIB = 1024 * KIB


async def echo(stream: YamuxStream) -> None:
    while pieces := await stream.receive():
        await stream.send(pieces)
    await stream.close()


async def write_and_close(stream: YamuxStream, data: bytes) -> None:
    await stream.write(data)
    await stream.close_write()


# -- carrying bytes -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * MIB])
async def test_what_is_written_is_echoed_unchanged(size: int) -> None:
    data = numbered(size)
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(echo, theirs)
        nursery.start_soon(write_and_close, ours, data)
        assert await ours.read() == data


async def test_streams_go_both_ways_at_once() -> None:
    # Bulk in both directions and short streams besides: nobody may wait for anybody's reader.
    async with joined() as (a, b), trio.open_nursery() as nursery:
        first, second = await stream_between(a, b)
        for stream in (first, second):
            nursery.start_soon(write_and_close, stream, bytes(2 * MIB))
        for connection, other in ((a, b), (b, a)):
            for _ in range(10):
                near, far = await stream_between(connection, other)
                nursery.start_soon(echo, far)
                nursery.start_soon(write_and_close, near, bytes(512))
                assert len(await near.read()) == 512
        received: list[int] = []

        async def read_all(stream: YamuxStream) -> None:
            received.append(len(await stream.read()))

        nursery.start_soon(read_all, first)
        nursery.start_soon(read_all, second)
    assert received == [2 * MIB, 2 * MIB]


async def test_streams_opened_in_both_directions_do_not_collide() -> None:
    async with joined() as (a, b):
        from_a, _ = await stream_between(a, b)
        from_b, _ = await stream_between(b, a)
        assert (from_a.stream_id, from_b.stream_id) == (1, 2)
        assert from_a.is_initiator
        assert from_b.is_initiator


async def test_a_thousand_streams_one_after_the_other_leave_nothing_behind() -> None:
    async with joined() as (a, b), trio.open_nursery() as nursery:

        async def serve() -> None:
            while True:
                await echo(await b.accept_stream())

        nursery.start_soon(serve)
        for _ in range(1000):
            stream = await a.open_stream()
            await write_and_close(stream, b"ping")
            assert await stream.read() == b"ping"
            await stream.close()
        assert not a.session.streams
        assert not b.session.streams
        nursery.cancel_scope.cancel()


async def test_a_buffer_may_be_changed_once_it_was_sent() -> None:
    async with joined(pipe_bytes=10) as (a, b):
        ours, theirs = await stream_between(a, b)
        buffer = bytearray(b"as it was")
        await ours.send([buffer, memoryview(buffer)])
        buffer[:] = b"different"
        assert await theirs.read_exactly(18) == b"as it wasas it was"


# -- reading --------------------------------------------------------------------------------------


async def test_read_returns_what_is_there_up_to_its_limit() -> None:
    async with stream_pair() as (ours, theirs):
        await ours.write(b"abcdef")
        assert await theirs.read(0) == b""
        assert await theirs.read(4) == b"abcd"
        assert await theirs.read(4) == b"ef"


async def test_read_waits_for_the_first_byte(autojump_clock: MockClock) -> None:
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:

        async def write_later() -> None:
            await trio.sleep(3)
            await ours.write(b"x")

        nursery.start_soon(write_later)
        assert await theirs.read(100) == b"x"
        assert trio.current_time() == pytest.approx(3)


@pytest.mark.parametrize("limit", [-1, None])
async def test_read_without_a_limit_returns_everything_up_to_the_end(limit: int | None) -> None:
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(write_and_close, ours, bytes(700 * KIB))
        assert len(await theirs.read(limit)) == 700 * KIB
        assert await theirs.read(limit) == b""


async def test_the_end_is_told_by_read_and_by_receive() -> None:
    async with stream_pair() as (ours, theirs):
        await write_and_close(ours, b"last")
        assert await theirs.read(10) == b"last"
        with pytest.raises(MuxedStreamEOF):
            await theirs.read(1)
        assert await theirs.receive() == []
        await theirs.write(b"the other direction goes on")
        assert await ours.read(100) == b"the other direction goes on"


async def test_receive_returns_everything_at_hand() -> None:
    async with stream_pair() as (ours, theirs):
        await ours.write(b"one")
        await ours.write(b"two")
        await wait_all_tasks_blocked()
        assert b"".join(await theirs.receive()) == b"onetwo"


async def test_read_exactly_waits_for_all_it_was_asked_for() -> None:
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(write_and_close, ours, bytes(600 * KIB) + b"tail")
        assert len(await theirs.read_exactly(600 * KIB)) == 600 * KIB
        assert await theirs.read_exactly(0) == b""
        with pytest.raises(IncompleteReadError) as caught:
            await theirs.read_exactly(10)
        assert (caught.value.expected_bytes, caught.value.received_bytes) == (10, 4)


async def test_read_exactly_takes_any_number_of_pieces() -> None:
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:
        data = numbered(1000)

        async def write_slowly() -> None:
            for octet in data:
                await ours.write(bytes((octet,)))
                await wait_all_tasks_blocked()

        nursery.start_soon(write_slowly)
        assert await theirs.read_exactly(len(data)) == data


async def test_bytes_put_back_are_read_again_first() -> None:
    async with stream_pair() as (ours, theirs):
        await ours.write(b"header body")
        data = await theirs.read(100)
        theirs.unread(memoryview(data)[7:])
        theirs.unread(b"<")
        assert await theirs.read(3) == b"<bo"
        assert b"".join(await theirs.receive()) == b"dy"


async def test_bytes_put_back_can_be_read_after_the_end() -> None:
    async with stream_pair() as (ours, theirs):
        await write_and_close(ours, b"abc")
        theirs.unread(await theirs.read(3))
        assert await theirs.read() == b"abc"


async def test_only_one_task_may_read() -> None:
    async with stream_pair() as (_, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(theirs.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await theirs.read(1)
        nursery.cancel_scope.cancel()


async def test_a_cancelled_read_loses_nothing(autojump_clock: MockClock) -> None:
    async with stream_pair() as (ours, theirs):
        with trio.move_on_after(1):
            await theirs.read_exactly(1)
        await ours.write(b"later")
        assert await theirs.read(10) == b"later"


# -- writing --------------------------------------------------------------------------------------


async def test_writing_waits_when_the_reader_is_slow_and_goes_on_with_it(
    autojump_clock: MockClock,
) -> None:
    # The peer reads its connection, if not this stream: no time limit applies.
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(write_and_close, ours, numbered(2 * MIB))
        await trio.sleep(6 * WRITE_PROGRESS_TIMEOUT)
        assert theirs.state.receive_window.credit == 0
        assert await theirs.read() == numbered(2 * MIB)


async def test_only_one_task_may_write() -> None:
    async with stream_pair() as (ours, _), trio.open_nursery() as nursery:
        nursery.start_soon(ours.write, bytes(MIB))
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await ours.write(b"me too")
        nursery.cancel_scope.cancel()


async def test_a_writer_that_waits_for_the_pipe_keeps_others_from_its_stream() -> None:
    async with against_raw_peer(pipe_bytes=1) as (connection, _), trio.open_nursery() as nursery:
        streams = [await connection.open_stream() for _ in range(5)]
        for stream in streams:
            stream.state.send_credit = 2 * MIB
            nursery.start_soon(stream.write, bytes(2 * MIB))
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await streams[-1].write(b"me too")
        nursery.cancel_scope.cancel()


async def test_a_write_cancelled_in_a_full_pipe_tears_no_frame(autojump_clock: MockClock) -> None:
    async with against_raw_peer() as (connection, peer):
        victim, other = await connection.open_stream(), await connection.open_stream()
        with trio.move_on_after(1) as scope:
            await victim.write(bytes(MIB))
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_and_close, other, b"unharmed")
            seen = b""
            while frame(WINDOW_UPDATE, FIN, other.stream_id) not in seen:
                seen += b"".join(await peer.connection.receive())
        assert data_frame(other.stream_id, b"unharmed") in seen
        connection.secured_conn.abort()
        parse_all = RawPeer(peer.connection)
        assert await parse_all.receive_all() == []


async def test_a_write_cancelled_without_credit_leaves_other_streams_alone(
    autojump_clock: MockClock,
) -> None:
    async with joined() as (a, b), trio.open_nursery() as nursery:
        victim, unread = await stream_between(a, b)
        with trio.move_on_after(1):
            await victim.write(bytes(MIB))
        other, far = await stream_between(a, b)
        nursery.start_soon(echo, far)
        nursery.start_soon(write_and_close, other, numbered(MIB))
        assert await other.read() == numbered(MIB)
        assert len(unread.state.inbox) == DEFAULT_WINDOW_SIZE


async def test_a_slow_application_does_not_stop_the_others() -> None:
    async with joined() as (a, b), trio.open_nursery() as nursery:
        for _ in range(3):
            near, _ = await stream_between(a, b)
            nursery.start_soon(near.write, bytes(MIB))
        await wait_all_tasks_blocked()
        near, far = await stream_between(a, b)
        nursery.start_soon(echo, far)
        nursery.start_soon(write_and_close, near, b"still here")
        assert await near.read() == b"still here"
        nursery.cancel_scope.cancel()


async def test_little_is_queued_when_the_pipe_is_full() -> None:
    async with against_raw_peer(pipe_bytes=1) as (connection, _), trio.open_nursery() as nursery:
        for _ in range(10):
            stream = await connection.open_stream()
            nursery.start_soon(stream.write, bytes(DEFAULT_WINDOW_SIZE))
        await wait_all_tasks_blocked()
        assert connection.session.send_queue.data_bytes < MAX_SEND_QUEUE_BYTES + TURN_BYTES
        nursery.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("writers", [2, 3, 12])
async def test_bulk_writers_share_a_slow_pipe(writers: int) -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:

        async def write_on(stream: YamuxStream) -> None:
            stream.state.send_credit = 2**32 - 1
            while True:
                await stream.write(bytes(32 * KIB))

        for _ in range(writers):
            nursery.start_soon(write_on, await connection.open_stream())
        wire = bytearray()
        while len(wire) < writers * 20 * 32 * KIB:
            wire += b"".join(await peer.connection.receive())
        nursery.cancel_scope.cancel()
    shares = [wire.count(frame(DATA, 0, 2 * n + 1, 32 * KIB)) for n in range(writers)]
    assert max(shares) <= 2 * min(shares), shares


async def test_a_short_message_does_not_wait_for_bulk_that_is_not_queued_yet() -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:

        async def write_on(stream: YamuxStream) -> None:
            stream.state.send_credit = 2**32 - 1
            while True:
                await stream.write(bytes(MIB))

        for _ in range(5):
            nursery.start_soon(write_on, await connection.open_stream())
        await wait_all_tasks_blocked()
        short = await connection.open_stream()
        nursery.start_soon(short.write, b"urgent")
        wire = bytearray()
        while b"urgent" not in wire[-2 * PIPE_BYTES :]:
            wire += b"".join(await peer.connection.receive())
        nursery.cancel_scope.cancel()
    # What was sealed, what was queued, a turn of each of the five, and the rest of its own batch.
    assert len(wire) < 3 * MAX_SEND_QUEUE_BYTES + 6 * TURN_BYTES


async def test_writers_that_leave_the_line_do_not_hold_up_those_behind_them(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(9)]
        left: list[int] = []

        async def write(number: int, stream: YamuxStream) -> None:
            stream.state.send_credit = 2 * MIB
            with scopes[number], suppress(MuxedStreamReset):
                await stream.write(bytes(2 * MIB))
            left.append(number)

        streams = [await connection.open_stream() for _ in scopes]
        for number, stream in enumerate(streams):
            nursery.start_soon(write, number, stream)
        await wait_all_tasks_blocked()
        scopes[0].cancel()
        scopes[4].cancel()
        await streams[8].reset()
        nursery.start_soon(peer.drain)
        for turn in range(20):
            await trio.lowlevel.checkpoint()
            if turn == 10:
                scopes[2].cancel()
        with trio.fail_after(5):
            while len(left) < len(scopes):
                await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_short_prefix_rides_along_with_the_next_write() -> None:
    async with against_raw_peer() as (connection, peer):
        stream = await connection.open_stream()
        stream.queue(b"header ")
        await stream.write(b"body")
        frames = await peer.receive()
        assert [f.body for f in frames if f.kind == DATA] == [b"header body"]


async def test_a_short_prefix_goes_out_alone_if_nothing_is_written() -> None:
    async with stream_pair() as (ours, theirs):
        ours.queue(b"header")
        assert await theirs.read(100) == b"header"


async def test_a_prefix_beyond_the_window_is_refused() -> None:
    async with stream_pair() as (ours, _):
        ours.state.send_credit = 3
        with pytest.raises(LocalProtocolError, match="credit"):
            ours.queue(b"four")


# -- ends of streams ------------------------------------------------------------------------------


async def test_half_closing_leaves_the_other_direction_open() -> None:
    async with stream_pair() as (ours, theirs):
        await ours.close_write()
        await ours.close_write()
        with pytest.raises(MuxedStreamClosed):
            await ours.write(b"no more")
        with pytest.raises(MuxedStreamClosed):
            await ours.write(b"")
        await write_and_close(theirs, b"answer")
        assert await ours.read() == b"answer"


async def test_what_was_written_before_closing_is_delivered() -> None:
    async with stream_pair() as (ours, theirs):
        await ours.write(b"farewell")
        await ours.close()
        assert await theirs.read() == b"farewell"
        with pytest.raises(MuxedStreamClosed):
            await ours.read(1)


async def test_a_peer_that_reads_slowly_gets_all_that_was_written_before_closing(
    autojump_clock: MockClock,
) -> None:
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:

        async def write_and_leave() -> None:
            await ours.write(numbered(MIB))
            await ours.close()

        nursery.start_soon(write_and_leave)
        pieces: list[Buffer] = []
        while more := await theirs.receive():
            pieces += more
            await trio.sleep(0.1)
        assert b"".join(pieces) == numbered(MIB)


@pytest.mark.parametrize("code", [0, 0x1003, 2**32 - 1])
async def test_a_reset_reaches_readers_and_writers_with_its_code(code: int) -> None:
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:
        told: list[MuxedStreamReset] = []

        async def expect_reset(act: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(MuxedStreamReset) as caught:
                await act()
            told.append(caught.value)

        nursery.start_soon(expect_reset, theirs.receive)
        nursery.start_soon(expect_reset, lambda: theirs.write(bytes(MIB)))
        await wait_all_tasks_blocked()
        await ours.reset(code)
        await expect_reset(lambda: ours.read(1))
        await expect_reset(lambda: ours.write(b"x"))
    here, there = told[:2], told[2:]
    assert [(e.error_code, e.remote) for e in here] == [(code, False)] * 2
    assert [(e.error_code, e.remote) for e in there] == [(code, True)] * 2


async def test_a_reset_wakes_this_sides_reader_and_writer() -> None:
    async with stream_pair() as (ours, _), trio.open_nursery() as nursery:

        async def expect_reset(act: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(MuxedStreamReset):
                await act()

        nursery.start_soon(expect_reset, ours.receive)
        nursery.start_soon(expect_reset, lambda: ours.write(bytes(MIB)))
        await wait_all_tasks_blocked()
        await ours.reset()


async def test_closing_wakes_this_sides_reader_and_writer() -> None:
    async with stream_pair() as (ours, _), trio.open_nursery() as nursery:

        async def expect_closed(act: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(MuxedStreamClosed):
                await act()

        nursery.start_soon(expect_closed, ours.receive)
        nursery.start_soon(expect_closed, lambda: ours.write(bytes(MIB)))
        await wait_all_tasks_blocked()
        await ours.close()


async def test_leaving_the_context_closes_and_failing_in_it_resets() -> None:
    async with joined() as (a, b):
        ours, theirs = await stream_between(a, b)
        async with ours:
            await ours.write(b"done")
        assert await theirs.read() == b"done"
        ours, theirs = await stream_between(a, b)
        with pytest.raises(ZeroDivisionError):
            async with ours:
                raise ZeroDivisionError
        with pytest.raises(MuxedStreamReset):
            await theirs.read()


async def test_a_reset_from_a_writer_drops_what_was_not_read() -> None:
    async with stream_pair() as (ours, theirs):
        await ours.write(b"never mind")
        await ours.reset(7)
        await wait_all_tasks_blocked()
        with pytest.raises(MuxedStreamReset):
            await theirs.read()


# -- deadlines ------------------------------------------------------------------------------------


async def test_a_read_deadline_passes_and_the_stream_remains_usable(
    autojump_clock: MockClock,
) -> None:
    async with stream_pair() as (ours, theirs):
        assert theirs.set_read_deadline(5)
        with pytest.raises(MuxedStreamTimeout):
            await theirs.read(1)
        assert trio.current_time() == pytest.approx(5)
        with pytest.raises(MuxedStreamTimeout):
            await theirs.read(1)
        assert theirs.set_read_deadline(0)
        await ours.write(b"late")
        assert await theirs.read(10) == b"late"


async def test_data_at_hand_is_read_even_after_the_deadline(autojump_clock: MockClock) -> None:
    async with stream_pair() as (ours, theirs):
        theirs.set_deadline(1)
        await ours.write(b"in time")
        await trio.sleep(2)
        assert await theirs.read(10) == b"in time"


async def test_a_write_deadline_passes_when_the_reader_does_not_read(
    autojump_clock: MockClock,
) -> None:
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:
        assert ours.set_write_deadline(2)
        with pytest.raises(MuxedStreamTimeout):
            await ours.write(bytes(MIB))
        assert ours.set_deadline(0)
        nursery.start_soon(ours.close_write)
        assert len(await theirs.read()) == DEFAULT_WINDOW_SIZE


async def test_a_callback_that_raises_ends_its_stream_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with joined() as (a, b):
        theirs, ours = await stream_between(a, b)
        other, echo = await stream_between(a, b)
        calls = 0

        def fail() -> None:
            nonlocal calls
            calls += 1
            raise ValueError("a bug")

        ours.on_readable(fail)
        await theirs.write(b"x")
        with pytest.raises(MuxedStreamReset):
            await theirs.read(1)
        assert calls == 1
        await other.write(b"still there")
        assert await echo.read(100) == b"still there"
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_callback_that_reads_once_hears_of_an_end_that_comes_with_the_data() -> None:
    async with against_raw_peer() as (connection, peer):
        read: list[list[Buffer] | None] = []
        stream = await connection.open_stream()
        await stream.close_write()
        stream.on_readable(lambda: read.append(stream.receive_nowait()))
        await peer.send(data_frame(stream.stream_id, b"answer", ACK | FIN))
        await wait_all_tasks_blocked()
        assert [None if some is None else b"".join(some) for some in read] == [b"answer", b""]


async def test_what_callbacks_send_goes_out_together_once_all_of_them_were_called() -> None:
    async with against_raw_peer() as (connection, peer):
        answered: list[int] = []

        def serve(stream: YamuxStream) -> None:
            def answer() -> None:
                buffers = stream.receive_nowait()
                assert buffers
                assert stream.send_nowait(buffers)
                stream.queue(b"!")
                answered.append(stream.stream_id)

            stream.on_readable(answer)

        connection.on_stream(serve)
        assert [f.kind for f in await peer.receive()] == [PING]
        await peer.send(data_frame(2, b"one", SYN), data_frame(4, b"two", SYN))
        frames = await peer.receive()
        assert [f.stream_id for f in frames if f.kind == WINDOW_UPDATE] == [2, 4]
        assert [f.body for f in frames if f.kind == DATA] == [b"one!", b"two!"]
        assert answered == [2, 4]


async def test_sending_without_waiting_is_all_or_nothing() -> None:
    async with stream_pair() as (ours, theirs), trio.open_nursery() as nursery:
        assert ours.send_nowait([b"ab", bytearray(b"cd"), b""])
        assert ours.send_nowait([])
        assert await theirs.read_exactly(4) == b"abcd"
        assert not ours.send_nowait([bytes(DEFAULT_WINDOW_SIZE)])
        nursery.start_soon(write_and_close, ours, bytes(2 * DEFAULT_WINDOW_SIZE))
        await wait_all_tasks_blocked()
        assert not ours.send_nowait([b"not between what another task writes"])
        assert await theirs.read() == bytes(2 * DEFAULT_WINDOW_SIZE)
        with pytest.raises(MuxedStreamClosed):
            ours.send_nowait([b"too late"])


# -- the turns of other tasks ---------------------------------------------------------------------


async def calls_between_turns(call: Callable[[], Awaitable[object]], count: int) -> int:
    """Make ``count`` calls in a row; return the most of them before another task had its turn."""
    made = most = 0

    async def watch() -> None:
        nonlocal made, most
        while True:
            most, made = max(most, made), 0
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        for _ in range(count):
            await call()
            made += 1
        nursery.cancel_scope.cancel()
    return most


async def test_who_reads_byte_by_byte_lets_others_run() -> None:
    async with stream_pair() as (ours, theirs):
        await ours.write(bytes(20_000))
        most = await calls_between_turns(lambda: theirs.read(1), 20_000)
        assert most <= 2 * YIELD_BYTES // CALL_BYTES  # tasks run in a random order


async def test_who_writes_byte_by_byte_lets_others_run() -> None:
    async with stream_pair() as (ours, _):
        most = await calls_between_turns(lambda: ours.write(b"x"), 20_000)
        assert most <= 2 * YIELD_BYTES // CALL_BYTES  # tasks run in a random order


async def test_a_read_that_is_cancelled_in_another_tasks_turn_takes_nothing() -> None:
    async with stream_pair() as (ours, theirs):
        await ours.write(numbered(2000))
        await wait_all_tasks_blocked()
        theirs._scheduler.spend(YIELD_BYTES)
        with trio.CancelScope() as scope:
            scope.cancel()
            await theirs.read(1000)
        assert scope.cancelled_caught
        assert await theirs.read_exactly(2000) == numbered(2000)
