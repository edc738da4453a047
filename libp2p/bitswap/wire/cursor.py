"""Protobuf fields read from the front of bytes that lie in pieces (sans-I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.exceptions import ParseError
from libp2p.ipld.protowire import LONGEST_VARINT, read_varint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer


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

    def varint(self) -> int:
        """
        Read one varint; unlike the frame's length it need not be in its shortest form.

        :raises ParseError: if it is longer than ten bytes or the bytes end.
        """
        at, buffer = self._at, self._buffer
        if at < self._end and (byte := buffer[at]) < 0x80:
            # Fast path: tags, flags and most lengths are one byte.
            self._at = at + 1
            self.left -= 1
            return byte
        here = self._end - at
        if here < LONGEST_VARINT and here < self.left:
            return self._late_varint()
        value, self._at = read_varint(buffer, at)
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

    def skip_field(self, tag: int) -> None:
        """
        Pass over a field that is not known.

        :raises ParseError: if it is malformed, or a group (none was ever sent in bitswap).
        """
        if tag < 1 << 3:
            raise ParseError("field 0 does not exist")
        match tag & 7:
            case 0:
                self.varint()
            case 1:
                self.take(8)
            case 2:
                self.take(self.varint())
            case 5:
                self.take(4)
            case wire_type:
                raise ParseError(f"wire type {wire_type} is not used")
