"""The chunkers that cut by content: with and without numpy, and as Kubo cuts (interop compares)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libp2p.exceptions import InvalidImportOptions
from libp2p.ipld import content_chunkers
from libp2p.ipld.chunker import parse_chunker
from tests.support.content import chacha20

if TYPE_CHECKING:
    from collections.abc import Iterable

KIB = 1024


def sizes_of(name: str, pieces: Iterable[bytes]) -> list[int]:
    chunker = parse_chunker(name)
    chunks = [chunk for piece in pieces for chunk in chunker.feed([piece])] + chunker.finish()
    assert b"".join(chunks) == b"".join(pieces)
    assert chunker.finish() == []
    return [len(chunk) for chunk in chunks]


@pytest.fixture(params=["with numpy", "without"])
def _numpy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "numpy", None)


@pytest.mark.usefixtures("_numpy")
def test_cuts_of_kubo() -> None:
    """The lengths that ``ipfs add`` cuts the same bytes into."""
    data = b"".join(chacha20("cuts", 2 * KIB * KIB))
    for name, cuts in CUTS.items():
        assert sizes_of(name, [data]) == cuts, name


CUTS = {
    "buzhash": [
        147633, 235284, 359243, 136661, 148517, 235208, 150328, 150167, 255942, 278169,
    ],
    "rabin": [168854, 271152, 154113, 345828, 160218, 274108, 296690, 393216, 32973],
    "rabin-100000-200000-300000": [
        168854, 154792, 116360, 154113, 300000, 153405, 300000, 300000, 300000, 118751, 30877,
    ],
}  # fmt: skip


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from(sorted(CUTS)), st.lists(st.integers(1, 400 * KIB), max_size=8), st.booleans()
)
def test_any_split_gives_the_same_chunks(name: str, pieces: list[int], same: bool) -> None:
    """Bytes that are all the same are cut at the least size or the largest."""
    size = sum(pieces)
    data = bytes(size) if same else b"".join(chacha20(f"{size}", size))
    split, offset = [], 0
    for piece in pieces:
        split.append(data[offset : offset + piece])
        offset += piece
    assert sizes_of(name, split) == sizes_of(name, [data])


@given(
    st.integers(16, 200),
    st.integers(1, 200),
    st.integers(1, 3000),
    st.binary(max_size=4000),
    st.integers(0, 3000),
)
def test_both_ways_to_compute_rabin_agree(
    low: int, more: int, further: int, data: bytes, zeros: int
) -> None:
    name = f"rabin-min:{low}-avg:{low + more}-max:{low + more + further}"
    data = data + bytes(zeros) + data
    fast = sizes_of(name, [data])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numpy", None)
        assert sizes_of(name, [data]) == fast
    assert all(low <= size <= low + more + further for size in fast[:-1])


@pytest.mark.usefixtures("_numpy")
@pytest.mark.parametrize("rest", [0, 1, 32, 33])
def test_the_end_of_a_file(rest: int) -> None:
    least = 128 * KIB
    data = b"".join(chacha20("end", least + rest))
    assert sizes_of("buzhash", [data]) == [least + rest]
    assert sizes_of("buzhash", []) == []


def _odd_value() -> int:
    """32 turns of a number with an odd count of ones make all bits one."""
    return next(value for value in content_chunkers._buzhash_values() if value.bit_count() % 2)


def test_a_file_of_one_byte_over_and_over() -> None:
    assert sizes_of("rabin", [bytes(KIB * KIB)])[0] == 256 * KIB // 3
    assert sizes_of("buzhash", [bytes(KIB * KIB)]) == [128 * KIB] * 8
    odd = content_chunkers._buzhash_values().index(_odd_value())
    assert sizes_of("buzhash", [bytes([odd]) * (KIB * KIB)]) == [512 * KIB] * 2


@pytest.mark.parametrize(
    "name",
    [
        "buzhash-", "buzhash-1", "rabin-", "rabin-47", "rabin-1-2", "rabin-a", "rabin-15-32-64",
        "rabin-16-16-64", "rabin-16-64-64", "rabin-16-64-2096897", "rabin-avg:16-min:32-max:64",
        "rabin-16-32-64-128", "rabin-²", "rabin-1398000",
    ],
)  # fmt: skip
def test_arguments_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidImportOptions):
        parse_chunker(name)


def test_the_table_has_no_value_twice() -> None:
    assert len(set(content_chunkers._buzhash_values())) == 256
