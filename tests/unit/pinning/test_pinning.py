"""What stays: a packed set of blocks, what is below roots, and what a collection may take."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidArgument, ParseError, UnknownCodec
from libp2p.ipld import dag_cbor
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import RAW, codec_code
from libp2p.pinning import block_set, reach
from libp2p.pinning.block_set import BlockSet
from libp2p.pinning.reach import Reach
from libp2p.pinning.sweep import MARGIN_SECONDS, Moment, horizon_of, may_go

KEY = b"a key"
DAG_CBOR = codec_code("dag-cbor")


def raw(data: bytes) -> CID:
    return CID.for_block(data, codec=RAW)


def node(*links: CID) -> tuple[CID, bytes]:
    data = dag_cbor.encode(list(links))
    return CID.for_block(data, codec=DAG_CBOR), data


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.binary(max_size=40)))
def test_a_packed_set_is_a_set(added: list[bytes], asked: list[bytes]) -> None:
    packed, plain = BlockSet(KEY), set[bytes]()
    for multihash in added:
        assert packed.add(multihash) == (multihash not in plain)
        plain.add(multihash)
    assert len(packed) == len(plain)
    for multihash in added + asked:
        assert (multihash in packed) == (multihash in plain)


def test_a_tag_that_lies_across_two_others_is_not_there() -> None:
    ones, tag = bytearray(b"\1" * 12 + b"\2" * 12), b"\1" * 6 + b"\2" * 6
    assert not block_set._has(ones, tag)
    assert block_set._has(ones + tag, tag)
    assert block_set._has(ones, b"\2" * 12)


def test_a_set_takes_what_it_says() -> None:
    tracemalloc.start()
    try:
        packed = BlockSet(KEY)
        for number in range(200_000):
            packed.add(number.to_bytes(34))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(packed) == 200_000
    fixed = 256**block_set.PLACE_BYTES * 200  # a bucket with its key and its place in the dict
    assert taken < fixed + 200_000 * 17


def test_blocks_below_a_root_are_reached_once_and_depth_first() -> None:
    leaf, other = raw(b"leaf"), raw(b"other")
    inner, inner_data = node(leaf, other)
    second, second_data = node(other)
    root, root_data = node(inner, second, leaf, inner)
    seen = BlockSet(KEY)
    walk = Reach(seen)
    assert walk.add([root, root]) == [root]
    assert walk.next(10) == [root]
    assert walk.take(root, root_data) == [inner, second, leaf]
    assert walk.next(1) == [inner]
    assert walk.take(inner, inner_data) == [other]
    assert walk.next(10) == [second]
    assert walk.take(second, second_data) == []
    assert walk.next(10) == []
    assert len(seen) == 5
    assert Reach(seen).add([root]) == []


def test_identity_blocks_are_nowhere_but_what_they_link_to_is_reached() -> None:
    walk = Reach(BlockSet(KEY))
    assert walk.add([CID.parse("bafkqaaa")]) == []
    assert walk.next(10) == []
    leaf = raw(b"leaf")
    data = dag_cbor.encode([leaf])
    identity = CID.for_block(data, codec=DAG_CBOR, hash="identity")
    assert walk.add([identity, identity]) == []
    assert walk.next(10) == [identity]
    assert walk.take(identity, data) == [leaf]
    assert len(walk.seen) == 1


def test_a_block_that_is_raw_in_one_place_and_a_node_in_another_has_its_links_followed() -> None:
    leaf = raw(b"leaf")
    root, data = node(leaf)
    walk = Reach(BlockSet(KEY))
    assert walk.add([raw(data)]) == [raw(data)]
    assert walk.next(10) == []
    assert walk.add([root]) == []
    assert walk.next(10) == [root]
    assert walk.take(root, data) == [leaf]
    one = CID.for_block(b"", codec="dag-pb", version=0)
    assert walk.add([one, CID.for_block(b"", codec="dag-pb")]) == [one]
    assert walk.next(10) == [one]


def test_what_cannot_be_read_for_links_is_told() -> None:
    walk = Reach(BlockSet(KEY))
    with pytest.raises(ParseError):
        walk.take(CID.for_block(b"\xff", codec=DAG_CBOR), b"\xff")
    with pytest.raises(UnknownCodec):
        walk.take(CID.for_block(b"x", codec=codec_code("git-raw")), b"x")


def test_nodes_that_wait_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "MAX_WAITING", 2)
    walk = Reach(BlockSet(KEY))
    with pytest.raises(InvalidArgument, match="more than 2 nodes"):
        walk.add(node(raw(bytes([number])))[0] for number in range(3))


def test_what_may_go_is_unmarked_and_older_than_every_lease() -> None:
    marked = BlockSet(KEY)
    marked.add(b"pinned")
    blocks = [(b"pinned", 1, 0.0), (b"old", 2, 49.0), (b"new", 3, 51.0), (b"no time", 4, None)]
    horizon = horizon_of(Moment(100.0, 1100.0), [Moment(50.0, 1050.0), Moment(70.0, 1070.0)])
    assert horizon == 50.0 - MARGIN_SECONDS
    assert may_go(blocks, marked, horizon) == [blocks[1], blocks[3]]
    assert may_go(blocks, marked, horizon_of(Moment(100.0, 0.0), [])) == blocks[1:]
    assert may_go([(b"x", 1, 50.0)], marked, 50.0) == []


@pytest.mark.parametrize(
    ("set_to", "since"),
    [
        (100.0, 90.0),  # it was not set
        (40.0, 30.0),  # back: the lease has written since 90.0, and again since 30.0
        (200.0, 90.0),  # forward: since 90.0, and again since 190.0
    ],
)
def test_the_horizon_is_before_all_that_a_lease_has_written(set_to: float, since: float) -> None:
    now, lease = Moment(set_to, 1010.0), Moment(90.0, 1000.0)
    assert horizon_of(now, [lease]) == since - MARGIN_SECONDS
