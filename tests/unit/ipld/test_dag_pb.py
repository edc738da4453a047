from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.ipld import dag_pb
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import InvalidDagPb, PBLink, PBNode
from tests.support.strategies import octets

A, B, C = (CID.for_block(name) for name in (b"a", b"b", b"c"))
HASH = b"\x0a\x24" + A.buffer

_VECTORS = json.loads((Path(__file__).parents[2] / "data" / "cid_vectors.json").read_text())
SPEC_BLOCKS = [
    bytes.fromhex(vector["input"]["hex"])
    for vector in _VECTORS["vectors"]
    if vector["name"].startswith("dagpb-codec")
]

cids = st.sampled_from([A, B, C, CID.for_block(b"v0", "dag-pb", 0), CID.parse("bafkqaaa")])
names = (
    st.none()
    | st.text(max_size=8)
    | octets(4).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)
sizes = st.none() | st.integers(0, 2**64 - 1)
links = st.builds(PBLink, cids, names, sizes)
nodes = st.builds(PBNode, st.lists(links, max_size=6).map(tuple), st.none() | octets(9))


def field(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content


# -- writing ---------------------------------------------------------------------------------------


def test_links_come_before_the_data_with_name_and_size_always_there() -> None:
    block = dag_pb.encode([PBLink(A)], b"data")
    assert block == field(0x12, HASH + b"\x12\x00\x18\x00") + b"\x0a\x04data"


def test_links_are_sorted_by_the_bytes_of_their_names_and_stay_in_order_otherwise() -> None:
    # By code points "\U00010000" comes after "\uffff", by UTF-16 units before it.
    given_order = [PBLink(A, "b"), PBLink(B, "\U00010000"), PBLink(C, "\uffff"), PBLink(B, "b")]
    written = dag_pb.decode(dag_pb.encode(given_order)).links
    assert written == (given_order[0], given_order[3], given_order[2], given_order[1])


def test_no_data_and_empty_data_differ() -> None:
    assert dag_pb.encode() == b""
    assert dag_pb.encode((), b"") == b"\x0a\x00"
    assert dag_pb.decode(b"").data is None
    assert dag_pb.decode(b"\x0a\x00").data == b""


def test_boxos_stable_cid() -> None:
    child = CID.decode(bytes.fromhex("015500050001020304"))
    node = PBNode(tuple(PBLink(child, name) for name in "abc"), b"foobar")
    cid = CID.for_block(node.to_bytes(), "dag-pb", 0)
    assert str(cid) == "QmciCHWD9Q47VPX6naY3XsPZGnqVqbedAniGCcaHjBaCri"


@given(nodes)
def test_what_is_written_is_read_again(node: PBNode) -> None:
    read = dag_pb.decode(node.to_bytes())
    assert read.data == node.data
    assert sorted(map(repr, read.links)) == sorted(map(repr, node.links))
    assert dag_pb.encode(read.links, read.data) == node.to_bytes()


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", SPEC_BLOCKS, ids=lambda block: block.hex()[:24])
def test_the_specifications_blocks_are_read_and_written_alike(block: bytes) -> None:
    node = dag_pb.decode(block)
    assert dag_pb.encode(node.links, node.data) == block


def test_absent_fields_of_a_link_are_none() -> None:
    assert dag_pb.decode(field(0x12, HASH)).links == (PBLink(A, None, None),)


def test_data_in_front_of_the_links_is_read_and_the_bytes_are_kept() -> None:
    block = b"\x0a\x01x" + field(0x12, HASH + b"\x12\x01b") + field(0x12, HASH + b"\x12\x01a")
    node = dag_pb.decode(memoryview(block))
    assert node.data == b"x"
    assert [link.name for link in node.links] == ["b", "a"]
    assert node.to_bytes() == block
    assert dag_pb.encode(node.links, node.data) != block


def test_data_is_a_view_into_the_block() -> None:
    block = bytearray(dag_pb.encode((), b"data"))
    data = dag_pb.decode(block).data
    block[-1] = ord("e")
    assert data == b"date"


def test_a_name_that_is_not_utf8_survives() -> None:
    block = field(0x12, HASH + b"\x12\x02\xff\xfe\x18\x00")
    node = dag_pb.decode(block)
    assert node.links[0].name == "\udcff\udcfe"
    assert dag_pb.encode(node.links) == block


def test_a_name_that_is_neither_text_nor_bytes_is_refused() -> None:
    with pytest.raises(InvalidDagPb, match="cannot be the name of a link"):
        dag_pb.encode([PBLink(CID.for_block(b"x"), "\ud800")])


def test_numbers_in_a_long_form_are_read_as_go_reads_them() -> None:
    assert dag_pb.decode(b"\x0a\x81\x00x").data == b"x"


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"\x0a", "cut off"),
        (b"\x0a\x02x", "2 bytes, 1 are left"),
        (b"\x0a\x01x\x0a\x01y", "data twice"),
        (field(0x12, HASH) + b"\x0a\x00" + field(0x12, HASH), "both sides"),
        (b"\x1a\x01x", "unexpected tag 0x1a"),
        (b"\x08\x01x", "unexpected tag 0x8"),
        (b"\x8a\x00\x01x", "unexpected tag|cut off|left"),
        (b"\x12\x00", "does not begin with its hash"),
        (field(0x12, b"\x12\x01a" + HASH), "does not begin with its hash"),
        (field(0x12, b"\x0a\x00"), "link's hash"),
        (field(0x12, b"\x0a\x25" + A.buffer + b"\0"), "link's hash"),
        (field(0x12, HASH + HASH), "out of order"),
        (field(0x12, HASH + b"\x12\x00\x12\x00"), "repeated"),
        (field(0x12, HASH + b"\x18\x00\x12\x00"), "out of order"),
        (field(0x12, HASH + b"\x18\x00\x20\x00"), "unknown"),
        (field(0x12, HASH + b"\x10\x00"), "unknown"),
        (field(0x12, HASH + b"\x12\x05a"), "5 bytes, 1 are left"),
        (field(0x12, HASH + b"\x12") + b"\x0a\x00", "are left"),
        (field(0x12, HASH + b"\x18") + b"\x0a\x00", "unknown"),
        (field(0x12, HASH + b"\x18" + b"\xff" * 10), "too long"),
        (b"\x0a" + b"\xff" * 9 + b"\x01x", "are left"),
    ],
)
def test_every_other_deviation_is_refused(block: bytes, reason: str) -> None:
    with pytest.raises(InvalidDagPb, match=reason):
        dag_pb.decode(block)


def test_a_block_of_too_many_tiny_links_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_pb, "MAX_LINKS", 1000)
    tiny = field(0x12, field(0x0A, CID.parse("bafkqaaa").buffer))
    assert len(dag_pb.decode(tiny * 1000).links) == 1000
    with pytest.raises(InvalidDagPb, match="links"):
        dag_pb.decode(tiny * 1001)


@given(octets(60))
def test_any_bytes_give_a_node_or_a_typed_error(block: bytes) -> None:
    with contextlib.suppress(InvalidDagPb):
        dag_pb.decode(block)
