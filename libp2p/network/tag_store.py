"""py-libp2p's names of what `libp2p.network.connection_manager` has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.network.connection_manager import ConnectionManager, TagInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.peer.id import ID

__all__ = ["CommonTags", "TagInfo", "TagStore", "upsert_add", "upsert_bounded", "upsert_set"]


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


class TagStore(ConnectionManager):
    """Tags and protections by themselves; a swarm has its own, ``swarm.connection_manager``."""

    def __init__(self, max_tagged: int = 16_384) -> None:
        super().__init__(max_tagged)

    def get_tag_value(self, peer_id: ID) -> int:
        """Return the sum of a peer's tags."""
        return self.value_of(peer_id)


def upsert_add(delta: int) -> Callable[[int], int]:
    """Return a change for `ConnectionManager.upsert_tag` that adds."""
    return lambda value: value + delta


def upsert_set(value: int) -> Callable[[int], int]:
    """Return a change that sets."""
    return lambda _: value


def upsert_bounded(delta: int, min_val: int, max_val: int) -> Callable[[int], int]:
    """Return a change that adds, and keeps to bounds."""
    return lambda value: max(min_val, min(max_val, value + delta))
