"""Frames that wait for the socket: their order, and what shares them."""

from __future__ import annotations

import pytest

from libp2p.exceptions import MuxedStreamClosed
from libp2p.resources import Resources
from libp2p.stream_muxer.yamux.config import LEAST_SEND_QUEUE_BYTES, YamuxConfig
from libp2p.stream_muxer.yamux.frame import HEADER_SIZE, MAX_FRAME_PAYLOAD
from libp2p.stream_muxer.yamux.send_queue import SendQueue
from libp2p.stream_muxer.yamux.session import TURN_BYTES, YamuxSession
from tests.support.ends import (
    DATA,
    FIN,
    PING,
    WINDOW_UPDATE,
    RawFrame,
    inbound,
    listener,
    pair,
    parse,
    stream_pair,
)


def taken(queue: SendQueue) -> list[RawFrame]:
    return parse(b"".join(queue.take()))


def test_writes_to_one_stream_share_frames_until_these_are_full() -> None:
    queue = SendQueue()
    for size in (1, MAX_FRAME_PAYLOAD - 1, MAX_FRAME_PAYLOAD + 5, 2):
        queue.add_data(1, [bytes(size)])
    assert queue.data_bytes == 2 * MAX_FRAME_PAYLOAD + 7 + 3 * HEADER_SIZE
    sizes = [(each.stream_id, each.length) for each in taken(queue)]
    assert sizes == [(1, MAX_FRAME_PAYLOAD), (1, MAX_FRAME_PAYLOAD), (1, 7)]
    assert (queue.data_bytes, queue.take()) == (0, [])


def test_frames_of_different_streams_are_different() -> None:
    queue = SendQueue()
    for stream_id in (1, 3, 3, 1):
        queue.add_data(stream_id, [b"ab", b"", b"c"])
    assert [(each.stream_id, each.body) for each in taken(queue)] == [
        (1, b"abc"),
        (3, b"abcabc"),
        (1, b"abc"),
    ]


def test_nothing_is_added_to_a_frame_behind_its_end() -> None:
    queue = SendQueue()
    queue.add_data(1, [b"ab"])
    queue.add_after_data(WINDOW_UPDATE, FIN, 1, 0)
    queue.add_data(1, [b"c"])
    kinds = [(each.kind, each.body) for each in taken(queue)]
    assert kinds == [(DATA, b"ab"), (WINDOW_UPDATE, b""), (DATA, b"c")]


def test_nothing_is_added_to_a_frame_that_was_taken() -> None:
    queue = SendQueue()
    queue.add_data(1, [b"ab"])
    queue.take()
    queue.add_data(1, [b"c"])
    assert [each.body for each in taken(queue)] == [b"c"]


def test_control_goes_before_data_and_window_updates_are_merged() -> None:
    queue = SendQueue()
    queue.add_data(1, [b"ab"])
    queue.add_credit(3, 100)
    queue.add_credit(3, 50)
    queue.add_credit(5, 7)
    queue.drop_credit(5)
    queue.add_pong(9)
    assert [(each.kind, each.length) for each in taken(queue)] == [
        (PING, 9),
        (WINDOW_UPDATE, 150),
        (DATA, 2),
    ]


@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
def test_a_buffer_may_be_changed_after_it_was_queued(kind: type[bytearray]) -> None:
    queue = SendQueue()
    buffer = kind(b"ab")
    queue.add_data(1, [buffer])
    buffer[0:2] = b"xy"
    assert [each.body for each in taken(queue)] == [b"ab"]


def test_a_view_of_bytes_is_not_copied() -> None:
    queue = SendQueue()
    view = memoryview(b"ab")
    queue.add_data(1, [view])
    assert queue.take()[1] is view


# -- writing without waiting -----------------------------------------------------------------------


def test_a_write_that_needs_no_waiting_is_queued_whole() -> None:
    a, b = pair()
    ours, _ = stream_pair(a, b)
    assert a.try_send(ours, [b"ab", b"c"], 3)
    assert a.statistics().bytes_sent == 3


def test_a_write_beyond_the_credit_is_not_queued() -> None:
    a, b = pair()
    ours, _ = stream_pair(a, b)
    ours.charge(ours.send_credit - 2)
    assert not a.try_send(ours, [b"abc"], 3)
    assert a.try_send(ours, [b"ab"], 2)
    assert a.statistics().bytes_sent == 2


def test_where_enough_is_queued_a_write_has_to_wait() -> None:
    session = YamuxSession(is_initiator=False, config=YamuxConfig(max_send_queue=40_000))
    stream = inbound(session)
    most = 40_000 + TURN_BYTES
    assert not session.try_send(stream, [bytes(most + 1)], most + 1)
    assert session.try_send(stream, [bytes(30_000)], 30_000)
    assert not session.try_send(stream, [bytes(most)], most)
    assert session.try_send(stream, [bytes(TURN_BYTES)], TURN_BYTES)
    assert not session.try_send(stream, [b"a"], 1)


def test_where_a_host_has_too_much_queued_only_a_little_is_queued_at_once() -> None:
    resources = Resources()
    resources.scope("queued bytes", 0)
    session = listener(resources)
    stream = inbound(session)
    most = 2 * LEAST_SEND_QUEUE_BYTES
    assert not session.try_send(stream, [bytes(most + 1)], most + 1)
    assert session.try_send(stream, [bytes(most)], most)
    assert not session.try_send(stream, [b"a"], 1)


def test_a_closed_stream_cannot_be_written_to_even_if_that_would_have_to_wait() -> None:
    a, b = pair()
    ours, _ = stream_pair(a, b)
    a.close_write(ours)
    with pytest.raises(MuxedStreamClosed):
        a.try_send(ours, [bytes(2 * TURN_BYTES)], 2 * TURN_BYTES)
