"""
py-libp2p's `ProviderQueryManager`: the search for providers, as programs configure and call it.

The engine searches by `libp2p.bitswap.net.providers`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.config import (
    MAX_PROVIDERS,
    MAX_REMEMBERED_SEARCHES,
    MAX_SEARCHES,
    PROVIDERS_TTL_SECONDS,
)
from libp2p.bitswap.net.providers import (
    ProviderCache,
    ProviderFinder,
    ProviderSearch,
)
from libp2p.ipld.cid import CID
from libp2p.routing.abc import ContentRouter

if TYPE_CHECKING:
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID

__all__ = [
    "ContentRouter",
    "ProviderCache",
    "ProviderCacheEntry",
    "ProviderQueryManager",
    "ProviderSearch",
]


@dataclass(slots=True)
class ProviderCacheEntry:
    """py-libp2p's record of the providers of a block; its times are those of `time.time`."""

    providers: list[ID]
    timestamp: float = field(default_factory=time.time)
    ttl: float = PROVIDERS_TTL_SECONDS

    def is_expired(self) -> bool:
        return self.age() >= self.ttl

    def age(self) -> float:
        return time.time() - self.timestamp


class ProviderQueryManager:
    """
    Searches for providers, some at once, and connects to those that it finds.

    :param dht: a `ContentRouter`; py-libp2p's ``KadDHT`` with its ``find_providers`` will do.
    :param max_providers: how many of one block are enough.
    :param cache_ttl: seconds for which a result is remembered.
    :param cache_size: results remembered at most.
    :param max_concurrent_queries: searches at once; the others wait for their turn.
    :param peer_router: knows the addresses of providers that are found without any; by default
        ``dht``, if it can be asked.
    :param clock: seconds from any moment on, by which results grow old.
    """

    def __init__(
        self,
        dht: object,
        max_providers: int = MAX_PROVIDERS,
        cache_ttl: float = PROVIDERS_TTL_SECONDS,
        cache_size: int = MAX_REMEMBERED_SEARCHES,
        max_concurrent_queries: int = MAX_SEARCHES,
        *,
        peer_router: object = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dht = dht
        self.max_providers = max_providers
        self.cache = ProviderCache(cache_size, cache_ttl, clock)
        self.finder = ProviderFinder(
            dht, max_providers, self.cache, max_concurrent_queries, peer_router
        )

    async def search(
        self, cid: CID, on_connected: Callable[[ID], None] | None = None
    ) -> ProviderSearch:
        """
        Search for providers of a block, or join a search for it.

        :param on_connected: called with each provider as soon as it is connected.
        """
        return await self.finder.search(cid, on_connected)

    async def find_providers(
        self, cids: Sequence[CIDInput], timeout: float = 5.0, use_cache: bool = True
    ) -> dict[bytes, list[ID]]:
        """Return the providers of several blocks by their binary CIDs, as far as they are found."""
        found: dict[bytes, list[ID]] = {}

        async def find(cid: CID) -> None:
            found[cid.buffer] = await self.find_providers_single(cid, timeout, use_cache)

        async with trio.open_nursery() as nursery:
            for cid in map(CID.of, cids):
                nursery.start_soon(find, cid)
        return found

    async def find_providers_single(
        self, cid: CIDInput, timeout: float = 5.0, use_cache: bool = True
    ) -> list[ID]:
        """
        Return the providers of a block, connected or not; none if the time is over.

        :param use_cache: what was found lately will do.
        """
        named = CID.of(cid)
        if use_cache and (known := self.cache.get(named.multihash)) is not None:
            return known
        with trio.move_on_after(timeout):
            return list((await self.search(named)).found)
        return []

    def get_stats(self) -> dict[str, int]:
        """Count searches since the start, and what is going on."""
        return {**self.finder.counts(), **self.cache.stats()}

    def clear_cache(self) -> None:
        """Forget all results."""
        self.cache.clear()

    async def cleanup_expired_cache(self) -> int:
        """Forget results that are too old; return how many were."""
        await trio.lowlevel.checkpoint()
        return self.cache.cleanup_expired()
