"""py-libp2p's messages with their length in front, over any reader and writer."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from libp2p.exceptions import InvalidArgument, MessageTooLarge
from libp2p.io.abc import MsgReadWriteCloser
from libp2p.io.utils import read_exactly
from libp2p.utils.varint import decode_uvarint_from_stream, encode_varint_prefixed

if TYPE_CHECKING:
    from libp2p.io.abc import Reader, ReadWriteCloser

BYTE_ORDER: Final[Literal["big"]] = "big"


async def read_length(reader: Reader, size_len_bytes: int) -> int:
    """
    Read a length of ``size_len_bytes`` bytes.

    :raises IncompleteReadError: if ``reader`` ends first.
    """
    return int.from_bytes(await read_exactly(reader, size_len_bytes), BYTE_ORDER)


def encode_msg_with_length(msg_bytes: bytes, size_len_bytes: int) -> bytes:
    """
    Return the message behind its length.

    :raises ValueError: if the length does not fit into ``size_len_bytes`` bytes.
    """
    try:
        return len(msg_bytes).to_bytes(size_len_bytes, BYTE_ORDER) + msg_bytes
    except OverflowError:
        raise InvalidArgument(
            f"the length of {len(msg_bytes)} bytes does not fit into {size_len_bytes}"
        ) from None


class BaseMsgReadWriter(MsgReadWriteCloser):
    """Messages over a reader and writer; subclasses say how a length is written."""

    def __init__(self, read_write_closer: ReadWriteCloser) -> None:
        self.read_write_closer: Final = read_write_closer

    @abstractmethod
    async def next_msg_len(self) -> int:
        """Read the length of the next message."""

    @abstractmethod
    def encode_msg(self, msg: bytes) -> bytes:
        """Return the message behind its length."""

    async def read_msg(self) -> bytes:
        """
        Return the next whole message.

        :raises IncompleteReadError: if the reader ends within it.
        """
        return await read_exactly(self.read_write_closer, await self.next_msg_len())

    async def write_msg(self, msg: bytes) -> None:
        """Write one message."""
        await self.read_write_closer.write(self.encode_msg(msg))

    async def close(self) -> None:
        """Close what is below."""
        await self.read_write_closer.close()


class FixedSizeLenMsgReadWriter(BaseMsgReadWriter):
    """Lengths of ``size_len_bytes`` bytes, which a subclass sets."""

    size_len_bytes: ClassVar[int]

    async def next_msg_len(self) -> int:
        """Read the length of the next message."""
        return await read_length(self.read_write_closer, self.size_len_bytes)

    def encode_msg(self, msg: bytes) -> bytes:
        """Return the message behind its length; `ValueError` if that does not fit."""
        return encode_msg_with_length(msg, self.size_len_bytes)


class VarIntLengthMsgReadWriter(BaseMsgReadWriter):
    """Lengths as varints; messages are bounded both ways."""

    max_msg_size: int
    """Bytes of a message; a subclass may set it."""

    def __init__(self, read_write_closer: ReadWriteCloser, max_msg_size: int | None = None) -> None:
        super().__init__(read_write_closer)
        if max_msg_size is not None:
            self.max_msg_size = max_msg_size
        if getattr(self, "max_msg_size", 0) <= 0:
            raise InvalidArgument("max_msg_size must be given, and more than 0")

    async def next_msg_len(self) -> int:
        """
        Read the length of the next message.

        :raises MessageTooLarge: if it is longer than allowed; the rest is not read.
        """
        return self._checked(await decode_uvarint_from_stream(self.read_write_closer))

    def encode_msg(self, msg: bytes) -> bytes:
        """Return the message behind its length; `MessageTooLarge` if it is longer than allowed."""
        self._checked(len(msg))
        return encode_varint_prefixed(msg)

    def _checked(self, length: int) -> int:
        if length > self.max_msg_size:
            raise MessageTooLarge(f"message of {length} bytes, at most {self.max_msg_size}")
        return length
