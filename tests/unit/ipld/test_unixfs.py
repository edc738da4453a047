from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.unixfs import DataType, FileChild, InvalidUnixFS, Mtime, UnixFSData
from tests.support.strategies import octets

uint64 = st.none() | st.integers(0, 2**64 - 1)
mtimes = st.builds(Mtime, st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999_999))
messages = st.builds(
    UnixFSData,
    type=st.sampled_from(DataType),
    data=st.none() | octets(20),
    filesize=uint64,
    blocksizes=st.lists(st.integers(0, 2**64 - 1), max_size=5).map(tuple),
    hash_type=uint64,
    fanout=uint64,
    mode=st.none() | st.integers(1, 2**32 - 1),
    mtime=st.none() | mtimes,
)


@given(messages)
def test_what_is_written_is_read_again(message: UnixFSData) -> None:
    assert unixfs.decode(unixfs.encode(message)) == message


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        (UnixFSData(DataType.DIRECTORY), "0801"),
        (UnixFSData(DataType.FILE, filesize=0), "08021800"),
        (UnixFSData(DataType.SYMLINK, b"to"), "08041202746f"),
        (UnixFSData(DataType.FILE, None, 300, (200, 100)), "080218ac0220c8012064"),
        (
            UnixFSData(DataType.HAMT_SHARD, b"\x01", hash_type=0x22, fanout=256),
            "08051201012822308002",
        ),
        (UnixFSData(DataType.FILE, filesize=0, mode=0o764), "0802180038f403"),
        (UnixFSData(DataType.FILE, mode=0), "0802"),
        (UnixFSData(DataType.FILE, mtime=Mtime(1, 2)), "0802420708011502000000"),
        (UnixFSData(DataType.FILE, mtime=Mtime(-1)), "0802420b08ffffffffffffffffff01"),
    ],
)
def test_the_bytes_of_kubo(message: UnixFSData, encoded: str) -> None:
    assert unixfs.encode(message).hex() == encoded


@pytest.mark.parametrize("mtime", [Mtime(2**63), Mtime(0, 1_000_000_000), Mtime(0, -1)])
def test_an_impossible_time_is_not_written(mtime: Mtime) -> None:
    with pytest.raises(InvalidUnixFS, match="not a time"):
        unixfs.encode(UnixFSData(DataType.FILE, mtime=mtime))


# -- the blocks of files ---------------------------------------------------------------------------


def test_the_leaf_of_an_empty_file_states_its_size() -> None:
    assert unixfs.file_leaf(b"").hex() == "0a0408021800"


@given(octets(300), st.none() | st.integers(0, 0o7777), st.none() | mtimes)
def test_a_leaf_is_the_node_of_its_message(
    chunk: bytes, mode: int | None, mtime: Mtime | None
) -> None:
    message = UnixFSData(DataType.FILE, chunk or None, len(chunk), mode=mode, mtime=mtime)
    leaf = unixfs.file_leaf(memoryview(chunk), mode, mtime)
    assert leaf == dag_pb.encode((), unixfs.encode(message))


def test_a_node_lists_its_children_without_names() -> None:
    children = [
        FileChild(CID.for_block(b"a"), 1, 300),
        FileChild(CID.for_block(b"b", "dag-pb", 0), 200, 9),
    ]
    links = [dag_pb.PBLink(child.cid, "", child.dag_size) for child in children]
    message = UnixFSData(DataType.FILE, None, 201, (1, 200), mode=0o644, mtime=Mtime(5))
    node = unixfs.file_node(children, 0o644, Mtime(5))
    assert node == dag_pb.encode(links, unixfs.encode(message))


# -- reading ---------------------------------------------------------------------------------------


def test_data_is_a_view() -> None:
    message = bytearray(unixfs.encode(UnixFSData(DataType.FILE, b"data")))
    data = unixfs.decode(message).data
    message[-1] = ord("e")
    assert data == b"date"


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ("18050802", UnixFSData(DataType.FILE, filesize=5)),  # any order
        ("08010802", UnixFSData(DataType.FILE)),  # the last counts
        ("080222020102", UnixFSData(DataType.FILE, blocksizes=(1, 2))),  # packed
        ("08022001220102" + "2003", UnixFSData(DataType.FILE, blocksizes=(1, 2, 3))),
        # unknown fields of every wire type
        (
            "4801" + "5201ff" + "5d01020304" + "610102030405060708" + "0802",
            UnixFSData(DataType.FILE),
        ),
        ("080238ffffffffff01", UnixFSData(DataType.FILE, mode=2**32 - 1)),
        ("0802420708011500ca9a3b", UnixFSData(DataType.FILE)),  # 10^9 ns: no time
        ("08024204180008" + "01", UnixFSData(DataType.FILE, mtime=Mtime(1))),
    ],
)
def test_reading_is_as_lenient_as_protobuf(encoded: str, message: UnixFSData) -> None:
    assert unixfs.decode(bytes.fromhex(encoded)) == message


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        ("", "without a type"),
        ("1800", "without a type"),
        ("0806", "type 6"),
        ("08", "cut off"),
        ("0a0102", "field 1 has wire type 2"),
        ("08021001", "field 2 has wire type 0"),
        ("08024001", "field 8 has wire type 0"),
        ("08022500000000", "field 4 has wire type 5"),
        ("0802220180", "cut off"),
        ("08021205ff", "5 bytes"),
        ("08021d01", "field 3 has 1 of its 4 bytes"),
        ("0802190102", "field 3 has 2 of its 8 bytes"),
        ("08020b", "wire type 3"),
        ("08020001", "field 0"),
        ("08024200", "without seconds"),
        ("08024205" + "1500000000", "without seconds"),
        ("ff" * 11, "too long"),
    ],
)
def test_what_is_not_unixfs_is_refused(encoded: str, reason: str) -> None:
    with pytest.raises(InvalidUnixFS, match=reason):
        unixfs.decode(bytes.fromhex(encoded))


def test_too_many_block_sizes_are_refused() -> None:
    sizes = bytes(dag_pb.MAX_LINKS + 1)
    packed = b"\x22" + bytes((0x81, 0x80, 0x08)) + sizes
    with pytest.raises(InvalidUnixFS, match="block sizes"):
        unixfs.decode(b"\x08\x02" + packed)


@given(octets(60))
def test_any_bytes_give_a_message_or_a_typed_error(message: bytes) -> None:
    with contextlib.suppress(InvalidUnixFS):
        unixfs.decode(message)
