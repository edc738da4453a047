"""
Which connections to close when there are too many (sans-I/O).

Peers connect and stay connected, and most of them never send anything again. Above a high-water
mark idle connections are closed until the low-water mark is reached: those of the least valuable
peers first, of equal ones those that have been idle longest. A connection is idle if no stream has
received data for a while. Connections of a protected peer are never closed. The words are
go-libp2p's.
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
    """The properties of a connection that decide whether it is closed."""

    @property
    def peer_id(self) -> ID:
        """The peer at the other end."""
        ...

    @property
    def is_initiator(self) -> bool:
        """True if this side dialled."""
        ...

    @property
    def opened_at(self) -> float:
        """When the connection began."""
        ...

    @property
    def active_at(self) -> float:
        """When a stream last received data, or when the connection began."""
        ...


C = TypeVar("C", bound=Connection)


class ConnectionManager:
    """How valuable peers are to this host: tags, estimates, protections."""

    def __init__(self, max_tagged: int) -> None:
        """:param max_tagged: peers with tags; with one more, the one tagged first loses its own."""
        self._max_tagged = max_tagged
        self._tags: dict[ID, dict[str, int]] = {}
        self._protected: dict[ID, set[str]] = {}
        self._estimates: dict[Callable[[ID], int], None] = {}

    def tag_peer(self, peer_id: ID, tag: str, value: int) -> None:
        """Set the value of a peer for one reason; values of several tags add up."""
        self._tags.setdefault(peer_id, {})[tag] = value
        if len(self._tags) > self._max_tagged:
            del self._tags[next(iter(self._tags))]

    def untag_peer(self, peer_id: ID, tag: str) -> None:
        """Remove a tag."""
        tags = self._tags.get(peer_id, {})
        tags.pop(tag, None)
        if not tags:
            self._tags.pop(peer_id, None)

    def add_estimate(self, estimate: Callable[[ID], int]) -> None:
        """
        Add ``estimate(peer_id)`` to the value of each peer when a connection has to be closed.

        For a service whose value of a peer changes too often for a tag. An estimate that raises is
        removed.
        """
        self._estimates[estimate] = None

    def remove_estimate(self, estimate: Callable[[ID], int]) -> None:
        """Remove an estimate; a second call does nothing."""
        self._estimates.pop(estimate, None)

    def value_of(self, peer_id: ID) -> int:
        """Return the sum of a peer's tags and estimates."""
        value = sum(self._tags.get(peer_id, {}).values())
        for estimate in list(self._estimates):
            with fault_barrier(partial(self._drop, estimate)):
                value += estimate(peer_id)
        return value

    def _drop(self, estimate: Callable[[ID], int], error: Exception) -> None:
        logger.error("%r cannot tell what a peer is worth", estimate, exc_info=error)
        self.remove_estimate(estimate)

    def protect(self, peer_id: ID, tag: str) -> None:
        """Never close a peer's connections; with several tags until all of them are removed."""
        self._protected.setdefault(peer_id, set()).add(tag)

    def unprotect(self, peer_id: ID, tag: str) -> bool:
        """Remove a protection; return whether the peer has another one."""
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

        Of equally valuable ones, those that have been idle longest come first.

        :param idle_since: connections that were active after this time are not returned.
        :param inbound: return only connections that the peers have dialled.
        :param newest: of equally valuable ones, the newest come first.
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
