from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.ipld import multibase
from libp2p.ipld.multibase import InvalidMultibase
from tests.support.strategies import octets

VECTORS = json.loads((Path(__file__).parents[2] / "data/multibase_vectors.json").read_text("utf-8"))
BASES = sorted({"identity", *(base for base, _, _ in VECTORS["canonical"])})


@pytest.mark.parametrize(("base", "text", "data"), VECTORS["canonical"])
def test_the_registrys_own_vectors(base: str, text: str, data: str) -> None:
    assert multibase.encode(base, bytes.fromhex(data)) == text
    assert multibase.decode(text) == bytes.fromhex(data)


@pytest.mark.parametrize(("base", "text", "data"), VECTORS["either_case"])
def test_letters_of_either_case_are_read_where_go_reads_them(
    base: str, text: str, data: str
) -> None:
    assert multibase.decode(text) == bytes.fromhex(data)
    assert multibase.encode(base, bytes.fromhex(data)).lower() == text.lower()


@pytest.mark.parametrize("data", [b"", b"yes mani !", b"\xff\0\xc3\xa9"])
def test_bytes_as_they_are(data: bytes) -> None:
    assert multibase.decode("\0" + data.decode("utf-8", "surrogateescape")) == data


@pytest.mark.parametrize("prefix", "9kKzZ")
def test_a_number_that_would_take_long_to_read_is_refused_at_once(prefix: str) -> None:
    with pytest.raises(InvalidMultibase, match="too long"):
        multibase.decode(prefix + "2" * 1_000_000)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("k002lcpzo5yikidynfl", b"\0\0yes mani !"),
        ("z117paNL19xttacUY", b"\0\0yes mani !"),
        ("z", b""),
        ("k", b""),
        ("b", b""),
        ("f", b""),
        ("u", b""),
        ("z1", b"\0"),
        ("k0", b"\0"),
    ],
)
def test_leading_zeros_and_nothing(text: str, data: bytes) -> None:
    assert multibase.decode(text) == data


@given(st.sampled_from(BASES), octets(80))
def test_what_is_written_is_read_again(base: str, data: bytes) -> None:
    assert multibase.decode(multibase.encode(base, data)) == data
    assert multibase.encode(base, memoryview(data)) == multibase.encode(base, data)


@given(
    st.sampled_from("\009fFbBcCvVtThkKzZmMuU🚀"),
    st.text("-_=+/ 0129AIOlaoz\u0131\u017f🚀🪐", max_size=12),
)
def test_a_value_has_one_text_but_for_the_case(prefix: str, text: str) -> None:
    try:
        data = multibase.decode(prefix + text)
    except InvalidMultibase:
        return
    name = next(name for name in BASES if multibase.encode(name, b"")[0] == prefix)
    again = multibase.encode(name, data)
    folds = prefix in "fFbBcCvVtTkK"
    assert again.lower() == (prefix + text).lower() if folds else again == prefix + text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "1abc",
        "ba1",  # 1 is not in the alphabet
        "bmz",  # stray bits behind the last byte
        "bmzxw6a",  # a length that no bytes have
        "bmzxw6===",  # padding
        "b_ab",
        "b ab",
        "b-ab",
        "b\u017fa",
        "B\u017fA",
        "k+1",
        "k1_0",
        "z0",
        "zl",
        "z\u00e9",
        "fabc",
        "f a",
        "uA",
        "uAB",  # stray bits
        "uAA==",
        "UAA",  # no padding
        "UAA=",
        "UAA===",
        "cab4wk4zanvqw42jaee=====",
        "cab4wk4zanvqw42jaee",
        "cab4wk4zanvqw42jae=====e",
        "m-_8",
        "u+/8",
        "02",
        "0111",
        "9a",
        "9 1",
        "Z0",
        "hl",
        "vw",
        "🚀a",
        "\0\ud800",
        "uA+A",
        "u\u00e9AAA",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidMultibase):
        multibase.decode(text)


def test_an_unknown_base_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidMultibase, match=r"base99.*base58btc"):
        multibase.encode("base99", b"")
