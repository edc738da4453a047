"""
Which parts of the key space are known completely, while a region is explored (sans-I/O).

A lookup returns the peers that are closest to its target. So all peers are known that are as close
to the target as the farthest of them: the ball around the target.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

from libp2p.kad_dht.keyspace import KEY_BITS

#: A ball has as many intervals as its radius has bits set. Only this number of the radius's leading
#: bits count: more precision saves less than a lookup in a thousand.
PRECISION_BITS: Final = 10


class Coverage:
    """Intervals of the key space, none of which touch each other."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # the first keys behind the intervals

    def add_ball(self, center: int, radius: int) -> None:
        """Add all keys that are at most ``radius`` from ``center``, or nearly all of them."""
        for start, end in _intervals(center, _rounded(radius + 1, up=False)):
            self._add(start, end)

    def missing_from_ball(self, center: int, radius: int) -> int | None:
        """
        Return a key at most ``radius`` from ``center``, or little more, that is not here.

        None if all of them are here.
        """
        for start, end in _intervals(center, _rounded(radius + 1, up=True)):
            if not self._has(start, end):
                at = bisect_right(self._starts, start) - 1
                return start if at < 0 else max(start, self._ends[at])
        return None

    def __contains__(self, key: int) -> bool:
        return self._has(key, key + 1)

    @property
    def share(self) -> float:
        """The part of the key space that is here, from 0 to 1."""
        return (sum(self._ends) - sum(self._starts)) / (1 << KEY_BITS)

    def _add(self, start: int, end: int) -> None:
        # All intervals that overlap or touch the new one become one with it.
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def _has(self, start: int, end: int) -> bool:
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._ends[at] >= end


def _rounded(bound: int, *, up: bool) -> int:
    """Return the bound of a ball with at most `PRECISION_BITS` bits set."""
    spare = max(0, bound.bit_length() - PRECISION_BITS)
    if up:
        bound += (1 << spare) - 1
    return min(bound >> spare << spare, 1 << KEY_BITS)


def _intervals(center: int, bound: int) -> Iterator[tuple[int, int]]:
    """
    Return the intervals of which the keys at a distance below ``bound`` consist.

    Distances that share the leading bits of the bound, up to one of its bits that is set, and have
    0 in place of this one, are smaller whatever follows: one interval for each bit that is set.
    """
    while bound:
        lowest = bound & -bound
        bound ^= lowest
        start = (center ^ bound) & -lowest
        yield start, start + lowest
