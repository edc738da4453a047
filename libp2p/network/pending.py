"""
Inbound handshakes under way, and which one is given up when there are too many (sans-I/O).

Every inbound connection costs a key exchange before the peer is known. An honest handshake is
short, but how short depends on how many there are: if a young one were given up for another, a
crowd of honest peers would end each other's. So no handshake is given up in its first seconds. Of
the older ones, the oldest of the address with the most handshakes is given up. While there is no
older one, no connection is accepted: they wait in the kernel's queue.
"""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")


def origin_of(host: str) -> str:
    """Return the origin of an IP address: an IPv4 address itself, the /64 of an IPv6 address."""
    if ":" not in host:
        return host
    return str(IPv6Network((host.partition("%")[0], 64), strict=False))


class PendingHandshakes(Generic[T]):
    """The handshakes under way; ``T`` is a hashable that identifies one."""

    def __init__(self, limit: int, safe_seconds: float) -> None:
        """:param safe_seconds: in which a handshake is not given up for another one."""
        self.limit = limit
        self._safe_seconds = safe_seconds
        self._origins: dict[T, tuple[Hashable, float]] = {}  # in the order in which they began
        self._by_origin: dict[Hashable, dict[T, None]] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._origins)

    @property
    def is_full(self) -> bool:
        """True if another handshake must wait, or one must be given up for it."""
        return len(self._origins) >= self.limit

    def add(self, handshake: T, origin: Hashable, now: float) -> None:
        """Add a handshake that begins at ``now``; ``origin`` groups those of one address."""
        self._origins[handshake] = origin, now
        self._by_origin.setdefault(origin, {})[handshake] = None

    def remove(self, handshake: T) -> None:
        """Remove a handshake that has ended; a second call does nothing."""
        origin, _ = self._origins.pop(handshake, (None, 0.0))
        siblings = self._by_origin.get(origin)
        if siblings is not None:
            siblings.pop(handshake, None)
            if not siblings:
                del self._by_origin[origin]

    def evictable(self, now: float) -> T | None:
        """Return the handshake to give up for another one; None if all are too young."""
        oldest: T | None = None
        most = 0
        for siblings in self._by_origin.values():
            first = next(iter(siblings))
            if len(siblings) > most and self._origins[first][1] + self._safe_seconds <= now:
                oldest, most = first, len(siblings)
        return oldest

    def evictable_at(self) -> float | None:
        """Return when `evictable` next returns a handshake; None if there are none at all."""
        if not self._origins:
            return None
        return next(iter(self._origins.values()))[1] + self._safe_seconds
