"""Protobuf fields read from the front of bytes that lie in pieces (sans-I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.exceptions import ParseError
from libp2p.ipld import protowire
from libp2p.ipld.protowire import LONGEST_VARINT, read_varint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: Neither of these bits is in the wire type of a number (0), nor in the one of bytes (2).
_OTHER_TYPES: Final = 0b101


class BufferCursor:
    """A cursor over buffers; ``left`` counts down the bytes that follow it."""

    __slots__ = ("_at", "_buffer", "_buffers", "_end", "_index", "left")

    def __init__(self, buffers: list[Buffer]) -> None:
        self.left = sum(map(len, buffers))
        self._buffers = buffers
        self._index = 1  # of the buffer that comes next
        self._buffer: Buffer = buffers[0] if buffers else b""
        self._at = 0
        self._end = len(self._buffer)

    def field(self) -> tuple[int, int]:
        """
        Read the tag of a field and, if it is a number or bytes, the number or their length; else 0.

        :raises ParseError: if a varint is longer than ten bytes or the bytes end.
        """
        at, buffer, end = self._at, self._buffer, self._end
        if at + 1 < end and (tag := buffer[at]) < 0x80 and tag & _OTHER_TYPES == 0:
            value = buffer[at + 1]
            if value < 0x80:  # tags, flags and most lengths are one byte
                self._at = at + 2
                self.left -= 2
                return tag, value
            if end - at > LONGEST_VARINT:
                value, after = read_varint(buffer, at + 1)
                self._at = after
                self.left -= after - at
                return tag, value
        tag = self._varint()
        return tag, self._varint() if tag & _OTHER_TYPES == 0 else 0

    def _varint(self) -> int:
        """Read one varint; unlike the frame's length it need not be in its shortest form."""
        here = self._end - self._at
        if here < LONGEST_VARINT and here < self.left:
            return self._late_varint()
        at = self._at
        value, self._at = read_varint(self._buffer, at)
        self.left -= self._at - at
        return value

    def _late_varint(self) -> int:
        """Read a varint that may go on in the next piece."""
        encoded = b""
        while len(encoded) < LONGEST_VARINT:
            byte = self.take(1)
            encoded += byte
            if byte < b"\x80":
                break
        return read_varint(encoded, 0)[0]

    def take(self, count: int) -> bytes:
        """
        Read ``count`` bytes, copied once.

        :raises ParseError: if there are fewer.
        """
        if count > self.left:
            raise ParseError(f"message ends {count - self.left} bytes inside a field")
        self.left -= count
        at, after = self._at, self._at + count
        if after <= self._end:
            self._at = after
            return bytes(self._buffer[at:after])
        parts: list[Buffer] = [memoryview(self._buffer)[at:]]
        missing = after - self._end
        while missing > 0:  # `left` says that so many bytes are there
            buffer = self._buffers[self._index]
            self._index += 1
            size = len(buffer)
            parts.append(buffer)
            missing -= size
        self._buffer, self._at, self._end = buffer, size + missing, size
        parts[-1] = memoryview(buffer)[: self._at]
        return b"".join(parts)

    def skip(self, tag: int, value: int) -> None:
        """
        Pass over the rest of a field that `field` has returned and that is not known.

        :raises ParseError: if it is malformed, or a group (none was ever sent in bitswap).
        """
        if tag < 1 << 3:
            raise ParseError("field 0 does not exist")
        match tag & 7:
            case protowire.VARINT:
                return
            case protowire.LENGTH:
                self.take(value)
            case protowire.FIXED32:
                self.take(4)
            case protowire.FIXED64:
                self.take(8)
            case wire_type:
                raise ParseError(f"wire type {wire_type} is not used")
