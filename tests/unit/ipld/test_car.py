from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidCar
from libp2p.ipld import dag_cbor
from libp2p.ipld.car.header import (
    MAX_HEADER_BYTES,
    V2_DATA_OFFSET,
    V2_PRAGMA,
    V2Header,
    encode_header,
)
from libp2p.ipld.car.index import (
    INDEX_SORTED,
    MAX_TABLES,
    MULTIHASH_INDEX_SORTED,
    CarIndex,
    IndexBuilder,
)
from libp2p.ipld.car.reader import MAX_SECTION_BYTES, CarReader
from libp2p.ipld.car.writer import encode_block_start
from libp2p.ipld.cid import CID
from libp2p.utils.varint import encode_uvarint, encode_varint_prefixed

FILES = sorted((Path(__file__).parents[2] / "data/car").glob("*.car"))
A, B = b"first", b"second block"
CID_A = CID.for_block(A)
CID_B = CID.for_block(B, "dag-cbor", hash="sha2-512")

Read = tuple[tuple[CID, ...] | None, list[tuple[CID, bytes, int]]]


def block(cid: CID, data: bytes) -> bytes:
    return encode_block_start(cid, len(data)) + data


VERSION_1 = encode_header([CID_A]) + block(CID_A, A) + block(CID_B, B)


def version_2(data: bytes = VERSION_1, padding: int = 0, index: bytes = b"") -> bytes:
    start = V2_DATA_OFFSET + padding
    header = V2Header(start, len(data), start + len(data) if index else 0)
    return header.encode() + bytes(padding) + data + index


def read(*pieces: bytes) -> Read:
    reader = CarReader()
    blocks = [
        (cid, bytes(data), offset)
        for piece in pieces
        for cid, data, offset in reader.receive(piece)
    ]
    reader.end()
    return reader.roots, blocks


IN_VERSION_1 = (
    (CID_A,),
    [
        (CID_A, A, len(encode_header([CID_A]))),
        (CID_B, B, len(encode_header([CID_A]) + block(CID_A, A))),
    ],
)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_files_of_others_are_read(path: Path) -> None:
    content = path.read_bytes()
    roots, blocks = read(content)
    assert roots is not None
    assert blocks
    assert all(cid.matches(data) for cid, data, _ in blocks)
    assert read(*(content[start : start + 11] for start in range(0, len(content), 11))) == (
        roots,
        blocks,
    )


def test_a_file_of_version_1_is_written_as_others_do() -> None:
    path = next(path for path in FILES if path.stem == "dir_listing-fixtures")
    roots, blocks = read(path.read_bytes())
    assert roots is not None
    written = encode_header(roots) + b"".join(block(cid, data) for cid, data, _ in blocks)
    assert written == path.read_bytes()


def test_an_index_is_written_as_others_do() -> None:
    content = next(path for path in FILES if path.stem == "TestDagStatCARv2").read_bytes()
    header = V2Header.decode(content[len(V2_PRAGMA) : V2_DATA_OFFSET])
    builder = IndexBuilder()
    for cid, _, offset in read(content)[1]:
        builder.add(cid.multihash, offset)
    assert builder.encode() == content[header.index_offset :]


@given(cuts=st.lists(st.integers(0, len(VERSION_1) + 200), max_size=6))
def test_any_pieces_give_the_same(cuts: list[int]) -> None:
    for content in (VERSION_1, version_2(padding=9, index=b"any")):
        edges = [0, *sorted(cut for cut in cuts if cut < len(content)), len(content)]
        pieces = [content[start:end] for start, end in pairwise(edges)]
        assert read(*pieces) == IN_VERSION_1


def test_zeros_may_follow_a_file() -> None:
    assert read(VERSION_1 + bytes(100)) == IN_VERSION_1
    assert read(VERSION_1, bytes(1), bytes(3)) == IN_VERSION_1
    assert read(version_2(VERSION_1 + bytes(100))) == IN_VERSION_1
    with pytest.raises(InvalidCar, match="behind the zeros"):
        read(VERSION_1 + bytes(10) + b"\1")


def test_a_file_without_blocks() -> None:
    assert read(encode_header([])) == ((), [])
    assert read(version_2(encode_header([]))) == ((), [])
    null = encode_varint_prefixed(dag_cbor.encode({"version": 1, "roots": None}))
    assert read(null) == ((), [])


def test_a_file_that_is_cut_off_is_refused() -> None:
    for content in (VERSION_1, version_2(), version_2(padding=5)):
        whole = {len(encode_header([CID_A])), len(encode_header([CID_A]) + block(CID_A, A))}
        for end in range(len(content)):
            if content is VERSION_1 and end in whole:
                continue
            with pytest.raises(InvalidCar, match="cut off"):
                read(content[:end])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encode_uvarint(MAX_HEADER_BYTES + 1), "in one piece"),
        (encode_header([]) + encode_uvarint(MAX_SECTION_BYTES + 1), "in one piece"),
        (b"\xff" * 12, "varint"),
        (encode_varint_prefixed(b"\xff"), "at byte 0"),
        (encode_varint_prefixed(dag_cbor.encode([1])), "version None"),
        (encode_varint_prefixed(dag_cbor.encode({"version": 3, "roots": []})), "version 3"),
        (encode_varint_prefixed(dag_cbor.encode({"version": True, "roots": []})), "version True"),
        (encode_varint_prefixed(dag_cbor.encode({"version": 1, "roots": [1]})), "no list of CIDs"),
        (encode_varint_prefixed(dag_cbor.encode({"version": 1, "roots": 1})), "no list of CIDs"),
        (encode_header([]) + encode_varint_prefixed(b"\x01\x55"), "at byte 18: not a CID"),
        (V2Header(50, 9, 0).encode(), "inside the header"),
        (V2Header(51, 9, 59).encode(), "inside the data"),
        (version_2(version_2()), "inside another"),
        (version_2()[:-1].replace(V2Header(51, len(VERSION_1), 0).encode(),
                                  V2Header(51, len(VERSION_1) - 1, 0).encode()), "behind the end"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidCar, match=reason):
        read(content)


def test_the_header_of_version_2_says_whether_all_is_indexed() -> None:
    for fully_indexed in (False, True):
        header = V2Header(51, 10, 61, fully_indexed)
        assert V2Header.decode(header.encode()[len(V2_PRAGMA) :]) == header


# -- indexes --------------------------------------------------------------------------------------

DIGESTS = st.tuples(
    st.sampled_from(["sha2-256", "sha2-512", "identity"]), st.binary(min_size=1, max_size=8)
)


@given(st.lists(st.tuples(DIGESTS, st.integers(0, 2**40)), max_size=40))
def test_an_index_finds_each_block(entries: list[tuple[tuple[str, bytes], int]]) -> None:
    builder = IndexBuilder()
    expected: dict[bytes, list[int]] = {}
    for (name, content), offset in entries:
        multihash = CID.for_block(content, hash=name).multihash
        builder.add(multihash, offset)
        expected.setdefault(multihash, []).append(offset)
    for index in (builder.build(), CarIndex.decode(builder.encode())):
        assert len(index) == len(entries)
        assert set(index.multihashes()) == set(expected)
        for multihash, offsets in expected.items():
            assert index.find(multihash) == sorted(offsets)
        assert index.find(CID.for_block(b"of none of them").multihash) == []


def table(width: int, entries: bytes) -> bytes:
    return width.to_bytes(4, "little") + len(entries).to_bytes(8, "little") + entries


def test_an_index_of_the_older_kind_is_read() -> None:
    entries = sorted(cid.digest + bytes([place]) + bytes(7) for place, cid in enumerate([CID_A]))
    encoded = encode_uvarint(INDEX_SORTED) + b"\1\0\0\0" + table(40, b"".join(entries))
    index = CarIndex.decode(encoded)
    assert index.find(CID_A.multihash) == [0]
    assert list(index.multihashes()) == []  # it does not say hash functions


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "varint"),
        (b"\x55", "unknown kind 0x55"),
        (encode_uvarint(INDEX_SORTED), "cannot be read"),
        (encode_uvarint(INDEX_SORTED) + b"\xff\xff\xff\xff", "-1 tables"),
        (encode_uvarint(INDEX_SORTED) + (MAX_TABLES + 1).to_bytes(4, "little"), "257 tables"),
        (encode_uvarint(INDEX_SORTED) + b"\1\0\0\0" + table(7, b""), "entries of 7"),
        (encode_uvarint(MULTIHASH_INDEX_SORTED) + b"\1\0\0\0" + b"\xff" * 8, "no hash function"),
        (encode_uvarint(INDEX_SORTED) + b"\1\0\0\0" + table(137, b""), "entries of 137"),
        (encode_uvarint(INDEX_SORTED) + b"\1\0\0\0" + table(40, bytes(41)), "entries of 40"),
        (encode_uvarint(INDEX_SORTED) + b"\1\0\0\0" + table(40, bytes(80))[:-1], "80 bytes"),
    ],
)  # fmt: skip
def test_a_malformed_index_is_refused(encoded: bytes, reason: str) -> None:
    with pytest.raises(InvalidCar, match=reason):
        CarIndex.decode(encoded)
