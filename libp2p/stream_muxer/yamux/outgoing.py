"""
Frames that wait for the socket (sans-I/O).

Control goes before data, except for what ends the data that it belongs to; window updates of a
stream are merged. How much may wait is `session`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.stream_muxer.yamux.frame import (
    FLAG_ACK,
    HEADER_SIZE,
    TYPE_DATA,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    encode_header,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.custom_types import Buffer


class Outgoing:
    """What a session has to say, until it is taken all at once."""

    __slots__ = ("control", "data", "data_bytes", "pongs", "provoked", "window_updates")

    def __init__(self) -> None:
        self.control: list[Buffer] = []
        #: How many control frames the peer has caused.
        self.provoked = 0
        self.pongs: list[int] = []
        self.window_updates: dict[int, int] = {}
        self.data: list[Buffer] = []
        self.data_bytes = 0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self.control or self.window_updates or self.data or self.pongs)

    def add_control(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """Queue a frame that overtakes data."""
        self.control.append(encode_header(kind, flags, stream_id, value))

    def add_data(self, stream_id: int, pieces: Sequence[Buffer], size: int) -> None:
        """Queue one Data frame with ``pieces``, ``size`` bytes in all."""
        self.data.append(encode_header(TYPE_DATA, 0, stream_id, size))
        self.data.extend(pieces)
        self.data_bytes += HEADER_SIZE + size

    def add_after_data(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        """Queue a frame that must not overtake data."""
        self.data.append(encode_header(kind, flags, stream_id, value))
        self.data_bytes += HEADER_SIZE

    def add_credit(self, stream_id: int, delta: int) -> None:
        """Return credit to the peer."""
        self.window_updates[stream_id] = self.window_updates.get(stream_id, 0) + delta

    def drop_credit(self, stream_id: int) -> None:
        """Return none after all: the peer has no use for it."""
        self.window_updates.pop(stream_id, None)

    def frames(self) -> list[Buffer]:
        """Return all of it in the order to send."""
        batch: list[Buffer] = [encode_header(TYPE_PING, FLAG_ACK, 0, value) for value in self.pongs]
        batch += self.control
        batch += [
            encode_header(TYPE_WINDOW_UPDATE, 0, stream_id, delta)
            for stream_id, delta in self.window_updates.items()
        ]
        batch += self.data
        return batch
