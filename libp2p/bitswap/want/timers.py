"""A heap of timers, at most one for each owner (sans-I/O)."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Generic, Protocol, TypeVar

#: Entries of timers that were moved or dropped stay in the heap until they come up. The heap is
#: rebuilt when they are more than the live ones and than this.
_HEAP_SLACK: Final = 64

_OwnerT = TypeVar("_OwnerT")


class Timed(Protocol):
    """An owner of a timer that is called when the timer goes off."""

    def expire(self) -> None:
        """Handle that the time is over."""


class Timers(Generic[_OwnerT]):
    """
    The next time of each owner that has one, in seconds of the caller's clock.

    A timer is only ever moved forward. An owner that is called too early sets its timer again,
    which costs less than to move the timer back each time that something happens.
    """

    __slots__ = ("_count", "_heap", "_times", "earliest")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _OwnerT]] = []
        self._times: dict[_OwnerT, float] = {}
        self._count = 0
        self.earliest = inf
        """No timer goes off before this time. The one that did at this time may be dropped."""

    def __contains__(self, owner: _OwnerT) -> bool:
        return owner in self._times

    def time_of(self, owner: _OwnerT) -> float | None:
        """Return when an owner's timer goes off; None if it has none."""
        return self._times.get(owner)

    def set(self, owner: _OwnerT, when: float) -> None:
        """Let the timer of ``owner`` go off at ``when``, or earlier if it is set earlier."""
        if self._times.get(owner, inf) <= when:
            return
        self._times[owner] = when
        self._count += 1
        heappush(self._heap, (when, self._count, owner))
        self.earliest = min(self.earliest, when)
        if len(self._heap) > 2 * len(self._times) + _HEAP_SLACK:
            self._heap = [item for item in self._heap if self._times.get(item[2]) == item[0]]
            heapify(self._heap)

    def drop(self, owner: _OwnerT) -> None:
        """Drop the timer of an owner, if it has one."""
        self._times.pop(owner, None)

    @property
    def next(self) -> float | None:
        """The time of the next timer; None if there is none."""
        heap = self._heap
        while heap and self._times.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        if not heap:
            self.earliest = inf
            return None
        self.earliest = heap[0][0]
        return self.earliest

    def take(self, now: float) -> tuple[float, _OwnerT] | None:
        """Remove one timer that is due, and return its time and owner; None if none is due."""
        when = self.next
        if when is None or when > now:
            return None
        owner = heappop(self._heap)[2]
        del self._times[owner]
        return when, owner
