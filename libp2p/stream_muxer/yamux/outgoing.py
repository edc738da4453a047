"""
Frames that wait for the socket (sans-I/O).

Control goes before data, except for what ends the data that it belongs to; window updates of a
stream are merged, and what is written to a stream in several parts shares frames. How much may
wait is `session`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.stream_muxer.yamux.frame import (
    FLAG_ACK,
    HEADER_SIZE,
    MAX_FRAME_PAYLOAD,
    TYPE_DATA,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    encode_header,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.base_types import Buffer


class Outgoing:
    """What a session has to say, until it is taken all at once."""

    __slots__ = (
        "_last_at",
        "_last_size",
        "_last_stream",
        "control",
        "data",
        "data_bytes",
        "pongs",
        "provoked",
        "window_updates",
    )

    def __init__(self) -> None:
        self.control: list[Buffer] = []
        #: How many control frames the peer has caused.
        self.provoked = 0
        self.pongs: list[int] = []
        self.window_updates: dict[int, int] = {}
        self.data: list[Buffer] = []
        self.data_bytes = 0
        # The last Data frame, if nothing was queued behind it: where its header is, and its size.
        self._last_stream = self._last_at = self._last_size = 0

    def add_control(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """Queue a frame that overtakes data."""
        self.control.append(encode_header(kind, flags, stream_id, value))

    def add_data(self, stream_id: int, pieces: Sequence[Buffer]) -> None:
        """Queue ``pieces`` in as few Data frames as possible, of which the first may be begun."""
        data = self.data
        for piece in pieces:
            start, end = 0, len(piece)
            while start < end:
                if self._last_stream != stream_id or self._last_size == MAX_FRAME_PAYLOAD:
                    self._last_stream, self._last_size = stream_id, 0
                    self._last_at = len(data)
                    data.append(b"")
                    self.data_bytes += HEADER_SIZE
                size = min(end - start, MAX_FRAME_PAYLOAD - self._last_size)
                self._last_size += size
                self.data_bytes += size
                data[self._last_at] = encode_header(TYPE_DATA, 0, stream_id, self._last_size)
                data.append(piece if size == end else memoryview(piece)[start : start + size])
                start += size

    def add_after_data(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """Queue a frame that must not overtake data."""
        self.data.append(encode_header(kind, flags, stream_id, value))
        self.data_bytes += HEADER_SIZE
        self._last_stream = 0

    def add_credit(self, stream_id: int, delta: int) -> None:
        """Return credit to the peer."""
        self.window_updates[stream_id] = self.window_updates.get(stream_id, 0) + delta

    def drop_credit(self, stream_id: int) -> None:
        """Return none after all: the peer has no use for it."""
        self.window_updates.pop(stream_id, None)

    def take(self) -> list[Buffer]:
        """Remove all of it and return it in the order to send."""
        batch = self.data
        if self.pongs or self.control or self.window_updates:
            batch = [encode_header(TYPE_PING, FLAG_ACK, 0, value) for value in self.pongs]
            batch += self.control
            batch += [
                encode_header(TYPE_WINDOW_UPDATE, 0, stream_id, delta)
                for stream_id, delta in self.window_updates.items()
            ]
            batch += self.data
            self.pongs, self.control, self.window_updates = [], [], {}
            self.provoked = 0
        if self.data:
            self.data = []
            self.data_bytes = self._last_stream = 0
        return batch
