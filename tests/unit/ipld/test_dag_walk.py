from __future__ import annotations

from typing import Any

import pytest

from libp2p.exceptions import InvalidArgument, InvalidDagPb, UnknownCodec
from libp2p.ipld import dag_cbor, dag_json, dag_pb, dag_walk
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_walk import DagWalk
from libp2p.ipld.links import links_of

LEAVES = [CID.for_block(bytes([number])) for number in range(3)]
DATA = {cid: bytes([number]) for number, cid in enumerate(LEAVES)}


def node(links: list[CID], codec: str = "dag-cbor") -> CID:
    if codec == "dag-pb":
        data = dag_pb.encode([dag_pb.PBLink(link) for link in links], None)
    else:
        data = dag_cbor.encode(links) if codec == "dag-cbor" else dag_json.encode(links)
    cid = CID.for_block(data, codec)
    DATA[cid] = data
    return cid


LEFT = node([LEAVES[0], LEAVES[1]])
RIGHT = node([LEAVES[1], LEAVES[2], LEAVES[1]], "dag-pb")
ROOT = node([LEFT, RIGHT, LEFT], "dag-json")


def walk(*roots: CID, **options: Any) -> list[CID]:
    walk = DagWalk(roots, **options)
    order = []
    while not walk.is_over:
        [first, *_] = walk.next(3)
        assert walk.take(DATA[first]) == first
        if not walk.is_again:
            order.append(first)
    return order


def test_a_block_that_is_raw_first_and_a_node_then_has_its_links_followed() -> None:
    as_raw = CID.for_block(DATA[LEFT])
    DATA[as_raw] = DATA[LEFT]
    assert walk(node([as_raw, LEFT]))[1:] == [as_raw, LEFT, LEAVES[0], LEAVES[1]]
    assert walk(node([LEFT, as_raw, LEFT]))[1:] == [LEFT, LEAVES[0], LEAVES[1], as_raw]


@pytest.mark.parametrize("codec", ["dag-pb", "dag-cbor", "dag-json"])
def test_links_of_each_codec(codec: str) -> None:
    links = [LEAVES[0], LEAVES[1], LEAVES[0]]
    cid = node(links, codec)
    assert links_of(cid, DATA[cid]) == links


def test_links_anywhere_in_a_value() -> None:
    data = dag_cbor.encode({"a": [LEAVES[0], {"b": LEAVES[1]}], "c": 1})
    assert links_of(CID.for_block(data, "dag-cbor"), data) == LEAVES[:2]


@pytest.mark.parametrize("codec", ["raw", "json", "cbor", "libp2p-key"])
def test_codecs_without_links(codec: str) -> None:
    assert links_of(CID.for_block(b"[]", codec), b"[]") == []


def test_links_that_cannot_be_read() -> None:
    with pytest.raises(UnknownCodec, match="git-raw"):
        links_of(CID.for_block(b"", "git-raw"), b"")
    with pytest.raises(InvalidDagPb):
        links_of(CID.for_block(b"\xff", "dag-pb"), b"\xff")


def test_depth_first_and_each_once() -> None:
    assert walk(ROOT) == [ROOT, LEFT, *LEAVES[:2], RIGHT, LEAVES[2]]
    assert walk(ROOT, LEFT, LEAVES[0]) == walk(ROOT)


def test_as_often_as_linked_to() -> None:
    left = [LEFT, LEAVES[0], LEAVES[1]]
    right = [RIGHT, LEAVES[1], LEAVES[2], LEAVES[1]]
    assert walk(ROOT, duplicates=True) == [ROOT, *left, *right, *left]


def test_blocks_that_come_later_are_told_of() -> None:
    walk = DagWalk([ROOT])
    walk.take(DATA[ROOT])
    assert walk.next(9) == [LEFT, RIGHT]
    assert walk.next(1) == [LEFT]
    walk.take(DATA[LEFT])
    assert walk.next(2) == [LEAVES[0], LEAVES[1]]


def test_the_size_of_a_walk_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(walk(ROOT, max_blocks=6)) == 6
    with pytest.raises(InvalidArgument, match="more than 6 blocks"):
        walk(ROOT, duplicates=True, max_blocks=6)
    monkeypatch.setattr(dag_walk, "MAX_WAITING", 2)
    with pytest.raises(InvalidArgument, match="more than 2 links"):
        walk(ROOT)


def test_the_depth_is_bounded() -> None:
    assert walk(ROOT, max_depth=0) == [ROOT]
    assert walk(ROOT, max_depth=1) == [ROOT, LEFT, RIGHT]
    assert walk(ROOT, max_depth=2) == walk(ROOT)
    # RIGHT is met first where its leaves are too deep, and again where they are not.
    deep = node([node([RIGHT]), RIGHT])
    assert walk(deep, max_depth=2) == [deep, node([RIGHT]), RIGHT, LEAVES[1], LEAVES[2]]


def test_blocks_that_are_skipped_or_known() -> None:
    walk = DagWalk([ROOT])
    walk.note(LEAVES[1])
    walk.take(DATA[ROOT])
    assert walk.skip() == LEFT
    assert walk.next(9) == [RIGHT]
    walk.take(DATA[RIGHT])
    assert walk.next(9) == [LEAVES[2]]
    walk.take(DATA[LEAVES[2]])
    assert walk.is_over
