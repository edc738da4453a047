"""
Inbound handshakes that are not over yet, and who gives way when there are too many (sans-I/O).

Whoever connects costs a key exchange before it is known who that is. An honest handshake is over
soon, but "soon" depends on how many there are: evicting a young one to take in another would let
a crowd of honest peers push each other out. So a handshake has a while in which it is safe. Who is
older gives way, first where the most come from. Until somebody can, no more are accepted, and the
others wait in the kernel's queue.
"""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")


def origin_of(host: str) -> str:
    """Return what counts as one place: an IPv4 address, or the 64 bits that a site of IPv6 has."""
    if ":" not in host:
        return host
    return str(IPv6Network((host.partition("%")[0], 64), strict=False))


class PendingHandshakes(Generic[T]):
    """The handshakes under way; ``T`` is what stands for one, and is hashable."""

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
        """True if another one has to wait or to take somebody's place."""
        return len(self._origins) >= self.limit

    def add(self, handshake: T, origin: Hashable, now: float) -> None:
        """Note a handshake that begins; ``origin`` is where it comes from, an IP address."""
        self._origins[handshake] = origin, now
        self._by_origin.setdefault(origin, {})[handshake] = None

    def remove(self, handshake: T) -> None:
        """Note that a handshake is over, in whatever way; a second call does nothing."""
        origin, _ = self._origins.pop(handshake, (None, 0.0))
        siblings = self._by_origin.get(origin)
        if siblings is not None:
            siblings.pop(handshake, None)
            if not siblings:
                del self._by_origin[origin]

    def evictable(self, now: float) -> T | None:
        """Return the handshake that gives way to another one; None if all are too young."""
        oldest: T | None = None
        most = 0
        for siblings in self._by_origin.values():
            first = next(iter(siblings))
            if len(siblings) > most and self._origins[first][1] + self._safe_seconds <= now:
                oldest, most = first, len(siblings)
        return oldest

    def evictable_at(self) -> float | None:
        """Return when `evictable` next has something to return; None if there are none at all."""
        if not self._origins:
            return None
        return next(iter(self._origins.values()))[1] + self._safe_seconds
