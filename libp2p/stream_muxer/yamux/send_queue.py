"""
Frames that wait for the socket (sans-I/O).

Control frames go before data, except those that end the data; window updates of a stream are
merged, and consecutive writes to a stream share frames. `session` decides how much may wait.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    from libp2p.base_types import Buffer


def frozen(buffer: Buffer) -> Buffer:
    """Return ``buffer``, or a copy of it if its owner could still change it."""
    if isinstance(buffer, bytes) or (isinstance(buffer, memoryview) and buffer.readonly):
        return buffer
    return bytes(buffer)


class SendQueue:
    """The frames that a session has queued; `take` removes all of them."""

    __slots__ = (
        "_frame_at",
        "_frame_size",
        "_frame_stream",
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
        # The last Data frame while it may grow: its stream, the index of its header, and the size
        # of its body. A full frame grows no more.
        self._frame_stream = self._frame_at = 0
        self._frame_size = MAX_FRAME_PAYLOAD

    def note_provoked(self) -> None:
        """Count a control frame, about to be queued, that the peer has caused."""
        self.provoked += 1

    def add_pong(self, value: int) -> None:
        """Queue the answer to a ping."""
        self.pongs.append(value)

    def add_control(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """Queue a frame that overtakes data."""
        self.control.append(encode_header(kind, flags, stream_id, value))

    def add_data(self, stream_id: int, pieces: Sequence[Buffer]) -> None:
        """Queue ``pieces`` in as few Data frames as possible, continuing the last one."""
        data = self.data
        if self._frame_stream != stream_id:
            self._end_frame()
            self._frame_stream = stream_id
        for piece in pieces:
            if type(piece) is not bytes:
                piece = frozen(piece)  # the piece is sent later
            start, end = 0, len(piece)
            while start < end:
                room = MAX_FRAME_PAYLOAD - self._frame_size
                if not room:
                    self._frame_at, self._frame_size = len(data), 0
                    room = MAX_FRAME_PAYLOAD
                    data.append(encode_header(TYPE_DATA, 0, stream_id, room))
                    self.data_bytes += HEADER_SIZE
                size = end - start
                if size > room:
                    size = room
                self._frame_size += size
                self.data_bytes += size
                data.append(piece if size == end else memoryview(piece)[start : start + size])
                start += size

    def _end_frame(self) -> None:
        """Let the last frame grow no more, and give it a header with its true size."""
        if self._frame_size < MAX_FRAME_PAYLOAD:
            header = encode_header(TYPE_DATA, 0, self._frame_stream, self._frame_size)
            self.data[self._frame_at] = header
            self._frame_size = MAX_FRAME_PAYLOAD

    def add_after_data(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """Queue a frame that must not overtake data."""
        self._end_frame()
        self.data.append(encode_header(kind, flags, stream_id, value))
        self.data_bytes += HEADER_SIZE

    def add_credit(self, stream_id: int, delta: int) -> None:
        """Queue a window update, merged with one of the same stream that is queued already."""
        self.window_updates[stream_id] = self.window_updates.get(stream_id, 0) + delta

    def drop_credit(self, stream_id: int) -> None:
        """Withdraw queued credit: the peer has no use for it."""
        self.window_updates.pop(stream_id, None)

    def take(self) -> list[Buffer]:
        """Remove all frames and return them in the order to send."""
        batch = self.data
        if batch:
            self._end_frame()
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
            self.data_bytes = 0
        return batch
