"""What is to be announced once, now: a queue that survives the process (sans-I/O)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from libp2p.kad_dht.keyspace import key_of
from libp2p.provide.config import (
    MAX_ATTEMPTS,
    MAX_REGION_KEYS,
    MAX_RETRY_SECONDS,
    RETRY_SECONDS,
)
from libp2p.provide.key_table import KeyTable
from libp2p.provide.region import Region


class Batch(NamedTuple):
    """Multihashes of one region, and how often they have been tried."""

    multihashes: tuple[bytes, ...]
    attempts: int


class OnDemandQueue:
    """
    Multihashes that wait, the oldest first; those of one region are announced together.

    :param most: multihashes at most, those under way and those to be tried again included.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._fresh: OrderedDict[bytes, None] = OrderedDict()
        self._by_region = KeyTable(most)  # those of `_fresh`
        self._known: set[bytes] = set()  # all there are
        self._later: list[tuple[float, int, Batch]] = []
        self._count = 0
        self._changes: dict[bytes, bool] = {}

    def __len__(self) -> int:
        """Count the multihashes that are not announced yet."""
        return len(self._known)

    def __contains__(self, multihash: bytes) -> bool:
        return multihash in self._known

    @property
    def room(self) -> int:
        """How many more there may be."""
        return self._most - len(self._known)

    def add(self, multihashes: Iterable[bytes]) -> list[bytes]:
        """
        Add multihashes as long as there is room; return those that were not taken.

        What cannot be announced at all, as `KeyTable.add` says, is passed over.
        """
        refused: list[bytes] = []
        for multihash in multihashes:
            if multihash in self._known:
                continue
            if self.room <= 0:
                refused.append(multihash)
            elif self._by_region.add(multihash):
                self._fresh[multihash] = None
                self._known.add(multihash)
                self._changes[multihash] = True
        return refused

    def load(self, multihashes: Iterable[bytes]) -> None:
        """Take over what an earlier run has left."""
        self.add(multihashes)
        self._changes.clear()

    def take_changes(self) -> list[tuple[bytes, bool]]:
        """Return what has come (True) and what has gone (False) since the last call."""
        changes, self._changes = self._changes, {}
        return list(changes.items())

    def next_at(self) -> float:
        """Return when there is something to do; inf if there is nothing."""
        if self._fresh:
            return -inf
        return self._later[0][0] if self._later else inf

    def take(self, now: float, bits: int) -> Batch | None:
        """
        Return multihashes of one region, for `done`, `failed` or `give_back`; None if none wait.

        :param bits: the length of a region's prefix.
        """
        if self._later and self._later[0][0] <= now:
            batch = heappop(self._later)[2]
            left = tuple(one for one in batch.multihashes if one in self._known)
            return Batch(left, batch.attempts) if left else self.take(now, bits)
        if not self._fresh:
            return None
        region = Region.of(key_of(next(iter(self._fresh))), bits)
        taken: list[bytes] = [next(iter(self._fresh))]
        for _, multihash in self._by_region.entries(region):
            if len(taken) >= MAX_REGION_KEYS:
                break
            if multihash != taken[0]:
                taken.append(multihash)
        for multihash in taken:
            del self._fresh[multihash]
            self._by_region.discard(multihash)
        return Batch(tuple(taken), 0)

    def done(self, multihashes: Iterable[bytes]) -> None:
        """Forget multihashes that have been announced, or need not be announced any more."""
        for multihash in multihashes:
            if multihash in self._known:
                self._known.discard(multihash)
                self._changes[multihash] = False
            if multihash in self._fresh:
                del self._fresh[multihash]
                self._by_region.discard(multihash)

    def failed(self, multihashes: Iterable[bytes], attempts: int, now: float) -> int:
        """
        Try multihashes later that could not be announced, or give them up.

        :param attempts: how often announcing them had failed before.
        :return: how many have been given up.
        """
        left = tuple(one for one in multihashes if one in self._known)
        if attempts + 1 >= MAX_ATTEMPTS:
            self.done(left)
            return len(left)
        pause = min(RETRY_SECONDS * 2**attempts, MAX_RETRY_SECONDS)
        self._put_back(Batch(left, attempts + 1), now + pause)
        return 0

    def add_failed(self, multihashes: Sequence[bytes], now: float) -> bool:
        """
        Add multihashes that somebody else has failed to announce, to be tried later.

        :return: False if there is no room for them; then none is taken.
        """
        new = [one for one in multihashes if one not in self._known]
        if len(new) > self.room:
            return False
        self._known.update(new)
        self._changes.update(dict.fromkeys(new, True))
        self._put_back(Batch(tuple(new), 1), now + RETRY_SECONDS)
        return True

    def give_back(self, batch: Batch) -> None:
        """Take back multihashes that nobody has tried to announce."""
        self._put_back(batch, -inf)

    def clear(self) -> int:
        """Drop everything that waits; return how many."""
        count = len(self._known)
        self.done(list(self._known))
        self._later.clear()
        return count

    def _put_back(self, batch: Batch, at: float) -> None:
        if batch.multihashes:
            self._count += 1
            heappush(self._later, (at, self._count, batch))
