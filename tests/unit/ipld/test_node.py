"""Blocks as nodes."""

from __future__ import annotations

from typing import Any

import pytest

from libp2p.exceptions import BlockHashMismatch, InvalidDagPb, UnknownCodec
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink, PBNode
from libp2p.ipld.node import Node

LEAF = Node.of(b"leaf")


@pytest.mark.parametrize(
    ("value", "codec", "expected"),
    [
        (b"leaf", None, "raw"),
        (PBNode((PBLink(LEAF.cid, "a", 4),), b"\x08\x01"), None, "dag-pb"),
        ({"link": LEAF.cid, "n": [1, None, True, "x", b"y"]}, None, "dag-cbor"),
        ({"link": LEAF.cid, "n": [1, None, True, "x", b"y"]}, "dag-json", "dag-json"),
        (b"bytes", "dag-cbor", "dag-cbor"),
    ],
)
def test_a_node_is_read_as_it_was_written(value: Any, codec: str | None, expected: str) -> None:
    node = Node.of(value, codec)
    assert node.cid.codec == expected
    assert node.verify() is node
    assert Node.read(node.cid, node.data).value == value
    links = [] if isinstance(value, bytes) else [LEAF.cid]
    assert node.links == links


def test_hash_and_version_can_be_chosen() -> None:
    node = Node.of(PBNode(), hash="sha2-512")
    assert node.cid.hash_name == "sha2-512"
    assert Node.of(PBNode(), version=0).cid.version == 0


@pytest.mark.parametrize(
    ("value", "codec", "error"),
    [
        ("text", "raw", TypeError),
        (b"bytes", "dag-pb", TypeError),
        ({"a": 1}, "cbor", UnknownCodec),
        ({"a": object()}, "dag-cbor", (TypeError, ValueError)),
    ],
)
def test_what_a_codec_cannot_say_is_refused(value: Any, codec: str, error: Any) -> None:
    with pytest.raises(error):
        Node.of(value, codec)


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(UnknownCodec, match="cbor"):
        Node.read(CID.for_block(b"\x01", "cbor"), b"\x01")
    with pytest.raises(InvalidDagPb):
        Node.read(CID.for_block(b"\xff", "dag-pb"), b"\xff")
    with pytest.raises(BlockHashMismatch):
        Node(LEAF.cid, b"other", b"other").verify()
