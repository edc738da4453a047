"""
Inbound connections whose peer is not known yet, and which of them gives way (sans-I/O).

Each costs a key exchange, so only some of the handshakes are under way; a few times as many
connections wait for a turn, and further ones in the kernel's queue. An honest handshake is short,
but how short depends on how many there are: if a young one were given up for another of its
address, a crowd of honest peers would end each other's. So

- a handshake is given up for those that wait when it is some seconds old, and none of its address
  has ended well meanwhile: the oldest of the address with the most handshakes, one after the other;
- an address that has more than its share of the handshakes gives one up at once for an address that
  has less: a flood from one address keeps nobody else waiting;
- while as many wait as may, no connection is accepted, unless most are of one address of which no
  handshake has ended well for some seconds. Its newest ones are turned away.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from ipaddress import IPv6Network
from itertools import count
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: An address that has less than this part of the handshakes is not kept waiting by one with more.
SHARE: Final = 1 / 8
#: For each handshake that may be under way, so many connections may wait: sockets, and little else.
WAITING: Final = 3


def origin_of(host: str) -> str:
    """Return the origin of an IP address: an IPv4 address itself, the /64 of an IPv6 address."""
    if ":" not in host:
        return host
    return str(IPv6Network((host.partition("%")[0], 64), strict=False))


class _Origin(Generic[T]):
    """What there is of one address, in the order in which it came."""

    def __init__(self, now: float) -> None:
        self.started: dict[T, float] = {}  # when they began
        self.waiting: dict[T, int] = {}  # the how manieth of all they are
        self.well_at = now
        """When a handshake ended well, or the first connection came."""

    def note_well(self, now: float) -> None:
        """Note that a handshake has ended well."""
        self.well_at = now

    @property
    def due(self) -> float:
        """Return since when its oldest handshake is under way and none has ended well."""
        return max(next(iter(self.started.values())), self.well_at)


def _precedence(origin: _Origin[T]) -> tuple[int, int]:
    """Return the least for the origin whose turn it is: of those with as few, the first to wait."""
    return len(origin.started), next(iter(origin.waiting.values()))


class PendingHandshakes(Generic[T]):
    """The connections that were accepted; ``T`` is a hashable that identifies one."""

    def __init__(self, limit: int, safe_seconds: float) -> None:
        """
        :param limit: handshakes under way; `WAITING` times as many connections wait.
        :param safe_seconds: in which a handshake is not given up for another one of its address.
        """
        self._limit = limit
        self._share = max(limit * SHARE, 1)
        self._safe_seconds = safe_seconds
        self._origins: dict[Hashable, _Origin[T]] = {}
        self._keys: dict[T, Hashable] = {}
        self._started = self._waiting = 0
        self._hurried: T | None = None
        self._hurried_at = self._gone_at = -math.inf  # when the last one was to end, or has ended
        self._numbers = count()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)

    @property
    def is_full(self) -> bool:
        """True if no more may wait."""
        return self._waiting >= self._limit * WAITING

    def add(self, connection: T, origin: Hashable, now: float) -> None:
        """Add a connection that waits for its turn; ``origin`` groups those of one address."""
        self._keys[connection] = origin
        self._origins.setdefault(origin, _Origin(now)).waiting[connection] = next(self._numbers)
        self._waiting += 1

    def remove(self, connection: T, now: float, *, well: bool = False) -> None:
        """
        Remove a connection; a second call does nothing.

        :param well: its handshake has ended, and the peer is known.
        """
        key = self._keys.pop(connection, None)
        found = self._origins.get(key)
        if found is None:
            return
        if connection in found.waiting:
            del found.waiting[connection]
            self._waiting -= 1
        else:
            del found.started[connection]
            self._started -= 1
        if connection == self._hurried:
            self._hurried, self._gone_at = None, min(self._hurried_at, now)
        if well:
            found.note_well(now)
        if not found.started and not found.waiting:
            del self._origins[key]

    def turns(self, now: float) -> Iterator[tuple[T, T | None]]:
        """
        Yield the connections whose turn it is, each with the one to give up for it, if any.

        Those that are yielded have begun their handshakes, or are removed.
        """
        while self._waiting:
            origins = [one for one in self._origins.values() if one.waiting]
            least = min(origins, key=_precedence)
            victim: T | None = None
            if self._started >= self._limit:
                most = max(self._origins.values(), key=lambda one: len(one.started))
                if not len(least.started) < self._share < len(most.started):
                    return
                victim = next(iter(most.started))
                self.remove(victim, now)
            first = next(iter(least.waiting))
            del least.waiting[first]
            least.started[first] = now
            self._waiting -= 1
            self._started += 1
            yield first, victim

    def hurried(self, now: float) -> tuple[T, float] | None:
        """
        Return the handshake that is to be given up next for those that wait, and when.

        They are given up bit by bit: a whole flood at once would hold up everybody else.
        """
        if not self._waiting:
            return None
        due = {one: one.due + self._safe_seconds for one in self._origins.values() if one.started}
        earliest = max(self._gone_at + self._safe_seconds / self._limit, min(due.values()))
        late = (one for one, at in due.items() if at <= max(earliest, now))
        most = max(late, key=lambda one: len(one.started))
        self._hurried, self._hurried_at = next(iter(most.started)), max(earliest, due[most])
        return self._hurried, self._hurried_at

    def turned_away(self, now: float) -> T | None:
        """Return the connection that gives way, if no more may wait, to one that would."""
        heaviest = self._heaviest()
        if heaviest is None or heaviest.well_at + self._safe_seconds > now:
            return None
        return next(reversed(heaviest.waiting))

    def turned_away_at(self) -> float:
        """Return when `turned_away` next returns one, if nothing ends well; infinity for never."""
        heaviest = self._heaviest()
        return math.inf if heaviest is None else heaviest.well_at + self._safe_seconds

    def _heaviest(self) -> _Origin[T] | None:
        """Return the origin of which most wait, if these are more than its share."""
        most = max(self._origins.values(), key=lambda one: len(one.waiting), default=None)
        return None if most is None or len(most.waiting) <= self._share else most
