"""
Which connections to part with when there are too many (sans-I/O).

Peers connect and stay, and most of them never ask for anything again. Above a high-water mark the
idle ones are closed until the low-water mark is reached: those nobody vouches for first, then
those that have been idle longest. A connection is idle if no stream has brought anything for a
while. A peer that is protected is never chosen. The words are go-libp2p's.
"""

from __future__ import annotations

from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING, Protocol, TypeVar

from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from libp2p.peer.id import ID

logger = get_logger(__name__)


class Connection(Protocol):
    """What is weighed of a connection."""

    @property
    def peer_id(self) -> ID:
        """Whom it connects to."""
        ...

    @property
    def is_initiator(self) -> bool:
        """True if this side dialled: somebody here wanted this connection."""
        ...

    @property
    def opened_at(self) -> float:
        """When the connection began."""
        ...

    @property
    def active_at(self) -> float:
        """When a stream last brought something, or when the connection began."""
        ...


C = TypeVar("C", bound=Connection)


class ConnectionManager:
    """What peers are worth to this host."""

    def __init__(self, max_tagged: int) -> None:
        """:param max_tagged: peers with tags; with one more, the one tagged first loses its own."""
        self._max_tagged = max_tagged
        self._tags: dict[ID, dict[str, int]] = {}
        self._protected: dict[ID, set[str]] = {}
        self._estimates: dict[Callable[[ID], int], None] = {}

    def tag_peer(self, peer_id: ID, tag: str, value: int) -> None:
        """Say what a peer is worth for a reason; values of several tags add up."""
        self._tags.setdefault(peer_id, {})[tag] = value
        if len(self._tags) > self._max_tagged:
            del self._tags[next(iter(self._tags))]

    def untag_peer(self, peer_id: ID, tag: str) -> None:
        """Take a tag back."""
        tags = self._tags.get(peer_id, {})
        tags.pop(tag, None)
        if not tags:
            self._tags.pop(peer_id, None)

    def add_estimate(self, estimate: Callable[[ID], int]) -> None:
        """
        Have ``estimate`` asked what a peer is worth, besides its tags, when one has to go.

        For a service that knows at any time, and would have to change a tag all the time. One that
        raises is not asked again.
        """
        self._estimates[estimate] = None

    def remove_estimate(self, estimate: Callable[[ID], int]) -> None:
        """Ask it no longer; a second call does nothing."""
        self._estimates.pop(estimate, None)

    def value_of(self, peer_id: ID) -> int:
        """Return the sum of a peer's tags and of what the services that know it say."""
        value = sum(self._tags.get(peer_id, {}).values())
        for estimate in list(self._estimates):
            with fault_barrier(partial(self._drop, estimate)):
                value += estimate(peer_id)
        return value

    def _drop(self, estimate: Callable[[ID], int], error: Exception) -> None:
        logger.error("%r cannot tell what a peer is worth", estimate, exc_info=error)
        self.remove_estimate(estimate)

    def protect(self, peer_id: ID, tag: str) -> None:
        """Never part with a peer's connections; several tags protect until all are gone."""
        self._protected.setdefault(peer_id, set()).add(tag)

    def unprotect(self, peer_id: ID, tag: str) -> bool:
        """Take a protection back; return whether another one still holds."""
        tags = self._protected.get(peer_id, set())
        tags.discard(tag)
        if not tags:
            self._protected.pop(peer_id, None)
        return bool(tags)

    def is_protected(self, peer_id: ID, tag: str = "") -> bool:
        """Tell whether a peer is protected, by this tag or by any."""
        tags = self._protected.get(peer_id, set())
        return tag in tags if tag else bool(tags)

    def choose(
        self,
        connections: Iterable[C],
        count: int,
        idle_since: float,
        *,
        inbound: bool = False,
        newest: bool = False,
    ) -> list[C]:
        """
        Return up to ``count`` connections to close, the least valuable first.

        Of those that are worth the same, the ones that have been idle longest go first.

        :param idle_since: those that were active after this time are kept.
        :param inbound: choose among those only that the peers have dialled.
        :param newest: of those that are worth the same, choose the newest.
        """
        idle = [
            connection
            for connection in connections
            if connection.active_at <= idle_since
            and connection.peer_id not in self._protected
            and not (inbound and connection.is_initiator)
        ]
        return nsmallest(
            count,
            idle,
            lambda c: (
                *(self.value_of(c.peer_id), c.is_initiator),
                -c.opened_at if newest else c.active_at,
            ),
        )
