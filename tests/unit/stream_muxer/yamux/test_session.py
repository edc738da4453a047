"""A yamux connection without a socket: its bytes on the wire, and two of them joined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import (
    MuxedStreamReset,
)
from libp2p.resources import Resources
from libp2p.stream_muxer.yamux.events import (
    Event,
    GoAwayReceived,
    OpenAllowed,
    StreamOpened,
    StreamReadable,
    StreamWritable,
)
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.frame import MAX_FRAME_PAYLOAD
from libp2p.stream_muxer.yamux.session import YamuxSession
from libp2p.stream_muxer.yamux.stream_state import Half
from tests.support.ends import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Chop,
    RawFrame,
    chops,
    data_frame,
    deliver,
    frame,
    inbound,
    join,
    listener,
    octets,
    opened,
    outgoing,
    pair,
    read,
    readable,
    sent,
    stream_pair,
    write,
)

KIB = 1024


# -- the bytes of control frames -------------------------------------------------------------------


def test_opening_sends_syn_with_no_extra_credit() -> None:
    a, _ = pair()
    a.open_stream(0.0)
    a.open_stream(0.0)
    assert outgoing(a).hex() == "000100010000000100000000" + "000100010000000300000000"


def test_the_listener_opens_even_ids() -> None:
    _, b = pair()
    b.open_stream(0.0)
    assert outgoing(b).hex() == "000100010000000200000000"


def test_accepting_sends_ack_with_no_extra_credit() -> None:
    session = listener()
    (stream,) = opened(deliver(session, frame(WINDOW_UPDATE, SYN, 1)))
    assert outgoing(session) == b"", "not before the application takes the stream"
    session.accept(stream)
    session.accept(stream)
    assert outgoing(session).hex() == "000100020000000100000000"


def test_closing_sends_fin_after_the_data() -> None:
    session = listener()
    stream = inbound(session)
    write(session, stream, b"bye")
    session.close_write(stream)
    session.close_write(stream)
    assert outgoing(session).hex() == (
        "000000000000000100000003" + b"bye".hex() + "000100040000000100000000"
    )


def test_closing_a_stream_that_was_not_accepted_acknowledges_it() -> None:
    session = listener()
    (stream,) = opened(deliver(session, frame(WINDOW_UPDATE, SYN, 1)))
    session.close_write(stream)
    assert outgoing(session).hex() == "000100060000000100000000"
    session.accept(stream)
    assert outgoing(session) == b"", "one ACK is enough"


def test_resetting_sends_the_error_code_as_length() -> None:
    session = listener()
    session.reset(inbound(session), 0x1003)
    assert outgoing(session).hex() == "000100080000000100001003"


def test_pings_and_pongs_have_the_specified_bytes() -> None:
    a, b = pair()
    assert a.ping(now=0.0)
    ping = outgoing(a)
    assert ping.hex() == "000200010000000000000001"
    deliver(b, ping)
    assert outgoing(b).hex() == "000200020000000000000001"


def test_going_away_is_said_once() -> None:
    session = listener()
    session.go_away(1)
    session.go_away(0)
    assert outgoing(session).hex() == "000300000000000000000001"


def test_data_is_sent_in_frames_of_one_noise_record() -> None:
    session = listener()
    stream = inbound(session)
    assert write(session, stream, bytes(2 * MAX_FRAME_PAYLOAD + 1)) == 2 * MAX_FRAME_PAYLOAD + 1
    assert [(f.kind, f.flags, f.length) for f in sent(session)] == [
        (DATA, 0, MAX_FRAME_PAYLOAD),
        (DATA, 0, MAX_FRAME_PAYLOAD),
        (DATA, 0, 1),
    ]


def test_what_is_written_before_it_is_sent_shares_frames() -> None:
    session = listener()
    stream, other = inbound(session), inbound(session, 3)
    for data in (b"abc", bytes(MAX_FRAME_PAYLOAD - 4), b"de"):
        write(session, stream, data)
    write(session, other, b"other")
    write(session, stream, b"f")
    session.close_write(stream)
    write(session, other, b"another")
    assert [(f.flags, f.stream_id, f.length) for f in sent(session)] == [
        (0, 1, MAX_FRAME_PAYLOAD),
        (0, 1, 1),
        (0, 3, 5),
        (0, 1, 1),
        (FIN, 1, 0),
        (0, 3, 7),
    ]
    write(session, other, b"in the next batch")
    assert sent(session) == [RawFrame(DATA, 0, 3, 17, b"in the next batch")]


def test_a_frame_may_gather_several_pieces() -> None:
    session = listener()
    stream = inbound(session)
    session.send(stream, [b"one", memoryview(b"two")], 6)
    assert sent(session) == [RawFrame(DATA, 0, 1, 6, b"onetwo")]


def test_control_goes_out_before_data() -> None:
    session = listener()
    stream = inbound(session)
    write(session, stream, b"bulk")
    deliver(session, frame(PING, SYN, 0, 9) + frame(WINDOW_UPDATE, SYN, 3))
    session.open_stream(0.0)
    assert [(f.kind, f.flags) for f in sent(session)] == [
        (PING, ACK),
        (WINDOW_UPDATE, SYN),
        (DATA, 0),
    ]


def test_going_away_goes_out_after_what_was_written() -> None:
    session = listener()
    stream = inbound(session)
    write(session, stream, b"last words")
    session.go_away(0)
    assert [f.kind for f in sent(session)] == [DATA, GO_AWAY]


# -- two ends --------------------------------------------------------------------------------------


def test_a_stream_carries_bytes_both_ways_and_leaves_no_trace() -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    write(a, ours, b"question")
    a.close_write(ours)
    join(a, b)
    assert read(b, theirs) == b"question"
    assert b.read(theirs, 10, 0.0) == []
    assert theirs.reading is Half.EOF
    write(b, theirs, b"answer")
    b.close_write(theirs)
    join(a, b)
    assert read(a, ours) == b"answer"
    assert ours.reading is Half.EOF
    assert not a.streams
    assert not b.streams


def test_both_sides_may_close_at_the_same_time() -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    a.close_write(ours)
    b.close_write(theirs)
    join(a, b)
    assert not a.streams
    assert not b.streams


def test_a_window_of_data_can_be_sent_and_no_byte_more() -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    assert write(a, ours, bytes(2 * DEFAULT_WINDOW_SIZE)) == DEFAULT_WINDOW_SIZE
    join(a, b)
    assert a.sendable(ours) == 0
    assert theirs.receive_window.credit == 0
    assert len(read(b, theirs, 32 * KIB)) == 32 * KIB
    events, _ = join(a, b)
    assert events == [StreamWritable(ours)]
    assert a.sendable(ours) == 32 * KIB


def test_a_window_update_is_announced_only_to_a_writer_without_credit() -> None:
    session = listener()
    stream = inbound(session)
    assert deliver(session, frame(WINDOW_UPDATE, 0, 1, 5)) == []
    assert stream.send_credit == DEFAULT_WINDOW_SIZE + 5
    assert deliver(session, frame(WINDOW_UPDATE, 0, 1, 0)) == []


def test_credit_that_came_with_the_opening_is_added() -> None:
    session = listener()
    (stream,) = opened(deliver(session, frame(WINDOW_UPDATE, SYN, 1, 1000)))
    assert stream.send_credit == DEFAULT_WINDOW_SIZE + 1000


def test_window_updates_of_a_stream_are_merged() -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    write(a, ours, bytes(200 * KIB))
    join(a, b)
    for _ in range(4):
        b.read(theirs, 40 * KIB, 0.0)
    assert sent(b) == [RawFrame(WINDOW_UPDATE, 0, 1, 160 * KIB)]


def test_reading_less_than_an_eighth_of_the_window_sends_nothing() -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    write(a, ours, bytes(200 * KIB))
    join(a, b)
    b.read(theirs, 32 * KIB - 1, 0.0)
    assert not b.has_outgoing


def test_no_credit_is_returned_for_what_the_peer_has_finished() -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    write(a, ours, bytes(200 * KIB))
    join(a, b)
    b.read(theirs, 100 * KIB, 0.0)
    a.close_write(ours)
    deliver(b, outgoing(a))
    assert len(read(b, theirs)) == 100 * KIB
    assert not b.has_outgoing


def test_a_fast_reader_gets_a_window_that_grows_and_the_budget_pays() -> None:
    resources = Resources()
    host = resources.scope("receive windows", 2 * DEFAULT_WINDOW_SIZE)
    a = YamuxSession(is_initiator=True)
    b = YamuxSession(is_initiator=False, resources=resources)
    b.liveness.least_rtt = 1.0
    ours, theirs = stream_pair(a, b)
    for _ in range(40):
        write(a, ours, bytes(64 * KIB))
        join(a, b)
        read(b, theirs, now=0.0)
        join(a, b)
    assert theirs.receive_window.size == 2 * DEFAULT_WINDOW_SIZE
    assert ours.send_credit + 32 * KIB > theirs.receive_window.size - 64 * KIB
    assert host.held == DEFAULT_WINDOW_SIZE
    b.reset(theirs)
    assert host.held == 0


def test_reading_nothing_is_not_an_error() -> None:
    session = listener()
    assert session.read(inbound(session), 10, 0.0) == []


def test_a_limit_is_kept_when_reading() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, data_frame(1, b"abcdef"))
    assert [read(session, stream, 4), read(session, stream, 4)] == [b"abcd", b"ef"]


def test_readers_are_told_of_data_after_none_and_of_the_end() -> None:
    session = listener()
    stream = inbound(session)
    assert deliver(session, data_frame(1, b"a")) == [StreamReadable(stream)]
    assert deliver(session, data_frame(1, b"b")) == []
    assert deliver(session, data_frame(1, b"")) == []
    read(session, stream)
    assert deliver(session, data_frame(1, b"")) == []
    assert deliver(session, frame(WINDOW_UPDATE, FIN, 1)) == [StreamReadable(stream)]


# -- flags, on their own and together --------------------------------------------------------------


@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
def test_flags_are_understood_on_both_types_of_frame(kind: int) -> None:
    a, _ = pair()
    ours = a.open_stream(0.0)
    assert deliver(a, frame(kind, ACK, 1)) == [OpenAllowed()]
    assert deliver(a, frame(kind, FIN, 1)) == [StreamReadable(ours)]
    b = listener()
    (theirs,) = opened(deliver(b, frame(kind, SYN, 1)))
    assert deliver(b, frame(kind, RST, 1)) == [StreamReadable(theirs), StreamWritable(theirs, True)]


@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
def test_a_stream_may_be_opened_and_ended_by_one_frame(kind: int) -> None:
    session = listener()
    events = deliver(session, frame(kind, SYN | FIN, 1))
    (stream,) = opened(events)
    assert stream.reading is Half.EOF
    session.accept(stream)
    write(session, stream, b"still open this way")
    session.close_write(stream)
    assert not session.streams


@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
def test_fin_with_ack_acknowledges_and_ends_the_stream(kind: int) -> None:
    a, _ = pair()
    ours = a.open_stream(0.0)
    assert deliver(a, frame(kind, ACK | FIN, 1)) == [OpenAllowed(), StreamReadable(ours)]
    assert ours.acknowledged
    assert ours.reading is Half.EOF


def test_data_may_come_with_every_flag() -> None:
    session = listener()
    (stream,) = opened(deliver(session, data_frame(1, b"first", SYN)))
    deliver(session, data_frame(1, b" and last", FIN))
    assert read(session, stream) == b"first and last"
    assert stream.reading is Half.EOF


def test_the_end_is_not_told_before_the_last_piece_of_its_frame() -> None:
    session = listener()
    stream = inbound(session)
    wire = data_frame(1, b"abcd", FIN)
    deliver(session, wire[:-1])
    assert not stream.peer_finished
    deliver(session, wire[-1:])
    assert read(session, stream) == b"abcd"
    assert stream.reading is Half.EOF


def test_a_reset_carries_its_code_only_on_a_window_update() -> None:
    for wire, code in (
        (frame(WINDOW_UPDATE, RST, 1, 0x1005), 0x1005),
        (data_frame(1, b"x", RST), 0),
    ):
        session = listener()
        stream = inbound(session)
        deliver(session, wire)
        with pytest.raises(MuxedStreamReset) as caught:
            session.read(stream, 10, 0.0)
        assert (caught.value.error_code, caught.value.remote) == (code, True)
        assert not session.streams


def test_the_body_of_a_frame_that_resets_is_drained() -> None:
    session = listener()
    stream = inbound(session)
    wire = data_frame(1, b"\x00\x02\x00\x01" * 100, RST)
    events = deliver(session, wire[:100])
    events += deliver(session, wire[100:] + frame(PING, SYN, 0, 5))
    assert events == [StreamReadable(stream), StreamWritable(stream, True)]
    assert not stream.inbox
    assert sent(session) == [RawFrame(PING, ACK, 0, 5)]


def test_a_stream_opened_and_reset_by_one_frame_is_told_and_gone() -> None:
    session = listener()
    (stream,) = opened(deliver(session, frame(WINDOW_UPDATE, SYN | RST, 1, 9)))
    session.accept(stream)
    assert not session.streams
    assert outgoing(session) == b"", "there is nobody to acknowledge"
    with pytest.raises(MuxedStreamReset):
        session.sendable(stream)


def test_a_second_fin_changes_nothing() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, frame(WINDOW_UPDATE, FIN, 1))
    assert deliver(session, frame(WINDOW_UPDATE, FIN, 1)) == []
    assert session.streams == {1: stream}


def test_data_after_the_end_is_dropped() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, frame(WINDOW_UPDATE, FIN, 1) + data_frame(1, b"ghost"))
    assert session.read(stream, 10, 0.0) == []


def test_an_ack_that_nobody_waits_for_is_ignored() -> None:
    session = listener()
    inbound(session)
    a, b = pair()
    stream_pair(a, b)
    assert deliver(session, frame(WINDOW_UPDATE, ACK, 1)) == []
    assert deliver(a, frame(WINDOW_UPDATE, ACK, 1)) == []
    assert a._unacknowledged == 0


# -- any split -------------------------------------------------------------------------------------


def _story() -> bytes:
    """Everything that a peer may say on a few streams."""
    return b"".join(
        [
            frame(WINDOW_UPDATE, SYN, 1),
            frame(PING, SYN, 0, 1),
            data_frame(3, b"opened with data", SYN),
            data_frame(1, b"x" * 300),
            frame(WINDOW_UPDATE, 0, 1, 1000),
            data_frame(5, b"all in one", SYN | FIN),
            data_frame(99, b"for nobody"),
            data_frame(1, b"", FIN),
            data_frame(3, b"and ended", FIN),
            frame(WINDOW_UPDATE, SYN, 7),
            frame(WINDOW_UPDATE, RST, 7, 0x1001),
            frame(PING, ACK, 0, 12345),
            frame(GO_AWAY, 0, 0, 0),
        ]
    )


def _told(events: list[Event]) -> list[tuple[str, int]]:
    return [
        (type(e).__name__, e.code if isinstance(e, GoAwayReceived) else e.stream.stream_id)
        for e in events
        if isinstance(e, StreamOpened | StreamReadable | StreamWritable | GoAwayReceived)
    ]


@given(chops)
def test_any_split_gives_the_same_events(chop: Chop) -> None:
    at_once, in_pieces = listener(), listener()
    expected = deliver(at_once, _story())
    events = deliver(in_pieces, _story(), chop=chop)
    assert _told(events) == _told(expected)
    assert outgoing(in_pieces) == outgoing(at_once)
    assert in_pieces.statistics() == at_once.statistics()
    for mine, theirs in zip(opened(events), opened(expected), strict=True):
        assert read(in_pieces, mine) == read(at_once, theirs) if mine.inbox else not theirs.inbox
        assert (mine.reading, mine.writing, mine.send_credit, mine.receive_window.credit) == (
            theirs.reading,
            theirs.writing,
            theirs.send_credit,
            theirs.receive_window.credit,
        )


@given(chops, st.lists(octets(3000, min_size=1), min_size=1, max_size=20))
def test_any_split_carries_the_same_bytes(chop: Chop, messages: list[bytes]) -> None:
    a, b = pair()
    ours, theirs = stream_pair(a, b)
    received = b""
    for message in messages:
        write(a, ours, message)
        _, events = join(a, b, chop=chop)
        assert readable(events) == [theirs]
        received += read(b, theirs)
    a.close_write(ours)
    join(a, b, chop=chop)
    assert received == b"".join(messages)
    assert theirs.reading is Half.EOF
