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

#: A rate is taken from at least so long a time in which blocks were due.
_RATE_SECONDS: Final = 0.05
#: A sample over so long a time weighs as much as all before it.
_RATE_MEMORY_SECONDS: Final = 0.1


class Pace:
    """
    Latency, rate and the time-out that follows from them.

    ``latency`` is the usual silence of a peer that owes blocks: from the moment a want was written
    to a block, or between two blocks. A longer one counts half at once, a shorter one a quarter.
    """

    __slots__ = (
        "_busy", "_bytes", "_mark", "_rated", "_sampled", "latency", "rate", "received",
        "round_trip",
    )  # fmt: skip

    def __init__(self) -> None:
        self.round_trip = 0.0
        """Seconds, as the connection or a HAVE has shown; 0 if neither has."""
        self.latency = 0.0
        """Seconds; 0 before the first block."""
        self.rate = 0.0
        """Bytes per second while blocks were due; 0 if unknown."""
        self.received = 0
        """Bytes that have come."""
        self._sampled = False
        self._rated = False
        self._mark: float | None = None  # up to where the time in which blocks are due is counted
        self._busy = 0.0
        self._bytes = 0

    def begin(self, now: float) -> None:
        """Blocks have been asked for, and are due from one round trip later on."""
        if self._mark is None:
            self._mark = now + self.round_trip

    def end(self) -> None:
        """Nothing is due any more."""
        self._mark = None

    def arrived(self, size: int, now: float) -> None:
        """Count bytes that have come."""
        self.received += size
        if self._mark is None:
            return
        if now > self._mark:
            self._busy += now - self._mark
            self._mark = now
        self._bytes += size
        if self._busy >= _RATE_SECONDS:
            weight = self._busy / (self._busy + _RATE_MEMORY_SECONDS) if self._rated else 1.0
            self.rate += (self._bytes / self._busy - self.rate) * weight
            self._rated = True
            self._busy = 0.0
            self._bytes = 0
        elif self._busy and not self._rated:
            self.rate = self._bytes / self._busy  # better than nothing

    def forget_rate(self) -> None:
        """What was seen is too long ago."""
        self.rate = self._busy = 0.0
        self._bytes = 0
        self._rated = False

    def waited(self, seconds: float, first: bool) -> None:
        """
        Take in how long a block took to come.

        :param first: it is the answer to a message to a peer that owed nothing. Other times are
            those between two blocks: they say something only if they are long.
        """
        if not self.rate and self._bytes and seconds:
            self.rate = self._bytes / seconds  # at least: the latency is in it
        if seconds > MAX_LATENCY_SECONDS or (seconds <= self.latency and not first):
            return
        share = 0.5 if seconds > self.latency else 0.25
        self.latency += (seconds - self.latency) * (share if self._sampled else 1.0)
        self._sampled = True

    @property
    def timeout(self) -> float:
        """The seconds of silence after which a block is looked for elsewhere."""
        if self._sampled:
            seconds = DONT_HAVE_LATENCIES * self.latency
        elif self.round_trip:
            seconds = DONT_HAVE_TIMEOUT_BASE + DONT_HAVE_ROUND_TRIPS * self.round_trip
        else:
            seconds = DONT_HAVE_TIMEOUT
        return min(max(seconds, MIN_DONT_HAVE_TIMEOUT), MAX_DONT_HAVE_TIMEOUT)
