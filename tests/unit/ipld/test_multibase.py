from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.ipld import multibase
from libp2p.ipld.multibase import InvalidMultibase
from tests.support.strategies import octets

BASES = [
    "base16",
    "base16upper",
    "base32",
    "base32upper",
    "base36",
    "base36upper",
    "base58btc",
    "base64url",
]

#: From the multibase repository's own test vectors ("yes mani !").
YES_MANI = {
    "base16": "f796573206d616e692021",
    "base16upper": "F796573206D616E692021",
    "base32": "bpfsxgidnmfxgsibb",
    "base32upper": "BPFSXGIDNMFXGSIBB",
    "base36": "k2lcpzo5yikidynfl",
    "base36upper": "K2LCPZO5YIKIDYNFL",
    "base58btc": "z7paNL19xttacUY",
    "base64url": "ueWVzIG1hbmkgIQ",
}


@pytest.mark.parametrize("base", BASES)
def test_the_registrys_own_vectors(base: str) -> None:
    assert multibase.encode(base, b"yes mani !") == YES_MANI[base]
    assert multibase.decode(YES_MANI[base]) == b"yes mani !"


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


@given(st.sampled_from("fFbBkKzu"), st.text("-_=+ 0129AIOlaoz\u0131\u017f", max_size=12))
def test_a_value_has_one_text(prefix: str, text: str) -> None:
    try:
        data = multibase.decode(prefix + text)
    except InvalidMultibase:
        return
    name = next(name for name in BASES if multibase.encode(name, b"")[0] == prefix)
    assert multibase.encode(name, data) == prefix + text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "1abc",
        "babcdE",  # mixed case
        "ba1",  # 1 is not in the alphabet
        "bmz",  # stray bits behind the last byte
        "bmzxw6a",  # a length that no bytes have
        "bmzxw6===",  # padding
        "b_ab",
        "b ab",
        "b-ab",
        "b\u017fa",
        "Bmzxw6",
        "B\u017fA",
        "k+1",
        "kA",
        "k1_0",
        "KAa",
        "z0",
        "zl",
        "z\u00e9",
        "fabc",
        "f a",
        "fAB",
        "uA",
        "uAB",  # stray bits
        "uAA==",
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
