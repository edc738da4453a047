"""DAG-CBOR: one form for each value, and no other is read."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidDagCbor
from libp2p.ipld import dag_cbor
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_cbor import MAX_DEPTH, MAX_VALUES, decode, encode

LINK = CID.for_block(b"linked")
V0_LINK = CID.for_block(b"linked", "dag-pb", 0)

VECTORS: list[tuple[object, str]] = [
    # From RFC 8949, appendix A, as far as they are DAG-CBOR.
    (0, "00"),
    (1, "01"),
    (10, "0a"),
    (23, "17"),
    (24, "1818"),
    (25, "1819"),
    (100, "1864"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (1000000000000, "1b000000e8d4a51000"),
    (2**64 - 1, "1bffffffffffffffff"),
    (-(2**64), "3bffffffffffffffff"),
    (-1, "20"),
    (-10, "29"),
    (-100, "3863"),
    (-1000, "3903e7"),
    (1.1, "fb3ff199999999999a"),
    (1.0e300, "fb7e37e43c8800759c"),
    (-4.1, "fbc010666666666666"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (b"", "40"),
    (bytes((1, 2, 3, 4)), "4401020304"),
    ("", "60"),
    ("IETF", "6449455446"),
    ('"\\', "62225c"),
    ("\u00fc", "62c3bc"),
    ("\U00010151", "64f0908591"),
    ([], "80"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    ({}, "a0"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    (["a", {"b": "c"}], "826161a161626163"),
    # What RFC 8949 sorts otherwise: shorter keys first.
    ({"b": 1, "aa": 2, "a": 3}, "a361610361620162616102"),
    # Floats keep their type.
    (1.0, "fb3ff0000000000000"),
    (LINK, "d82a5825" + "00" + LINK.buffer.hex()),
    (V0_LINK, "d82a5823" + "00" + V0_LINK.buffer.hex()),
]


@pytest.mark.parametrize(("value", "encoded"), VECTORS, ids=[hex for _, hex in VECTORS])
def test_vectors(value: Any, encoded: str) -> None:
    assert encode(value).hex() == encoded
    read = decode(bytes.fromhex(encoded))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        ("", "ends"),
        ("0000", "1 bytes after"),
        ("1817", "needs fewer"),
        ("190017", "needs fewer"),
        ("1900ff", "needs fewer"),
        ("1a0000ffff", "needs fewer"),
        ("1b00000000ffffffff", "needs fewer"),
        ("3817", "needs fewer"),
        ("580161", "needs fewer"),
        ("1b00", "ends"),
        ("1c", "reserved"),
        ("1f", "no length"),
        ("5f4161ff", "no length"),
        ("7f6161ff", "no length"),
        ("9f01ff", "no length"),
        ("bf616101ff", "no length"),
        ("ff", "simple value"),
        ("4261", "ends 1 bytes inside"),
        ("62c328", "not UTF-8"),
        ("63eda080", "not UTF-8"),
        ("f7", "simple value 23"),
        ("f0", "simple value 16"),
        ("f814", "simple value 24"),
        ("f93c00", "simple value 25"),
        ("fa3f800000", "simple value 26"),
        ("fb7ff8000000000000", "nan"),
        ("fb7ff0000000000000", "inf"),
        ("fbfff0000000000000", "inf"),
        ("a10101", "key of a map is no text"),
        ("a1416101", "key of a map is no text"),
        ("a2616101616102", "twice"),
        ("a2616201616102", "not sorted"),
        ("a262616101616202", "not sorted"),
        ("a161", "ends"),
        ("9b7fffffffffffffff", "too few bytes"),
        ("bb7fffffffffffffff", "too few bytes"),
        ("8261", "too few bytes"),
        ("c074323031332d30332d32315432303a30343a30305a", "tag 0"),
        ("d82b4100", "tag 43"),
        ("d82a00", "no binary CID"),
        ("d82a40", "no binary CID"),
        ("d82a450155001234", "no binary CID"),
        ("d82a43000155", "malformed"),
    ],
)
def test_every_other_form_is_refused(encoded: str, why: str) -> None:
    with pytest.raises(InvalidDagCbor, match=why):
        decode(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (2**64, "64 bits"),
        (-(2**64) - 1, "64 bits"),
        (math.nan, "nan"),
        (-math.inf, "inf"),
        ("\ud800", "surrogate"),
        ({1: 2}, "key of a map is text"),
        ({"\ud800": 2}, "surrogate"),
        ([{1, 2}], "set"),
        (object(), "object"),
    ],
)
def test_a_value_without_a_form_is_refused(value: Any, why: str) -> None:
    with pytest.raises(InvalidDagCbor, match=why):
        encode(value)


def test_other_mappings_and_sequences_are_written() -> None:
    assert decode(encode({"a": (1, range(2)), "b": memoryview(b"c")})) == {
        "a": [1, [0, 1]],
        "b": b"c",
    }


def test_depth_is_limited() -> None:
    deep: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    block = encode(deep)
    assert decode(block) == deep
    with pytest.raises(InvalidDagCbor, match="in one another"):
        encode([deep])
    with pytest.raises(InvalidDagCbor, match="in one another"):
        decode(b"\x81" + block)
    with pytest.raises(InvalidDagCbor, match="in one another"):
        decode(b"\x81" * 100_000)


def test_the_number_of_values_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_VALUES >= 2**20
    monkeypatch.setattr(dag_cbor, "MAX_VALUES", 10)
    assert decode(b"\x89" + b"\x80" * 9) == [[]] * 9
    with pytest.raises(InvalidDagCbor, match="more than 10 values"):
        decode(b"\x8a" + b"\x80" * 10)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(max_size=300)
    | st.sampled_from([LINK, V0_LINK]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
@example({"a" * 300: [{}] * 300})
def test_what_is_written_is_read(value: Any) -> None:
    block = encode(value)
    read = decode(block)
    assert read == value
    assert encode(read) == block


@given(st.binary(max_size=60))
def test_what_is_read_has_one_form(block: bytes) -> None:
    try:
        value = decode(block)
    except InvalidDagCbor:
        return
    assert encode(value) == block


@given(values, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_makes_another_value(value: Any, at: int, by: int) -> None:
    block = bytearray(encode(value))
    block[at % len(block)] ^= by
    try:
        changed = decode(bytes(block))
    except InvalidDagCbor:
        return
    assert encode(changed) == block


def test_zero_keeps_its_sign() -> None:
    read = decode(encode(-0.0))
    assert struct.pack(">d", read) == struct.pack(">d", -0.0)
