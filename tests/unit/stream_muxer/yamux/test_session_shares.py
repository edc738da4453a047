"""What a connection takes of what it shares with others: time, memory, the wire."""

from __future__ import annotations

import pytest

from libp2p.exceptions import LocalProtocolError, MuxedStreamReset
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, ReceiveBudget
from libp2p.stream_muxer.yamux.session import (
    MAX_EVENTS_AT_ONCE,
    MAX_FRAMES_AT_ONCE,
    MAX_PENDING_CONTROL,
    RESOURCE_LIMIT_EXCEEDED,
    UNREAD_CHECK_BYTES,
    Event,
    StreamReadable,
    StreamWritable,
    YamuxSession,
)
from tests.support.ends import (
    ACK,
    PING,
    SYN,
    WINDOW_UPDATE,
    RawFrame,
    data_frame,
    deliver,
    frame,
    inbound,
    listener,
    opened,
    read,
    sent,
)

KIB = 1024
MIB = 1024 * KIB

# -- time ------------------------------------------------------------------------------------------


def test_so_many_frames_are_handled_before_others_have_their_turn() -> None:
    session = listener()
    pings = b"".join(frame(PING, SYN, 0, n) for n in range(3 * MAX_FRAMES_AT_ONCE + 1))
    answered = [len(sent(session)) for _ in session.receive([pings], 0.0)]
    assert len(answered) == 4
    assert answered[3] == 1
    assert all(answered)


def test_so_many_tasks_are_woken_before_others_have_their_turn() -> None:
    session = listener()
    wire = b"".join(frame(WINDOW_UPDATE, SYN, 2 * n + 1) for n in range(3 * MAX_EVENTS_AT_ONCE))
    turns = list(session.receive([wire], 0.0))
    assert [len(opened(events)) for events in turns] == [MAX_EVENTS_AT_ONCE] * 3 + [0]


def test_a_batch_of_bulk_is_one_turn() -> None:
    session = listener()
    streams = [inbound(session, n) for n in (1, 3)]
    wire = b"".join(data_frame(n, bytes(64 * KIB)) for n in (1, 3, 1, 3))
    assert list(session.receive([wire], 0.0)) == [[StreamReadable(each) for each in streams]]


# -- the wire --------------------------------------------------------------------------------------


def test_what_this_side_resets_itself_is_not_held_against_the_peer() -> None:
    session = listener()
    resets = 0
    while session.can_open:
        session.reset(session.open_stream(0.0))
        resets += 1
    assert 2 * resets == MAX_PENDING_CONTROL
    with pytest.raises(LocalProtocolError, match="await"):
        session.open_stream(0.0)
    assert deliver(session, frame(PING, SYN, 0, 7)) == []
    assert sent(session)[0] == RawFrame(PING, ACK, 0, 7)
    assert session.can_open


# -- memory ----------------------------------------------------------------------------------------


def ids(streams: int) -> range:
    """So many ids of the peer's."""
    return range(1, 2 * streams, 2)


def fill(session: YamuxSession, streams: int, size: int = DEFAULT_WINDOW_SIZE) -> list[Event]:
    """``size`` bytes for each of the streams 1, 3, 5, ...; nobody reads them."""
    events: list[Event] = []
    for stream_id in ids(streams):
        inbound(session, stream_id)
        events += deliver(session, data_frame(stream_id, bytes(size)))
    return events


def unread(session: YamuxSession) -> int:
    return sum(len(stream.inbox) for stream in session.streams.values())


def hosted(host: ReceiveBudget) -> YamuxSession:
    session = listener()
    session.budget.parent = host
    return session


def test_where_too_much_lies_unread_the_fullest_streams_are_reset() -> None:
    host = ReceiveBudget(4 * MIB)
    session = hosted(host)
    small = inbound(session, 999)
    deliver(session, data_frame(999, b"small"))
    events = fill(session, 40)
    lost = [event.stream for event in events if isinstance(event, StreamWritable)]
    assert lost
    assert all(StreamReadable(stream) in events for stream in lost)
    with pytest.raises(MuxedStreamReset) as caught:
        read(session, lost[0])
    assert (caught.value.error_code, caught.value.remote) == (RESOURCE_LIMIT_EXCEEDED, False)
    assert unread(session) <= 2 * MIB + UNREAD_CHECK_BYTES
    assert read(session, small) == b"small"


def test_what_has_been_read_does_not_count() -> None:
    session = hosted(ReceiveBudget(4 * MIB))
    stream = inbound(session)
    for _ in range(40):
        deliver(session, data_frame(1, bytes(200 * KIB)))
        assert len(read(session, stream)) == 200 * KIB
    assert session.streams == {1: stream}


def test_one_connection_leaves_as_much_for_others_as_it_takes_itself() -> None:
    host = ReceiveBudget(8 * MIB)
    greedy, second = hosted(host), hosted(host)
    fill(greedy, 80)
    fill(second, 80)
    assert unread(greedy) <= 4 * MIB + UNREAD_CHECK_BYTES
    assert unread(greedy) + unread(second) <= 8 * MIB
    modest = hosted(host)
    assert not [e for e in fill(modest, 5) if isinstance(e, StreamWritable)]


def test_what_is_put_back_counts_again() -> None:
    # A negotiation reads all there is and puts back what comes after it.
    session = hosted(ReceiveBudget(4 * MIB))
    for stream_id in ids(40):
        stream = inbound(session, stream_id)
        deliver(session, data_frame(stream_id, bytes(DEFAULT_WINDOW_SIZE)))
        session.unread(stream, read(session, stream))
    assert unread(session) <= 2 * MIB + UNREAD_CHECK_BYTES


def test_nothing_is_put_back_into_a_stream_that_is_closed_or_reset() -> None:
    session = listener()
    closed, reset = inbound(session, 1), inbound(session, 3)
    session.close_read(closed)
    session.reset(reset)
    for stream in (closed, reset):
        session.unread(stream, b"late")
    assert unread(session) == 0
    assert not reset.inbox


def test_a_connection_that_ends_gives_back_what_it_held() -> None:
    host = ReceiveBudget(8 * MIB)
    for _ in range(5):
        session = hosted(host)
        assert not [e for e in fill(session, 15) if isinstance(e, StreamWritable)]
        session.close(ConnectionError())


def test_a_connection_without_a_host_has_only_its_windows() -> None:
    session = listener()
    fill(session, 40)
    assert unread(session) == 40 * DEFAULT_WINDOW_SIZE


def test_unread_data_does_not_keep_what_came_beside_it_in_memory() -> None:
    # A record with 60 KiB for nobody and 4 KiB that nobody reads would cost 64 KiB for 4.
    session = listener()
    stream = inbound(session, 501)
    for _ in range(20):
        deliver(session, data_frame(501, bytes(4 * KIB)) + data_frame(77, bytes(60 * KIB)))
    fill(session, 6)
    held = [chunk for chunk in stream.inbox.take_all() if isinstance(chunk, memoryview)]
    assert held == []
