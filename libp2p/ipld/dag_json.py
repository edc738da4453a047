"""
DAG-JSON: the data model of IPLD in JSON, with one form for each value (sans-I/O).

https://ipld.io/specs/codecs/dag-json/spec/. A link is ``{"/": "bafy…"}`` and bytes are
``{"/": {"bytes": "base64"}}``. `encode` sorts the keys of maps by their bytes and writes no blanks.
Floats are written as Kubo does, so that CIDs are the same: 1.0 is ``1``, and is read as an integer.
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

#: A float without a point has 21 digits at most, and a sign.
_MOST_DIGITS: Final = 22

_RESERVED: Final = "/"


def decode(block: Buffer) -> DagCborValue:
    """
    Read one value, which is all of the block.

    :raises InvalidDagJson: if it is no JSON, or uses the key ``/`` for anything else than links
        and bytes.
    """
    return to_model(read_json(block))


def encode(value: DagCborValue | Mapping[str, object] | Sequence[object]) -> bytes:
    """
    Write a value; mappings and sequences of other types than dict and list will do.

    :raises InvalidDagJson: if there is no form for it: a NaN, a map with the key ``/``, an object.
    """
    parts: list[str] = []
    _write(value, parts, 0)
    return in_utf8(parts)


def in_utf8(parts: list[str]) -> bytes:
    """:raises InvalidDagJson: if UTF-8 cannot hold a text."""
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


def _integer(text: str) -> int | float:
    """Read digits; -0 and what is too large for an integer may be a float as `_float` writes it."""
    if len(text) <= _MOST_DIGITS:
        number = int(text)
        if text == "0" or (number and _MIN_INT <= number <= _MAX_INT):
            return number
        as_float = float(text)
        if _float(as_float) == text:
            return as_float
    raise InvalidDagJson("an integer has more than 64 bits")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_Entries, parse_constant=_no_number, parse_int=_integer
)


def read_json(block: Buffer) -> Any:
    """Read JSON for `to_model`; objects are `_Entries`, in which a key may be twice."""
    try:
        return _DECODER.decode(bytes(block).decode())
    except RecursionError as error:
        raise InvalidDagJson("too many lists and maps in one another") from error
    except InvalidDagJson:
        raise
    except ValueError as error:
        raise InvalidDagJson(f"the block is no JSON: {error}") from error


def to_model(read: Any, depth: int = 0, has_links: bool = True) -> DagCborValue:
    """
    Turn what JSON's reader has read into values of the data model.

    :param has_links: False if the key ``/`` is one as any other.
    """
    match read:
        case _Entries(pairs):
            return _map(pairs, depth, has_links)
        case list():
            check_depth(depth)
            return [to_model(inner, depth + 1, has_links) for inner in read]
        case str():
            _require_utf8(read)
            return read
        case float() if not math.isfinite(read):
            raise InvalidDagJson(f"{read} is no number of the data model")
    other: bool | int | float | None = read
    return other


def _map(pairs: list[tuple[str, Any]], depth: int, has_links: bool) -> DagCborValue:
    if has_links and any(key == _RESERVED for key, _ in pairs):
        return _link_or_bytes(pairs)
    check_depth(depth)
    entries: dict[str, DagCborValue] = {}
    for key, inner in pairs:
        _require_utf8(key)
        if key in entries:
            raise InvalidDagJson(f"the key {key!r:.80} is in a map twice")
        entries[key] = to_model(inner, depth + 1, has_links)
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
    """Read base64, which has all of its padding or none."""
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    if text not in (bare, padded):
        raise InvalidDagJson(f"bytes are in base64 with wrong padding: {text[-64:]!r}")
    try:
        return b64decode(padded, validate=True)
    except ValueError as error:  # binascii.Error, or characters that are not ASCII
        raise InvalidDagJson(f"bytes are not in base64: {error}") from error


def check_depth(depth: int) -> None:
    """:raises InvalidDagJson: if there are too many lists and maps around a list or map."""
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

#: Numbers between these powers of ten have no exponent.
_LEAST_POWER: Final = -6
_MOST_POWER: Final = 20

_ESCAPED: Final = re.compile(r'[\x00-\x1f"\\\u2028\u2029]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _text(text: str) -> str:
    """Write a text as go-ipld-prime does: U+2028 and U+2029 are escaped, which JSON need not."""

    def escape(found: re.Match[str]) -> str:
        return _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}"

    return f'"{_ESCAPED.sub(escape, text)}"'


def _float(number: float) -> str:
    """
    Write the shortest digits that are read as the same number, in the notation of Go's JSON.

    Kubo drops the point of whole numbers, and reads integers. For some above 2**53 that would be
    another number, as the digits are rounded: these have an exponent here, which Kubo reads too.
    """
    if not math.isfinite(number):
        raise InvalidDagJson(f"{number} is no number of the data model")
    mantissa, has_exponent, exponent = repr(number).partition("e")
    mantissa = mantissa.removesuffix(".0")
    if not has_exponent:
        return mantissa
    power = int(exponent)
    if _LEAST_POWER <= power <= _MOST_POWER:
        sign = "-" if number < 0 else ""
        digits = mantissa.removeprefix("-").replace(".", "")
        if power < 0:
            return f"{sign}0.{'0' * (-power - 1)}{digits}"
        text = sign + digits.ljust(power + 1, "0")
        if int(text) == number or not _MIN_INT <= int(text) <= _MAX_INT:
            return text
    return f"{mantissa}e{power:+d}"


def scalar(value: object) -> str | None:
    """Write null, a boolean, a number or a text; None for anything else."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            if not _MIN_INT <= value <= _MAX_INT:
                raise InvalidDagJson("an integer has more than 64 bits")
            return str(value)
        case float():
            return _float(value)
        case str():
            return _text(value)
    return None


def _write(value: object, parts: list[str], depth: int) -> None:
    text = scalar(value)
    if text is not None:
        parts.append(text)
        return
    match value:
        case bytes() | bytearray() | memoryview():
            encoded = b64encode(value).decode().rstrip("=")
            parts.append(f'{{"/":{{"bytes":"{encoded}"}}}}')
        case CID():
            parts.append(f'{{"/":"{value}"}}')
        case Mapping():
            check_depth(depth)
            _write_map(value, parts, depth + 1)
        case Sequence():
            check_depth(depth)
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
