"""
The protobuf wire format, as far as bitswap, dag-pb, UnixFS and keys use it (sans-I/O).

https://protobuf.dev/programming-guides/encoding/. Written by hand because blocks are the bulk of
all data: values of bytes fields are views into the block, nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import ParseError
from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = [
    "FIXED32",
    "LENGTH",
    "LONGEST_VARINT",
    "VARINT",
    "bytes_field",
    "field_end",
    "read_fields",
    "read_varint",
    "uint_field",
]

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

#: Ten groups of seven bits hold 64 bits. Without a limit a peer could make the reader loop.
LONGEST_VARINT: Final = 10
_UINT64_MASK: Final = 2**64 - 1


def read_varint(view: Buffer, offset: int) -> tuple[int, int]:
    """
    Read a 64-bit number; like every protobuf reader, not only in its shortest form.

    :return: the value, and the offset of the byte after it.
    :raises ParseError: if the data ends inside it, or it is longer than ten bytes.
    """
    value = shift = 0
    for byte in view[offset : offset + LONGEST_VARINT]:
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64_MASK, offset
        shift += 7
    raise ParseError("a number is cut off or too long")


def field_end(view: Buffer, tag: int, offset: int) -> tuple[int, int]:
    """
    Find the content of the field behind a tag.

    :return: the offset at which it begins, and the one of the byte after it.
    :raises ParseError: if there is no such field, or the data ends inside it.
    """
    if tag < 1 << 3:
        raise ParseError("field 0 does not exist")
    wire_type = tag & 7
    if wire_type == VARINT:
        return offset, read_varint(view, offset)[1]
    if wire_type == LENGTH:
        size, offset = read_varint(view, offset)
    elif wire_type == FIXED32:
        size = 4
    elif wire_type == FIXED64:
        size = 8
    else:
        raise ParseError(f"wire type {wire_type} is not used any more")
    if size > len(view) - offset:
        raise ParseError(f"field {tag >> 3} has {len(view) - offset} of its {size} bytes")
    return offset, offset + size


def read_fields(view: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """
    Yield each field's number, wire type, value (of a number) and bytes (of other types).

    :raises ParseError: if the message is malformed.
    """
    offset = 0
    while offset < len(view):
        tag, offset = read_varint(view, offset)
        start, offset = field_end(view, tag, offset)
        if tag & 7 == VARINT:
            yield tag >> 3, VARINT, read_varint(view, start)[0], view[:0]
        else:
            yield tag >> 3, tag & 7, 0, view[start:offset]


def uint_field(number: int, value: int) -> bytes:
    return encode_uvarint(number << 3 | VARINT) + encode_uvarint(value)


def bytes_field(number: int, size: int) -> bytes:
    """Return the tag and the length that precede the bytes of a field."""
    return encode_uvarint(number << 3 | LENGTH) + encode_uvarint(size)
