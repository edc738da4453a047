"""The speed at which a peer takes replies, and the size of reply that suits it (sans-I/O)."""

from __future__ import annotations

from typing import Final

from libp2p.bitswap.config import MIN_REPLY_TARGET_BYTES, REPLY_SECONDS, REPLY_TARGET_BYTES

#: The rate that is assumed before the first sample: 100 Mbit/s.
_FIRST_SECONDS_PER_BYTE: Final = 1 / 12_500_000

#: A smaller reply fits into the buffers on the way, so that its time says nothing of the rate.
_MIN_SAMPLE_BYTES: Final = 16 * 1024


class SendRate:
    """
    An average over the last replies, in which slow replies count most.

    The first replies go into buffers, so that a slow line shows only after a few of them.
    """

    __slots__ = ("_seconds_per_byte",)

    def __init__(self) -> None:
        self._seconds_per_byte = _FIRST_SECONDS_PER_BYTE

    def wrote(self, size: int, seconds: float) -> None:
        """Note that writing a reply of ``size`` bytes took ``seconds``."""
        if size >= _MIN_SAMPLE_BYTES or seconds > REPLY_SECONDS:
            sample = seconds / max(size, _MIN_SAMPLE_BYTES)
            self._seconds_per_byte += (sample - self._seconds_per_byte) / 2

    def seconds_for(self, size: int) -> float:
        """Return how long writing ``size`` bytes will probably take."""
        return size * self._seconds_per_byte

    @property
    def target(self) -> int:
        """Bytes of blocks for one reply: about `REPLY_SECONDS` of writing, within bounds."""
        if self._seconds_per_byte * REPLY_TARGET_BYTES <= REPLY_SECONDS:
            return REPLY_TARGET_BYTES
        return max(int(REPLY_SECONDS / self._seconds_per_byte), MIN_REPLY_TARGET_BYTES)
