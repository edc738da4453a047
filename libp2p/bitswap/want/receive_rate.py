"""How quickly one peer answers and delivers, from what has been seen of it (sans-I/O)."""

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
#: A sample of this length weighs as much as all samples before it.
_MEMORY_SECONDS: Final = 0.1


class ReceiveRate:
    """
    Latency, rate and the time-out that follows from them.

    ``latency`` is the usual silence of a peer that owes blocks: the time from a written want to
    its block, or between two blocks. A longer time counts half at once, a shorter one a quarter.
    """

    __slots__ = (
        "_counted_until", "_has_latency", "_has_rate", "_sample_bytes", "_sample_seconds",
        "bytes_per_second", "latency", "received", "round_trip",
    )  # fmt: skip

    def __init__(self) -> None:
        self.round_trip = 0.0
        """Seconds, as measured by the connection or by an answer; 0 if unknown."""
        self.latency = 0.0
        """Seconds; 0 before the first block."""
        self.bytes_per_second = 0.0
        """The rate while blocks were due; 0 if unknown."""
        self.received = 0
        """Bytes received in all."""
        self._has_latency = False
        self._has_rate = False
        self._counted_until: float | None = None
        """Up to here the time with blocks due is in the sample; None if no block is due."""
        self._sample_seconds = 0.0
        self._sample_bytes = 0

    def begin(self, now: float) -> None:
        """Blocks have been asked for: they are due from one round trip later on."""
        if self._counted_until is None:
            self._counted_until = now + self.round_trip

    def end(self) -> None:
        """No block is due any more."""
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
        """Forget the rate: it was measured too long ago."""
        self.bytes_per_second = self._sample_seconds = 0.0
        self._sample_bytes = 0
        self._has_rate = False

    def measured_round_trip(self, seconds: float) -> None:
        """Note a round-trip time."""
        self.round_trip = seconds

    def waited(self, seconds: float, is_first: bool) -> None:
        """
        Note how long a block took to come.

        :param is_first: it is the answer to a message to a peer that owed nothing. Other times are
            those between two blocks: they say something only if they are long.
        """
        if not self.bytes_per_second and self._sample_bytes and seconds:
            # The least that it can be: the latency is in it.
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
