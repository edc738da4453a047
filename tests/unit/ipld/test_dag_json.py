from __future__ import annotations

import json
import math
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidDagJson
from libp2p.ipld import dag_json
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_cbor import MAX_DEPTH, DagCborValue

#: Base64 with less or more padding than it needs.
BADLY_PADDED = (b"=", b"==", b"====", b"QQ=", b"QQ===", b"QQA==", b"Zm9v=", b"Zm9v====", b"Q===")
LINK = CID.for_block(b"linked")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: st.SearchStrategy[DagCborValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary(max_size=8)
    | st.just(LINK),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT.filter(lambda key: key != "/"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_is_read_and_written_again(value: DagCborValue) -> None:
    encoded = dag_json.encode(value)
    read = dag_json.decode(encoded)
    assert read == value
    assert dag_json.encode(read) == encoded
    json.loads(encoded)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({"b": 1, "a": [None, True, False]}, '{"a":[null,true,false],"b":1}'),
        ({"Ä": 1, "z": 2, "": 3}, '{"":3,"z":2,"Ä":1}'),
        (LINK, f'{{"/":"{LINK}"}}'),
        (b"\0\xff\x10", '{"/":{"bytes":"AP8Q"}}'),
        (b"\0", '{"/":{"bytes":"AA"}}'),
        ("\"\\\n\r\t\b\x1f\u2028\u2029é", '"\\"\\\\\\n\\r\\t\\u0008\\u001f\\u2028\\u2029é"'),
        ([], "[]"),
        ({}, "{}"),
        ((1, 2), "[1,2]"),
        (1.0, "1"),
        (-0.0, "-0"),
        (-250.0, "-250"),
        (1e20, "100000000000000000000"),
        (-1.2345e20, "-123450000000000000000"),
        (1e21, "1e+21"),
        (1e-6, "0.000001"),
        (-1.25e-6, "-0.00000125"),
        (2.0**53, "9007199254740992"),
        (2.0**60, "1.152921504606847e+18"),  # in digits it would be read as another number
        (5e-324, "5e-324"),
        (1e-7, "1e-7"),
        (1.5e300, "1.5e+300"),
        (-(2**64), "-18446744073709551616"),
    ],
)  # fmt: skip
def test_the_one_form(value: DagCborValue, encoded: str) -> None:
    assert dag_json.encode(value).decode() == encoded


def test_what_people_write_is_read() -> None:
    written = b' { "b" : 1e2,\n "a" : {"/": {"bytes": "AA=="}} } '
    assert dag_json.decode(written) == {"a": b"\0", "b": 100.0}


def test_a_number_is_read_as_what_it_was() -> None:
    for number in (-0.0, 1e20, -1e20, 2.0**53, 2.0**60, 2.0**64, 123456789.0):
        read = dag_json.decode(dag_json.encode([number]))
        assert read == [number]
        assert dag_json.encode(read) == dag_json.encode([number])
    assert str(dag_json.decode(b"-0")) == "-0.0"
    assert str(dag_json.decode(b"0")) == "0"


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"1 2", "no JSON"),
        (b"[" * 100_000, "in one another"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "in one another"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "in one another"),
        (b"NaN", "no number"),
        (b"-Infinity", "no number"),
        (b"1e999", "no number"),
        (b"18446744073709551616", "64 bits"),
        (b"-18446744073709551617", "64 bits"),
        (b"1" * 5000, "64 bits"),
        (b"-00", "no JSON"),
        (b'{"a":1,"a":2}', "twice"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\ud800":1}', "surrogate"),
        (b'{"/":"x"}', "malformed"),
        (b'{"/":1}', "neither"),
        (b'{"/":"x","a":1}', "neither"),
        (b'{"/":{"bytes":1}}', "neither"),
        (b'{"/":{"bytes":"!"}}', "base64"),
        *((b'{"/":{"bytes":"%s"}}' % text, "base64") for text in BADLY_PADDED),
        ('{"/":{"bytes":"é"}}'.encode(), "base64"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(block: bytes, reason: str) -> None:
    with pytest.raises(InvalidDagJson, match=reason):
        dag_json.decode(block)


@pytest.mark.parametrize("text", ["", "QQ", "QQ==", "QQA", "QQA=", "Zm9v"])
def test_bytes_have_all_of_their_padding_or_none(text: str) -> None:
    assert dag_json.decode(b'{"/":{"bytes":"%s"}}' % text.encode()) == b64decode(text + "===")


def nested(depth: int) -> DagCborValue:
    value: DagCborValue = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        math.nan, math.inf, {"/": 1}, {1: 2}, object(), 2**64, -(2**64) - 1, "\ud800",
        {"\ud800": 1}, nested(MAX_DEPTH), {"a": nested(MAX_DEPTH - 1)},
    ],
)  # fmt: skip
def test_what_has_no_form_is_refused(value: DagCborValue) -> None:
    with pytest.raises(InvalidDagJson):
        dag_json.encode(value)
