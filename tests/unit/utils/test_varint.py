"""Unsigned varints, and messages behind their length."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import (
    IncompleteReadError,
    IncompleteVarint,
    MessageTooLarge,
    ParseError,
)
from libp2p.utils import varint
from libp2p.utils.varint import decode_uvarint, encode_uvarint
from tests.support.immediate import PiecewiseReader, run

# https://github.com/multiformats/unsigned-varint#examples
EXAMPLES = [
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (255, "ff01"),
    (300, "ac02"),
    (16384, "808001"),
    (2**63 - 1, "ffffffffffffffff7f"),
]


@pytest.mark.parametrize(("value", "encoded"), [(0, "00"), *EXAMPLES])
def test_examples_of_the_specification(value: int, encoded: str) -> None:
    raw = bytes.fromhex(encoded)
    assert encode_uvarint(value) == raw
    assert decode_uvarint(raw) == (value, len(raw))


@given(st.integers(min_value=0, max_value=2**63 - 1), st.binary(max_size=4), st.binary(max_size=4))
def test_decodes_what_it_encoded_wherever_it_stands(value: int, head: bytes, tail: bytes) -> None:
    encoded = encode_uvarint(value)
    expected = (value, len(head) + len(encoded))
    assert decode_uvarint(head + encoded + tail, len(head)) == expected
    assert decode_uvarint(memoryview(head + encoded + tail), len(head)) == expected


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_every_proper_prefix_is_incomplete(value: int) -> None:
    encoded = encode_uvarint(value)
    for length in range(len(encoded)):
        with pytest.raises(IncompleteVarint):
            decode_uvarint(encoded[:length])


@pytest.mark.parametrize("encoded", ["8000", "818000", "80808000"])
def test_longer_forms_of_a_number_are_refused(encoded: str) -> None:
    with pytest.raises(ParseError, match="shortest"):
        decode_uvarint(bytes.fromhex(encoded))


def test_ten_bytes_are_refused_without_a_look_at_the_tenth() -> None:
    with pytest.raises(ParseError, match="longer than 9") as caught:
        decode_uvarint(b"\xff" * 9)
    assert not isinstance(caught.value, IncompleteVarint)


def test_a_smaller_limit_holds() -> None:
    assert decode_uvarint(b"\xff\x7f", max_bytes=2) == (16383, 2)
    with pytest.raises(ParseError, match="longer than 2"):
        decode_uvarint(b"\x80\x80\x01", max_bytes=2)


def test_64_bits_are_encoded_for_protobuf_and_no_more() -> None:
    assert encode_uvarint(2**64 - 1) == b"\xff" * 9 + b"\x01"
    for impossible in (-1, 2**64):
        with pytest.raises(ValueError, match="64-bit"):
            encode_uvarint(impossible)


def test_names_of_py_libp2p() -> None:
    assert varint.decode_varint_with_size(b"\xac\x02rest") == (300, 2)
    assert varint.decode_varint_from_bytes(b"\xac\x02rest") == 300
    assert varint.encode_varint_prefixed(b"hello") == b"\x05hello"
    assert varint.encode_delim(b"hello\n") == b"\x06hello\n"


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_stream_is_read_up_to_the_varint_only(value: int) -> None:
    reader = PiecewiseReader([encode_uvarint(value) + b"rest"])
    assert run(varint.decode_uvarint_from_stream(reader)) == value
    assert run(reader.read()) == b"rest"


def read_limited(data: bytes, limit: int) -> bytes:
    reader = PiecewiseReader([data[:1], data[1:3], data[3:]])
    return run(varint.read_varint_prefixed_bytes_limited(reader, limit))


def test_prefixed_messages_are_read_from_a_stream() -> None:
    assert read_limited(b"\x05hello", 5) == b"hello"
    with pytest.raises(MessageTooLarge):
        read_limited(b"\x06", 5)
    with pytest.raises(IncompleteReadError):
        read_limited(b"\x05hell", 5)
    with pytest.raises(ValueError, match="max_length"):
        read_limited(b"\x00", 0)


def test_lines_are_read_from_a_stream() -> None:
    assert run(varint.read_delim(PiecewiseReader([b"\x03na\n"]))) == b"na"
    with pytest.raises(ParseError):
        run(varint.read_delim(PiecewiseReader([b"\x02na"])))


def test_bare_messages_are_read_to_the_end_of_the_stream() -> None:
    async def read(framed: bool, limit: int) -> bytes:
        reader = PiecewiseReader([b"\x02", b"ab"])
        return await varint.read_length_prefixed_protobuf(reader, framed, limit)

    assert run(read(True, 2)) == b"ab"
    assert run(read(False, 3)) == b"\x02ab"
    with pytest.raises(MessageTooLarge):
        run(read(False, 2))


def test_messages_are_read_from_a_file() -> None:
    read = varint.read_varint_prefixed_bytes_sync
    message = bytes(200)
    file = io.BytesIO(varint.encode_varint_prefixed(message) + b"\x01x")
    assert (read(file), read(file)) == (message, b"x")
    with pytest.raises(IncompleteVarint):
        read(io.BytesIO(b"\x80"))
    with pytest.raises(ParseError, match="2 bytes before"):
        read(io.BytesIO(b"\x03a"))
    with pytest.raises(ParseError, match="longer"):
        read(io.BytesIO(b"\xff" * 20))
    with pytest.raises(MessageTooLarge):
        read(io.BytesIO(b"\x05hello"), 4)
