"""Blocks as nodes (sans-I/O): a CID, the bytes that it names, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from libp2p.exceptions import UnknownCodec, WrongArgumentType
from libp2p.ipld import dag_cbor, dag_json, dag_pb
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB, RAW, codec_code, codec_name
from libp2p.ipld.dag_pb import PBNode
from libp2p.ipld.links import links_of

if TYPE_CHECKING:
    from libp2p.ipld.dag_cbor import DagCborValue

    #: A `PBNode` in dag-pb, bytes in raw, and the data model in dag-cbor and dag-json.
    NodeValue: TypeAlias = "PBNode | DagCborValue"

_DAG_CBOR: Final = codec_code("dag-cbor")
_DAG_JSON: Final = codec_code("dag-json")


@dataclass(frozen=True, slots=True)
class Node:
    """
    A block that can be read; `of` makes one, `read` reads one.

    :param data: the block, byte for byte.
    :param value: a `PBNode` (dag-pb), bytes (raw), or what dag-cbor and dag-json can say, in which
        a link is a `CID`.
    """

    cid: CID
    data: bytes = field(repr=False)
    value: Any

    @staticmethod
    def of(
        value: NodeValue,
        codec: str | int | None = None,
        *,
        version: int = 1,
        hash: str | int = "sha2-256",
    ) -> Node:
        """
        Write a value as a block, in the one canonical form of its codec.

        :param codec: by default dag-pb for a `PBNode`, raw for bytes, else dag-cbor.
        :raises UnknownCodec: if nodes cannot be written in it.
        :raises ValueError: or `TypeError`, if the value cannot be written in it.
        """
        if codec is None:
            codec = DAG_PB if isinstance(value, PBNode) else _DAG_CBOR
            codec = RAW if isinstance(value, bytes) else codec
        data = _encode(value, codec_code(codec))
        return Node(CID.for_block(data, codec, version, hash), data, value)

    @staticmethod
    def read(cid: CID, data: bytes) -> Node:
        """
        Read a block, whose hash somebody else has checked.

        :raises UnknownCodec: if its codec is none that is read here.
        :raises ParseError: if it is not in that codec.
        """
        code = cid.codec_code
        if code == RAW:
            return Node(cid, data, data)
        if code == DAG_PB:
            return Node(cid, data, dag_pb.decode(data))
        if code == _DAG_CBOR:
            return Node(cid, data, dag_cbor.decode(data))
        if code == _DAG_JSON:
            return Node(cid, data, dag_json.decode(data))
        raise UnknownCodec(f"{cid} cannot be read: its codec is {cid.codec}")

    @property
    def links(self) -> list[CID]:
        """The blocks that it links to, in their order; one that is there twice, twice."""
        return links_of(self.cid, self.data)

    def verify(self) -> Node:
        """
        Check the block against the CID.

        :raises BlockHashMismatch: if it has another one.
        """
        Block(self.cid, self.data).verify()
        return self


def _encode(value: Any, code: int) -> bytes:
    if code == DAG_PB and isinstance(value, PBNode):
        return value.to_bytes()
    if code == RAW and isinstance(value, bytes):
        return value
    if code in (DAG_PB, RAW):
        expected = "a PBNode" if code == DAG_PB else "bytes"
        given = type(value).__name__
        raise WrongArgumentType(f"a node in {codec_name(code)} is {expected}, not {given}")
    if code == _DAG_CBOR:
        return dag_cbor.encode(value)
    if code == _DAG_JSON:
        return dag_json.encode(value)
    raise UnknownCodec(f"nodes cannot be written in {codec_name(code)}")
