"""
Cuts a stream of bytes into length-prefixed messages, however it was split (sans-I/O).

A message is its length as an unsigned varint, then that many bytes. The length is checked before a
single byte of the message is kept, and a message that arrives in many pieces is joined once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from libp2p.exceptions import IncompleteVarint
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.utils.varint import MAX_UVARINT_BYTES, check_message_length, decode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer


class FrameReader:
    """Buffers in, whole messages out; holds at most one unfinished message."""

    __slots__ = ("_body", "_max_bytes", "_prefix", "_size")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._prefix = b""  # the unfinished length
        self._size: int | None = None  # the announced length of the unfinished message
        self._body = ChunkQueue()  # the received part of that message

    @property
    def at_boundary(self) -> bool:
        """True if everything received so far was whole messages: here a stream may end."""
        return self._size is None and not self._prefix

    def receive(self, buffers: Iterable[Buffer]) -> list[bytes]:
        """
        Take in ``buffers`` and return the messages that they complete.

        After an error the reader cannot go on: where the next message starts is unknown.

        :raises MessageTooLarge: if a message announces more than ``max_bytes``.
        :raises ParseError: if a length is malformed.
        """
        messages: list[bytes] = []
        for buffer in buffers:
            self._receive_one(memoryview(buffer), messages)
        return messages

    def _receive_one(self, view: memoryview, messages: list[bytes]) -> None:
        offset, end = 0, len(view)
        while offset < end:
            size = self._size
            if size is None:
                size, offset = self._read_length(view, offset)
                if size is None:
                    return
            missing = size - len(self._body)
            stop = offset + missing
            if stop <= end and not self._body:
                messages.append(bytes(view[offset:stop]))  # the usual case: one slice, one copy
                self._size = None
            elif stop <= end:
                self._body.append(view[offset:stop])
                messages.append(self._body.take(size))
                self._size = None
            else:
                self._body.append(view[offset:])
                self._size = size
            offset = min(stop, end)

    def _read_length(self, view: memoryview, offset: int) -> tuple[int | None, int]:
        """Return the next message's length and where it starts; None if the view ends before."""
        carried = len(self._prefix)
        source: Buffer = view
        if carried:
            # The last buffer ended inside a length: put together again.
            source = self._prefix + bytes(view[offset : offset + MAX_UVARINT_BYTES])
        try:
            size, after = decode_uvarint(source, 0 if carried else offset)
        except IncompleteVarint:
            self._prefix = bytes(source if carried else view[offset:])
            return None, len(view)
        check_message_length(size, self._max_bytes)
        self._prefix = b""
        return size, offset + after - carried if carried else after
