"""
The codec "cbor": CBOR without links (sans-I/O).

`encode` writes what Kubo writes: DAG-CBOR, with the keys of maps in the order in which they are.
`decode` takes keys in any order, and floats of 16 and 32 bits, which other writers prefer. Like
DAG-CBOR it refuses what can be said in another way, and what would be lost when it is written
again: tags, undefined, keys that are no text.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from libp2p.exceptions import InvalidCbor, InvalidDagCbor
from libp2p.ipld import dag_cbor

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.dag_cbor import DagCborValue

__all__ = ["InvalidCbor", "decode", "encode"]

_SHORT_FLOATS: Final = {25: struct.Struct(">e"), 26: struct.Struct(">f")}


def decode(block: Buffer) -> DagCborValue:
    """
    Read one value, which is all of the block.

    :raises InvalidCbor: if it is not CBOR, or says something that is not in the data model.
    """
    try:
        return _Reader(bytes(block)).only_value()
    except InvalidDagCbor as error:
        raise InvalidCbor(str(error)) from None


def encode(value: DagCborValue | Mapping[str, object] | Sequence[object]) -> bytes:
    """
    Write a value.

    :raises InvalidCbor: if there is no form for it: a link, a NaN, a key that is no text.
    """
    parts: list[bytes] = []
    try:
        _write(value, parts, 0)
    except InvalidDagCbor as error:
        raise InvalidCbor(str(error)) from None
    return b"".join(parts)


class _Reader(dag_cbor.CborReader):
    __slots__ = ()

    KEYS_ARE_SORTED: ClassVar = False

    def simple(self, which: int) -> DagCborValue:
        short = _SHORT_FLOATS.get(which)
        return super().simple(which) if short is None else self.float_of(short)

    def tagged(self, tag: int) -> DagCborValue:
        raise InvalidCbor(f"tag {tag}: blocks of this codec have no tags, and no links")


def _write(value: object, parts: list[bytes], depth: int) -> None:
    if isinstance(value, Mapping):
        dag_cbor.check_depth(depth)
        parts.append(dag_cbor.map_head(len(value)))
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidCbor(f"a key of a map is text, not {type(key).__name__}")
            parts.append(dag_cbor.scalar(key))
            _write(inner, parts, depth + 1)
    elif dag_cbor.is_list(value):
        dag_cbor.check_depth(depth)
        parts.append(dag_cbor.list_head(len(value)))
        for inner in value:
            _write(inner, parts, depth + 1)
    else:
        parts.append(dag_cbor.scalar(value))
