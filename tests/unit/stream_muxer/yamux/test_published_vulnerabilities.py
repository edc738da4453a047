"""
What was published about other yamux implementations, named after the advisory.

Those that concern waiting, connections, keys and records are tested where these are:
GHSA-29qp-crvh-w22m in tests/drivers/stream_muxer, CVE-2022-23492 in tests/integration,
GHSA-xqvc-92cf-94j4 with multistream-select, CVE-2023-39533 with the keys and certificates and
CVE-2023-40583 with the peer store.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count, islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from libp2p.exceptions import RemoteProtocolError
from libp2p.stream_muxer.yamux.config import (
    ACCEPT_BACKLOG,
    MAX_INBOUND_STREAMS,
    MAX_PENDING_CONTROL,
    MAX_PENDING_PONGS,
    YamuxConfig,
)
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, MAX_CREDIT
from libp2p.stream_muxer.yamux.session import YamuxSession
from tests.support.ends import (
    ACK,
    DATA,
    FIN,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Chop,
    chops,
    data_frame,
    deliver,
    frame,
    inbound,
    listener,
    opened,
    outgoing,
    pair,
    sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# -- CVE-2024-32984 (GHSA-3999-5ffv-wp2r), rust-yamux: unbounded queue of control frames -----------


def open_and_reset() -> Iterator[bytes]:
    for stream_id in count(1, 2):
        yield frame(WINDOW_UPDATE, SYN, stream_id) + frame(WINDOW_UPDATE, RST, stream_id)


def write_beyond_a_closed_reader() -> Iterator[bytes]:
    for stream_id in count(1, 2):
        yield data_frame(stream_id, bytes(DEFAULT_WINDOW_SIZE), SYN)


FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "pings": lambda: (frame(PING, SYN, 0, value) for value in count()),
    "streams": lambda: (frame(WINDOW_UPDATE, SYN, stream_id) for stream_id in count(1, 2)),
    "streams with data": lambda: (data_frame(stream_id, b"x", SYN) for stream_id in count(1, 2)),
    "streams that end": lambda: (frame(WINDOW_UPDATE, SYN | FIN, n) for n in count(1, 2)),
    "streams that are reset": open_and_reset,
    "data that nobody wants": write_beyond_a_closed_reader,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
@pytest.mark.parametrize("accepts", [False, True], ids=["nobody accepts", "all are closed"])
def test_cve_2024_32984_what_a_peer_provokes_and_does_not_read_is_bounded(
    flood: Callable[[], Iterator[bytes]], accepts: bool
) -> None:
    session = listener()
    with suppress(RemoteProtocolError):  # it may be cut off
        for wire in islice(flood(), 10 * MAX_PENDING_CONTROL):
            for stream in opened(deliver(session, wire)):
                if accepts:
                    session.accept(stream)
                    session.close_read(stream)
                    session.close_write(stream)
    frames = sent(session)
    # Opening is answered once, and what this side's application does adds an end to each stream.
    assert len(frames) <= 3 * (MAX_PENDING_CONTROL + 1) + MAX_PENDING_PONGS
    assert len(session.streams) <= MAX_INBOUND_STREAMS


def test_cve_2024_32984_pongs_nobody_reads_are_dropped() -> None:
    session = listener()
    for value in range(10_000):
        deliver(session, frame(PING, SYN, 0, value))
    assert session.statistics().pongs_dropped == 10_000 - MAX_PENDING_PONGS
    assert [f.length for f in sent(session)] == list(range(MAX_PENDING_PONGS))


def test_cve_2024_32984_a_peer_that_does_not_read_the_resets_it_provokes_is_cut_off() -> None:
    session = YamuxSession(is_initiator=False, config=YamuxConfig(max_inbound_streams=0))
    for n in range(MAX_PENDING_CONTROL):
        deliver(session, frame(WINDOW_UPDATE, SYN, 2 * n + 1))
    with pytest.raises(RemoteProtocolError, match="provokes"):
        deliver(session, frame(WINDOW_UPDATE, SYN, 2 * MAX_PENDING_CONTROL + 1))


def test_cve_2024_32984_a_peer_that_reads_what_it_provokes_may_go_on() -> None:
    session = YamuxSession(is_initiator=False, config=YamuxConfig(max_inbound_streams=0))
    for n in range(2 * MAX_PENDING_CONTROL):
        deliver(session, frame(WINDOW_UPDATE, SYN, 2 * n + 1))
        assert len(sent(session)) == 1


# -- CVE-2026-31814, rust-yamux: a panic when granted credit overflows -----------------------------


@pytest.mark.parametrize(
    "grants",
    [
        [MAX_CREDIT - DEFAULT_WINDOW_SIZE + 1],
        [MAX_CREDIT - DEFAULT_WINDOW_SIZE, 1],
        [MAX_CREDIT],
        [2**31, 2**31],
    ],
)
@pytest.mark.parametrize("flags", [0, ACK, FIN, ACK | FIN])
def test_cve_2026_31814_window_update_overflow_is_a_protocol_error(
    grants: list[int], flags: int
) -> None:
    session = YamuxSession(is_initiator=True)
    stream = session.open_stream(0.0)
    *fitting, last = grants
    for delta in fitting:
        deliver(session, frame(WINDOW_UPDATE, 0, stream.stream_id, delta))
    before = stream.send_credit
    with pytest.raises(RemoteProtocolError, match="overflows") as caught:
        deliver(session, frame(WINDOW_UPDATE, flags, stream.stream_id, last))
    assert caught.value.code == 1
    assert stream.send_credit == before


def test_cve_2026_31814_credit_on_top_of_an_opening_overflows_as_well() -> None:
    session = listener()
    with pytest.raises(RemoteProtocolError, match="overflows"):
        deliver(session, frame(WINDOW_UPDATE, SYN, 1, MAX_CREDIT))


def test_cve_2026_31814_the_last_value_of_32_bits_may_be_reached() -> None:
    session = listener()
    stream = inbound(session)
    deliver(session, frame(WINDOW_UPDATE, 0, 1, MAX_CREDIT - DEFAULT_WINDOW_SIZE))
    assert stream.send_credit == MAX_CREDIT
    with pytest.raises(RemoteProtocolError, match="overflows"):
        deliver(session, frame(WINDOW_UPDATE, 0, 1, 1))


# -- CVE-2026-32314 (GHSA-vxx9-2994-q338), rust-yamux: state before validation ---------------------


@given(chops)
def test_cve_2026_32314_a_first_body_beyond_the_window_is_refused_before_there_is_a_stream(
    chop: Chop,
) -> None:
    session = listener()
    with pytest.raises(RemoteProtocolError) as caught:
        deliver(session, frame(DATA, SYN, 1, DEFAULT_WINDOW_SIZE + 1) + bytes(1000), chop=chop)
    assert caught.value.code == 1
    assert not session.streams
    assert not session.has_outgoing
    assert session.statistics().inbound_streams == 0


def test_cve_2026_32314_a_first_body_as_large_as_the_window_is_fine() -> None:
    session = listener()
    [stream] = opened(deliver(session, data_frame(1, bytes(DEFAULT_WINDOW_SIZE), SYN)))
    assert len(stream.inbox) == DEFAULT_WINDOW_SIZE


# -- CVE-2022-23492, -23486, -23487, go, rust and js: exhaustion by many streams -------------------


def test_cve_2022_23492_one_connection_holds_only_so_many_streams_and_bytes() -> None:
    session = listener()
    taken = 0
    for number in range(3 * MAX_INBOUND_STREAMS):
        for stream in opened(deliver(session, data_frame(2 * number + 1, bytes(100), SYN))):
            session.accept(stream)  # and nobody reads
            taken += 1
        outgoing(session)
    assert taken == len(session.streams) == MAX_INBOUND_STREAMS
    assert session.statistics().streams_refused == 2 * MAX_INBOUND_STREAMS
    assert session.statistics().receive_budget_used == 0, "unread windows do not grow"


def test_cve_2022_23492_streams_that_nobody_has_taken_are_fewer_still() -> None:
    a, b = pair()
    for number in range(2 * ACCEPT_BACKLOG):
        deliver(b, frame(WINDOW_UPDATE, SYN, 2 * number + 1))
    assert len(b.streams) == ACCEPT_BACKLOG
    refusals = sent(b)
    assert len(refusals) == ACCEPT_BACKLOG
    assert {(f.kind, f.flags) for f in refusals} == {(WINDOW_UPDATE, RST)}
    for refusal in refusals:
        assert deliver(a, frame(*refusal)) == []
