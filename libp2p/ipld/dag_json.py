"""
DAG-JSON: the data model of IPLD in JSON, with one form for each value (sans-I/O).

https://ipld.io/specs/codecs/dag-json/spec/. A link is ``{"/": "bafy…"}`` and bytes are
``{"/": {"bytes": "base64"}}``. `encode` sorts the keys of maps by their bytes and writes no blanks.
`decode` takes keys in any order and blanks, as Kubo does: people write this by hand. It refuses
what has no meaning: a key twice, other uses of the key ``/``, numbers that are none.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from libp2p.exceptions import InvalidCID, InvalidDagJson
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_cbor import MAX_DEPTH

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.dag_cbor import DagCborValue

__all__ = ["InvalidDagJson", "decode", "encode"]

#: Integers have 64 bits and a sign, as in DAG-CBOR; Python alone reads longer ones.
_MAX_INT: Final = 2**64 - 1
_MIN_INT: Final = -(2**64)

_RESERVED: Final = "/"


def decode(block: Buffer) -> DagCborValue:
    """
    Read one value, which is all of the block.

    :raises InvalidDagJson: if it is no JSON, or uses the key ``/`` for anything else than links
        and bytes.
    """
    try:
        value = _DECODER.decode(bytes(block).decode())
    except RecursionError as error:
        raise InvalidDagJson("too many lists and maps in one another") from error
    except ValueError as error:
        raise InvalidDagJson(f"the block is no JSON: {error}") from error
    return _value(value, 0)


def encode(value: DagCborValue | Mapping[str, object] | Sequence[object]) -> bytes:
    """
    Write a value; mappings and sequences of other types than dict and list will do.

    :raises InvalidDagJson: if there is no form for it: a NaN, a map with the key ``/``, an object.
    """
    parts: list[str] = []
    _write(value, parts, 0)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError as error:
        raise InvalidDagJson("a text has a lone surrogate, which UTF-8 cannot hold") from error


# -- reading --------------------------------------------------------------------------------------


class _Entries(NamedTuple):
    """A map as it was read, its entries in their order."""

    pairs: list[tuple[str, Any]]


def _no_number(text: str) -> None:
    raise InvalidDagJson(f"{text} is no number of the data model")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Entries, parse_constant=_no_number)


def _value(read: Any, depth: int) -> DagCborValue:
    """Turn what JSON's reader has read into values of the data model."""
    match read:
        case _Entries(pairs):
            return _map(pairs, depth)
        case list():
            _check_depth(depth)
            return [_value(inner, depth + 1) for inner in read]
        case str():
            _require_utf8(read)
            return read
        case int() if not _MIN_INT <= read <= _MAX_INT:
            raise InvalidDagJson("an integer has more than 64 bits")
        case float() if not math.isfinite(read):
            raise InvalidDagJson(f"{read} is no number of the data model")
    other: bool | int | float | None = read
    return other


def _map(pairs: list[tuple[str, Any]], depth: int) -> DagCborValue:
    if any(key == _RESERVED for key, _ in pairs):
        return _link_or_bytes(pairs)
    _check_depth(depth)
    entries: dict[str, DagCborValue] = {}
    for key, inner in pairs:
        _require_utf8(key)
        if key in entries:
            raise InvalidDagJson(f"the key {key!r:.80} is in a map twice")
        entries[key] = _value(inner, depth + 1)
    return entries


def _link_or_bytes(pairs: list[tuple[str, Any]]) -> CID | bytes:
    match pairs:
        case [(_, str(text))]:
            try:
                return CID.parse(text)
            except InvalidCID as error:
                raise InvalidDagJson(f"the CID of a link is malformed: {error}") from error
        case [(_, _Entries([("bytes", str(text))]))]:
            return _bytes(text)
    raise InvalidDagJson('a map with the key "/" is neither a link nor bytes')


def _bytes(text: str) -> bytes:
    unpadded = text.rstrip("=")
    try:
        return b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except ValueError as error:  # binascii.Error, or characters that are not ASCII
        raise InvalidDagJson(f"bytes are not in base64: {error}") from error


def _check_depth(depth: int) -> None:
    if depth == MAX_DEPTH:
        raise InvalidDagJson(f"more than {MAX_DEPTH} lists and maps in one another")


def _require_utf8(text: str) -> None:
    """Refuse lone surrogates, which JSON can escape and UTF-8 cannot hold."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidDagJson("a text has a lone surrogate") from error


# -- writing --------------------------------------------------------------------------------------

_ESCAPED: Final = re.compile(r'[\x00-\x1f"\\\u2028\u2029]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _text(text: str) -> str:
    """Write a text as go-ipld-prime does: U+2028 and U+2029 are escaped, which JSON need not."""

    def escape(found: re.Match[str]) -> str:
        return _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}"

    return f'"{_ESCAPED.sub(escape, text)}"'


def _float(number: float) -> str:
    """
    Write the shortest digits that are read as the same number.

    Whole numbers keep their point, as the specification says; Kubo drops it, and reads an integer.
    """
    if not math.isfinite(number):
        raise InvalidDagJson(f"{number} is no number of the data model")
    digits = repr(number)
    mantissa, has_exponent, exponent = digits.partition("e")
    if not has_exponent:
        return digits
    return f"{mantissa}e{int(exponent):+d}"


def _write(value: object, parts: list[str], depth: int) -> None:
    match value:
        case None:
            parts.append("null")
        case bool():
            parts.append("true" if value else "false")
        case int():
            if not _MIN_INT <= value <= _MAX_INT:
                raise InvalidDagJson("an integer has more than 64 bits")
            parts.append(str(value))
        case float():
            parts.append(_float(value))
        case str():
            parts.append(_text(value))
        case bytes() | bytearray() | memoryview():
            encoded = b64encode(value).decode().rstrip("=")
            parts.append(f'{{"/":{{"bytes":"{encoded}"}}}}')
        case CID():
            parts.append(f'{{"/":"{value}"}}')
        case Mapping():
            _check_depth(depth)
            _write_map(value, parts, depth + 1)
        case Sequence():
            _check_depth(depth)
            separator = "["
            for inner in value:
                parts.append(separator)
                separator = ","
                _write(inner, parts, depth + 1)
            parts.append("]" if value else "[]")
        case _:
            raise InvalidDagJson(f"there is no form for a {type(value).__name__}")


def _write_map(value: Mapping[object, object], parts: list[str], depth: int) -> None:
    separator = "{"
    for key in sorted(value, key=_sort_key):
        if key == _RESERVED:
            raise InvalidDagJson('the key "/" is reserved for links and bytes')
        parts += (separator, _text(str(key)), ":")
        separator = ","
        _write(value[key], parts, depth)
    parts.append("}" if value else "{}")


def _sort_key(key: object) -> bytes:
    if not isinstance(key, str):
        raise InvalidDagJson(f"a key of a map is text, not {type(key).__name__}")
    return key.encode("utf-8", "surrogatepass")
