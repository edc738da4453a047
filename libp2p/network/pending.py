"""
Inbound connections whose peer is not known yet, and which of them gives way (sans-I/O).

A handshake costs a key exchange, so only a limited number is under way. A few times as many
connections wait for a turn, and further ones wait in the kernel's queue. An honest handshake is
short, but the more there are at once, the longer each takes. If a young handshake were given up for
another one of the same address, many honest peers behind one address would end each other's. So

- a handshake is given up for a waiting connection when it is some seconds old and no handshake of
  its address has ended well meanwhile. The address with the most handshakes loses its oldest one,
  and loses them one after the other;
- an address with more than its share of the handshakes gives one up at once for an address with
  less: a flood from one address keeps nobody else waiting;
- while as many connections wait as may wait, no further one is accepted. But if most of them are of
  one address, and no handshake of that address has ended well for some seconds, its newest ones are
  turned away.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from ipaddress import IPv6Network
from itertools import count
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: An address with less than this part of the handshakes does not wait for an address with more.
SHARE: Final = 1 / 8
#: So many connections may wait for each handshake that may be under way; one costs a socket.
WAITING: Final = 3


def origin_of(host: str) -> str:
    """Return the origin of an IP address: an IPv4 address itself, the /64 of an IPv6 address."""
    if ":" not in host:
        return host
    return str(IPv6Network((host.partition("%")[0], 64), strict=False))


class _Origin(Generic[T]):
    """The connections of one address, the oldest first."""

    def __init__(self, now: float) -> None:
        self.started: dict[T, float] = {}  # when each handshake began
        self.waiting: dict[T, int] = {}  # the serial number of each connection
        self.well_at = now
        """When a handshake last ended well; before any has, when the first connection came."""

    def note_well(self, now: float) -> None:
        """Note that a handshake has ended well."""
        self.well_at = now

    @property
    def due(self) -> float:
        """Since when the oldest handshake is under way and no other one has ended well."""
        return max(next(iter(self.started.values())), self.well_at)


def _precedence(origin: _Origin[T]) -> tuple[int, int]:
    """Order origins by turn: fewest handshakes first, then the one that has waited longest."""
    return len(origin.started), next(iter(origin.waiting.values()))


class PendingHandshakes(Generic[T]):
    """The accepted connections whose peer is not known yet; a ``T`` identifies one."""

    def __init__(self, limit: int, safe_seconds: float) -> None:
        """
        :param limit: handshakes under way; `WAITING` times as many connections wait.
        :param safe_seconds: the age up to which a handshake is not given up for another one of its
            address.
        """
        self._limit = limit
        self._share = max(limit * SHARE, 1)
        self._safe_seconds = safe_seconds
        self._origins: dict[Hashable, _Origin[T]] = {}
        self._keys: dict[T, Hashable] = {}
        self._started = self._waiting = 0
        self._hurried: T | None = None
        # When `_hurried` has to end, and when the handshake given up before it has ended.
        self._hurried_at = self._gone_at = -math.inf
        self._numbers = count()

    def __len__(self) -> int:
        """Return how many connections there are, waiting or not."""
        return len(self._keys)

    @property
    def is_full(self) -> bool:
        """True if no further connection may wait."""
        return self._waiting >= self._limit * WAITING

    def add(self, connection: T, origin: Hashable, now: float) -> None:
        """Add a connection that waits for its turn; ``origin`` groups those of one address."""
        self._keys[connection] = origin
        self._origins.setdefault(origin, _Origin(now)).waiting[connection] = next(self._numbers)
        self._waiting += 1

    def remove(self, connection: T, now: float, *, well: bool = False) -> None:
        """
        Remove a connection; a second call does nothing.

        :param well: True if its handshake has ended and the peer is known.
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
        Yield each connection whose turn it is, with the one to give up for it, or None.

        The first counts as under way from then on, and the second is removed.
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
        Return which handshake is given up next for waiting connections, and when.

        Handshakes are given up one by one: ending a whole flood at once would delay everybody else.
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
        """Return the waiting connection to turn away for a further one; None if there is none."""
        heaviest = self._heaviest()
        if heaviest is None or heaviest.well_at + self._safe_seconds > now:
            return None
        return next(reversed(heaviest.waiting))

    def turned_away_at(self) -> float:
        """Return when `turned_away` finds one if no handshake ends well; infinity for never."""
        heaviest = self._heaviest()
        return math.inf if heaviest is None else heaviest.well_at + self._safe_seconds

    def _heaviest(self) -> _Origin[T] | None:
        """Return the origin with the most waiting connections, if they exceed its share."""
        most = max(self._origins.values(), key=lambda one: len(one.waiting), default=None)
        return None if most is None or len(most.waiting) <= self._share else most
