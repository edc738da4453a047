"""Frames: their bytes, and the parser under any split of them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import RemoteProtocolError
from libp2p.stream_muxer.yamux.frame import (
    CONTINUATION,
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    HEADER_SIZE,
    MAX_FRAME_PAYLOAD,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    Frame,
    FrameParser,
    encode_header,
)
from tests.support.ends import Chop, RawFrame, chops, frame, octets


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ((TYPE_DATA, 0, 1, 5), "00 00 0000 00000001 00000005"),
        ((TYPE_WINDOW_UPDATE, FLAG_SYN, 1, 0), "00 01 0001 00000001 00000000"),
        ((TYPE_WINDOW_UPDATE, FLAG_ACK, 2, 0), "00 01 0002 00000002 00000000"),
        ((TYPE_WINDOW_UPDATE, FLAG_ACK | FLAG_FIN, 3, 0), "00 01 0006 00000003 00000000"),
        ((TYPE_WINDOW_UPDATE, FLAG_RST, 7, 0x1002), "00 01 0008 00000007 00001002"),
        ((TYPE_WINDOW_UPDATE, 0, 0xFFFFFFFF, 2**18), "00 01 0000 FFFFFFFF 00040000"),
        ((TYPE_PING, FLAG_SYN, 0, 0xDEADBEEF), "00 02 0001 00000000 DEADBEEF"),
        ((TYPE_GO_AWAY, 0, 0, 0x1005), "00 03 0000 00000000 00001005"),
    ],
)
def test_headers_are_those_of_the_specification(
    header: tuple[int, int, int, int], expected: str
) -> None:
    encoded = encode_header(*header)
    assert encoded == bytes.fromhex(expected)
    assert next(FrameParser().receive([encoded]))[:4] == header


def test_one_frame_fills_exactly_one_noise_record() -> None:
    assert HEADER_SIZE + MAX_FRAME_PAYLOAD + 16 == 65_535


def reassemble(frames: Iterable[Frame]) -> list[RawFrame]:
    """Put the pieces of each Data frame together again."""
    out: list[RawFrame] = []
    for kind, flags, stream_id, length, body in frames:
        if kind != CONTINUATION:
            out.append(RawFrame(kind, flags, stream_id, length, bytes(body)))
            continue
        begun = out[-1]
        assert begun.stream_id == stream_id
        assert not begun.flags & FLAG_FIN, "the end was told before the last piece"
        out[-1] = begun._replace(flags=begun.flags | flags, body=begun.body + bytes(body))
    return out


flag_sets = st.integers(0, 15)
stream_ids = st.integers(0, 2**32 - 1)
raw_frames = st.one_of(
    st.builds(
        lambda flags, stream_id, body: RawFrame(TYPE_DATA, flags, stream_id, len(body), body),
        flag_sets,
        stream_ids,
        octets(60),
    ),
    st.builds(
        RawFrame,
        st.integers(1, 3),
        flag_sets,
        stream_ids,
        st.integers(0, 2**32 - 1),
        st.just(b""),
    ),
)


@given(st.lists(raw_frames), chops)
def test_any_split_gives_the_same_frames(sent: list[RawFrame], chop: Chop) -> None:
    parser = FrameParser()
    frames: list[Frame] = []
    for piece in chop(b"".join(frame(*each) for each in sent)):
        frames += parser.receive([memoryview(piece)])
    assert reassemble(frames) == sent


@given(st.lists(raw_frames), chops)
def test_pieces_may_come_in_one_batch(sent: list[RawFrame], chop: Chop) -> None:
    pieces = chop(b"".join(frame(*each) for each in sent))
    assert reassemble(FrameParser().receive([b"", *pieces, b""])) == sent


def test_a_frame_in_one_piece_is_not_cut() -> None:
    wire = frame(TYPE_DATA, FLAG_FIN, 1, 3, b"abc") + frame(TYPE_PING, FLAG_SYN, 0, 9)
    frames = list(FrameParser().receive([wire]))
    assert frames == [(TYPE_DATA, FLAG_FIN, 1, 3, b"abc"), (TYPE_PING, FLAG_SYN, 0, 9, b"")]


def test_bodies_are_views_of_what_was_received() -> None:
    wire = frame(TYPE_DATA, 0, 1, 3, b"abc")
    ((_, _, _, _, body),) = FrameParser().receive([wire])
    assert isinstance(body, memoryview)
    assert body.obj is wire


def test_the_end_of_a_stream_comes_with_the_last_piece_of_its_body() -> None:
    wire = frame(TYPE_DATA, FLAG_ACK | FLAG_FIN, 5, 4, b"abcd")
    assert list(FrameParser().receive([wire[:13], wire[13:15], wire[15:]])) == [
        (TYPE_DATA, FLAG_ACK, 5, 4, b"a"),
        (CONTINUATION, 0, 5, 0, b"bc"),
        (CONTINUATION, FLAG_FIN, 5, 0, b"d"),
    ]


def test_a_large_body_is_handed_on_before_it_is_complete() -> None:
    parser = FrameParser()
    first = frame(TYPE_DATA, 0, 1, 2**32 - 1) + b"beginning"
    assert list(parser.receive([first])) == [(TYPE_DATA, 0, 1, 2**32 - 1, b"beginning")]


@pytest.mark.parametrize("wire", ["01 00 0000 00000001 00000000", "ff 02 0001 00000000 00000000"])
def test_an_unknown_version_is_an_error(wire: str) -> None:
    with pytest.raises(RemoteProtocolError, match="version"):
        list(FrameParser().receive([bytes.fromhex(wire)]))


@pytest.mark.parametrize("kind", [4, 5, 255])
def test_an_unknown_type_is_an_error_under_any_split(kind: int) -> None:
    wire = frame(kind, 0, 1, 0)
    for at in range(HEADER_SIZE):
        parser = FrameParser()
        with pytest.raises(RemoteProtocolError, match="type"):
            list(parser.receive([wire[:at], wire[at:]]))
