"""
Which connections to close when there are too many (sans-I/O).

Peers connect and stay connected, and most of them never send anything again. Above a high-water
mark idle connections are closed until the low-water mark is reached: those of the least valuable
peers first, and of equally valuable ones those that have been idle longest. A connection is idle if
no stream has received data for a while. Connections of a protected peer are never closed. The words
are go-libp2p's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from libp2p.utils import arguments
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
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


class TagInfo(NamedTuple):
    """What a peer is worth to this host, and why."""

    value: int
    """The sum of tags and estimates."""
    tags: Mapping[str, int]


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

    def upsert_tag(self, peer_id: ID, tag: str, change: Callable[[int], int]) -> None:
        """Set a tag to ``change(value)``, where ``value`` is the tag's value, 0 without the tag."""
        self.tag_peer(peer_id, tag, change(self._tags.get(peer_id, {}).get(tag, 0)))

    def get_tag_info(self, peer_id: ID) -> TagInfo | None:
        """Return what a peer is worth; None if it has neither tags nor a value."""
        tags, value = dict(self._tags.get(peer_id, {})), self.value_of(peer_id)
        return TagInfo(value, tags) if tags or value else None

    def add_estimate(self, estimate: Callable[[ID], int]) -> None:
        """
        Add ``estimate(peer_id)`` to the value of each peer when a connection has to be closed.

        A service uses it whose opinion of a peer changes too often for a tag. An estimate that
        raises is removed.
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
        """Never close a peer's connections until `unprotect` has removed all of its tags."""
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

    def decaying_tag(self, half_life: float, clock: Callable[[], float]) -> DecayingTag:
        """Return a tag whose values halve in ``half_life`` seconds; it counts until it is closed.

        :param clock: returns seconds, such as `time.monotonic`.
        """
        tag = DecayingTag(self, half_life, self._max_tagged, clock)
        self.add_estimate(tag.value_of)
        return tag

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


class DecayingTag:
    """
    Values of peers that halve in a fixed time, such as counts of what the peers did.

    :param half_life: seconds.
    :param most: peers that have a value; with one more, the one that was bumped first loses it.
    """

    def __init__(
        self, manager: ConnectionManager, half_life: float, most: int, clock: Callable[[], float]
    ) -> None:
        self.half_life: Final = arguments.seconds(half_life, "half_life")
        if not self.half_life:
            raise arguments.out_of_range("half_life", half_life, "more than 0")
        self._manager = manager
        self._most = most
        self._clock = clock
        # Each value with the time at which it was set.
        self._values: dict[ID, tuple[float, float]] = {}

    def bump(self, peer_id: ID, delta: float) -> None:
        """Add to the value of a peer, or take from it."""
        self._values[peer_id] = (self._now(peer_id) + delta, self._clock())
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]

    def remove(self, peer_id: ID) -> None:
        """Forget the value of a peer, if it has one."""
        self._values.pop(peer_id, None)

    def value_of(self, peer_id: ID) -> int:
        """Return the value that is left, rounded."""
        return round(self._now(peer_id))

    def close(self) -> None:
        """Let the tag count no longer."""
        self._manager.remove_estimate(self.value_of)

    def _now(self, peer_id: ID) -> float:
        value, since = self._values.get(peer_id, (0.0, 0.0))
        return value * math.pow(0.5, (self._clock() - since) / self.half_life)
