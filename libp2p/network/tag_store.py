"""py-libp2p's names of what `libp2p.network.connection_manager` has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from libp2p.abc import INotifee
from libp2p.network.connection_manager import ConnectionManager

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import INetConn, INetStream, INetwork
    from libp2p.peer.id import ID

__all__ = [
    "CommonTags",
    "TagInfo",
    "TagStore",
    "TagStoreNotifee",
    "upsert_add",
    "upsert_bounded",
    "upsert_set",
]


class CommonTags:
    """Names of tags."""

    KEEP_ALIVE = "keep-alive"
    BOOTSTRAP = "bootstrap"
    RELAY = "relay"
    DHT = "dht"
    PUBSUB = "pubsub"
    BITSWAP = "bitswap"
    APPLICATION = "application"
    ACTIVE_STREAMS = "active-streams"


@dataclass
class TagInfo:
    """
    What a peer is worth, and its connections.

    :param first_seen: seconds of the epoch.
    :param conns: when each connection began, by its id.
    :param temp: True for a peer that was tagged and has had no connection yet.
    """

    first_seen: float = field(default_factory=time.time)
    value: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    conns: dict[int, float] = field(default_factory=dict)
    temp: bool = False

    def connected(self, conn_id: int) -> None:
        """Note that a connection has begun."""
        if self.temp:
            self.temp, self.first_seen = False, time.time()
        self.conns[conn_id] = time.time()

    def copy(self) -> TagInfo:
        """Return a copy that nothing else changes."""
        return replace(self, tags=dict(self.tags), conns=dict(self.conns))

    def get_total_value(self) -> int:
        """Return the sum of the tags."""
        return sum(self.tags.values())

    def to_dict(self) -> dict[str, object]:
        """Return what could be written as JSON."""
        tags, conns = dict(self.tags), dict(self.conns)
        return {"first_seen": self.first_seen, "value": self.value, "tags": tags, "conns": conns}


class TagStore(ConnectionManager):
    """
    Tags and protections by themselves; a swarm has its own, ``swarm.connection_manager``.

    As in py-libp2p, a peer is forgotten when its last recorded connection ends.
    """

    def __init__(self, max_tagged: int = 16_384) -> None:
        super().__init__(max_tagged)
        self._seen: dict[ID, TagInfo] = {}

    def tag_peer(self, peer_id: ID, tag: str, value: int) -> None:
        """Set the value of a peer for one reason; values of several tags add up."""
        super().tag_peer(peer_id, tag, value)
        self._seen.setdefault(peer_id, TagInfo(temp=True))
        while len(self._seen) > self._max_tagged:
            del self._seen[next(iter(self._seen))]

    def get_tag_info(self, peer_id: ID) -> TagInfo | None:  # type: ignore[override]
        """Return what is known of a peer, if anything is."""
        seen = self._seen.get(peer_id)
        if seen is None:
            return None
        tags = dict(self._tags.get(peer_id, {}))
        return replace(seen.copy(), tags=tags, value=self.value_of(peer_id))

    def get_tag(self, peer_id: ID, tag: str) -> int:
        """Return the value of one tag, 0 without it."""
        return self._tags.get(peer_id, {}).get(tag, 0)

    def get_tag_value(self, peer_id: ID) -> int:
        """Return the sum of a peer's tags."""
        return self.value_of(peer_id)

    def record_connection(self, peer_id: ID, conn_id: int) -> None:
        """Note that a connection has begun."""
        seen = self._seen.setdefault(peer_id, TagInfo())
        seen.connected(conn_id)

    def remove_connection(self, peer_id: ID, conn_id: int) -> None:
        """Note that a connection has ended; with the last one the peer is forgotten."""
        seen = self._seen.get(peer_id)
        if seen is not None and seen.conns.pop(conn_id, None) is not None and not seen.conns:
            self.clear_peer(peer_id)

    def clear_peer(self, peer_id: ID) -> None:
        """Forget a peer, and that it is protected."""
        for known in (self._seen, self._tags, self._protected):
            known.pop(peer_id, None)

    def get_all_peers(self) -> list[ID]:
        """Return the peers that something is known of."""
        return list(self._seen)

    def get_protected_peers(self) -> list[ID]:
        """Return the peers that are protected."""
        return list(self._protected)


class TagStoreNotifee(INotifee):
    """Records the connections of a network in a `TagStore`."""

    def __init__(self, tag_store: TagStore) -> None:
        self._tag_store = tag_store

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Record the connection."""
        self._tag_store.record_connection(conn.muxed_conn.peer_id, id(conn))

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Remove the connection."""
        self._tag_store.remove_connection(conn.muxed_conn.peer_id, id(conn))

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Do nothing."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Do nothing."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Do nothing."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Do nothing."""


def upsert_add(delta: int) -> Callable[[int], int]:
    """Return a change for `ConnectionManager.upsert_tag` that adds."""
    return lambda value: value + delta


def upsert_set(value: int) -> Callable[[int], int]:
    """Return a change that sets."""
    return lambda _: value


def upsert_bounded(delta: int, min_val: int, max_val: int) -> Callable[[int], int]:
    """Return a change that adds, and keeps to bounds."""
    return lambda value: max(min_val, min(max_val, value + delta))
