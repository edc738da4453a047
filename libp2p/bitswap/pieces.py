"""Protobuf fields read from the front of bytes that lie in pieces (sans-I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.exceptions import ParseError

if TYPE_CHECKING:
    from libp2p.custom_types import Buffer

#: Ten groups of seven bits hold 64 bits.
_MAX_VARINT_SHIFT: Final = 63
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Pieces:
    """A cursor over buffers; ``left`` counts down the bytes that follow it."""

    __slots__ = ("_at", "_buffer", "_end", "_following", "left")

    def __init__(self, buffers: list[Buffer]) -> None:
        self.left = sum(map(len, buffers))
        self._following = iter(buffers)
        self._buffer: Buffer = b""
        self._at = self._end = 0

    def _next_buffer(self) -> None:
        # Callers have checked `left`, so there is one. It is never empty: queues keep none.
        self._buffer = next(self._following)
        self._at = 0
        self._end = len(self._buffer)

    def varint(self) -> int:
        """
        Read one varint; unlike the frame's length it need not be in its shortest form.

        :raises ParseError: if it is longer than 64 bits or the bytes end.
        """
        # Fast path: tags, flags and most lengths are one byte.
        at = self._at
        if at < self._end:
            byte = self._buffer[at]
            if byte < 0x80:
                self._at = at + 1
                self.left -= 1
                return byte
        return self._long_varint()

    def _long_varint(self) -> int:
        value = shift = 0
        while True:
            if not self.left:
                raise ParseError("message ends inside a number")
            if self._at == self._end:
                self._next_buffer()
            byte = self._buffer[self._at]
            self._at += 1
            self.left -= 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            if shift == _MAX_VARINT_SHIFT:
                raise ParseError("number of more than 64 bits")
            shift += 7

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
        parts = [memoryview(self._buffer)[at:]]
        count -= self._end - at
        self._at = self._end
        while count:
            self._next_buffer()
            self._at = min(count, self._end)
            parts.append(memoryview(self._buffer)[: self._at])
            count -= self._at
        return b"".join(parts)

    def enter(self) -> int:
        """
        Read the length of a nested message; it ends where ``left`` is what this returns.

        :raises ParseError: if it is longer than what follows.
        """
        size = self.varint()
        if size > self.left:
            raise ParseError(f"message ends {size - self.left} bytes inside a field")
        return self.left - size

    def leave(self, stop: int) -> None:
        """:raises ParseError: if the fields of the nested message went beyond its end."""
        if self.left != stop:
            raise ParseError("a field ends outside the message that it is in")

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
