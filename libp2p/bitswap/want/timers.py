"""When whom to look after (sans-I/O): one alarm for each peer or session that needs one."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

#: Timers that were moved or put off stay in the heap until they come up; it is rebuilt when they
#: are more than the live ones and than this.
_HEAP_SLACK: Final = 64


class _Sleeper(Protocol):
    alarm: float | None


class Timed(_Sleeper, Protocol):
    """Who is told when its time is over."""

    def expire(self) -> None:
        """The time of the alarm has come."""


_SleeperT = TypeVar("_SleeperT", bound=_Sleeper)


class Timers(Generic[_SleeperT]):
    """
    A heap of alarms; the time of each stands in its owner's ``alarm``, None if there is none.

    An alarm is only ever moved forward. Whoever it wakes too early sets it again, which costs less
    than to move it back each time that something happens.
    """

    __slots__ = ("_count", "_heap", "_live", "earlier")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _SleeperT]] = []
        self._count = 0
        self._live = 0
        self.earlier = False
        """An alarm was set before all others; for the one who waits for the next to take back."""

    def set(self, owner: _SleeperT, when: float) -> None:
        """Wake ``owner`` at ``when``, or before if it was to be woken before."""
        if owner.alarm is not None:
            if owner.alarm <= when:
                return
            self._live -= 1
        owner.alarm = when
        self._live += 1
        self._count += 1
        heappush(self._heap, (when, self._count, owner))
        if self._heap[0][1] == self._count:
            self.earlier = True
        if len(self._heap) > 2 * self._live + _HEAP_SLACK:
            self._heap = [item for item in self._heap if item[2].alarm == item[0]]
            heapify(self._heap)

    def drop(self, owner: _SleeperT) -> None:
        """Let an owner sleep."""
        if owner.alarm is not None:
            owner.alarm = None
            self._live -= 1

    @property
    def next(self) -> float | None:
        """The time of the next alarm."""
        heap = self._heap
        while heap and heap[0][2].alarm != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def take(self, now: float) -> tuple[float, _SleeperT] | None:
        """Take one alarm that is due, with its time; None if there is none."""
        when = self.next
        if when is None or when > now:
            return None
        owner = heappop(self._heap)[2]
        owner.alarm = None
        self._live -= 1
        return when, owner
