"""
Bitswap messages out of the buffers that arrive (sans-I/O); see `messages` for the format.

A block is joined once, out of the pieces that it arrived in, and its CID is computed from it: a
received block is verified by construction, and a wrong one is only one that nobody wants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import MAX_MESSAGE_PARTS, MAX_MESSAGE_PIECES, MAX_MESSAGE_SIZE
from libp2p.bitswap.errors import MessageTooLargeError
from libp2p.bitswap.messages import Message
from libp2p.bitswap.pieces import Pieces
from libp2p.bitswap.wantlist import BlockPresenceType, Entry, WantType
from libp2p.exceptions import IncompleteVarint
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.ipld.cid import CID
from libp2p.utils.varint import MAX_UVARINT_BYTES, decode_uvarint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.custom_types import Buffer

_MAX_INT32: Final = 2**31 - 1

# Tags: field number times eight plus wire type.
_WANTLIST, _RAW_BLOCK, _BLOCK, _PRESENCE, _PENDING_BYTES = 0x0A, 0x12, 0x1A, 0x22, 0x28
_ENTRY, _FULL = 0x0A, 0x10
_CID, _PRIORITY, _CANCEL, _WANT_TYPE, _SEND_DONT_HAVE = 0x0A, 0x10, 0x18, 0x20, 0x28
_PREFIX, _DATA = 0x0A, 0x12
_PRESENCE_TYPE = 0x10


class MessageReader:
    """
    Buffers in, whole messages out; holds at most one unfinished message.

    An entry, block or presence whose CID cannot be used is left out and the rest is kept. Malformed
    framing or protobuf is an error after which the reader is of no more use.
    """

    __slots__ = ("_count", "_queue", "_size")

    def __init__(self) -> None:
        self._queue = ChunkQueue()
        self._size: int | None = None  # the announced length of the unfinished message
        self._count = 0  # pieces taken since they were last joined

    @property
    def at_boundary(self) -> bool:
        """True if everything received so far was whole messages: here a stream may end."""
        return self._size is None and not self._queue

    @property
    def buffered(self) -> int:
        """Bytes held of the unfinished message."""
        return len(self._queue)

    def receive(self, buffers: Iterable[Buffer]) -> list[Message]:
        """
        Take in ``buffers`` and return the messages that they complete.

        :raises MessageTooLargeError: if a message is too long or has too many parts.
        :raises ParseError: if a message is malformed.
        """
        return [decode(frame) for frame in self.receive_frames(buffers)]

    def receive_frames(self, buffers: Iterable[Buffer]) -> list[list[Buffer]]:
        """Do as `receive`, but return each message as the pieces of its undecoded bytes."""
        queue = self._queue
        for buffer in buffers:
            queue.append(buffer)
            self._count += 1
        frames = []
        while (size := self._frame_size()) is not None and size <= len(queue):
            frames.append(queue.take_buffers(size))
            self._size = None
            self._count = 0
        if self._count > MAX_MESSAGE_PIECES:
            joined = queue.take(len(queue))
            queue.append(joined)
            self._count = 0
        return frames

    def _frame_size(self) -> int | None:
        """Return the length of the message in progress; None if even that has not come whole."""
        if self._size is None and self._queue:
            try:
                size, after = decode_uvarint(self._queue.peek(MAX_UVARINT_BYTES))
            except IncompleteVarint:
                return None
            if size > MAX_MESSAGE_SIZE:
                raise MessageTooLargeError(
                    f"message of {size} bytes, at most {MAX_MESSAGE_SIZE} are allowed"
                )
            self._queue.take(after)
            self._size = size
        return self._size


def decode(frame: list[Buffer]) -> Message:
    """
    Decode one message, without its length, out of the pieces that it arrived in.

    :raises ParseError: if it is not protobuf.
    :raises MessageTooLargeError: if it has too many parts.
    """
    message = Message()
    pieces = Pieces(frame)
    parts = 0
    while pieces.left:
        tag = pieces.varint()
        if tag == _BLOCK:
            _decode_block(pieces, message)
            parts += 1
        elif tag == _WANTLIST:
            parts += _decode_wantlist(pieces, message)
        elif tag == _PRESENCE:
            _decode_presence(pieces, message)
            parts += 1
        elif tag == _RAW_BLOCK:
            data = pieces.take(pieces.varint())
            message.add_block(CID.from_prefix_and_data(b"", data), data)
            parts += 1
        elif tag == _PENDING_BYTES:
            message.pending_bytes = max(_int32(pieces.varint()), 0)
        else:
            pieces.skip_field(tag)
        if parts > MAX_MESSAGE_PARTS:
            raise MessageTooLargeError(f"message of more than {MAX_MESSAGE_PARTS} parts")
    return message


def _decode_block(pieces: Pieces, message: Message) -> None:
    stop = pieces.enter()
    prefix = data = b""
    while pieces.left > stop:
        tag = pieces.varint()
        if tag == _DATA:
            data = pieces.take(pieces.varint())
        elif tag == _PREFIX:
            prefix = pieces.take(pieces.varint())
        else:
            pieces.skip_field(tag)
    pieces.leave(stop)
    try:
        cid = CID.from_prefix_and_data(prefix, data)
    except ValueError:
        return  # a prefix that is malformed, or a hash that cannot be computed or vouch for it
    message.add_block(cid, data)


def _decode_wantlist(pieces: Pieces, message: Message) -> int:
    """Decode a wantlist into ``message``; several in one message add up. Return its entries."""
    stop = pieces.enter()
    count = 0
    while pieces.left > stop:
        tag = pieces.varint()
        if tag == _ENTRY:
            _decode_entry(pieces, message)
            count += 1
            if count > MAX_MESSAGE_PARTS:
                raise MessageTooLargeError(f"wantlist of more than {MAX_MESSAGE_PARTS} entries")
        elif tag == _FULL:
            message.full = bool(pieces.varint())
        else:
            pieces.skip_field(tag)
    pieces.leave(stop)
    return count


def _decode_entry(pieces: Pieces, message: Message) -> None:
    stop = pieces.enter()
    raw = b""
    priority = want_type = cancel = send_dont_have = 0
    while pieces.left > stop:
        tag = pieces.varint()
        if tag == _CID:
            raw = pieces.take(pieces.varint())
        elif tag == _PRIORITY:
            priority = _int32(pieces.varint())
        elif tag == _CANCEL:
            cancel = pieces.varint()
        elif tag == _WANT_TYPE:
            want_type = pieces.varint()
        elif tag == _SEND_DONT_HAVE:
            send_dont_have = pieces.varint()
        else:
            pieces.skip_field(tag)
    pieces.leave(stop)
    try:
        cid = CID.decode(raw)
    except ValueError:
        return
    # An unknown want type is taken for a want of the block.
    wanted = WantType.Have if want_type == WantType.Have else WantType.Block
    message.add_entry(Entry(cid, priority, bool(cancel), wanted, bool(send_dont_have)))


def _decode_presence(pieces: Pieces, message: Message) -> None:
    stop = pieces.enter()
    raw = b""
    kind = 0
    while pieces.left > stop:
        tag = pieces.varint()
        if tag == _CID:
            raw = pieces.take(pieces.varint())
        elif tag == _PRESENCE_TYPE:
            kind = pieces.varint()
        else:
            pieces.skip_field(tag)
    pieces.leave(stop)
    try:
        message.add_presence(CID.decode(raw), BlockPresenceType(kind))
    except ValueError:
        return  # no CID, or a kind of presence that a later version has


def _int32(value: int) -> int:
    """Take the low 32 bits of a varint as protobuf's int32."""
    value &= 0xFFFF_FFFF
    return value - 0x1_0000_0000 if value > _MAX_INT32 else value
