"""How streams and connections end, and what is left of them: nothing."""

from __future__ import annotations

import pytest

from libp2p.exceptions import (
    ConnectionClosedError,
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamReset,
)
from libp2p.resources import Resources
from libp2p.stream_muxer.yamux.config import MAX_LINGERING
from libp2p.stream_muxer.yamux.events import GoAwayReceived, StreamWritable
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from tests.support.ends import (
    DATA,
    FIN,
    GO_AWAY,
    RST,
    SYN,
    WINDOW_UPDATE,
    RawFrame,
    data_frame,
    deliver,
    frame,
    inbound,
    join,
    listener,
    opened,
    pair,
    read,
    sent,
    stream_pair,
    write,
)

KIB = 1024


# -- closing here ----------------------------------------------------------------------------------


def test_a_closed_half_says_so() -> None:
    session = listener()
    stream = inbound(session)
    session.close_write(stream)
    with pytest.raises(MuxedStreamClosed):
        session.sendable(stream)
    session.close_read(stream)
    session.close_read(stream)
    with pytest.raises(MuxedStreamClosed):
        session.read(stream, 1, 0.0)


def test_closing_reading_is_not_told_but_drops_what_is_unread() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, data_frame(1, b"unread"))
    session.close_read(stream)
    assert not session.has_outgoing
    assert not stream.inbox
    write(session, stream, b"still fine")
    assert [f.body for f in sent(session)] == [b"still fine"]


def test_a_peer_that_writes_on_after_we_closed_is_reset_once_its_credit_is_gone() -> None:
    session = listener()
    stream = inbound(session)
    write(session, stream, b"answer")
    session.close_write(stream)
    session.close_read(stream)
    deliver(session, data_frame(1, bytes(DEFAULT_WINDOW_SIZE - 1)))
    assert [(f.kind, f.flags) for f in sent(session)] == [(DATA, 0), (WINDOW_UPDATE, FIN)]
    deliver(session, data_frame(1, b"x") + frame(WINDOW_UPDATE, 0, 1, 5))
    assert sent(session) == [RawFrame(WINDOW_UPDATE, RST, 1, 0)]
    assert not session.streams


def test_a_peer_whose_credit_is_gone_when_we_close_is_reset_at_once() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, data_frame(1, bytes(DEFAULT_WINDOW_SIZE)))
    write(session, stream, b"enough")
    session.close_read(stream)
    session.close_write(stream)
    assert [(f.kind, f.flags) for f in sent(session)] == [
        (DATA, 0),
        (WINDOW_UPDATE, FIN),
        (WINDOW_UPDATE, RST),
    ]
    assert not session.streams


def test_the_reset_of_a_reader_who_left_does_not_cost_the_peer_its_answer() -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    write(b, theirs, b"complete answer")
    b.close_write(theirs)
    b.close_read(theirs)
    write(a, ours, bytes(DEFAULT_WINDOW_SIZE))
    join(a, b)
    assert read(a, ours) == b"complete answer"
    assert a.read(ours, 1, 0.0) == []
    with pytest.raises(MuxedStreamReset):
        a.sendable(ours)
    assert not a.streams
    assert not b.streams


def test_a_window_of_data_for_a_closed_reader_aborts_the_writing_half_too() -> None:
    session = listener()
    stream = inbound(session)
    session.close_read(stream)
    wire = data_frame(1, bytes(DEFAULT_WINDOW_SIZE), FIN)
    assert deliver(session, wire) == [StreamWritable(stream, True)]
    assert [f.flags for f in sent(session)] == [RST]
    with pytest.raises(MuxedStreamReset):
        session.sendable(stream)
    assert not session.streams


def test_no_bytes_for_a_closed_reader_are_not_an_offence() -> None:
    session = listener()
    stream = inbound(session)
    session.close_read(stream)
    assert deliver(session, data_frame(1, b"")) == []
    assert not session.has_outgoing
    deliver(session, frame(WINDOW_UPDATE, FIN, 1))
    session.close_write(stream)
    assert not session.streams


def test_the_oldest_stream_whose_peer_does_not_finish_is_reset_when_there_are_many() -> None:
    session = listener()
    streams = [inbound(session, 2 * n + 1) for n in range(MAX_LINGERING + 1)]
    for stream in streams:
        session.close_write(stream)
        session.close_read(stream)
    frames = sent(session)
    assert [f for f in frames if f.flags == RST] == [RawFrame(WINDOW_UPDATE, RST, 1, 0)]
    assert [f.flags for f in frames if f.stream_id == 1] == [FIN, RST]
    assert len(session.streams) == MAX_LINGERING
    deliver(session, frame(WINDOW_UPDATE, FIN, 3))
    late = inbound(session, 9999)
    session.close_read(late)
    session.close_write(late)
    assert [f.flags for f in sent(session)] == [FIN], "there is room again"


def test_resetting_after_the_end_drops_what_is_unread_and_sends_nothing() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, data_frame(1, b"unread", FIN))
    session.close_write(stream)
    session.take_outgoing()
    session.reset(stream, 5)
    assert not session.has_outgoing
    with pytest.raises(MuxedStreamReset) as caught:
        session.read(stream, 10, 0.0)
    assert (caught.value.error_code, caught.value.remote) == (5, False)


def test_a_reset_drops_what_is_unread_and_its_pending_credit() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, data_frame(1, bytes(100 * KIB)))
    session.read(stream, 50 * KIB, 0.0)
    session.reset(stream, 3)
    assert sent(session) == [RawFrame(WINDOW_UPDATE, RST, 1, 3)]
    with pytest.raises(MuxedStreamReset):
        session.read(stream, 10, 0.0)


def test_the_peers_code_is_told_even_after_our_own_reset() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, frame(WINDOW_UPDATE, RST, 1, 0x1007))
    session.reset(stream)
    with pytest.raises(MuxedStreamReset) as caught:
        session.sendable(stream)
    assert (caught.value.error_code, caught.value.remote) == (0x1007, True)


def test_unread_data_survives_both_ends_closing() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, data_frame(1, b"to be read later", FIN))
    session.close_write(stream)
    assert not session.streams
    assert read(session, stream) == b"to be read later"


# -- the end of the connection ---------------------------------------------------------------------


def test_the_peers_goodbye_is_told_with_its_code() -> None:
    assert deliver(listener(), frame(GO_AWAY, 0, 0, 0x1006)) == [GoAwayReceived(0x1006)]


def test_nothing_is_opened_nor_taken_while_going_away() -> None:
    session = listener()
    session.go_away(0)
    with pytest.raises(MuxedConnUnavailable):
        session.open_stream(0.0)
    assert deliver(session, frame(WINDOW_UPDATE, SYN, 1)) == []
    assert [(f.kind, f.flags) for f in sent(session)] == [(WINDOW_UPDATE, RST), (GO_AWAY, 0)]


def test_streams_go_on_while_going_away() -> None:
    session = listener()
    stream = inbound(session)
    session.go_away(0)
    write(session, stream, b"after")
    assert [f.kind for f in sent(session)] == [GO_AWAY, DATA]


def test_the_end_of_the_connection_ends_every_stream() -> None:
    resources = Resources()
    host = resources.scope("receive windows", 2**30)
    a, b = pair(resources)
    b.liveness.least_rtt = 1.0
    ours, theirs = stream_pair(a, b)
    for _ in range(3):
        write(a, ours, bytes(100 * KIB))
        join(a, b)
        b.read(theirs, 100 * KIB, 0.0)
    write(a, ours, b"unread")
    join(a, b)
    assert host.held > 0
    cause = ConnectionClosedError("cut")
    assert b.close(cause) == [theirs]
    assert b.close(ConnectionClosedError("again")) == []
    assert b.closed_by is cause
    assert host.held == 0
    assert not b.streams
    assert read(b, theirs) == b"unread"
    with pytest.raises(MuxedStreamReset) as caught:
        b.read(theirs, 1, 0.0)
    assert caught.value.__cause__ is cause
    b.close_write(theirs)
    b.close_read(theirs)
    b.reset(theirs)
    with pytest.raises(MuxedStreamReset):
        b.sendable(theirs)
    with pytest.raises(MuxedConnUnavailable) as unavailable:
        b.open_stream(0.0)
    assert unavailable.value.__cause__ is cause


def test_a_stream_accepted_after_the_end_is_not_acknowledged() -> None:
    session = listener()
    (stream,) = opened(deliver(session, data_frame(1, b"hello", SYN)))
    session.close(ConnectionClosedError("cut"))
    session.accept(stream)
    assert not session.has_outgoing
    assert read(session, stream) == b"hello"


# -- being told ------------------------------------------------------------------------------------


def test_the_end_of_both_directions_is_told_once_however_it_comes() -> None:
    a, b = pair()
    ended: list[int] = []
    b.on_stream_end(ended.append)
    (ours, theirs), (reset, _), (untold, _) = (stream_pair(a, b) for _ in range(3))
    a.close_write(ours)
    join(a, b)
    assert ended == []
    b.close_write(theirs)
    b.close_read(theirs)
    join(a, b)
    assert ended == [ours.stream_id]
    a.reset(reset, 0)
    join(a, b)
    assert ended == [ours.stream_id, reset.stream_id]
    b.on_stream_end(None)
    a.reset(untold, 0)
    join(a, b)
    assert ended == [ours.stream_id, reset.stream_id]
