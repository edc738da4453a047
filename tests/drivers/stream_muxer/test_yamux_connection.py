"""Yamux connections in virtual time: opening, accepting, offenders, silence and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.exceptions import (
    ConnectionClosedError,
    MuxedConnError,
    MuxedConnUnavailable,
    MuxedStreamReset,
    RawConnError,
    RemoteProtocolError,
)
from libp2p.stream_muxer.yamux import yamux as yamux_module
from libp2p.stream_muxer.yamux.config import (
    CLOSE_PATIENCE,
    MAX_PENDING_CONTROL,
    MAX_UNACKNOWLEDGED,
    PING_INTERVAL,
    PING_TIMEOUT,
    WRITE_PROGRESS_TIMEOUT,
)
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.yamux import Yamux
from tests.support.ends import (
    ACK,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    RawFrame,
    data_frame,
    frame,
)
from tests.support.memory_session import (
    against_raw_peer,
    bounded_pair,
    joined,
    numbered,
    stream_between,
    yamux_over,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
    from tests.support.channels import MemoryConnection

KIB = 1024
MIB = 1024 * KIB


def test_names_that_programs_import_from_py_libp2p_are_here() -> None:
    names = """
        DEFAULT_WINDOW_SIZE FLAG_ACK FLAG_FIN FLAG_RST FLAG_SYN GO_AWAY_INTERNAL_ERROR
        GO_AWAY_NORMAL GO_AWAY_PROTOCOL_ERROR HEADER_SIZE MAX_MESSAGE_SIZE MAX_WINDOW_SIZE
        MuxedConnUnavailable MuxedStreamEOF MuxedStreamError MuxedStreamReset PROTOCOL_ID TYPE_DATA
        TYPE_GO_AWAY TYPE_PING TYPE_WINDOW_UPDATE YAMUX_HEADER_FORMAT Yamux YamuxStream
    """
    assert set(names.split()) <= set(yamux_module.__all__)


# -- opening and accepting ------------------------------------------------------------------------


async def test_opening_tells_the_peer_even_if_nothing_is_written() -> None:
    async with against_raw_peer() as (connection, peer):
        await peer.receive()  # the first ping
        await connection.open_stream()
        assert await peer.receive() == [RawFrame(WINDOW_UPDATE, SYN, 1, 0)]


async def test_accepting_tells_the_peer_even_if_nothing_is_written() -> None:
    async with against_raw_peer() as (connection, peer):
        await peer.receive()
        await peer.send(frame(WINDOW_UPDATE, SYN, 2))
        await wait_all_tasks_blocked()
        await connection.accept_stream()
        assert await peer.receive() == [RawFrame(WINDOW_UPDATE, ACK, 2, 0)]


async def test_accepting_waits_for_the_peer_to_open() -> None:
    async with joined() as (a, b), trio.open_nursery() as nursery:
        accepted: list[int] = []

        async def accept() -> None:
            accepted.append((await b.accept_stream()).stream_id)

        nursery.start_soon(accept)
        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        await a.open_stream()
        await a.open_stream()
        await wait_all_tasks_blocked()
        assert sorted(accepted) == [1, 3]


async def test_a_cancelled_accepter_takes_no_stream(autojump_clock: MockClock) -> None:
    async with joined() as (a, b), trio.open_nursery() as nursery:
        taken: list[YamuxStream] = []

        async def accept() -> None:
            taken.append(await b.accept_stream())

        with trio.move_on_after(1):
            await accept()
        nursery.start_soon(accept)
        opened = await a.open_stream()
        await wait_all_tasks_blocked()
        assert [stream.stream_id for stream in taken] == [opened.stream_id]


async def test_opening_goes_on_when_the_peer_acknowledges() -> None:
    async with against_raw_peer(pipe_bytes=None) as (connection, peer):
        streams = [await connection.open_stream() for _ in range(MAX_UNACKNOWLEDGED)]
        opened: list[int] = []

        async def open_one() -> None:
            opened.append((await connection.open_stream()).stream_id)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(open_one)
            await wait_all_tasks_blocked()
            assert opened == []
            await peer.send(frame(WINDOW_UPDATE, ACK, 1))
            await wait_all_tasks_blocked()
            assert len(opened) == 1
            await peer.send(frame(WINDOW_UPDATE, RST, 3))
            await wait_all_tasks_blocked()
            assert len(opened) == 2
            await streams[2].reset()
        assert len(opened) == 3


async def test_a_waiting_opener_can_be_cancelled(autojump_clock: MockClock) -> None:
    async with against_raw_peer(pipe_bytes=None) as (connection, peer):
        for _ in range(MAX_UNACKNOWLEDGED):
            await connection.open_stream()
        with trio.move_on_after(1) as scope:
            await connection.open_stream()
        assert scope.cancelled_caught
        await peer.send(frame(WINDOW_UPDATE, ACK, 1))
        with trio.fail_after(1):
            await connection.open_stream()


async def test_opening_waits_for_the_socket_where_streams_are_reset_again_and_again() -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        nursery.start_soon((await connection.open_stream()).write, bytes(DEFAULT_WINDOW_SIZE))
        await wait_all_tasks_blocked()  # the pipe is full
        opened = 0

        async def open_and_reset() -> None:
            nonlocal opened
            while opened < MAX_PENDING_CONTROL:
                await (await connection.open_stream()).reset()
                opened += 1

        nursery.start_soon(open_and_reset)
        await wait_all_tasks_blocked()
        assert opened == MAX_PENDING_CONTROL // 2
        nursery.start_soon(peer.drain)
        with trio.fail_after(5):
            while opened < MAX_PENDING_CONTROL:
                await wait_all_tasks_blocked()
        assert not connection.is_closed
        nursery.cancel_scope.cancel()


async def test_streams_nobody_accepts_are_refused_and_pings_answered() -> None:
    async with against_raw_peer(pipe_bytes=None) as (connection, peer):
        await peer.receive()
        await peer.send(
            *(frame(WINDOW_UPDATE, SYN, 2 * n) for n in range(1, 301)), frame(PING, SYN, 0, 7)
        )
        frames = await peer.receive()
        assert frames[0] == RawFrame(PING, ACK, 0, 7)
        assert [f.stream_id for f in frames[1:]] == list(range(514, 602, 2))
        assert {f.flags for f in frames[1:]} == {RST}
        assert (await connection.accept_stream()).stream_id == 2


async def test_a_stream_handler_gets_streams_that_came_before_it_and_after() -> None:
    async with joined() as (a, b):
        early = await a.open_stream()
        await wait_all_tasks_blocked()
        taken: list[int] = []
        b.on_stream(lambda stream: taken.append(stream.stream_id))
        late = await a.open_stream()
        await wait_all_tasks_blocked()
        assert taken == [early.stream_id, late.stream_id]
        assert early.state.acknowledged
        assert late.state.acknowledged


# -- peers that break the rules -------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        data_frame(2, bytes(DEFAULT_WINDOW_SIZE + 1), SYN),
        frame(WINDOW_UPDATE, SYN, 1),
        frame(WINDOW_UPDATE, SYN, 2) * 2,
        b"\x01" + frame(PING, SYN, 0)[1:],
    ],
    ids=["window", "parity", "twice", "version"],
)
async def test_a_peer_that_breaks_the_rules_is_told_so_and_cut_off(
    wire: bytes, autojump_clock: MockClock
) -> None:
    async with against_raw_peer(pipe_bytes=None) as (connection, peer):
        stream = await connection.open_stream()
        await peer.send(wire)
        frames = await peer.receive_all()
        assert RawFrame(GO_AWAY, 0, 0, 1) in frames
        await connection.event_closed.wait()
        assert isinstance(connection.close_cause, RemoteProtocolError)
        with pytest.raises(MuxedStreamReset) as caught:
            await stream.read(1)
        assert caught.value.__cause__ is connection.close_cause


async def test_a_peer_that_ignores_the_window_of_an_unread_stream_is_cut_off() -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        nursery.start_soon(peer.drain)
        await peer.send(frame(WINDOW_UPDATE, SYN, 2))
        await wait_all_tasks_blocked()
        stream = await connection.accept_stream()
        for _ in range(1000):
            await peer.send(data_frame(2, bytes(64 * KIB)))
            if connection.is_closed:
                break
        assert isinstance(connection.close_cause, RemoteProtocolError)
        assert len(stream.state.inbox) <= DEFAULT_WINDOW_SIZE


# -- silence --------------------------------------------------------------------------------------


async def test_the_round_trip_time_is_measured_when_the_connection_starts(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer):
        (ping,) = await peer.receive()
        assert (ping.kind, ping.flags) == (PING, SYN)
        await trio.sleep(0.2)
        await peer.send(frame(PING, ACK, 0, ping.length))
        await wait_all_tasks_blocked()
        assert connection.rtt() == pytest.approx(0.2)


async def test_the_round_trip_time_is_measured_again_now_and_then(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer):
        for turn in range(4):
            (ping,) = await peer.receive()
            assert trio.current_time() == pytest.approx(turn * PING_INTERVAL)
            await peer.send(frame(PING, ACK, 0, ping.length))
        assert not connection.is_closed


async def test_a_peer_that_is_not_reached_is_given_up(autojump_clock: MockClock) -> None:
    async with against_raw_peer() as (connection, _):
        await connection.event_closed.wait()
        assert trio.current_time() == pytest.approx(PING_TIMEOUT)
        assert isinstance(connection.close_cause, MuxedConnError)
        assert "sign of life" in str(connection.close_cause)


async def test_a_peer_that_is_reached_and_never_answers_has_twice_the_time(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer):
        await peer.drain()
        assert trio.current_time() == pytest.approx(2 * PING_TIMEOUT)
        assert "sign of life" in str(connection.close_cause)


async def test_a_peer_that_falls_silent_is_given_up(autojump_clock: MockClock) -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        (ping,) = await peer.receive()
        await peer.send(frame(PING, ACK, 0, ping.length))
        stream = await connection.open_stream()
        nursery.start_soon(peer.drain)
        with pytest.raises(MuxedStreamReset):
            await stream.read(1)
        assert trio.current_time() == pytest.approx(PING_INTERVAL + 2 * PING_TIMEOUT)


async def test_a_program_that_computes_for_long_loses_no_connection(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer):
        for _ in range(20):
            (ping,) = await peer.receive()
            peer.connection.send_some([frame(PING, ACK, 0, ping.length)])
            # What a step of the program that takes as long does to the loop: there is an answer,
            # and the time for it is over.
            autojump_clock.jump(1.5 * PING_TIMEOUT)
        assert not connection.is_closed


async def test_a_peer_that_sends_data_is_alive_even_if_it_answers_no_ping(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        nursery.start_soon(peer.drain)
        for _ in range(20):
            await peer.send(frame(PING, SYN, 0, 5))
            await trio.sleep(PING_TIMEOUT - 1)
        assert not connection.is_closed
        nursery.cancel_scope.cancel()


async def test_a_pong_that_was_not_asked_for_does_not_touch_the_round_trip_time(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer):
        (ping,) = await peer.receive()
        await peer.send(frame(PING, ACK, 0, ping.length))
        await wait_all_tasks_blocked()
        measured = connection.rtt()
        await trio.sleep(20)
        await peer.send(frame(PING, ACK, 0, ping.length))
        await wait_all_tasks_blocked()
        assert connection.rtt() == measured
        assert connection.session.statistics().pongs_unsolicited == 1


async def test_a_peer_that_reads_nothing_is_given_up(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        stream = await connection.open_stream()

        async def keep_talking() -> None:
            while True:
                await peer.send(frame(PING, SYN, 0, 1))
                await trio.sleep(1)

        nursery.start_soon(keep_talking)
        await trio.sleep(3)
        with pytest.raises(MuxedStreamReset) as caught:
            await stream.write(bytes(MIB))
        assert trio.current_time() == pytest.approx(3 + WRITE_PROGRESS_TIMEOUT)
        assert "read nothing" in str(caught.value.__cause__)
        nursery.cancel_scope.cancel()


async def test_a_peer_that_reads_a_little_now_and_then_is_not_given_up(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        peer.connection.peer.piece_bytes = 10 * KIB
        stream = await connection.open_stream()
        nursery.start_soon(stream.write, bytes(DEFAULT_WINDOW_SIZE))
        received = 0
        while received < DEFAULT_WINDOW_SIZE:
            await trio.sleep(PING_TIMEOUT - 1)
            received += len(b"".join(await peer.connection.receive()))
            await peer.send(frame(PING, SYN, 0, 1))
        assert not connection.is_closed


# -- the end of the connection --------------------------------------------------------------------


async def test_closing_tells_the_peer_and_ends_both_sides(autojump_clock: MockClock) -> None:
    async with joined() as (a, b):
        await a.close()
        await b.event_closed.wait()
        assert isinstance(a.close_cause, ConnectionClosedError)
        assert isinstance(b.close_cause, MuxedConnUnavailable)
        assert b.close_cause.code == 0
        assert a.is_closed
        assert b.is_closed
        await a.close()


async def test_closing_sends_the_code_that_it_was_given(autojump_clock: MockClock) -> None:
    async with against_raw_peer() as (connection, peer):
        await peer.receive()
        await connection.close(0x1006)
        assert await peer.receive_all() == [RawFrame(GO_AWAY, 0, 0, 0x1006)]


async def test_closing_does_not_wait_long_for_a_peer_that_takes_nothing(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer(pipe_bytes=1) as (connection, _):
        started = trio.current_time()
        await connection.close()
        assert trio.current_time() - started == pytest.approx(CLOSE_PATIENCE)


async def test_closing_delivers_what_was_written_before(autojump_clock: MockClock) -> None:
    async with joined() as (a, b):
        ours, theirs = await stream_between(a, b)
        await ours.write(numbered(200 * KIB))
        await ours.close_write()
        await a.close()
        assert await theirs.read() == numbered(200 * KIB)


async def test_what_had_arrived_can_be_read_after_the_connection_is_lost(
    autojump_clock: MockClock,
) -> None:
    async with joined() as (a, b):
        ours, theirs = await stream_between(a, b)
        await ours.write(b"arrived")
        await wait_all_tasks_blocked()
        a.secured_conn.abort()
        await b.event_closed.wait()
        assert await theirs.read(100) == b"arrived"
        with pytest.raises(MuxedStreamReset) as caught:
            await theirs.read(1)
        assert caught.value.__cause__ is b.close_cause
        with pytest.raises(MuxedStreamReset):
            await theirs.write(b"x")


async def test_the_end_of_the_connection_wakes_everybody(autojump_clock: MockClock) -> None:
    async with against_raw_peer(pipe_bytes=None) as (connection, peer):
        woken: list[str] = []

        async def expect(name: str, error: type[Exception], act: Awaitable[object]) -> None:
            with pytest.raises(error):
                await act
            woken.append(name)

        streams = [await connection.open_stream() for _ in range(MAX_UNACKNOWLEDGED)]
        await wait_all_tasks_blocked()
        connection.secured_conn.raw_conn.capacity = 0  # type: ignore[attr-defined]
        with trio.fail_after(1):
            async with trio.open_nursery() as nursery:
                spawn = nursery.start_soon
                spawn(expect, "reader", MuxedStreamReset, streams[0].receive())
                spawn(expect, "no credit", MuxedStreamReset, streams[1].write(bytes(MIB)))
                for number in (2, 3, 4):
                    streams[number].state.send_credit = 2 * MIB
                    spawn(expect, "pipe", MuxedStreamReset, streams[number].write(bytes(2 * MIB)))
                spawn(expect, "opener", MuxedConnUnavailable, connection.open_stream())
                spawn(expect, "accepter", MuxedConnUnavailable, connection.accept_stream())
                await wait_all_tasks_blocked()
                assert woken == []
                await peer.connection.close()
        assert sorted(woken) == sorted(["reader", "no credit", *["pipe"] * 3, "opener", "accepter"])


async def test_a_connection_that_breaks_while_it_is_full_ends() -> None:
    async with against_raw_peer() as (connection, _), trio.open_nursery() as nursery:
        stream = await connection.open_stream()

        async def expect_reset() -> None:
            with pytest.raises(MuxedStreamReset) as caught:
                await stream.write(bytes(MIB))
            assert caught.value.__cause__ is connection.close_cause

        nursery.start_soon(expect_reset)
        await wait_all_tasks_blocked()
        raw = cast("MemoryConnection", connection.secured_conn.raw_conn)
        raw._gone = True  # the cable, not the peer: whoever waits for the socket is told
        raw._writable.unpark_all()
        with trio.fail_after(1):
            await connection.event_closed.wait()
        assert isinstance(connection.close_cause, RawConnError)


async def test_it_tells_what_is_below() -> None:
    async with joined() as (connection, other):
        ours, theirs = await stream_between(connection, other)
        assert (ours.muxed_conn, theirs.muxed_conn) == (connection, other)
        below = connection.secured_conn
        assert (connection.is_initiator, other.is_initiator) == (True, False)
        assert connection.get_remote_address() == below.get_remote_address()
        assert ours.get_remote_address() == below.get_remote_address()
        assert connection.get_transport_addresses() == below.get_transport_addresses()
        assert connection.get_connection_type() is below.get_connection_type()


async def test_nothing_can_be_opened_or_accepted_after_the_end(autojump_clock: MockClock) -> None:
    async with joined() as (a, b):
        await a.close()
        for connection in (a, b):
            await connection.event_closed.wait()
            with pytest.raises(MuxedConnUnavailable):
                await connection.open_stream()
            with pytest.raises(MuxedConnUnavailable):
                await connection.accept_stream()


async def test_cancelling_the_task_that_serves_ends_the_connection(
    autojump_clock: MockClock,
) -> None:
    connection = yamux_over(bounded_pair()[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await connection.event_started.wait()
        established = [connection.is_established]
        stream = await connection.open_stream()
        nursery.cancel_scope.cancel()
    assert connection.event_closed.is_set()
    established.append(connection.is_established)
    assert established == [True, False]
    with pytest.raises(MuxedStreamReset):
        await stream.read(1)


async def test_serving_returns_when_the_peer_is_gone_and_says_so_once(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = bounded_pair()
    session = yamux_over(ours).secured_conn
    closed: list[int] = []

    async def on_close() -> None:
        closed.append(1)

    connection = Yamux(session, session.get_remote_peer(), on_close=on_close)
    await theirs.close()
    await connection.start()
    assert closed == [1]
    assert isinstance(connection.close_cause, ConnectionClosedError)
    await connection.close()


async def test_streams_end_but_the_host_lives_when_the_wire_is_cut_in_a_frame(
    autojump_clock: MockClock,
) -> None:
    async with against_raw_peer() as (connection, peer):
        await peer.send(frame(WINDOW_UPDATE, SYN, 2) + data_frame(2, b"0123456789")[:-3])
        await wait_all_tasks_blocked()
        stream = await connection.accept_stream()
        await peer.connection.close()
        await connection.event_closed.wait()
        assert await stream.read(100) == b"0123456"
        with pytest.raises(MuxedStreamReset):
            await stream.read(1)
