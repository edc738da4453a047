"""
Nodes of dag-pb in the data model, as ``dag get`` and ``dag put`` show and take them (sans-I/O).

``{"Data": bytes, "Links": [{"Hash": CID, "Name": text, "Tsize": integer}]}``. What is absent is
null when a node is shown, and is left out when one is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from libp2p.exceptions import InvalidDagPb
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink, PBNode

if TYPE_CHECKING:
    from libp2p.ipld.dag_cbor import DagCborValue

#: What Kubo takes for the bytes below a link.
_MAX_TSIZE: Final = 2**63 - 1


def to_model(node: PBNode) -> dict[str, DagCborValue]:
    """Return a node as a map."""
    return {
        "Data": None if node.data is None else bytes(node.data),
        "Links": [
            {"Hash": link.cid, "Name": link.name, "Tsize": link.tsize} for link in node.links
        ],
    }


def from_model(value: object) -> PBNode:
    """
    Return the node that a map says.

    :raises InvalidDagPb: if it says none.
    """
    fields = _fields(value, "a node", "Links", "Data")
    links, data = fields["Links"], fields.get("Data", b"")
    if not isinstance(links, list | tuple):
        raise InvalidDagPb(f"the links of a node are a list, not {type(links).__name__}")
    if not isinstance(data, bytes):
        raise InvalidDagPb(f"the data of a node are bytes, not {type(data).__name__}")
    return PBNode(tuple(_link(link) for link in links), data if "Data" in fields else None)


def _link(value: object) -> PBLink:
    fields = _fields(value, "a link", "Hash", "Name", "Tsize")
    cid, name, tsize = fields["Hash"], fields.get("Name"), fields.get("Tsize")
    if not isinstance(cid, CID):
        raise InvalidDagPb(f"the hash of a link is a CID, not {type(cid).__name__}")
    if "Name" in fields and not isinstance(name, str):
        raise InvalidDagPb(f"the name of a link is text, not {type(name).__name__}")
    if "Tsize" in fields and (type(tsize) is not int or not 0 <= tsize <= _MAX_TSIZE):
        raise InvalidDagPb(f"the size of a link is a number of bytes, not {tsize!r:.40}")
    return PBLink(cid, name, tsize)


def _fields(value: object, what: str, needed: str, *others: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidDagPb(f"{what} of dag-pb is a map, not {type(value).__name__}")
    if needed not in value:
        raise InvalidDagPb(f"{what} of dag-pb has no {needed}")
    unknown = value.keys() - {needed, *others}
    if unknown:
        raise InvalidDagPb(f"{what} of dag-pb has no field {min(map(str, unknown))!r:.80}")
    return value
