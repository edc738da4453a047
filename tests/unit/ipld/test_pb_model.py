"""Nodes of dag-pb as maps."""

from __future__ import annotations

from typing import Any

import pytest

from libp2p.exceptions import InvalidDagPb
from libp2p.ipld import dag_pb
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink, PBNode
from libp2p.ipld.node import Node
from libp2p.ipld.pb_model import from_model, to_model

LINK = CID.for_block(b"linked")


def test_a_node_is_shown() -> None:
    block = dag_pb.encode([PBLink(LINK, "a", 3), PBLink(LINK, None, None)], b"data")
    node = Node.read(CID.for_block(block, "dag-pb"), block)
    assert node.model == {
        "Data": b"data",
        "Links": [
            {"Hash": LINK, "Name": None, "Tsize": None},
            {"Hash": LINK, "Name": "a", "Tsize": 3},
        ],
    }
    assert to_model(PBNode()) == {"Data": None, "Links": []}


def test_a_node_is_made() -> None:
    links = [{"Hash": LINK, "Name": "b", "Tsize": 5}, {"Hash": LINK, "Name": "a"}, {"Hash": LINK}]
    node = from_model({"Links": links})
    assert node == PBNode((PBLink(LINK, "b", 5), PBLink(LINK, "a", None), PBLink(LINK, None, None)))
    made = Node.of({"Links": links}, "dag-pb")  # type: ignore[dict-item]
    assert str(made.cid) == str(CID.for_block(dag_pb.encode(node.links), "dag-pb"))
    assert from_model({"Links": (), "Data": b""}) == PBNode((), b"")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "is a map"),
        ({}, "no Links"),
        ({"Links": [], "X": 1}, "no field 'X'"),
        ({"Links": {}}, "are a list"),
        ({"Links": [], "Data": None}, "are bytes"),
        ({"Links": [1]}, "is a map"),
        ({"Links": [{"Name": "x"}]}, "no Hash"),
        ({"Links": [{"Hash": "x"}]}, "is a CID"),
        ({"Links": [{"Hash": LINK, "Name": 1}]}, "is text"),
        ({"Links": [{"Hash": LINK, "Name": None}]}, "is text"),
        ({"Links": [{"Hash": LINK, "Tsize": -1}]}, "number of bytes"),
        ({"Links": [{"Hash": LINK, "Tsize": 2**63}]}, "number of bytes"),
        ({"Links": [{"Hash": LINK, "Tsize": True}]}, "number of bytes"),
    ],
)
def test_what_is_no_node_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(InvalidDagPb, match=reason):
        from_model(value)
