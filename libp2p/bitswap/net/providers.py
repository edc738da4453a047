"""
The search for providers of a block: they are found by a router, and connected to.

Searches are shared. A caller that asks for a block which is being searched for joins that search,
and is told of the providers that were connected before. A search ends early only when all callers
have left. A block is named by its multihash here, as in the records of the DHT.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from libp2p.bitswap.config import (
    MAX_REMEMBERED_SEARCHES,
    PROVIDERS_TTL_SECONDS,
    SEARCH_SECONDS,
)
from libp2p.bitswap.errors import MAX_QUOTED, PeerAnswer
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import known_addresses
from libp2p.routing.adapters import ProviderAnswer
from libp2p.routing.peer_finder import PeerFinder
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import IHost
    from libp2p.bitswap.net.service import Service
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

logger = get_logger(__name__)

#: The name of a router without one.
ROUTER_NAME: Final = "the router"


@dataclass(slots=True)
class ProviderSearch:
    """The result of a search so far."""

    found: list[ID] = field(default_factory=list)
    """Providers other than this peer."""
    connected: list[ID] = field(default_factory=list)
    """Providers that are connected."""
    failed: dict[ID, PeerAnswer] = field(default_factory=dict)
    """Providers that were not reached."""
    routers: dict[str, str] = field(default_factory=dict)
    """What each router said, by its name: for people."""


class _Query(ProviderSearch):
    """
    A running search, and its callers.

    Owner: libp2p.bitswap.net.providers
    """

    def __init__(self, cid: CID) -> None:
        super().__init__()
        self.cid = cid
        self.callers = 0
        self.complete = False
        """The search has ended by itself, not with the task that it ran in."""
        self.listeners: list[Callable[[ID], None]] = []
        self.more: dict[ID, PeerInfo] = {}
        """Further addresses of providers that are being connected to, in case the first fail."""
        self.scope = trio.CancelScope()
        self.finished = trio.Event()


class ProviderFinder:
    """Searches for providers, several searches at once, and connects to them."""

    def __init__(
        self,
        router: object,
        max_providers: int,
        cache: ProviderCache,
        max_searches: int,
        peer_router: object = None,
    ) -> None:
        """
        :param router: a `ContentRouter`; py-libp2p's ``KadDHT`` will do as well.
        :param max_providers: a search ends when so many providers of a block are found.
        :param cache: keeps the results, by multihashes.
        :param max_searches: how many searches run at once; others wait.
        :param peer_router: a `PeerRouter` that finds the addresses of providers without any; by
            default ``router``, if it has ``find_peer``.
        """
        self._router = router
        if peer_router is None and hasattr(router, "find_peer"):
            peer_router = router
        self._peers = None if peer_router is None else PeerFinder(peer_router)
        self._max_providers = max_providers
        self._cache = cache
        self._turns = trio.CapacityLimiter(max_searches)
        self._queries: dict[bytes, _Query] = {}
        self._host: IHost | None = None
        self._service: Service | None = None
        self._faults = FaultLog()
        self._said: dict[bytes, dict[str, str]] = {}
        self._total = 0
        self._joined = 0
        self._found = 0
        self._errors = 0

    def attach(self, host: IHost, service: Service) -> None:
        """Connect through a host, and search in the tasks of a client."""
        self._host = host
        self._service = service

    def counts(self) -> dict[str, int]:
        """Count the searches since the start, and those that are running."""
        return {
            "total_queries": self._total,
            "queries": self._total,
            "joined_queries": self._joined,
            "active_queries": len(self._queries),
            "providers_found": self._found,
            "errors": self._errors,
        }

    def said_of(self, key: bytes) -> dict[str, str]:
        """
        Return what each router has said of a block, by its name; of the newest searches only.

        :param key: the multihash of the block.
        """
        return self._said.get(key, {})

    # -- searching ------------------------------------------------------------------------------

    async def search(
        self, cid: CID, on_connected: Callable[[ID], None] | None = None
    ) -> ProviderSearch:
        """
        Search for providers of a block, or join a search for it.

        :param on_connected: called with each provider as soon as the provider is connected.
        """
        key = cid.multihash
        while True:
            query = self._queries.get(key)
            if query is None or query.scope.cancel_called:
                query = self._queries[key] = _Query(cid)
                self._total += 1
                if self._service is None or not self._service.is_running:
                    query.callers += 1  # so that a caller that joins and leaves does not end it
                    await self._run(query, key)
                    return query
                self._service.start_task(self._run, query, key)
            else:
                self._joined += 1
            await self._join(query, on_connected)
            if query.complete:
                return query

    async def _join(self, query: _Query, on_connected: Callable[[ID], None] | None) -> None:
        query.callers += 1
        if on_connected is not None:
            for peer_id in query.connected:
                on_connected(peer_id)
            query.listeners.append(on_connected)
        try:
            await query.finished.wait()
        finally:
            query.callers -= 1
            if on_connected is not None:
                query.listeners.remove(on_connected)
            if not query.callers:
                query.scope.cancel()

    async def _run(self, query: _Query, key: bytes) -> None:
        try:
            with query.scope:
                async with self._turns:
                    with trio.move_on_after(SEARCH_SECONDS):
                        await self._look(query, key)
            query.complete = True
        finally:
            if self._queries.get(key) is query:
                del self._queries[key]
            for peer_id in query.found:
                if peer_id not in query.connected:
                    query.failed.setdefault(peer_id, PeerAnswer.UNREACHABLE)
            self._note_said(key, query.routers)
            query.finished.set()

    def _note_said(self, key: bytes, routers: dict[str, str]) -> None:
        self._said.pop(key, None)
        if routers:
            self._said[key] = routers
            if len(self._said) > MAX_REMEMBERED_SEARCHES:
                del self._said[next(iter(self._said))]

    async def _look(self, query: _Query, key: bytes) -> None:
        """Connect to the cached providers that are away; if that reaches none, ask the router."""
        known = self._cache.get(key) or []
        async with trio.open_nursery() as nursery:
            for peer_id in known:
                if not self._is_connected(peer_id):
                    query.found.append(peer_id)
                    nursery.start_soon(self._connect, query, PeerInfo(peer_id, []))
        if query.connected:
            return
        async with trio.open_nursery() as nursery:
            await self._ask_router(query, nursery)
        if query.found:
            self._found += len(query.found)
            self._cache.put(key, query.found)

    async def _ask_router(self, query: _Query, nursery: trio.Nursery) -> None:
        here = self._host.get_id() if self._host is not None else None
        providers = ProviderAnswer(self._router, query.cid.buffer, self._max_providers)
        try:
            async with aclosing(providers.infos()) as infos:
                async for info in infos:
                    if info.peer_id == here:
                        continue
                    if info.peer_id in query.found:
                        self._note_again(query, info, nursery)
                        continue
                    query.found.append(info.peer_id)
                    nursery.start_soon(self._connect, query, info)
                    if len(query.found) >= self._max_providers:
                        return
        except BaseLibp2pError as error:
            logger.debug("no providers of %s: %s", query.cid, error)
            query.routers[ROUTER_NAME] = str(error)[:MAX_QUOTED]
            self._errors += 1
        except Exception as error:  # noqa: BLE001 - task's edge: a router of the user's
            self._faults.note("the content router", error)
            query.routers[ROUTER_NAME] = type(error).__name__
            self._errors += 1
        finally:
            query.routers.update(providers.said())

    def _is_connected(self, peer_id: ID) -> bool:
        return self._host is not None and peer_id in self._host.get_connected_peers()

    def _note_again(self, query: _Query, info: PeerInfo, nursery: trio.Nursery) -> None:
        """Note more addresses of a provider: they are tried if the first ones fail."""
        if info.peer_id in query.connected or not info.addrs:
            return
        if query.failed.pop(info.peer_id, None) is not None:
            nursery.start_soon(self._connect, query, info)
        else:
            query.more[info.peer_id] = info

    async def _connect(self, query: _Query, info: PeerInfo) -> None:
        if self._host is None:
            return
        peer_id = info.peer_id
        while not self._is_connected(peer_id):
            if not await self._try_to_connect(self._host, info):
                if peer_id not in query.more:
                    query.failed[peer_id] = PeerAnswer.UNREACHABLE
                    return
                info = query.more.pop(peer_id)
        query.connected.append(peer_id)
        for tell in list(query.listeners):
            tell(peer_id)

    async def _try_to_connect(self, host: IHost, info: PeerInfo) -> bool:
        try:
            known = info.addrs or known_addresses(host.get_peerstore(), info.peer_id)
            if not known and self._peers is not None:
                info = await self._peers.find(info.peer_id) or info
            await host.connect(info, hearsay=True)
        except BaseLibp2pError as error:
            logger.debug("provider %s: %s", info.peer_id, error)
        except Exception as error:  # noqa: BLE001 - task's edge: addresses of a stranger's
            self._faults.note("connecting to a provider", error)
        else:
            return True
        return False


# -- the cache of results -------------------------------------------------------------------------


class ProviderCache:
    """
    The results of the newest searches.

    :param clock: returns seconds since any fixed moment.
    """

    def __init__(
        self,
        max_size: int = MAX_REMEMBERED_SEARCHES,
        default_ttl: float = PROVIDERS_TTL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_size = max_size
        self._default_ttl = default_ttl
        self._clock = clock
        #: The providers of each block, and the time at which they are too old.
        self._entries: dict[bytes, tuple[list[ID], float]] = {}
        self._hits = 0
        self._misses = 0

    def get(self, cid_bytes: bytes) -> list[ID] | None:
        """Return the providers of a block; None if they are unknown or too old."""
        entry = self._entries.pop(cid_bytes, None)
        if entry is None or entry[1] <= self._clock():
            self._misses += 1
            return None
        self._hits += 1
        self._entries[cid_bytes] = entry  # now the newest entry
        return list(entry[0])

    def put(self, cid_bytes: bytes, providers: Sequence[ID], ttl: float | None = None) -> None:
        """Keep the providers of a block; the entry used longest ago may be dropped for it."""
        self._entries.pop(cid_bytes, None)
        ttl = self._default_ttl if ttl is None else ttl
        self._entries[cid_bytes] = list(providers), self._clock() + ttl
        while len(self._entries) > self._max_size:
            del self._entries[next(iter(self._entries))]

    def clear(self) -> None:
        self._entries.clear()

    def cleanup_expired(self) -> int:
        """Drop the entries that are too old; return how many."""
        expired = self._expired()
        for key in expired:
            del self._entries[key]
        return len(expired)

    def _expired(self) -> list[bytes]:
        now = self._clock()
        return [key for key, (_, end) in self._entries.items() if end <= now]

    def size(self) -> int:
        return len(self._entries)

    def stats(self) -> dict[str, int]:
        return {
            "cache_size": len(self._entries),
            "cache_hits": self._hits,
            "cache_misses": self._misses,
            "size": len(self._entries),
            "max_size": self._max_size,
            "expired": len(self._expired()),
        }
