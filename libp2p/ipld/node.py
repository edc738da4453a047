"""Blocks as nodes (sans-I/O): a CID, the bytes that it names, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from libp2p.exceptions import UnknownCodec, WrongArgumentType
from libp2p.ipld import dag_cbor, dag_json, dag_pb, plain_cbor, plain_json
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB, RAW, codec_code, codec_name
from libp2p.ipld.dag_pb import PBNode
from libp2p.ipld.links import links_of
from libp2p.ipld.pb_model import from_model, to_model

if TYPE_CHECKING:
    from libp2p.ipld.dag_cbor import DagCborValue

    #: A `PBNode` or its map in dag-pb, bytes in raw, and the data model in all others.
    NodeValue: TypeAlias = "PBNode | DagCborValue"

_DAG_CBOR: Final = codec_code("dag-cbor")


@dataclass(frozen=True, slots=True)
class Node:
    """
    A block that can be read; `of` makes one, `read` reads one.

    :param data: the block, byte for byte.
    :param value: a `PBNode` (dag-pb), bytes (raw), or what dag-cbor, dag-json, cbor and json can
        say, in which a link is a `CID`.
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
        data = encode(value, codec)
        return Node(CID.for_block(data, codec, version, hash), data, value)

    @staticmethod
    def read(cid: CID, data: bytes) -> Node:
        """
        Read a block, whose hash somebody else has checked.

        :raises UnknownCodec: if its codec is none that is read here.
        :raises ParseError: if it is not in that codec.
        """
        code = cid.codec_code
        if code not in _CODECS:
            raise UnknownCodec(f"{cid} cannot be read: its codec is {cid.codec}")
        return Node(cid, data, _CODECS[code][1](data))

    @property
    def model(self) -> DagCborValue:
        """The value in the data model, in which a node of dag-pb is a map; see `pb_model`."""
        model: DagCborValue = to_model(self.value) if isinstance(self.value, PBNode) else self.value
        return model

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


def _encode_raw(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise WrongArgumentType(f"a node in raw is bytes, not {type(value).__name__}")
    return value


def _encode_dag_pb(value: object) -> bytes:
    if not isinstance(value, PBNode | dict):
        raise WrongArgumentType(
            f"a node in dag-pb is a PBNode or a map, not {type(value).__name__}"
        )
    return (value if isinstance(value, PBNode) else from_model(value)).to_bytes()


#: How values become blocks, and blocks values.
_CODECS: Final[dict[int, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]] = {
    RAW: (_encode_raw, bytes),
    DAG_PB: (_encode_dag_pb, dag_pb.decode),
    _DAG_CBOR: (dag_cbor.encode, dag_cbor.decode),
    codec_code("dag-json"): (dag_json.encode, dag_json.decode),
    codec_code("cbor"): (plain_cbor.encode, plain_cbor.decode),
    codec_code("json"): (plain_json.encode, plain_json.decode),
}


def encode(value: NodeValue, codec: str | int) -> bytes:
    """
    Write a value as `Node.of` does.

    :raises UnknownCodec: if nodes cannot be written in that codec.
    """
    code = codec_code(codec)
    if code not in _CODECS:
        raise UnknownCodec(f"nodes cannot be written in {codec_name(code)}")
    return _CODECS[code][0](value)


def decode(data: bytes, codec: str | int) -> DagCborValue:
    """
    Read a block, as `Node.model` does.

    :raises UnknownCodec: if blocks in that codec cannot be read.
    """
    code = codec_code(codec)
    if code not in _CODECS:
        raise UnknownCodec(f"blocks cannot be read in {codec_name(code)}")
    value: Any = _CODECS[code][1](data)
    model: DagCborValue = to_model(value) if isinstance(value, PBNode) else value
    return model
