"""What a connection and its streams say of themselves is what they have done."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import ConnectionClosedError
from libp2p.stream_muxer.yamux.config import (
    ACCEPT_BACKLOG,
    CONNECTION_RECEIVE_BUDGET,
    MAX_PENDING_PONGS,
)
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, MAX_WINDOW_SIZE
from libp2p.stream_muxer.yamux.frame import HEADER_SIZE
from libp2p.stream_muxer.yamux.statistics import SessionStatistics
from libp2p.stream_muxer.yamux.stream_state import Half, StreamStatistics
from tests.support.ends import (
    ACK,
    FIN,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    data_frame,
    deliver,
    frame,
    inbound,
    join,
    listener,
    opened,
    outgoing,
    pair,
    read,
    stream_pair,
    write,
)

KIB = 1024


def test_a_new_connection_has_done_nothing() -> None:
    assert listener().statistics() == SessionStatistics(
        rtt=None,
        least_rtt=None,
        inbound_streams=0,
        outbound_streams=0,
        unacknowledged=0,
        unaccepted=0,
        streams_opened=0,
        streams_accepted=0,
        streams_refused=0,
        bytes_sent=0,
        bytes_received=0,
        bytes_queued=0,
        receive_budget_used=0,
        receive_budget=CONNECTION_RECEIVE_BUDGET,
        pongs_dropped=0,
        pongs_unsolicited=0,
    )


def test_a_new_stream_has_the_specified_windows() -> None:
    a, _ = pair()
    assert a.open_stream(0.0).statistics() == StreamStatistics(
        stream_id=1,
        outbound=True,
        reading=Half.OPEN,
        writing=Half.OPEN,
        receive_window=DEFAULT_WINDOW_SIZE,
        receive_credit=DEFAULT_WINDOW_SIZE,
        unread=0,
        send_credit=DEFAULT_WINDOW_SIZE,
        bytes_sent=0,
        bytes_received=0,
        window_growths=0,
    )


def test_what_was_told_does_not_change_any_more() -> None:
    session = listener()
    stream = inbound(session)
    before, before_it = session.statistics(), stream.statistics()
    deliver(session, data_frame(1, b"more"))
    assert (before.bytes_received, before_it.bytes_received) == (0, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before_it.unread = 1  # type: ignore[misc]


def test_streams_are_counted_by_who_opened_them_and_how_far_they_are() -> None:
    a, b = pair()
    for _ in range(3):
        a.open_stream(0.0)
    assert (a.statistics().outbound_streams, a.statistics().unacknowledged) == (3, 3)
    taken = opened(join(a, b)[1])
    b.accept(taken[0])
    b.close_write(taken[1])  # acknowledges it, before anybody accepts it
    join(a, b)
    ours, theirs = a.statistics(), b.statistics()
    assert (ours.outbound_streams, ours.inbound_streams, ours.unacknowledged) == (3, 0, 1)
    assert (theirs.outbound_streams, theirs.inbound_streams, theirs.unaccepted) == (0, 3, 2)
    assert (ours.streams_opened, theirs.streams_accepted) == (3, 1)


def test_streams_that_are_over_count_only_in_the_sums() -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    write(a, ours, b"hello")
    join(a, b)
    a.reset(ours)
    join(a, b)
    for session in (a, b):
        assert session.statistics().inbound_streams == session.statistics().outbound_streams == 0
    assert (a.statistics().streams_opened, a.statistics().unacknowledged) == (1, 0)
    assert b.statistics().bytes_received == 5
    assert (theirs.statistics().reading, theirs.statistics().writing) == (Half.RESET, Half.RESET)


def test_a_closed_connection_has_no_open_streams() -> None:
    a, b = pair()
    stream_pair(a, b)
    a.open_stream(0.0)
    for session in (a, b):
        session.close(ConnectionClosedError("cut"))
        now = session.statistics()
        assert (now.inbound_streams, now.outbound_streams, now.unacknowledged) == (0, 0, 0)


def test_refused_streams_and_pongs_are_counted() -> None:
    session = listener()
    for n in range(ACCEPT_BACKLOG + 2):
        deliver(session, frame(WINDOW_UPDATE, SYN, 2 * n + 1))
    for n in range(MAX_PENDING_PONGS + 3):
        deliver(session, frame(PING, SYN, 0, n) + frame(PING, ACK, 0, n))
    now = session.statistics()
    assert (now.streams_refused, now.unaccepted) == (2, ACCEPT_BACKLOG)
    assert (now.pongs_dropped, now.pongs_unsolicited) == (3, MAX_PENDING_PONGS + 3)
    assert now.rtt is None


def test_round_trip_times_are_in_seconds() -> None:
    a, b = pair()
    for begin, end in ((10.0, 10.25), (40.0, 40.75)):
        a.ping(now=begin)
        deliver(b, outgoing(a))
        deliver(a, outgoing(b), now=end)
    assert a.statistics().rtt == pytest.approx(0.5)
    assert a.statistics().least_rtt == pytest.approx(0.25)


def test_queued_data_is_counted_with_its_headers_until_it_is_taken() -> None:
    a, b = pair()
    ours, _ = stream_pair(a, b)
    write(a, ours, bytes(1000))
    assert a.statistics().bytes_queued == HEADER_SIZE + 1000
    outgoing(a)
    assert a.statistics().bytes_queued == 0
    assert a.statistics().bytes_sent == ours.statistics().bytes_sent == 1000


def test_a_window_tells_how_often_it_has_grown_and_the_budget_what_that_took() -> None:
    a, b = pair()
    b.liveness.least_rtt = 1.0
    ours, theirs = stream_pair(a, b)
    sizes = {}
    while theirs.receive_window.size < MAX_WINDOW_SIZE:
        now = theirs.statistics()
        sizes[now.window_growths] = now.receive_window
        assert b.statistics().receive_budget_used == now.receive_window - DEFAULT_WINDOW_SIZE
        write(a, ours, bytes(DEFAULT_WINDOW_SIZE))
        join(a, b)
        read(b, theirs)
        join(a, b)
    assert sizes == {n: DEFAULT_WINDOW_SIZE << n for n in range(6)}
    assert theirs.statistics().window_growths == 6
    b.reset(theirs)
    assert b.statistics().receive_budget_used == 0
    assert theirs.statistics().receive_window == MAX_WINDOW_SIZE, "what it was in the end"


def test_what_a_closed_reader_drops_was_received_all_the_same() -> None:
    session = listener()
    stream = inbound(session)
    session.close_read(stream)
    deliver(session, data_frame(1, bytes(700)))
    assert (stream.statistics().bytes_received, stream.statistics().unread) == (700, 0)
    assert session.statistics().bytes_received == 700


def test_data_for_streams_that_are_unknown_does_not_count() -> None:
    session = listener()
    deliver(session, data_frame(9, bytes(700)))
    assert session.statistics().bytes_received == 0


@pytest.mark.parametrize(
    ("wire", "reading", "writing"),
    [
        (frame(WINDOW_UPDATE, FIN, 1), Half.EOF, Half.OPEN),
        (frame(WINDOW_UPDATE, RST, 1), Half.RESET, Half.RESET),
    ],
    ids=["FIN", "RST"],
)
def test_the_halves_say_how_they_ended(wire: bytes, reading: Half, writing: Half) -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, wire)
    assert (stream.statistics().reading, stream.statistics().writing) == (reading, writing)


sizes = st.integers(0, 400_000)


@given(st.lists(st.tuples(sizes, sizes), max_size=30), st.sampled_from([0.0, 5.0]))
def test_the_bytes_of_a_stream_add_up(turns: list[tuple[int, int]], rtt: float) -> None:
    # They are not counted but computed from the credit: no update of a window may be missed.
    a, b = pair()
    b.liveness.least_rtt = rtt
    ours, theirs = stream_pair(a, b)
    written = taken = 0
    for writing, reading in turns:
        written += write(a, ours, bytes(writing))
        deliver(b, outgoing(a))
        taken += len(read(b, theirs, reading)) if reading else 0
        sender, receiver = ours.statistics(), theirs.statistics()
        assert sender.bytes_sent == a.statistics().bytes_sent == written
        assert receiver.bytes_received == b.statistics().bytes_received == written
        assert receiver.unread == written - taken
        join(a, b)
        assert ours.statistics().send_credit == theirs.statistics().receive_credit
