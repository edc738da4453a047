"""
When each region of the key space was announced last, and when it is due again (sans-I/O).

The whole key space is divided into regions. Each has a time of its own within the interval, which
follows from its prefix and from the peer's own key: the work of a peer is spread evenly over the
interval, and different peers do not announce to the same peers at the same time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from libp2p.kad_dht.keyspace import KEY_BITS
from libp2p.provide.config import MAX_REGION_KEYS, MAX_REGIONS, MAX_RETRY_SECONDS, RETRY_SECONDS
from libp2p.provide.region import WHOLE, Region
from libp2p.utils.lazy_heap import LazyHeap

#: Bits of a prefix that its time within the interval follows from: a microsecond of a day.
_TIME_BITS: Final = 32
#: The last bit: a region that is a single key is not divided.
_LAST_BIT: Final = KEY_BITS - 1


@dataclass(frozen=True, slots=True)
class RegionState:
    """
    A region, and how it went the last time.

    :param announced: when; None if never, or if there is something new in it.
    :param failures: in a row since then.
    :param not_before: when it may be tried again.
    """

    region: Region
    announced: float | None = None
    failures: int = 0
    not_before: float = -inf


class Schedule:
    """
    The order of work; times are Unix seconds.

    :param own: this peer's place in the key space.
    :param interval: after which a region is announced again.
    :param slack: by which it may be later.
    """

    def __init__(self, own: int, interval: float, slack: float) -> None:
        self._own = own
        self._interval = interval
        self._slack = slack
        self._states = {0: RegionState(WHOLE)}  # by the region's first key
        self._starts = [0]
        self._due: LazyHeap[int] = LazyHeap()
        self._taken: dict[int, bool] = {}  # True if something new came meanwhile
        self._changes: dict[Region, float | None] = {}
        self._push(self._states[0])

    def __len__(self) -> int:
        """Count the regions."""
        return len(self._states)

    def __iter__(self) -> Iterator[RegionState]:
        """Go over the regions there are now, in no order; from any thread."""
        return iter(list(self._states.values()))

    # -- state in the datastore --------------------------------------------------------------------

    def load(self, records: Iterable[tuple[Region, float]], now: float) -> None:
        """
        Take over what `take_changes` returned in an earlier run.

        Regions may overlap, as the network may have grown and shrunk: the latest time counts.
        """
        for region, announced in sorted(records, key=lambda record: record[1]):
            self._enter(RegionState(self._cut_out(region), min(announced, now)))

    def take_changes(self) -> list[tuple[Region, float | None]]:
        """Return what has been announced when since the last call; None is to be forgotten."""
        changes, self._changes = self._changes, {}
        return list(changes.items())

    # -- work --------------------------------------------------------------------------------------

    def first_due(self) -> float:
        """Return when there is work next, -inf if there is some that was never done."""
        first = self._due.first()
        return inf if first is None else float(first[0][0])

    def due_at(self, state: RegionState) -> float:
        """Return when a region is to be announced."""
        if state.announced is None:
            return state.not_before
        own_time = self.time_of(state.region)
        latest = state.announced + self._interval + self._slack
        turn = (latest - own_time) // self._interval
        return max(own_time + turn * self._interval, state.not_before)

    def time_of(self, region: Region) -> float:
        """Return the seconds after the beginning of an interval at which a region has its turn."""
        distance = (
            (region.start ^ self._own) >> (KEY_BITS - region.length) << (KEY_BITS - region.length)
        )
        return self._interval * (distance >> (KEY_BITS - _TIME_BITS)) / (1 << _TIME_BITS)

    def take(self, now: float, bits: int, count: Callable[[Region], int]) -> Region | None:
        """
        Return a region that is due, for `done`, `failed` or `give_back`; None if none is.

        It has as many bits as are asked for, or more if it has too many keys for one go. Regions
        without keys are done at once.

        :param count: tells how many keys a region has.
        """
        while self.first_due() <= now:
            state = self._states[self._due.pop()]
            keys = count(state.region)
            if keys:
                region = self._wider(state, now, bits, count)
                if region is state.region:
                    region = self._narrower(state, bits, count)
                self._due.discard(region.start)
                self._taken[region.start] = False
                return region
            self._note(state.region, now)
        return None

    def done(self, region: Region, now: float) -> None:
        """A region has been announced."""
        if self._taken.pop(region.start):
            self._enter(RegionState(region))
        else:
            self._note(region, now)

    def failed(self, region: Region, now: float) -> None:
        """A region could not be announced: it is due again after a while."""
        self._taken.pop(region.start)
        state = self._states[region.start]
        pause = min(RETRY_SECONDS * 2**state.failures, MAX_RETRY_SECONDS)
        # Regions that failed together are not tried again together.
        pause *= 0.75 + self.time_of(region) / self._interval / 2
        self._enter(RegionState(region, state.announced, state.failures + 1, now + pause))

    def give_back(self, region: Region) -> None:
        """A region has not been tried: it stays due."""
        self._taken.pop(region.start)
        self._push(self._states[region.start])

    def renew(self, key: int) -> None:
        """There is something new at a place of the key space: its region is due now."""
        state = self._at(key)
        start = state.region.start
        if start in self._taken:
            self._taken[start] = True
        elif state.announced is not None:
            self._changes[state.region] = None
            self._enter(RegionState(state.region))

    def renew_all(self) -> None:
        """Everything is due now."""
        for start in list(self._starts):
            self.renew(start)

    # -- regions -----------------------------------------------------------------------------------

    def _narrower(self, state: RegionState, bits: int, count: Callable[[Region], int]) -> Region:
        """Divide a region until it has the size that is wanted; return the part whose turn is."""
        region = state.region
        while region.length < _LAST_BIT:
            is_large = region.length < bits and len(self._states) < MAX_REGIONS
            if not is_large and count(region) <= MAX_REGION_KEYS:
                break
            near, far = sorted(region.halves, key=self.time_of)
            self._divide(region)
            region = near if count(near) else far
        return region

    def _wider(
        self, state: RegionState, now: float, bits: int, count: Callable[[Region], int]
    ) -> Region:
        """Join a region with its neighbours as long as these are due too and it is too small."""
        region = state.region
        while region.length > bits and count(region.parent) <= MAX_REGION_KEYS:
            inside = self._inside(region.parent)
            soon = now + self._slack
            if any(s in self._taken or self.due_at(self._states[s]) > soon for s in inside):
                break
            region = region.parent
        return state.region if region == state.region else self._join(region)

    def _cut_out(self, region: Region) -> Region:
        """Make a region one of those that the key space is divided into."""
        while (whole := self._at(region.start).region).length < region.length:
            self._divide(whole)
        return region if whole == region else self._join(region)

    def _divide(self, region: Region) -> None:
        state = self._states[region.start]
        for half in region.halves:
            if half.start != region.start:
                insort(self._starts, half.start)
            self._enter(RegionState(half, state.announced, state.failures, state.not_before))

    def _join(self, region: Region) -> Region:
        """Make one region of several; it was announced when the first of them was."""
        inside = self._inside(region)
        states = [self._states[start] for start in inside]
        for state in states[1:]:
            del self._states[state.region.start]
            self._due.discard(state.region.start)
        at = bisect_left(self._starts, region.start)
        del self._starts[at + 1 : at + len(inside)]
        times = [state.announced for state in states]
        for state in states:
            self._changes[state.region] = None
        known = [time for time in times if time is not None]
        first = min(known) if len(known) == len(times) else None
        if first is not None:
            self._changes[region] = first
        self._enter(RegionState(region, first, max(state.failures for state in states)))
        return region

    def _inside(self, region: Region) -> list[int]:
        """Return the first keys of the regions that a larger one consists of."""
        starts = self._starts
        return starts[bisect_left(starts, region.start) : bisect_left(starts, region.end)]

    def _at(self, key: int) -> RegionState:
        return self._states[self._starts[bisect_right(self._starts, key) - 1]]

    def _note(self, region: Region, now: float) -> None:
        self._changes[region] = now
        self._enter(RegionState(region, now))

    def _enter(self, state: RegionState) -> None:
        self._states[state.region.start] = state
        self._push(state)

    def _push(self, state: RegionState) -> None:
        # What was never announced comes in the order of the times of the day.
        self._due.push(state.region.start, (self.due_at(state), self.time_of(state.region)))
