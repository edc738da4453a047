"""Timers, at most one for each owner (sans-I/O)."""

from __future__ import annotations

from math import inf
from typing import Generic, Protocol, TypeVar

from libp2p.utils.lazy_heap import LazyHeap

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

    __slots__ = ("_heap", "earliest")

    def __init__(self) -> None:
        self._heap: LazyHeap[_OwnerT] = LazyHeap()
        self.earliest = inf
        """No timer goes off before this time. The one that did at this time may be dropped."""

    def __contains__(self, owner: _OwnerT) -> bool:
        return owner in self._heap

    def time_of(self, owner: _OwnerT) -> float | None:
        """Return when an owner's timer goes off; None if it has none."""
        when: float | None = self._heap.key_of(owner)
        return when

    def set(self, owner: _OwnerT, when: float) -> None:
        """Let the timer of ``owner`` go off at ``when``, or earlier if it is set earlier."""
        present = self._heap.key_of(owner)
        if present is None or when < present:
            self._heap.push(owner, when)
            self.earliest = min(self.earliest, when)

    def drop(self, owner: _OwnerT) -> None:
        """Drop the timer of an owner, if it has one."""
        self._heap.discard(owner)

    @property
    def next(self) -> float | None:
        """The time of the next timer; None if there is none."""
        first = self._heap.first()
        self.earliest = inf if first is None else first[0]
        return None if first is None else self.earliest

    def take(self, now: float) -> tuple[float, _OwnerT] | None:
        """Remove one timer that is due, and return its time and owner; None if none is due."""
        when = self.next
        if when is None or when > now:
            return None
        return when, self._heap.pop()
