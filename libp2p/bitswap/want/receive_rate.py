"""The measured latency and rate of one peer that sends blocks (sans-I/O)."""

from __future__ import annotations

from typing import Final

from libp2p.bitswap.config import (
    DONT_HAVE_LATENCIES,
    DONT_HAVE_ROUND_TRIPS,
    DONT_HAVE_TIMEOUT,
    DONT_HAVE_TIMEOUT_BASE,
    MAX_DONT_HAVE_TIMEOUT,
    MAX_LATENCY_SECONDS,
    MIN_DONT_HAVE_TIMEOUT,
)

#: A sample of the rate covers at least this time during which blocks were due.
_SAMPLE_SECONDS: Final = 0.05
#: A sample of this many seconds weighs as much as all samples before it.
_MEMORY_SECONDS: Final = 0.1


class ReceiveRate:
    """
    The latency and the rate of a peer, and the timeout that follows from them.

    ``latency`` is the usual silence of a peer that owes blocks: the time from a written want to its
    block, or between two blocks. A time longer than the average so far moves the average halfway to
    it, a shorter one moves it by a quarter.
    """

    __slots__ = (
        "_counted_until", "_has_latency", "_has_rate", "_sample_bytes", "_sample_seconds",
        "bytes_per_second", "latency", "received", "round_trip",
    )  # fmt: skip

    def __init__(self) -> None:
        self.round_trip = 0.0
        """Seconds, measured by the connection or by a presence; 0 if unknown."""
        self.latency = 0.0
        """Seconds; 0 before the first block."""
        self.bytes_per_second = 0.0
        """The rate of bytes while blocks were due; 0 if unknown."""
        self.received = 0
        """Bytes received since the peer has connected."""
        self._has_latency = False
        self._has_rate = False
        self._counted_until: float | None = None
        """The sample has the time with blocks due up to this moment; None if no block is due."""
        self._sample_seconds = 0.0
        self._sample_bytes = 0

    def begin(self, now: float) -> None:
        """Note that blocks were asked for: they are due from one round trip later on."""
        if self._counted_until is None:
            self._counted_until = now + self.round_trip

    def end(self) -> None:
        """Note that no block is due any more."""
        self._counted_until = None

    def arrived(self, size: int, now: float) -> None:
        """Count ``size`` received bytes."""
        self.received += size
        if self._counted_until is None:
            return
        if now > self._counted_until:
            self._sample_seconds += now - self._counted_until
            self._counted_until = now
        self._sample_bytes += size
        if self._sample_seconds >= _SAMPLE_SECONDS:
            self._take_sample()
        elif self._sample_seconds and not self._has_rate:
            self.bytes_per_second = self._sample_bytes / self._sample_seconds

    def _take_sample(self) -> None:
        seconds, rate = self._sample_seconds, self._sample_bytes / self._sample_seconds
        weight = seconds / (seconds + _MEMORY_SECONDS) if self._has_rate else 1.0
        self.bytes_per_second += (rate - self.bytes_per_second) * weight
        self._has_rate = True
        self._sample_seconds = 0.0
        self._sample_bytes = 0

    def forget_rate(self) -> None:
        """Forget the rate, since it was measured too long ago."""
        self.bytes_per_second = self._sample_seconds = 0.0
        self._sample_bytes = 0
        self._has_rate = False

    def measured_round_trip(self, seconds: float) -> None:
        """Note a round-trip time."""
        self.round_trip = seconds

    def waited(self, seconds: float, is_first: bool) -> None:
        """
        Note the seconds of silence before a block.

        :param is_first: the block answers a message to a peer that owed nothing. If False, the
            silence was between two blocks, and counts only if it is longer than the latency.
        """
        if not self.bytes_per_second and self._sample_bytes and seconds:
            # The true rate is higher, as these seconds include the latency.
            self.bytes_per_second = self._sample_bytes / seconds
        if seconds > MAX_LATENCY_SECONDS or (seconds <= self.latency and not is_first):
            return
        share = 0.5 if seconds > self.latency else 0.25
        self.latency += (seconds - self.latency) * (share if self._has_latency else 1.0)
        self._has_latency = True

    @property
    def timeout(self) -> float:
        """The seconds of silence after which a block is asked of another peer."""
        if self._has_latency:
            seconds = DONT_HAVE_LATENCIES * self.latency
        elif self.round_trip:
            seconds = DONT_HAVE_TIMEOUT_BASE + DONT_HAVE_ROUND_TRIPS * self.round_trip
        else:
            seconds = DONT_HAVE_TIMEOUT
        return min(max(seconds, MIN_DONT_HAVE_TIMEOUT), MAX_DONT_HAVE_TIMEOUT)
