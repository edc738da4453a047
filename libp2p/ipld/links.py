"""Which blocks a block links to, whatever codec it is in (sans-I/O)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import UnknownCodec
from libp2p.ipld import dag_cbor, dag_json, dag_pb
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB, RAW, codec_code

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

_DAG_CBOR: Final = codec_code("dag-cbor")
_DAG_JSON: Final = codec_code("dag-json")

_WITHOUT_LINKS: Final = frozenset(
    map(codec_code, ("identity", "cbor", "raw", "libp2p-key", "json", "car", "ipns-record"))
)


def links_of(cid: CID, data: Buffer) -> list[CID]:
    """
    Return the links of a block in their order; a link that is there twice, twice.

    :raises ParseError: if the block is not in the codec that its CID says.
    :raises UnknownCodec: if blocks of that codec may have links, and nothing here can read them.
    """
    codec = cid.codec_code
    if codec == RAW or codec in _WITHOUT_LINKS:
        return []
    if codec == DAG_PB:
        return [link.cid for link in dag_pb.decode(data).links]
    decode = _DECODERS.get(codec)
    if decode is None:
        raise UnknownCodec(f"the links of {cid} cannot be read: its codec is {cid.codec}")
    links: list[CID] = []
    _collect(decode(data), links)
    return links


_DECODERS: Final[dict[int, Callable[[Buffer], dag_cbor.DagCborValue]]] = {
    _DAG_CBOR: dag_cbor.decode,
    _DAG_JSON: dag_json.decode,
}


def _collect(value: dag_cbor.DagCborValue, links: list[CID]) -> None:
    match value:
        case CID():
            links.append(value)
        case list():
            for inner in value:
                _collect(inner, links)
        case dict():
            for inner in value.values():
                _collect(inner, links)
