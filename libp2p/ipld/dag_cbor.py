"""
DAG-CBOR: the data model of IPLD in a subset of CBOR that leaves one form for each value (sans-I/O).

https://ipld.io/specs/codecs/dag-cbor/spec/. `encode` writes that form and `decode` refuses all
others, so what is read can be written again byte for byte: shortest numbers, keys of maps sorted by
length and then by bytes, floats of 64 bits, one tag (42, a link), nothing of unknown length.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias, TypeGuard

from libp2p.exceptions import InvalidCID, InvalidDagCbor
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = ["DagCborValue", "InvalidDagCbor", "decode", "encode"]

#: What a value may be: texts are text, a `CID` is a link, lists and maps hold such values.
DagCborValue: TypeAlias = (
    "bool | int | float | str | bytes | CID | list[DagCborValue] | dict[str, DagCborValue] | None"
)

#: Lists and maps in one another. Readers use a stack frame for each; data of people has a dozen.
MAX_DEPTH: Final = 256
#: Values of one block. Without this limit a block of 2 MiB of empty lists would take 60 times its
#: size in memory.
MAX_VALUES: Final = 1024 * 1024

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_LINK_TAG: Final = 42
#: In front of the CID of a link: the multibase prefix of binary.
_BINARY_PREFIX: Final = b"\x00"
_FALSE, _TRUE, _NULL, _FLOAT64 = 20, 21, 22, 27
_MAX_UINT: Final = 2**64 - 1
#: A number below stands in the first byte; else that says how many bytes follow.
_FIRST_LONG: Final = 24
_FLOAT: Final = struct.Struct(">d")


def decode(block: Buffer) -> DagCborValue:
    """
    Read one value, which is all of the block.

    :raises InvalidDagCbor: if it is not in the one form that DAG-CBOR has for it.
    """
    return CborReader(bytes(block)).only_value()


def encode(value: DagCborValue | Mapping[str, object] | Sequence[object]) -> bytes:
    """
    Write a value; mappings and sequences of other types than dict and list will do.

    :raises InvalidDagCbor: if there is no form for it: a NaN, a key that is no text, an object.
    """
    parts: list[bytes] = []
    _write(value, parts, 0)
    return b"".join(parts)


class CborReader:
    """A block, and how far it has been read; `plain_cbor` changes what tags and orders it takes."""

    __slots__ = ("data", "offset", "values_left")

    KEYS_ARE_SORTED: ClassVar = True

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0
        self.values_left = MAX_VALUES

    def only_value(self) -> DagCborValue:
        """Read a value behind which nothing may be."""
        value = self.value(0)
        if self.offset != len(self.data):
            raise InvalidDagCbor(f"{len(self.data) - self.offset} bytes after the value")
        return value

    def value(self, depth: int) -> DagCborValue:
        """Read the next value, in ``depth`` lists and maps."""
        self.values_left -= 1
        if self.values_left < 0:
            raise InvalidDagCbor(f"more than {MAX_VALUES} values")
        kind, argument = self._head()
        if kind == _UNSIGNED:
            return argument
        if kind == _NEGATIVE:
            return -1 - argument
        if kind == _BYTES:
            return self._take(argument)
        if kind == _TEXT:
            return self._text(argument)
        if kind == _SIMPLE:
            return self.simple(argument)
        if kind == _TAG:
            return self.tagged(argument)
        check_depth(depth)
        self._check_count(argument)
        if kind == _LIST:
            return [self.value(depth + 1) for _ in range(argument)]
        return self._map(argument, depth + 1)

    def _head(self) -> tuple[int, int]:
        """Read the major type and the number behind it: a value, a length, a tag."""
        (first,) = self._take(1)
        kind, argument = first >> 5, first & 0x1F
        if argument < _FIRST_LONG or kind == _SIMPLE:
            return kind, argument
        if argument > _FIRST_LONG + 3:
            raise InvalidDagCbor("a value has no length, or a reserved one")
        size = 1 << (argument - _FIRST_LONG)
        number = int.from_bytes(self._take(size))
        if number < (_FIRST_LONG if size == 1 else 1 << 4 * size):
            raise InvalidDagCbor(f"the number {number} takes {size} bytes, and needs fewer")
        return kind, number

    def _take(self, size: int) -> bytes:
        start = self.offset
        end = start + size
        if end > len(self.data):
            raise InvalidDagCbor(f"the data ends {end - len(self.data)} bytes inside a value")
        self.offset = end
        return self.data[start:end]

    def _check_count(self, count: int) -> None:
        # Each takes a byte at least: nothing is made for a count that cannot be.
        if count > len(self.data) - self.offset:
            raise InvalidDagCbor(f"a list or map of {count} entries has too few bytes")

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise InvalidDagCbor("a text is not UTF-8") from error

    def simple(self, which: int) -> DagCborValue:
        """Read a float, or a value that its number says."""
        if which == _FALSE:
            return False
        if which == _TRUE:
            return True
        if which == _NULL:
            return None
        if which != _FLOAT64:
            raise InvalidDagCbor(f"simple value {which} is none of false, true, null and float64")
        return self.float_of(_FLOAT)

    def float_of(self, form: struct.Struct) -> float:
        """Read a float in one of its sizes."""
        (number,) = form.unpack(self._take(form.size))
        if not math.isfinite(number):
            raise InvalidDagCbor(f"{number} is no number of the data model")
        return float(number)

    def tagged(self, tag: int) -> DagCborValue:
        """Read what is behind a tag: a link."""
        if tag != _LINK_TAG:
            raise InvalidDagCbor(f"tag {tag} is not the one of links, {_LINK_TAG}")
        kind, size = self._head()
        content = self._take(size) if kind == _BYTES else b""
        if content[:1] != _BINARY_PREFIX:
            raise InvalidDagCbor("a link holds no binary CID behind a zero byte")
        try:
            return CID.decode(content[1:])
        except InvalidCID as error:
            raise InvalidDagCbor(f"the CID of a link is malformed: {error}") from error

    def _map(self, count: int, depth: int) -> dict[str, DagCborValue]:
        entries: dict[str, DagCborValue] = {}
        before = (-1, b"")
        for _ in range(count):
            kind, size = self._head()
            if kind != _TEXT:
                raise InvalidDagCbor("a key of a map is no text")
            start = self.offset
            key = self._text(size)
            order = (size, self.data[start : self.offset])
            if self.KEYS_ARE_SORTED and order <= before:
                raise InvalidDagCbor(f"the keys of a map are not sorted, or {key!r:.80} twice")
            if key in entries:
                raise InvalidDagCbor(f"the key {key!r:.80} is in a map twice")
            before = order
            entries[key] = self.value(depth)
        return entries


def _write(value: object, parts: list[bytes], depth: int) -> None:
    if isinstance(value, CID):
        link = _BINARY_PREFIX + value.buffer
        parts += (_head(_TAG, _LINK_TAG), _head(_BYTES, len(link)), link)
    elif isinstance(value, Mapping):
        check_depth(depth)
        entries = sorted((_key(key), inner) for key, inner in value.items())
        parts.append(map_head(len(entries)))
        for (size, text), inner in entries:
            parts += (_head(_TEXT, size), text)
            _write(inner, parts, depth + 1)
    elif is_list(value):
        check_depth(depth)
        parts.append(list_head(len(value)))
        for inner in value:
            _write(inner, parts, depth + 1)
    else:
        parts.append(scalar(value))


def scalar(value: object) -> bytes:
    """Write anything but links, lists and maps."""
    match value:
        case None | bool():
            return _head(_SIMPLE, _NULL if value is None else _TRUE if value else _FALSE)
        case int():
            kind, argument = (_UNSIGNED, value) if value >= 0 else (_NEGATIVE, -1 - value)
            if argument > _MAX_UINT:
                raise InvalidDagCbor("an integer has more than 64 bits")
            return _head(kind, argument)
        case float():
            if not math.isfinite(value):
                raise InvalidDagCbor(f"{value} is no number of the data model")
            return bytes((_SIMPLE << 5 | _FLOAT64,)) + _FLOAT.pack(value)
        case str():
            text = _utf8(value)
            return _head(_TEXT, len(text)) + text
        case bytes() | bytearray() | memoryview():
            content = bytes(value)
            return _head(_BYTES, len(content)) + content
    raise InvalidDagCbor(f"there is no form for a {type(value).__name__}")


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Tell whether a value is a list of values, rather than text or bytes."""
    texts = (str, bytes, bytearray, memoryview)
    return isinstance(value, Sequence) and not isinstance(value, texts)


def list_head(count: int) -> bytes:
    """Return what is in front of the values of a list."""
    return _head(_LIST, count)


def map_head(count: int) -> bytes:
    """Return what is in front of the keys and values of a map."""
    return _head(_MAP, count)


def check_depth(depth: int) -> None:
    """:raises InvalidDagCbor: if there are too many lists and maps around a list or map."""
    if depth == MAX_DEPTH:
        raise InvalidDagCbor(f"more than {MAX_DEPTH} lists and maps in one another")


def _key(key: object) -> tuple[int, bytes]:
    """Return what a key is sorted by."""
    if not isinstance(key, str):
        raise InvalidDagCbor(f"a key of a map is text, not {type(key).__name__}")
    text = _utf8(key)
    return len(text), text


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidDagCbor("a text has a lone surrogate, which UTF-8 cannot hold") from error


def _head(kind: int, argument: int) -> bytes:
    if argument < _FIRST_LONG:
        return bytes((kind << 5 | argument,))
    power = max(0, ((argument.bit_length() + 7) // 8 - 1).bit_length())
    return bytes((kind << 5 | _FIRST_LONG + power,)) + argument.to_bytes(1 << power)
