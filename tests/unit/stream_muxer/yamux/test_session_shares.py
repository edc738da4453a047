"""What a connection takes of what it shares with others: time, memory, the wire."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from libp2p.exceptions import LocalProtocolError, MuxedStreamReset, RemoteProtocolError
from libp2p.resources import Resources, Scope
from libp2p.stream_muxer.yamux.config import (
    LEAST_PENDING_CONTROL,
    LEAST_SEND_QUEUE_BYTES,
    MAX_PENDING_CONTROL,
)
from libp2p.stream_muxer.yamux.events import Event, StreamReadable
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.holdings import ACCOUNT_STEP, MAX_UNREAD_BYTES
from libp2p.stream_muxer.yamux.session import (
    CUT_STREAMS,
    MAX_EVENTS_AT_ONCE,
    MAX_FRAMES_AT_ONCE,
    RESOURCE_LIMIT_EXCEEDED,
    YamuxSession,
)
from tests.support.ends import (
    ACK,
    PING,
    RST,
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from _typeshed import TraceFunction

    from libp2p.stream_muxer.yamux.stream_state import StreamState

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


def _lines_run(action: Callable[[], object]) -> int:
    """Count the lines of Python that ``action`` runs: its time, on any machine."""
    lines = 0

    def trace(_frame: FrameType, event: str, _arg: object) -> TraceFunction:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return lines


def test_what_lies_unread_does_not_make_the_next_frame_cost_more() -> None:
    session = listener()
    streams = [inbound(session, n) for n in range(1, 201, 2)]
    batch = b"".join(data_frame(each.stream_id, bytes(512)) for each in streams)
    deliver(session, batch)
    first = _lines_run(partial(deliver, session, batch))
    for _ in range(50):
        deliver(session, batch)
    assert sum(each.inbox.size for each in streams) == 52 * 512 * len(streams)
    assert _lines_run(partial(deliver, session, batch)) < 1.2 * first


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


def host_with(name: str, limit: int) -> tuple[Resources, Scope]:
    """A host with this limit, and the scope that has it."""
    resources = Resources()
    return resources, resources.scope(name, limit)


def watched(resources: Resources) -> tuple[YamuxSession, list[StreamState]]:
    """A connection of a host, and the streams that it loses for want of resources."""
    lost: list[StreamState] = []
    return listener(resources, lost.append), lost


def test_where_too_much_lies_unread_the_fullest_streams_are_reset() -> None:
    resources, host = host_with("unread bytes", 4 * MIB)
    session, lost = watched(resources)
    small = inbound(session, 999)
    deliver(session, data_frame(999, b"small"))
    fill(session, 40)
    assert lost
    with pytest.raises(MuxedStreamReset) as caught:
        read(session, lost[0])
    assert (caught.value.error_code, caught.value.remote) == (RESOURCE_LIMIT_EXCEEDED, False)
    assert 3 * MIB < unread(session) <= 4 * MIB + ACCOUNT_STEP
    assert host.held <= 4 * MIB
    assert read(session, small) == b"small"


def test_what_has_been_read_does_not_count() -> None:
    resources, host = host_with("unread bytes", 4 * MIB)
    session, lost = watched(resources)
    stream = inbound(session)
    for _ in range(40):
        deliver(session, data_frame(1, bytes(200 * KIB)))
        assert len(read(session, stream)) == 200 * KIB
    assert not lost
    assert host.held == 0


def test_the_connection_with_the_most_unread_bytes_is_the_one_that_loses_streams() -> None:
    resources, _ = host_with("unread bytes", 8 * MIB)
    (greedy, lost), (modest, none_lost) = watched(resources), watched(resources)
    fill(modest, 5)
    fill(greedy, 80)
    assert lost
    assert not none_lost
    second, _ = watched(resources)
    fill(second, 10)
    assert unread(second) == 10 * DEFAULT_WINDOW_SIZE
    assert unread(greedy) + unread(second) + unread(modest) <= 8 * MIB + 3 * ACCOUNT_STEP
    assert not none_lost


def test_many_connections_with_little_each_are_counted_too() -> None:
    resources, _ = host_with("unread bytes", 8 * MIB)
    sessions = [listener(resources) for _ in range(100)]
    for session in sessions:
        fill(session, 2, 80 * KIB)
    assert sum(map(unread, sessions)) <= 8 * MIB + 100 * ACCOUNT_STEP


def test_a_batch_counts_as_a_whole_while_a_part_of_it_is_unread() -> None:
    resources, host = host_with("unread bytes", 8 * MIB)
    session, _ = watched(resources)
    slow, quick = inbound(session, 1), inbound(session, 3)
    batch = data_frame(1, bytes(4 * KIB)) + data_frame(3, bytes(200 * KIB))
    for _ in range(2):
        deliver(session, batch)
        read(session, quick)
        assert host.held >= len(batch)
    deliver(session, frame(PING, SYN, 0, 1))
    assert not any(isinstance(chunk, memoryview) for chunk in slow.inbox.take_all())


def test_what_is_put_back_is_copied_out_with_the_next_batch_and_not_before() -> None:
    resources, _ = host_with("unread bytes", 8 * MIB)
    session, _ = watched(resources)
    slow, quick = inbound(session, 1), inbound(session, 3)
    deliver(session, data_frame(1, bytes(4 * KIB)) + data_frame(3, bytes(200 * KIB)))
    read(session, quick)
    [buffer] = session.read(slow, 5 * KIB, 0.0)
    session.unread(slow, memoryview(buffer)[100:])
    session.unread(slow, memoryview(buffer)[:100])
    assert [type(chunk) for chunk in slow.inbox._chunks] == [memoryview, memoryview]
    deliver(session, frame(PING, SYN, 0, 1))
    assert [type(chunk) for chunk in slow.inbox._chunks] == [bytes, bytes]
    assert unread(session) == 4 * KIB


def test_memory_is_given_back_before_a_stream_is_cut() -> None:
    resources, host = host_with("unread bytes", MIB)
    connections = [watched(resources) for _ in range(20)]
    for session, _ in connections:
        inbound(session, 1)
        quick = inbound(session, 3)
        deliver(session, data_frame(1, bytes(4 * KIB)) + data_frame(3, bytes(200 * KIB)))
        read(session, quick)
        assert host.held <= MIB
    assert not [lost for _, lost in connections if lost]
    assert all(unread(session) == 4 * KIB for session, _ in connections)


def test_what_is_put_back_counts_again() -> None:
    # A negotiation reads all there is and puts back what comes after it.
    resources, _ = host_with("unread bytes", 4 * MIB)
    session, lost = watched(resources)
    for stream_id in ids(40):
        stream = inbound(session, stream_id)
        deliver(session, data_frame(stream_id, bytes(DEFAULT_WINDOW_SIZE)))
        session.unread(stream, read(session, stream))
    assert lost
    assert unread(session) <= 4 * MIB + DEFAULT_WINDOW_SIZE + ACCOUNT_STEP


@pytest.mark.parametrize("end", ["read", "close", "reset", "reset by the peer", "lost"])
def test_nothing_is_held_for_a_stream_that_has_ended(end: str) -> None:
    resources, host = host_with("unread bytes", 4 * MIB)
    session = listener(resources)
    stream = inbound(session)
    deliver(session, data_frame(1, bytes(DEFAULT_WINDOW_SIZE)))
    assert host.held > DEFAULT_WINDOW_SIZE
    if end == "read":
        read(session, stream)
    elif end == "close":
        session.close_read(stream)
    elif end == "reset":
        session.reset(stream)
    elif end == "lost":
        session.close(ConnectionError())
        assert len(read(session, stream)) == DEFAULT_WINDOW_SIZE
    else:
        deliver(session, frame(WINDOW_UPDATE, RST, 1))
    assert host.held == 0
    session.unread(stream, b"put back")
    assert host.held == 0


def test_nothing_is_put_back_into_a_stream_that_is_closed_or_reset() -> None:
    session = listener()
    closed, reset = inbound(session, 1), inbound(session, 3)
    session.close_read(closed)
    session.reset(reset)
    for stream in (closed, reset):
        session.unread(stream, b"late")
    assert unread(session) == 0
    assert not reset.inbox


def test_a_connection_without_a_host_has_limits_of_its_own() -> None:
    session, lost = watched(Resources())
    fill(session, 300)
    assert lost
    assert unread(session) <= MAX_UNREAD_BYTES


def test_where_much_waits_for_sockets_every_connection_may_queue_a_little() -> None:
    resources, host = host_with("queued bytes", 2 * MIB)
    stuck = [listener(resources) for _ in range(20)]
    for session in stuck:
        stream = inbound(session)
        session.on_socket_full(0.0, 100 * KIB, 0)
        while not session.is_congested and session.sendable(stream):
            session.send(stream, [bytes(16 * KIB)], 16 * KIB)
    queued = [session.statistics().bytes_queued for session in stuck]
    assert queued[0] >= DEFAULT_WINDOW_SIZE
    assert LEAST_SEND_QUEUE_BYTES <= queued[-1] < 2 * LEAST_SEND_QUEUE_BYTES
    assert host.held < 2 * MIB + 20 * (LEAST_SEND_QUEUE_BYTES + 100 * KIB + ACCOUNT_STEP)
    for session in stuck:
        session.take_outgoing()
        session.on_socket_drained()
        assert not session.is_congested
    assert host.held == 0


def test_a_connection_whose_socket_takes_everything_does_not_count() -> None:
    resources, host = host_with("queued bytes", 2 * MIB)
    session = listener(resources)
    session.send(inbound(session), [bytes(200 * KIB)], 200 * KIB)
    assert host.held == 0


def test_control_frames_count_for_what_waits() -> None:
    resources, _ = host_with("queued bytes", 0)
    session = listener(resources)
    session.on_socket_full(0.0, 64 * KIB, 0)
    for stream_id in ids(LEAST_PENDING_CONTROL):
        session.accept(opened(deliver(session, frame(WINDOW_UPDATE, SYN, stream_id)))[0])
    session.accept(opened(deliver(session, frame(WINDOW_UPDATE, SYN, 9999)))[0])
    with pytest.raises(RemoteProtocolError, match="provokes"):
        deliver(session, frame(PING, SYN, 0, 1))


def test_what_a_connection_sends_after_its_end_is_nobodys() -> None:
    resources, host = host_with("queued bytes", 2 * MIB)
    session = listener(resources)
    session.on_socket_full(0.0, 100 * KIB, 0)
    assert host.held == 100 * KIB
    session.close(ConnectionError())
    session.on_socket_full(0.0, 200 * KIB, 0)
    assert host.held == 0


# -- inbound streams -------------------------------------------------------------------------------


def test_where_a_host_has_too_many_streams_the_connection_with_the_most_loses_idle_ones() -> None:
    resources, host = host_with("inbound streams", 100)
    (greedy, lost), (modest, none_lost) = watched(resources), watched(resources)
    for stream_id in ids(95):
        inbound(greedy, stream_id)
    deliver(greedy, data_frame(1, b"busy"))
    for stream_id in ids(20):
        inbound(modest, stream_id)
    assert not none_lost
    assert [stream.stream_id for stream in lost] == [2 * n + 3 for n in range(CUT_STREAMS)]
    assert host.held == 115 - CUT_STREAMS
    for session in (greedy, modest):
        session.close(ConnectionError())
    assert host.held == 0


def test_where_no_stream_is_idle_the_oldest_go() -> None:
    resources, _ = host_with("inbound streams", 10)
    (session, lost), (other, _) = watched(resources), watched(resources)
    for stream_id in ids(10):
        inbound(session, stream_id)
        deliver(session, data_frame(stream_id, b"unread"))
    inbound(other, 1)
    assert [stream.stream_id for stream in lost] == list(ids(10))


def test_who_has_its_share_of_streams_is_refused_more() -> None:
    resources, host = host_with("inbound streams", 10)
    session, lost = watched(resources)
    for stream_id in ids(10):
        inbound(session, stream_id)
    assert deliver(session, frame(WINDOW_UPDATE, SYN, 21)) == []
    assert not lost
    assert host.held == 10


def test_a_stream_for_which_there_is_no_room_at_all_is_refused() -> None:
    resources, host = host_with("inbound streams", 0)
    session, _ = watched(resources)
    assert deliver(session, frame(WINDOW_UPDATE, SYN, 1)) == []
    assert sent(session) == [RawFrame(WINDOW_UPDATE, RST, 1, RESOURCE_LIMIT_EXCEEDED)]
    assert host.held == 0
