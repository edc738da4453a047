"""
The protobuf wire format, as far as dag-pb and UnixFS use it (sans-I/O).

https://protobuf.dev/programming-guides/encoding/. Written by hand because blocks are the bulk of
all data: bytes fields come out as views into the block, nothing is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.exceptions import ParseError
from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FIXED32", "LENGTH", "VARINT", "bytes_field", "read_fields", "read_varint", "uint_field"]

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

_MAX_VARINT_BYTES: Final = 10
_UINT64_MASK: Final = 2**64 - 1


def read_varint(view: memoryview, offset: int) -> tuple[int, int]:
    """
    Read a 64-bit number; like every protobuf reader, not only in its shortest form.

    :return: the value, and the offset of the byte after it.
    :raises ParseError: if the data ends inside it, or it is longer than ten bytes.
    """
    value = shift = 0
    for byte in view[offset : offset + _MAX_VARINT_BYTES]:
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64_MASK, offset
        shift += 7
    raise ParseError("a number is cut off or too long")


def read_fields(view: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """
    Give each field's number, wire type, value (of a number) and bytes (of the rest).

    :raises ParseError: if the message is malformed.
    """
    offset = 0
    end = len(view)
    empty = view[:0]
    while offset < end:
        tag, offset = read_varint(view, offset)
        wire_type = tag & 7
        if not tag >> 3:
            raise ParseError("field 0 does not exist")
        if wire_type == VARINT:
            value, offset = read_varint(view, offset)
            yield tag >> 3, wire_type, value, empty
            continue
        if wire_type == LENGTH:
            size, offset = read_varint(view, offset)
        elif wire_type == FIXED32:
            size = 4
        elif wire_type == FIXED64:
            size = 8
        else:
            raise ParseError(f"wire type {wire_type} is not used any more")
        if size > end - offset:
            raise ParseError(f"field {tag >> 3} has {end - offset} of its {size} bytes")
        yield tag >> 3, wire_type, 0, view[offset : offset + size]
        offset += size


def uint_field(number: int, value: int) -> bytes:
    return encode_uvarint(number << 3 | VARINT) + encode_uvarint(value)


def bytes_field(number: int, size: int) -> bytes:
    """Give what stands before the bytes of a field."""
    return encode_uvarint(number << 3 | LENGTH) + encode_uvarint(size)
