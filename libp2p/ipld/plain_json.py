"""
The codec "json": JSON without links and bytes (sans-I/O).

`encode` writes what Kubo writes: a line for each value, tabs in front, keys in their order.
`decode` takes any JSON of the data model; a key twice and numbers that would change are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from libp2p.exceptions import InvalidDagJson, InvalidJson
from libp2p.ipld import dag_json

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.dag_cbor import DagCborValue

__all__ = ["InvalidJson", "decode", "encode"]


def decode(block: Buffer) -> DagCborValue:
    """
    Read one value, which is all of the block.

    :raises InvalidJson: if it is no JSON, or has a key twice.
    """
    try:
        return dag_json.to_model(dag_json.read_json(block), has_links=False)
    except InvalidDagJson as error:
        raise InvalidJson(str(error)) from None


def encode(value: DagCborValue | Mapping[str, object] | Sequence[object]) -> bytes:
    """
    Write a value.

    :raises InvalidJson: if there is no form for it: a link, bytes, a NaN.
    """
    parts: list[str] = []
    try:
        _write(value, parts, 0)
        if len(parts) > 1:
            parts.append("\n")
        return dag_json.in_utf8(parts)
    except InvalidDagJson as error:
        raise InvalidJson(str(error)) from None


def _write(value: object, parts: list[str], depth: int) -> None:
    text = dag_json.scalar(value)
    if text is not None:
        parts.append(text)
    elif isinstance(value, Mapping):
        _write_all([(_key(key), inner) for key, inner in value.items()], "{}", parts, depth)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        _write_all([("", inner) for inner in value], "[]", parts, depth)
    else:
        raise InvalidJson(f"there is no form for a {type(value).__name__}")


def _write_all(
    entries: list[tuple[str, object]], brackets: str, parts: list[str], depth: int
) -> None:
    dag_json.check_depth(depth)
    parts.append(brackets[0])
    for number, (key, inner) in enumerate(entries):
        parts += ("," if number else "", "\n", "\t" * (depth + 1), key)
        _write(inner, parts, depth + 1)
    if entries:
        parts += ("\n", "\t" * depth)
    parts.append(brackets[1])


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise InvalidJson(f"a key of a map is text, not {type(key).__name__}")
    return f"{dag_json.scalar(key)}: "
