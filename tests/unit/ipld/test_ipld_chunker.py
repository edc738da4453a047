from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidImportOptions
from libp2p.ipld import chunker
from libp2p.ipld.chunker import SizeChunker, parse_chunker, register_chunker
from tests.support.fragments import cut, piece_sizes
from tests.support.strategies import octets


def chunks_of(size: int, pieces: list[bytes | bytearray | memoryview]) -> list[bytes]:
    cutter = SizeChunker(size)
    chunks = []
    for piece in pieces:
        chunks += [bytes(chunk) for chunk in cutter.feed([piece])]
        if isinstance(piece, bytearray):
            piece[:] = bytes(len(piece))  # a reader that uses its buffer again
    chunks += [bytes(chunk) for chunk in cutter.finish()]
    assert cutter.finish() == []
    return chunks


@given(octets(400), piece_sizes, st.integers(1, 100), st.booleans())
def test_any_split_gives_the_same_chunks(
    data: bytes, sizes: list[int], size: int, mutable: bool
) -> None:
    pieces = [bytearray(piece) if mutable else piece for piece in cut(data, sizes)]
    expected = [data[at : at + size] for at in range(0, len(data), size)]
    assert chunks_of(size, list(pieces)) == expected


@given(st.lists(st.integers(1, 9000), max_size=12), st.integers(5000, 20000), st.booleans())
def test_large_pieces_are_held_right(sizes: list[int], size: int, mutable: bool) -> None:
    data = b"".join(bytes((index,)) * length for index, length in enumerate(sizes))
    pieces = [bytearray(piece) if mutable else piece for piece in cut(data, sizes)]
    expected = [data[at : at + size] for at in range(0, len(data), size)]
    assert chunks_of(size, list(pieces)) == expected


def test_a_buffer_of_the_right_size_is_passed_on_as_it_is() -> None:
    data = bytes(1000)
    (chunk,) = SizeChunker(1000).feed([data])
    assert chunk is data


def test_chunks_inside_a_buffer_are_views_of_it() -> None:
    data = bytearray(b"abcdef")
    chunks = SizeChunker(3).feed([data])
    data[:] = b"ABCDEF"
    assert chunks == [b"ABC", b"DEF"]


def test_a_million_single_bytes_take_the_memory_of_a_chunk() -> None:
    cutter = SizeChunker(chunker.MAX_CHUNK_BYTES)
    cutter.feed([b"x"] * 10_000)
    assert len(cutter._held) == 1


# -- by name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 262_144),
        ("default", 262_144),
        ("size-1", 1),
        ("size-262144", 262_144),
        ("size-2096896", 2_096_896),
    ],
)
def test_a_chunker_is_made_by_its_name(text: str, size: int) -> None:
    made = parse_chunker(text)
    assert isinstance(made, SizeChunker)
    assert made.size == size


@pytest.mark.parametrize(
    "text",
    [
        "size-0",
        "size-2096897",
        "size--1",
        "size-",
        "size",
        "size-1_000",
        "size- 5",
        "size-1k",
        "size-\u0663",
        "size-" + "9" * 5000,
        "Size-5",
        "fastcdc",
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidImportOptions):
        parse_chunker(text)


def test_a_chunker_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunker, "_FACTORIES", dict(chunker._FACTORIES))
    register_chunker("lines", lambda arguments: SizeChunker(int(arguments) * 80))
    made = parse_chunker("lines-2")
    assert isinstance(made, SizeChunker)
    assert made.size == 160


@pytest.mark.parametrize("name", ["", "a-b", "size"])
def test_a_chunker_needs_a_free_name_without_a_dash(name: str) -> None:
    with pytest.raises(InvalidImportOptions, match="named"):
        register_chunker(name, lambda arguments: SizeChunker())
