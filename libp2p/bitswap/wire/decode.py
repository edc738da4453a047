"""
Bitswap messages out of the buffers that arrive (sans-I/O); see `message` for the format.

A block is joined once, out of the pieces that it arrived in, and its CID is computed from it. So a
received block is verified by construction: with wrong bytes it is another block.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import MAX_MESSAGE_PARTS, MAX_MESSAGE_PIECES, MAX_MESSAGE_SIZE
from libp2p.bitswap.errors import MessageTooLargeError
from libp2p.bitswap.wire.cursor import BufferCursor
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.exceptions import IncompleteVarint, ParseError
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.ipld.cid import CID
from libp2p.ipld.protowire import field_end, read_varint
from libp2p.utils.varint import MAX_UVARINT_BYTES, decode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

_MAX_INT32: Final = 2**31 - 1

# Tags: field number times eight plus wire type.
_WANTLIST, _RAW_BLOCK, _BLOCK, _PRESENCE, _PENDING_BYTES = 0x0A, 0x12, 0x1A, 0x22, 0x28
_ENTRY, _FULL = 0x0A, 0x10
_PREFIX, _DATA = 0x0A, 0x12
_CID = 0x0A
# Numbers beside a CID, by their fields: those of an entry, and the one of a presence.
_PRIORITY, _CANCEL, _WANT_TYPE, _SEND_DONT_HAVE = 2, 3, 4, 5
_PRESENCE_TYPE = 2
_NAMED_FIELDS: Final = frozenset((_CID, 0x10, 0x18, 0x20, 0x28))
#: Fields of one entry, presence or block: they have five at most, and later versions may have more.
_MAX_FIELDS: Final = 64
_WANT, _HAVE = WantType.Block, WantType.Have


class MessageReader:
    """
    Buffers in, whole messages out; holds at most one unfinished message.

    An entry, block or presence whose CID cannot be used is left out and the rest is kept. Malformed
    framing or protobuf is an error after which the reader is of no more use.
    """

    __slots__ = ("_count", "_queue", "_size", "buffered")

    def __init__(self) -> None:
        self.buffered = 0
        """Bytes held: of the unfinished message, and of those that a limit has left."""
        self._queue = ChunkQueue()
        self._size: int | None = None  # the announced length of the unfinished message
        self._count = 0  # pieces taken since they were last joined

    @property
    def at_boundary(self) -> bool:
        """True if everything received so far was whole messages: here a stream may end."""
        return self._size is None and not self.buffered

    def receive(self, buffers: Sequence[Buffer]) -> list[Message]:
        """
        Take in ``buffers`` and return the messages that they complete.

        :raises MessageTooLargeError: if a message is too long or has too many parts.
        :raises ParseError: if a message is malformed.
        """
        return [decode(frame) for frame in self.receive_frames(buffers)]

    def receive_frames(
        self, buffers: Sequence[Buffer], limit: int = sys.maxsize
    ) -> list[list[Buffer]]:
        """
        Do as `receive`, but return each message as the pieces of its undecoded bytes.

        There may be more if there are ``limit`` of them.
        """
        queue = self._queue
        size = self._size
        if size is not None and queue.size + sum(map(len, buffers)) < size:
            buffers = owned(buffers)  # they stay until the rest comes
        queue.extend(buffers)
        self._count += len(buffers)
        frames: list[list[Buffer]] = []
        while len(frames) < limit:
            if size is None and queue.size:
                size = self._begin()
            if size is None or size > queue.size:
                break
            frames.append(queue.take_buffers(size))
            size = None
            self._count = 0
        if queue.size and (frames or self._size is None):
            queue.extend(owned(queue.take_all()))  # so does what begins one
        self._size = size
        if self._count > MAX_MESSAGE_PIECES:
            queue.append(queue.take(queue.size))
            self._count = 0
        self.buffered = queue.size
        return frames

    def _begin(self) -> int | None:
        """Take the length of the next message; None if even that has not come whole."""
        try:
            size, after = decode_uvarint(self._queue.peek(MAX_UVARINT_BYTES))
        except IncompleteVarint:
            return None
        if size > MAX_MESSAGE_SIZE:
            raise MessageTooLargeError(
                f"message of {size} bytes, at most {MAX_MESSAGE_SIZE} are allowed"
            )
        self._queue.take_buffers(after)
        return size


def owned(buffers: Sequence[Buffer]) -> Sequence[Buffer]:
    """
    Copy the views that would keep alive at least twice the memory that they show all together.

    A record of 64 KiB may bring four for a message that stays unfinished, and sixty for others.
    """
    shown: dict[int, int] = {}
    firsts: list[memoryview] = []
    for buffer in buffers:
        if type(buffer) is memoryview:
            base = id(buffer.obj)
            if base in shown:
                shown[base] += len(buffer)
            else:
                shown[base] = len(buffer)
                firsts.append(buffer)
    wasteful = {
        id(view.obj) for view in firsts if 2 * shown[id(view.obj)] <= memoryview(view.obj).nbytes
    }
    if not wasteful:
        return buffers  # most of what comes in bulk
    return [
        bytes(buffer) if type(buffer) is memoryview and id(buffer.obj) in wasteful else buffer
        for buffer in buffers
    ]


def decode(frame: list[Buffer]) -> Message:
    """
    Decode one message, without its length, out of the pieces that it arrived in.

    :raises ParseError: if it is not protobuf.
    :raises MessageTooLargeError: if it has too many parts.
    """
    decoding = Decoding(frame)
    decoding.advance(sys.maxsize)
    return decoding.message


class Decoding:
    """One message that is being decoded, in steps if it has many parts."""

    __slots__ = ("_at", "_pieces", "_wantlist", "fields", "message", "parts")

    def __init__(self, frame: list[Buffer]) -> None:
        self.message = Message()
        self.parts = 0
        """How many have been decoded."""
        self.fields = 0
        """How many fields, those among them that say nothing."""
        self._pieces = BufferCursor(frame)
        self._wantlist = b""  # the one that is being decoded, up to ``_at``
        self._at = 0

    def advance(self, limit: int) -> bool:
        """
        Decode about ``limit`` fields more; return True when the message is decoded.

        :raises ParseError: if it is not protobuf.
        :raises MessageTooLargeError: if it has too many parts.
        """
        pieces, message = self._pieces, self.message
        stop = self.fields + limit
        while True:
            if self._wantlist:
                self._decode_wantlist(stop)
            if self.parts > MAX_MESSAGE_PARTS or self.fields > 2 * MAX_MESSAGE_PARTS:
                raise MessageTooLargeError(f"message of more than {MAX_MESSAGE_PARTS} parts")
            if not self._wantlist and not pieces.left:
                return True
            if self.fields >= stop:
                return False
            self.fields += 1
            tag, value = pieces.field()
            if tag == _BLOCK:
                _decode_block(pieces, value, message)
                self.parts += 1
            elif tag == _WANTLIST:
                if value:
                    self._wantlist, self._at = pieces.take(value), 0
            elif tag == _PRESENCE:
                _decode_presence(pieces.take(value), message)
                self.parts += 1
            elif tag == _RAW_BLOCK:
                data = pieces.take(value)
                message.add_block(CID.from_prefix_and_data(b"", data), data)
                self.parts += 1
            elif tag == _PENDING_BYTES:
                # A negative number is taken for 0.
                message.pending_bytes = max(_int32(value), 0)
            else:
                pieces.skip(tag, value)

    def _decode_wantlist(self, stop: int) -> None:
        """Decode the wantlist, several in one message add up, until there are ``stop`` fields."""
        body, at, parts, fields = self._wantlist, self._at, self.parts, self.fields
        end = len(body)
        stop = min(stop, 2 * MAX_MESSAGE_PARTS + 1)
        while at < end and fields < stop and parts <= MAX_MESSAGE_PARTS:
            fields += 1
            tag = body[at]
            start = at + 2
            if (
                tag == _ENTRY
                and start <= end
                and (size := body[at + 1]) < 0x80
                and start + size <= end
            ):
                at = start + size  # fast path: an entry of less than 128 bytes
            else:
                tag, at = read_varint(body, at)
                start, at = field_end(body, tag, at)
            if tag == _ENTRY:
                _decode_entry(body, start, at, self.message)
                parts += 1
            elif tag == _FULL:
                self.message.full = read_varint(body, start)[0] != 0
        self._at, self.parts, self.fields = at, parts, fields
        if at >= end:
            self._wantlist = b""


def _decode_block(pieces: BufferCursor, size: int, message: Message) -> None:
    stop = pieces.left - size
    prefix = data = b""
    fields = 0
    while pieces.left > stop:
        if (fields := fields + 1) > _MAX_FIELDS:
            raise ParseError("a block with too many fields")
        tag, value = pieces.field()
        if tag == _DATA:
            data = pieces.take(value)
        elif tag == _PREFIX:
            prefix = pieces.take(value)
        else:
            pieces.skip(tag, value)
    if pieces.left != stop:
        raise ParseError("a field ends outside the block that it is in")
    try:
        cid = CID.from_prefix_and_data(prefix, data)
    except ValueError:
        # A prefix that is malformed, or a hash that cannot be computed or vouch for it.
        message.unusable += 1
        return
    message.add_block(cid, data)


def _decode_entry(body: bytes, start: int, end: int, message: Message) -> None:
    raw, numbers = _read_named(body, start, end)
    try:
        cid = CID.decode(raw)
    except ValueError:
        return
    priority = numbers[_PRIORITY]
    if priority > _MAX_INT32:
        priority = _int32(priority)
    # An unknown want type is taken for a want of the block.
    wanted = _HAVE if numbers[_WANT_TYPE] == _HAVE else _WANT
    cancel, send_dont_have = numbers[_CANCEL] != 0, numbers[_SEND_DONT_HAVE] != 0
    message.add_entry(Entry(cid, priority, cancel, wanted, send_dont_have))


def _decode_presence(body: bytes, message: Message) -> None:
    raw, numbers = _read_named(body, 0, len(body))
    try:
        message.add_presence(CID.decode(raw), BlockPresenceType(numbers[_PRESENCE_TYPE]))
    except ValueError:
        return  # no CID, or a kind of presence that a later version has


def _read_named(body: bytes, at: int, end: int) -> tuple[bytes, list[int]]:
    """Read a CID and the numbers beside it, by their fields; one that is absent is 0."""
    raw = b""
    numbers = [0] * 6
    fields = 0
    while at < end:
        if (fields := fields + 1) > _MAX_FIELDS:
            raise ParseError("an entry with too many fields")
        tag = body[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = read_varint(body, at)
        if tag not in _NAMED_FIELDS:
            at = field_end(body, tag, at)[1]
            continue
        if at < end and (value := body[at]) < 0x80:
            at += 1
        else:
            value, at = read_varint(body, at)
        if tag == _CID:
            raw = body[at : at + value]
            at += value
        else:
            numbers[tag >> 3] = value
    if at != end:
        raise ParseError("a field ends outside the message that it is in")
    return raw, numbers


def _int32(value: int) -> int:
    """Take the low 32 bits of a varint as protobuf's int32."""
    value &= 0xFFFF_FFFF
    return value - 0x1_0000_0000 if value > _MAX_INT32 else value
