"""The codecs "cbor" and "json", which have no links: what Kubo writes, and what is refused."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidCbor, InvalidJson
from libp2p.ipld import dag_cbor, plain_cbor, plain_json
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_cbor import MAX_DEPTH

if TYPE_CHECKING:
    from types import ModuleType

LINK = CID.for_block(b"linked")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)


def values(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
        max_leaves=12,
    )


@given(values(SCALARS | st.binary(max_size=8)))
def test_cbor_is_read_and_written_again(value: Any) -> None:
    encoded = plain_cbor.encode(value)
    read = plain_cbor.decode(encoded)
    assert read == value
    assert plain_cbor.encode(read) == encoded
    # But for the order of keys it is what DAG-CBOR writes.
    assert sorted(encoded) == sorted(dag_cbor.encode(value))


@given(st.binary(max_size=60))
def test_what_is_read_as_cbor_can_be_written(block: bytes) -> None:
    try:
        value = plain_cbor.decode(block)
    except InvalidCbor:
        return
    assert plain_cbor.decode(plain_cbor.encode(value)) == value


@given(values(SCALARS))
def test_json_is_read_and_written_again(value: Any) -> None:
    encoded = plain_json.encode(value)
    assert plain_json.decode(encoded) == value
    assert plain_json.encode(plain_json.decode(encoded)) == encoded
    assert json.loads(encoded, parse_int=float, parse_float=float) is not ...


KUBOS: list[tuple[Any, bytes]] = [
    ([], b"[]\n"),
    ({}, b"{}\n"),
    ("", b'""'),
    (None, b"null"),
    (1.0, b"1"),
    (
        {"b": [], "a": {}, "/": [[{}]], "e": [1, [2, {"x": None}]]},
        b'{\n\t"b": [],\n\t"a": {},\n\t"/": [\n\t\t[\n\t\t\t{}\n\t\t]\n\t],\n\t"e": [\n\t\t1,\n\t\t'
        b'[\n\t\t\t2,\n\t\t\t{\n\t\t\t\t"x": null\n\t\t\t}\n\t\t]\n\t]\n}\n',
    ),
    (["\x01\x7f\b\n\u2028"], b'[\n\t"\\u0001\x7f\\u0008\\n\\u2028"\n]\n'),
]
"""What Kubo 0.43 makes of ``dag put --store-codec json``."""


@pytest.mark.parametrize(("value", "encoded"), KUBOS)
def test_json_as_kubo_writes_it(value: Any, encoded: bytes) -> None:
    assert plain_json.encode(value) == encoded
    assert plain_json.decode(encoded) == value


def test_keys_keep_their_order() -> None:
    value = {"b": 1, "aa": 2, "a": 3}
    assert plain_cbor.encode(value) == bytes.fromhex("a3616201626161026161 03".replace(" ", ""))
    read = plain_cbor.decode(plain_cbor.encode(value))
    assert isinstance(read, dict)
    assert list(read) == list(value)
    again = plain_json.decode(plain_json.encode(value))
    assert isinstance(again, dict)
    assert list(again) == list(value)


def test_short_floats_of_cbor_are_read() -> None:
    assert plain_cbor.decode(bytes.fromhex("82f93c00fa40200000")) == [1.0, 2.5]
    assert plain_cbor.encode([1.0]) == bytes.fromhex("81fb3ff0000000000000")


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("", "ends"),
        ("0101", "bytes after"),
        ("1801", "needs fewer"),
        ("9f01ff", "no length"),
        ("f97e00", "nan"),
        ("fa7f800000", "inf"),
        ("f7", "simple value 23"),
        ("c101", "tag 1"),
        ("d82a4100", "no links"),
        ("a10102", "no text"),
        ("a2616101616102", "twice"),
        ("81" * (MAX_DEPTH + 1) + "01", "in one another"),
    ],
)
def test_what_is_not_cbor_is_refused(block: str, reason: str) -> None:
    with pytest.raises(InvalidCbor, match=reason):
        plain_cbor.decode(bytes.fromhex(block))


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "no JSON"),
        (b"1 2", "no JSON"),
        (b"[1,]", "no JSON"),
        (b"NaN", "no number"),
        (b"1e400", "no number"),
        (b"18446744073709551616", "64 bits"),
        (b'{"a":1,"a":2}', "twice"),
        (b'"\\ud800"', "surrogate"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "in one another"),
    ],
)
def test_what_is_not_json_is_refused(block: bytes, reason: str) -> None:
    with pytest.raises(InvalidJson, match=reason):
        plain_json.decode(block)


def test_the_key_of_links_is_any_key_in_json() -> None:
    assert plain_json.decode(b'{"/":"x"}') == {"/": "x"}


def nested(depth: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


@pytest.mark.parametrize("codec", [plain_cbor, plain_json])
@pytest.mark.parametrize(
    "value",
    [LINK, [LINK], math.nan, math.inf, 2**64, {1: 2}, "\ud800", object(),
     nested(MAX_DEPTH + 1, "list"), nested(MAX_DEPTH + 1, "map")],
)  # fmt: skip
def test_what_has_no_form_is_refused(codec: ModuleType, value: Any) -> None:
    with pytest.raises((InvalidCbor, InvalidJson)):
        codec.encode(value)


def test_json_has_no_bytes() -> None:
    with pytest.raises(InvalidJson, match="bytes"):
        plain_json.encode(b"x")
