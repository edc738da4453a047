"""How quickly a peer takes what is sent to it, and how large its replies are (sans-I/O)."""

from __future__ import annotations

from typing import Final

from libp2p.bitswap.config import MIN_REPLY_TARGET_BYTES, REPLY_SECONDS, REPLY_TARGET_BYTES

#: A peer that nothing is known of: 100 Mbit/s.
_FIRST_SECONDS_PER_BYTE: Final = 1 / 12_500_000

#: Less than this vanishes in buffers on the way and tells nothing.
_MIN_SAMPLE_BYTES: Final = 16 * 1024


class SendRate:
    """
    An average over the last replies, in which slow ones count most.

    What is written goes into buffers first, so that it takes a few replies until a slow line shows.
    """

    __slots__ = ("_seconds_per_byte",)

    def __init__(self) -> None:
        self._seconds_per_byte = _FIRST_SECONDS_PER_BYTE

    def wrote(self, size: int, seconds: float) -> None:
        """Take in how long it took to write a reply."""
        if size >= _MIN_SAMPLE_BYTES or seconds > REPLY_SECONDS:
            sample = seconds / max(size, _MIN_SAMPLE_BYTES)
            self._seconds_per_byte += (sample - self._seconds_per_byte) / 2

    def seconds_for(self, size: int) -> float:
        """Return how long writing a reply will probably take."""
        return size * self._seconds_per_byte

    @property
    def target(self) -> int:
        """Bytes for one reply, so that the peer hears something often enough."""
        if self._seconds_per_byte * REPLY_TARGET_BYTES <= REPLY_SECONDS:
            return REPLY_TARGET_BYTES
        return max(int(REPLY_SECONDS / self._seconds_per_byte), MIN_REPLY_TARGET_BYTES)
