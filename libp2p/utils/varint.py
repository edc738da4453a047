"""
Unsigned varints as multiformats writes them, and messages that carry their length as one.

https://github.com/multiformats/unsigned-varint: seven bits per byte, lowest first, the shortest
form only, nine bytes at most. The async functions are py-libp2p's and read byte by byte; code that
handles many messages uses `libp2p.io.frame_reader.FrameReader`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from libp2p.exceptions import IncompleteVarint, MessageTooLarge, ParseError
from libp2p.io.utils import read_exactly
from libp2p.utils.arguments import out_of_range

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.io.abc import Reader

__all__ = [
    "IncompleteVarint",
    "decode_uvarint",
    "decode_uvarint_from_stream",
    "decode_varint_from_bytes",
    "decode_varint_with_size",
    "encode_delim",
    "encode_uvarint",
    "encode_varint_prefixed",
    "read_delim",
    "read_length_prefixed_protobuf",
    "read_varint_prefixed_bytes",
    "read_varint_prefixed_bytes_limited",
    "read_varint_prefixed_bytes_sync",
]

#: The multiformats limit: 63 bits. Without it a peer could make the decoder loop or overflow.
MAX_UVARINT_BYTES: Final = 9

#: A 64-bit value, as protobuf and py-libp2p allow when encoding.
UINT64_MAX: Final = 2**64 - 1

#: The limit of the message readers if their caller passes none (py-libp2p's default).
DEFAULT_MAX_MESSAGE_BYTES: Final = 1024 * 1024

#: Values of one byte are by far the most common, so a table holds them.
_SINGLE_BYTES: Final = tuple(bytes((value,)) for value in range(0x80))
_MORE_FOLLOWS: Final = tuple(bytes((value | 0x80,)) for value in range(0x80))


def encode_uvarint(value: int) -> bytes:
    """
    Encode ``value``.

    :raises ValueError: if it is negative or does not fit into 64 bits.
    """
    if 0 <= value < 0x80:
        return _SINGLE_BYTES[value]
    if not 0 <= value <= UINT64_MAX:
        raise ValueError(f"{value} is not an unsigned 64-bit number")
    encoded = b""
    while value >= 0x80:
        encoded += _MORE_FOLLOWS[value & 0x7F]
        value >>= 7
    return encoded + _SINGLE_BYTES[value]


def decode_uvarint(
    buffer: Buffer, offset: int = 0, max_bytes: int = MAX_UVARINT_BYTES
) -> tuple[int, int]:
    """
    Decode the varint at ``offset``.

    :return: the value, and the offset of the byte after it.
    :raises IncompleteVarint: if ``buffer`` ends inside the varint.
    :raises ParseError: if it is longer than ``max_bytes`` or not in its shortest form.
    """
    available = len(buffer) - offset
    if available > 0 and (byte := buffer[offset]) < 0x80:  # fast path: most are of one byte
        return byte, offset + 1
    value = 0
    for index in range(min(available, max_bytes)):
        byte = buffer[offset + index]
        if byte < 0x80:
            if byte == 0 and index:
                raise ParseError("varint is not in its shortest form")
            return value | byte << 7 * index, offset + index + 1
        value |= (byte & 0x7F) << 7 * index
    if available < max_bytes:
        raise IncompleteVarint("Unexpected end of data inside a varint")
    raise ParseError(f"varint is longer than {max_bytes} bytes, or has 64 bits")


def decode_varint_with_size(data: Buffer) -> tuple[int, int]:
    """Decode the varint at the start of ``data``: its value and how many bytes it took."""
    return decode_uvarint(data)


def decode_varint_from_bytes(data: Buffer) -> int:
    """Decode the varint at the start of ``data`` and ignore what follows."""
    return decode_uvarint(data)[0]


def encode_varint_prefixed(data: Buffer) -> bytes:
    """Put the length of ``data`` in front of it."""
    return b"".join((encode_uvarint(len(data)), data))


encode_delim = encode_varint_prefixed


async def decode_uvarint_from_stream(reader: Reader) -> int:
    """
    Read one varint and not a byte more.

    :raises IncompleteReadError: if the reader ends before or inside it.
    :raises ParseError: if it is malformed.
    """
    encoded = bytearray()
    while True:
        encoded += await read_exactly(reader, 1)
        try:
            return decode_uvarint(encoded)[0]
        except IncompleteVarint:
            continue


async def read_varint_prefixed_bytes_limited(reader: Reader, max_length: int) -> bytes:
    """
    Read one length-prefixed message.

    :raises MessageTooLarge: if more than ``max_length`` bytes are announced; none is read then.
    :raises ValueError: if ``max_length`` is not above 0.
    """
    if max_length <= 0:
        raise out_of_range("max_length", max_length, "at least 1")
    length = await decode_uvarint_from_stream(reader)
    check_message_length(length, max_length)
    return await read_exactly(reader, length)


async def read_varint_prefixed_bytes(reader: Reader) -> bytes:
    """Read one length-prefixed message of at most `DEFAULT_MAX_MESSAGE_BYTES`."""
    return await read_varint_prefixed_bytes_limited(reader, DEFAULT_MAX_MESSAGE_BYTES)


async def read_delim(reader: Reader) -> bytes:
    """Read one length-prefixed line and drop its line feed."""
    message = await read_varint_prefixed_bytes(reader)
    if not message.endswith(b"\n"):
        raise ParseError("message does not end in a line feed")
    return message[:-1]


async def read_length_prefixed_protobuf(
    stream: Reader,
    use_varint_format: bool = True,
    max_length: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> bytes:
    """Read one message: length-prefixed, or else everything up to the end of ``stream``."""
    if use_varint_format:
        return await read_varint_prefixed_bytes_limited(stream, max_length)
    message = await stream.read()
    check_message_length(len(message), max_length)
    return message


def read_varint_prefixed_bytes_sync(
    stream: BinaryIO, max_length: int = DEFAULT_MAX_MESSAGE_BYTES
) -> bytes:
    """Read one length-prefixed message from a file."""
    encoded = bytearray()
    while not encoded or (encoded[-1] & 0x80 and len(encoded) < MAX_UVARINT_BYTES):
        byte = stream.read(1)
        if not byte:
            raise IncompleteVarint("file ends inside a length")
        encoded += byte
    length, _ = decode_uvarint(encoded)
    check_message_length(length, max_length)
    message = stream.read(length)
    if len(message) < length:
        raise ParseError(f"file ends {length - len(message)} bytes before the message does")
    return message


def check_message_length(length: int, max_length: int) -> None:
    """:raises MessageTooLarge: if ``length`` is more than ``max_length``."""
    if length > max_length:
        raise MessageTooLarge(f"message of {length} bytes exceeds maximum allowed {max_length}")
