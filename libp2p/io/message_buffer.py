"""Takes messages off the front of received bytes, one at a time, and leaves the rest (sans-I/O)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.base_types import Buffer


class MessageBuffer:
    """The received bytes of a handshake; bytes of the next protocol may follow its messages."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, buffers: Iterable[Buffer]) -> None:
        """Add received bytes."""
        for buffer in buffers:
            self._bytes += buffer

    def next_message(self, measure: Callable[[bytearray], tuple[int, int] | None]) -> bytes | None:
        """
        Remove and return the first message; None if it is not complete.

        :param measure: returns where the first message of non-empty bytes starts and ends, or None
            if that needs more bytes; it raises if the message is malformed or too long.
        """
        extent = measure(self._bytes) if self._bytes else None
        if extent is None or extent[1] > len(self._bytes):
            return None
        start, end = extent
        message = bytes(self._bytes[start:end])
        del self._bytes[:end]
        return message

    def take_leftover(self) -> bytes:
        """Remove and return the bytes after the messages that were taken."""
        leftover = bytes(self._bytes)
        self._bytes.clear()
        return leftover
