"""What a yamux peer may not do, and what it may do only so often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import (
    LocalProtocolError,
    MuxedConnUnavailable,
    RemoteProtocolError,
)
from libp2p.stream_muxer.yamux.config import (
    ACCEPT_BACKLOG,
    MAX_INBOUND_STREAMS,
    MAX_SEND_QUEUE_BYTES,
    MAX_UNACKNOWLEDGED,
    YamuxConfig,
)
from libp2p.stream_muxer.yamux.events import OpenAllowed, StreamReadable
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, MAX_CREDIT
from libp2p.stream_muxer.yamux.session import MAX_STREAM_ID, RESOURCE_LIMIT_EXCEEDED, YamuxSession
from libp2p.stream_muxer.yamux.write_scheduler import BATCH_BYTES
from tests.support.ends import (
    ACK,
    DATA,
    FIN,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Chop,
    RawFrame,
    chopped_by,
    chops,
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
    sent,
    stream_pair,
    write,
)

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.stream_state import StreamState

KIB = 1024


# -- what a peer must not do -----------------------------------------------------------------------


VIOLATIONS = {
    "version": bytes.fromhex("0100000000000001 00000000"),
    "type": frame(4, 0, 1),
    "SYN of id 0": frame(WINDOW_UPDATE, SYN, 0),
    "data for id 0": data_frame(0, b"x"),
    "window update for id 0": frame(WINDOW_UPDATE, 0, 0, 10),
    "SYN of this side's parity": frame(WINDOW_UPDATE, SYN, 2),
    "data and SYN of this side's parity": data_frame(2, b"x", SYN),
    "SYN of a live id": frame(WINDOW_UPDATE, SYN, 1),
    "first data beyond the window": frame(DATA, SYN, 3, DEFAULT_WINDOW_SIZE + 1),
    "data beyond the window": frame(DATA, 0, 1, DEFAULT_WINDOW_SIZE + 1),
    "credit overflow": frame(WINDOW_UPDATE, 0, 1, MAX_CREDIT - DEFAULT_WINDOW_SIZE + 1),
    "credit overflow at the opening": frame(WINDOW_UPDATE, SYN, 3, MAX_CREDIT),
}


@pytest.mark.parametrize("wire", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_broken_rule_ends_the_connection_with_a_protocol_error(wire: bytes) -> None:
    session = listener()
    inbound(session)
    with pytest.raises(RemoteProtocolError) as caught:
        deliver(session, wire)
    assert caught.value.code == 1


@pytest.mark.parametrize("wire", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_broken_rule_is_noticed_under_any_split(wire: bytes) -> None:
    for at in range(len(wire)):
        session = listener()
        inbound(session)
        with pytest.raises(RemoteProtocolError):
            list(session.receive([wire[:at], wire[at:]], 0.0))


def test_the_initiator_minds_parity_too() -> None:
    session = YamuxSession(is_initiator=True)
    with pytest.raises(RemoteProtocolError, match="parity"):
        deliver(session, frame(WINDOW_UPDATE, SYN, 1))
    assert len(opened(deliver(session, frame(WINDOW_UPDATE, SYN, 2)))) == 1


def test_a_peer_that_ignores_the_window_is_cut_off_after_256_kib() -> None:
    session = listener()
    stream = inbound(session)
    chunk = data_frame(1, bytes(16 * KIB))
    with pytest.raises(RemoteProtocolError, match="credit"):
        deliver(session, chunk * 4096, chop=chopped_by([len(chunk)]))
    assert len(stream.inbox) == DEFAULT_WINDOW_SIZE


@given(st.integers(1, DEFAULT_WINDOW_SIZE), chops)
def test_a_frame_as_large_as_the_window_is_accepted_in_pieces(size: int, chop: Chop) -> None:
    session = listener()
    stream = inbound(session)
    body = bytes(i & 0xFF for i in range(min(size, 300))) + bytes(max(0, size - 300))
    head, tail = body[:300], body[300:]
    deliver(session, frame(DATA, 0, 1, size) + head, chop=chop)
    assert len(stream.inbox) == len(head), "handed on before the frame is complete"
    deliver(session, tail)
    assert read(session, stream) == body


# -- late frames -----------------------------------------------------------------------------------


@given(
    st.sampled_from([0, ACK, FIN, ACK | FIN, RST]), st.sampled_from([DATA, WINDOW_UPDATE]), chops
)
def test_frames_for_unknown_streams_are_drained(flags: int, kind: int, chop: Chop) -> None:
    session = listener()
    stream = inbound(session, 3)
    body = b"late" * 50 if kind == DATA else b""
    wire = frame(kind, flags, 1, 200, body) + data_frame(3, b"on time")
    assert deliver(session, wire, chop=chop) == [StreamReadable(stream)]
    assert read(session, stream) == b"on time"
    assert set(session.streams) == {3}
    assert not session.has_outgoing


def test_a_body_whose_stream_is_reset_meanwhile_is_drained() -> None:
    session = listener()
    stream = inbound(session)
    wire = data_frame(1, b"a" * 100, FIN)
    deliver(session, wire[:50])
    session.reset(stream)
    session.take_outgoing()
    assert deliver(session, wire[50:] + frame(PING, SYN, 0, 1)) == []
    assert sent(session) == [RawFrame(PING, ACK, 0, 1)]


def test_an_id_may_come_again_once_its_stream_is_gone() -> None:
    session = listener()
    session.reset(inbound(session))
    assert len(opened(deliver(session, frame(WINDOW_UPDATE, SYN, 1)))) == 1


def test_ids_may_arrive_out_of_order() -> None:
    session = listener()
    streams = opened(
        deliver(session, b"".join(frame(WINDOW_UPDATE, SYN, n) for n in (9, 1, 5, MAX_STREAM_ID)))
    )
    assert [stream.stream_id for stream in streams] == [9, 1, 5, MAX_STREAM_ID]


# -- limits ----------------------------------------------------------------------------------------


def test_streams_that_nobody_accepts_are_refused_beyond_the_backlog() -> None:
    session = listener()
    wire = b"".join(frame(WINDOW_UPDATE, SYN, 2 * n + 1) for n in range(300))
    taken = opened(deliver(session, wire + frame(PING, SYN, 0, 77)))
    assert len(taken) == ACCEPT_BACKLOG == 256
    frames = sent(session)
    assert frames[0] == RawFrame(PING, ACK, 0, 77), "pings are answered all the same"
    assert frames[1:] == [
        RawFrame(WINDOW_UPDATE, RST, 2 * n + 1, RESOURCE_LIMIT_EXCEEDED) for n in range(256, 300)
    ]
    assert session.statistics().streams_refused == 44
    session.accept(taken[0])
    assert len(opened(deliver(session, frame(WINDOW_UPDATE, SYN, 1001)))) == 1


def test_data_for_a_refused_stream_is_drained() -> None:
    session = YamuxSession(is_initiator=False, config=YamuxConfig(max_inbound_streams=0))
    assert deliver(session, data_frame(1, b"x" * 1000, SYN) + data_frame(1, b"y")) == []
    assert sent(session) == [RawFrame(WINDOW_UPDATE, RST, 1, RESOURCE_LIMIT_EXCEEDED)]


def test_streams_that_were_reset_unseen_still_fill_the_backlog() -> None:
    # Else a peer could make the queue of streams to accept as long as it likes.
    session = listener()
    taken: list[StreamState] = []
    for n in range(2 * ACCEPT_BACKLOG):
        wire = frame(WINDOW_UPDATE, SYN, 2 * n + 1) + frame(WINDOW_UPDATE, RST, 2 * n + 1)
        taken += opened(deliver(session, wire))
    assert len(taken) == ACCEPT_BACKLOG
    assert not session.streams
    for stream in taken:
        session.accept(stream)
    assert len(opened(deliver(session, frame(WINDOW_UPDATE, SYN, 9999)))) == 1


def test_inbound_streams_are_limited_in_all() -> None:
    session = listener()
    for n in range(MAX_INBOUND_STREAMS):
        inbound(session, 2 * n + 1)
    assert deliver(session, frame(WINDOW_UPDATE, SYN, 2 * MAX_INBOUND_STREAMS + 1)) == []
    assert [f.flags for f in sent(session)] == [RST]
    session.reset(session.streams[1])
    assert (
        len(opened(deliver(session, frame(WINDOW_UPDATE, SYN, 2 * MAX_INBOUND_STREAMS + 3)))) == 1
    )


def test_opening_stops_at_256_unacknowledged_streams() -> None:
    a, _ = pair()
    streams = [a.open_stream(0.0) for _ in range(MAX_UNACKNOWLEDGED)]
    assert not a.can_open
    with pytest.raises(LocalProtocolError, match="256"):
        a.open_stream(0.0)
    assert deliver(a, frame(WINDOW_UPDATE, ACK, streams[0].stream_id)) == [OpenAllowed()]
    assert a.can_open


@pytest.mark.parametrize(
    "wire",
    [
        frame(WINDOW_UPDATE, RST, 1),
        frame(WINDOW_UPDATE, FIN, 1),  # without ACK, after our own FIN
        data_frame(1, bytes(DEFAULT_WINDOW_SIZE)),  # without ACK, after we closed reading
    ],
    ids=["RST", "FIN", "data"],
)
def test_a_stream_that_ends_unacknowledged_frees_its_place_once(wire: bytes) -> None:
    a, _ = pair()
    ours = a.open_stream(0.0)
    a.close_write(ours)
    a.close_read(ours)
    assert OpenAllowed() in deliver(a, wire)
    assert a._unacknowledged == 0
    assert deliver(a, frame(WINDOW_UPDATE, ACK, 1)) == []
    assert a._unacknowledged == 0


def test_resetting_an_unacknowledged_stream_frees_its_place() -> None:
    a, _ = pair()
    ours = a.open_stream(0.0)
    a.reset(ours)
    a.reset(ours)
    assert a._unacknowledged == 0
    assert [f.flags for f in sent(a)] == [SYN, RST]


def test_ids_are_never_used_again() -> None:
    a, _ = pair()
    a._next_id = MAX_STREAM_ID
    assert a.open_stream(0.0).stream_id == MAX_STREAM_ID
    with pytest.raises(MuxedConnUnavailable, match="ids"):
        a.open_stream(0.0)


def test_writers_are_asked_to_wait_when_much_is_queued() -> None:
    a, b = pair()
    streams = [stream_pair(a, b)[0] for _ in range(3)]
    for stream in streams[:2]:
        assert not a.is_congested
        write(a, stream, bytes(DEFAULT_WINDOW_SIZE))
    assert a.is_congested
    assert len(outgoing(a)) >= MAX_SEND_QUEUE_BYTES
    assert not a.is_congested


def test_a_batch_is_complete_before_writers_have_to_wait() -> None:
    a, b = pair()
    stream, _ = stream_pair(a, b)
    batches = []
    for size in (BATCH_BYTES // 2, BATCH_BYTES // 2, 0):
        write(a, stream, bytes(size)) if size else outgoing(a)
        batches.append((a.send_queue.data_bytes >= BATCH_BYTES, a.is_congested))
    assert batches == [(False, False), (True, False), (False, False)]


# -- pings -----------------------------------------------------------------------------------------


def test_every_ping_gets_one_pong_with_its_value() -> None:
    session = listener()
    for value in (0, 7, 7, 2**32 - 1):
        deliver(session, frame(PING, SYN, 0, value))
        assert sent(session) == [RawFrame(PING, ACK, 0, value)]


def test_a_pong_measures_the_round_trip_time() -> None:
    a, b = pair()
    a.ping(now=10.0)
    assert a.liveness.ping_sent_at == 10.0
    deliver(b, outgoing(a), now=10.1)
    assert deliver(a, outgoing(b), now=10.2) == []
    assert a.liveness.rtt == pytest.approx(0.2)
    assert a.liveness.ping_sent_at is None


def test_later_samples_are_averaged() -> None:
    a, b = pair()
    for begin, end in ((0.0, 0.4), (30.0, 30.2)):
        a.ping(begin)
        deliver(b, outgoing(a))
        deliver(a, outgoing(b), now=end)
    assert a.liveness.rtt == pytest.approx(0.3)


def test_windows_go_by_the_shortest_round_trip_seen() -> None:
    # Later pongs wait in the queues that large windows have filled.
    a, b = pair()
    for begin, end in ((0.0, 0.01), (30.0, 31.0)):
        b.ping(begin)
        deliver(a, outgoing(b))
        deliver(b, outgoing(a), now=end)
    assert b.liveness.rtt > 0.5
    ours, theirs = stream_pair(a, b)
    write(a, ours, bytes(DEFAULT_WINDOW_SIZE))
    join(a, b)
    read(b, theirs, now=0.1)
    assert theirs.receive_window.size == DEFAULT_WINDOW_SIZE


def test_one_ping_at_a_time_is_in_flight_and_values_differ() -> None:
    a, b = pair()
    assert a.ping(0.0)
    assert not a.ping(1.0)
    (first,) = sent(a)
    deliver(b, frame(*first))
    deliver(a, outgoing(b))
    assert a.ping(2.0)
    assert sent(a)[0].length != first.length


def test_a_clock_that_steps_back_makes_no_negative_round_trip() -> None:
    a, b = pair()
    a.ping(5.0)
    deliver(b, outgoing(a))
    deliver(a, outgoing(b), now=4.0)
    assert a.liveness.rtt == 0.0


def test_a_pong_that_was_not_asked_for_does_not_touch_the_round_trip_time() -> None:
    session = listener()
    session.liveness.rtt = 0.05
    assert deliver(session, frame(PING, ACK, 0, 1), now=1e6) == []
    session.ping(0.0)
    (ping,) = sent(session)
    assert deliver(session, frame(PING, ACK, 0, ping.length + 1), now=1e6) == []
    assert session.liveness.rtt == 0.05
    assert session.statistics().pongs_unsolicited == 2
    deliver(session, frame(PING, ACK, 0, ping.length), now=0.05)
    assert session.liveness.ping_sent_at is None


def test_a_ping_without_flags_is_ignored() -> None:
    session = listener()
    assert deliver(session, frame(PING, 0, 0, 5)) == []
    assert not session.has_outgoing
