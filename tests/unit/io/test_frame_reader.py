"""Length-prefixed messages out of any split of their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import MessageTooLarge, ParseError
from libp2p.io.frame_reader import FrameReader
from libp2p.utils.varint import encode_uvarint, encode_varint_prefixed
from tests.support.fragments import cut, piece_sizes

LIMIT = 40_000

messages = st.lists(st.one_of(st.binary(max_size=300), st.sampled_from([b"", bytes(30_000)])))


@given(messages, piece_sizes)
def test_any_split_gives_the_same_messages(expected: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(encode_varint_prefixed, expected))
    reader = FrameReader(LIMIT)
    received: list[bytes] = []
    for piece in cut(stream, sizes):
        received += reader.receive([piece])
    assert received == expected
    assert reader.at_boundary
    assert FrameReader(LIMIT).receive(list(cut(stream, sizes))) == expected


def test_byte_by_byte() -> None:
    stream = encode_varint_prefixed(bytes(200)) + encode_varint_prefixed(b"") + b"\x01x"
    reader = FrameReader(LIMIT)
    received = [
        message for index in range(len(stream)) for message in reader.receive([stream[index:][:1]])
    ]
    assert received == [bytes(200), b"", b"x"]


def test_messages_are_bytes_whatever_they_came_as() -> None:
    view = memoryview(bytearray(b"\x01a\x02bc"))
    received = FrameReader(LIMIT).receive([view])
    view[:] = bytes(5)
    assert received == [b"a", b"bc"]
    assert {type(message) for message in received} == {bytes}


def test_the_end_of_a_stream_inside_a_message_can_be_told() -> None:
    reader = FrameReader(LIMIT)
    assert reader.at_boundary
    for piece, at_boundary in [
        (b"\x01a", True),
        (b"\x80", False),  # inside a length
        (b"\x01", False),  # before the first byte of the message
        (bytes(127), False),
        (b"z", True),
    ]:
        reader.receive([piece])
        assert reader.at_boundary is at_boundary


@pytest.mark.parametrize("pieces", [[b"\x05hello"], [b"\x05"], [b"", b"\x05", b"hello"]])
def test_a_message_above_the_limit_is_refused_at_its_length(pieces: list[bytes]) -> None:
    with pytest.raises(MessageTooLarge, match="5 bytes exceeds maximum allowed 4"):
        FrameReader(4).receive(pieces)


def test_an_announced_exabyte_takes_no_memory() -> None:
    reader = FrameReader(LIMIT)
    prefix = encode_uvarint(2**60)
    for byte in prefix[:-1]:
        assert reader.receive([bytes((byte,))]) == []
    with pytest.raises(MessageTooLarge):
        reader.receive([prefix[-1:]])


@pytest.mark.parametrize("prefix", [b"\x80\x00", b"\xff" * 9, b"\xff" * 10])
def test_malformed_lengths_are_refused_however_they_come(prefix: bytes) -> None:
    with pytest.raises(ParseError):
        FrameReader(LIMIT).receive([prefix])
    with pytest.raises(ParseError):
        FrameReader(LIMIT).receive([prefix[:1], prefix[1:]])


def test_the_limit_itself_is_allowed() -> None:
    assert FrameReader(4).receive([b"\x04four"]) == [b"four"]
