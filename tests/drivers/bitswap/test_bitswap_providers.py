"""The search for providers: shared, bounded, and connected to what it finds."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.config import IDLE_SECONDS, MAX_PROVIDERS, MAX_SEARCHES, SEARCH_SECONDS
from libp2p.bitswap.errors import (
    BlockNotFoundError,
    BlockUnavailableError,
    ClientClosedError,
    PeerAnswer,
)
from libp2p.bitswap.errors import TimeoutError as BitswapTimeoutError
from libp2p.bitswap.provider_query import (
    ProviderCache,
    ProviderCacheEntry,
    ProviderQueryManager,
)
from libp2p.bitswap.wire.entry import WantType
from libp2p.exceptions import BaseLibp2pError, RoutingError
from libp2p.ipld.cid import CID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.transport.memory.memory import MemoryTransport
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeHost, connect, disconnect, peer_id, place
from tests.support.routers import ScriptedRouter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from libp2p import BasicHost
    from libp2p.abc import IHost
    from libp2p.peer.id import ID

X, X_DATA = block(1)
Y, Y_DATA = block(2)
Z, _ = block(3)


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


class Router:
    """Knows who has a block, and takes a while to say so."""

    def __init__(self, *providers: ID, seconds: float = 0.0, between: float = 0.0) -> None:
        self.providers = list(providers)
        self.seconds = seconds
        self.between = between
        self.asked: list[CID] = []
        self.active = 0
        self.most = 0

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        self.asked.append(CID.of(cid))
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            await trio.sleep(self.seconds)
        finally:
            self.active -= 1
        return self._give()

    async def _give(self) -> AsyncIterator[PeerInfo]:
        for provider in self.providers:
            yield PeerInfo(provider, [])
            await trio.sleep(self.between)


class Searcher:
    """A client with a router, and the hosts that it could connect to."""

    def __init__(self, nursery: trio.Nursery, router: object, *known: ScriptedPeer) -> None:
        self.host = FakeHost(nursery, "bob")
        for peer in known:
            self.host.known[peer.host.get_id()] = peer.host
        self.manager = ProviderQueryManager(router, clock=trio.current_time)
        self.client = BitswapClient(cast("IHost", self.host), provider_query_manager=self.manager)

    async def search(self, cid: CID = X) -> tuple[list[ID], dict[ID, PeerAnswer]]:
        """Search and say who was connected, and who was not."""
        told: list[ID] = []
        result = await self.manager.search(cid, told.append)
        assert told == result.connected
        return result.connected, result.failed


# -- how a fetch uses it --------------------------------------------------------------------------


async def test_without_a_peer_the_provider_is_found_connected_and_asked(
    nursery: trio.Nursery,
) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA, Y: Y_DATA})
    router = Router(provider.host.get_id())
    bob = Searcher(nursery, router, provider)
    async with bob.client.run():
        assert await bob.client.get_block(X) == X_DATA
        assert await bob.client.get_block(Y) == Y_DATA  # who had the first is asked for this one
        assert router.asked == [X]


async def test_when_all_peers_say_no_the_provider_is_searched_for(nursery: trio.Nursery) -> None:
    ignorant = Provider(nursery, "cee", {})
    provider = Provider(nursery, "ann", {X: X_DATA})
    bob = Searcher(nursery, Router(provider.host.get_id()), provider)
    async with bob.client.run():
        await connect(ignorant.host, bob.host)
        assert await bob.client.get_block(X) == X_DATA


async def test_when_peers_are_silent_the_search_begins_after_a_second(
    nursery: trio.Nursery, clock: object
) -> None:
    silent = ScriptedPeer(nursery, "cee")
    provider = Provider(nursery, "ann", {X: X_DATA})
    bob = Searcher(nursery, Router(provider.host.get_id()), provider)
    async with bob.client.run():
        await connect(silent.host, bob.host)
        begin = trio.current_time()
        assert await bob.client.get_block(X) == X_DATA
        assert trio.current_time() - begin == pytest.approx(IDLE_SECONDS)


async def test_what_cannot_be_found_fails_and_says_who_was_found(nursery: trio.Nursery) -> None:
    ignorant = Provider(nursery, "cee", {})
    bob = Searcher(
        nursery, Router(peer_id("gone"), ignorant.host.get_id(), peer_id("bob")), ignorant
    )
    async with bob.client.run():
        with pytest.raises(BlockUnavailableError, match="providers found: 2") as caught:
            await bob.client.get_block(X)
        assert caught.value.peers == {
            peer_id("gone"): PeerAnswer.UNREACHABLE,
            ignorant.host.get_id(): PeerAnswer.DONT_HAVE,
        }
        assert caught.value.providers == 2
        bob.manager.clear_cache()
        bob.manager.dht.providers = []  # type: ignore[attr-defined]
        with pytest.raises(BlockNotFoundError, match="providers found: none"):
            await bob.client.get_block(X)


async def test_a_patient_fetch_goes_on_after_a_search_in_vain(
    nursery: trio.Nursery, clock: object
) -> None:
    router = Router()
    bob = Searcher(nursery, router)
    provider = Provider(nursery, "ann", {X: X_DATA})
    async with bob.client.run(), trio.open_nursery() as fetching:

        async def fetch() -> None:
            assert await bob.client.get_block(X, wait=True, timeout=1000) == X_DATA

        fetching.start_soon(fetch)
        await trio.sleep(10)
        assert router.asked[0] == X
        count = len(router.asked)
        await trio.sleep(60)
        assert count < len(router.asked) <= count + 2
        await connect(provider.host, bob.host)


async def test_a_session_of_its_own_peers_never_searches(nursery: trio.Nursery) -> None:
    router = Router(peer_id("ann"))
    ignorant = Provider(nursery, "cee", {})
    bob = Searcher(nursery, router)
    async with bob.client.run():
        await connect(ignorant.host, bob.host)
        for fetch in (
            bob.client.get_block(X, ignorant.host.get_id()),
            bob.client.new_session([ignorant.host.get_id()]).get_block(X),
        ):
            with pytest.raises(BlockNotFoundError):
                await fetch
        with pytest.raises(BlockUnavailableError):
            await bob.client.get_block(X, peer_id("nobody"))
        assert router.asked == []


async def test_a_search_is_shared_by_sessions_and_by_names_of_a_block(
    nursery: trio.Nursery, clock: object
) -> None:
    v1 = CID.for_block(X_DATA, codec="dag-pb")
    provider = Provider(nursery, "ann", {v1: X_DATA, v1.to_v0(): X_DATA})
    router = Router(provider.host.get_id(), seconds=1)
    bob = Searcher(nursery, router, provider)
    async with bob.client.run(), trio.open_nursery() as fetching:
        for cid in (v1, v1.to_v0()):
            fetching.start_soon(bob.client.new_session().get_block, cid)
        await trio.sleep(0.5)
        fetching.start_soon(bob.client.new_session().get_block, v1)
    assert len(router.asked) == 1


async def test_whether_somebody_has_a_block_is_searched_for_too(nursery: trio.Nursery) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA})
    bob = Searcher(nursery, Router(provider.host.get_id()), provider)
    async with bob.client.run():
        assert await bob.client.have_block(X)
        assert {entry.want_type for entry in provider.entries if not entry.cancel} == {
            WantType.Have
        }


async def test_a_provider_that_is_lost_is_connected_to_again_without_the_router(
    nursery: trio.Nursery,
) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA, Y: Y_DATA})
    router = Router(provider.host.get_id())
    bob = Searcher(nursery, router, provider)
    async with bob.client.run():
        session = bob.client.new_session()
        assert await session.get_block(X) == X_DATA
        await bob.client.block_store.delete_block(X)
        await disconnect(provider.host, bob.host)
        assert await session.get_block(X) == X_DATA
        assert router.asked == [X]


async def test_the_end_of_a_client_ends_its_searches(nursery: trio.Nursery) -> None:
    router = Router(seconds=1000)
    bob = Searcher(nursery, router)
    async with bob.client.run():
        await bob.client.want_block(X)
        await trio.testing.wait_all_tasks_blocked()
        assert router.active == 1
    assert router.active == 0
    assert bob.manager.get_stats()["active_queries"] == 0
    with pytest.raises(BaseLibp2pError):
        await bob.client.get_block(X)


async def test_what_was_searched_for_when_the_client_stopped_can_be_searched_for_again(
    nursery: trio.Nursery, clock: object
) -> None:
    ignorant = Provider(nursery, "cee", {})
    router = Router(seconds=2)
    bob = Searcher(nursery, router)
    for _ in range(3):
        async with bob.client.run(), trio.open_nursery() as fetching:

            async def closed(cid: CID) -> None:
                with pytest.raises(ClientClosedError):
                    await bob.client.get_block(cid)

            for cid in blocks(3 * MAX_SEARCHES):
                fetching.start_soon(closed, cid)
            await trio.sleep(1)
            assert router.active == MAX_SEARCHES
            await bob.client.stop()
            # Those that a peer would still have been asked about are not left waiting, either.
            await bob.client.start()
            await connect(ignorant.host, bob.host)
            fetching.start_soon(closed, X)
            await ignorant.wait_for(1)
            await bob.client.stop()
            await disconnect(ignorant.host, bob.host)
            ignorant.messages.clear()
    async with bob.client.run():
        with pytest.raises(BlockUnavailableError, match="providers found: none"):
            await bob.client.get_block(X)


class Saying:
    """An answer that knows what each of several routers said."""

    def __init__(self, said: dict[str, str], providers: Iterable[ID] = ()) -> None:
        self.said = said
        self._providers = iter(providers)

    def __aiter__(self) -> Saying:
        return self

    async def __anext__(self) -> PeerInfo:
        await trio.lowlevel.checkpoint()
        for provider in self._providers:
            return PeerInfo(provider, [])
        raise StopAsyncIteration


class SayingRouter:
    """Several routers, none of which knows anything."""

    def __init__(self) -> None:
        self.said = {"dht": "20 peers asked, none knows a provider", "list": "knows nothing"}

    def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        return Saying(self.said)


async def test_the_error_says_what_each_router_said(nursery: trio.Nursery, clock: object) -> None:
    router = SayingRouter()
    bob = Searcher(nursery, router)
    async with bob.client.run():
        with pytest.raises(BlockUnavailableError) as caught:
            await bob.client.get_block(X)
        assert caught.value.routers == router.said
        text = "none (dht: 20 peers asked, none knows a provider, list: knows nothing)"
        assert text in str(caught.value)
        with pytest.raises(
            BitswapTimeoutError, match=r"routers asked \(dht: 20 peers asked"
        ) as late:
            await bob.client.get_block(X, wait=True, timeout=5)
        assert late.value.routers == router.said
        router.said = {}
        with pytest.raises(BlockUnavailableError, match=r"providers found: none$"):
            await bob.client.get_block(X)


async def test_a_lone_router_that_fails_is_told_of(nursery: trio.Nursery) -> None:
    class Failing:
        error: Exception = RoutingError("nobody could be asked")

        async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
            raise self.error

    router = Failing()
    bob = Searcher(nursery, router)
    async with bob.client.run():
        with pytest.raises(BlockUnavailableError, match="the router: nobody could be asked"):
            await bob.client.get_block(X)
        router.error = ZeroDivisionError("x")
        with pytest.raises(BlockUnavailableError, match="the router: ZeroDivisionError"):
            await bob.client.get_block(X)


class PeerKnowing(Router):
    """A router that names providers without addresses, and knows where peers are."""

    def __init__(self, *providers: ID) -> None:
        super().__init__(*providers)
        self.looked_for: list[ID] = []
        self.found: PeerInfo | None = None

    async def find_peer(self, wanted: ID) -> PeerInfo | None:
        await trio.lowlevel.checkpoint()
        self.looked_for.append(wanted)
        return self.found


@pytest.mark.parametrize("answer", ["found", "unknown", "another peer"])
async def test_a_provider_without_addresses_is_looked_up(
    nursery: trio.Nursery, answer: str
) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA})
    name = provider.host.get_id()
    router = PeerKnowing(name)
    addrs = [place(provider.host)]
    if answer != "unknown":
        router.found = PeerInfo(name if answer == "found" else peer_id("eve"), addrs)
    bob = Searcher(nursery, router)
    async with bob.client.run():
        if answer == "found":
            assert await bob.client.get_block(X) == X_DATA
        else:
            with pytest.raises(BlockUnavailableError) as caught:
                await bob.client.get_block(X)
            assert caught.value.peers == {name: PeerAnswer.UNREACHABLE}
    assert router.looked_for == [name]


async def test_a_provider_whose_addresses_are_known_is_not_looked_up(
    nursery: trio.Nursery,
) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA})
    name = provider.host.get_id()
    router = PeerKnowing(name)
    bob = Searcher(nursery, router, provider)
    bob.host.get_peerstore().add_addrs(name, [Multiaddr("/ip4/192.0.2.1/tcp/1")], 100)
    async with bob.client.run():
        assert await bob.client.get_block(X) == X_DATA
    assert router.looked_for == []


# -- the search itself ----------------------------------------------------------------------------


async def test_only_so_many_searches_run_at_once(nursery: trio.Nursery, clock: object) -> None:
    router = Router(seconds=1)
    bob = Searcher(nursery, router)
    async with bob.client.run():
        async with trio.open_nursery() as searching:
            for cid in blocks(3 * MAX_SEARCHES):
                searching.start_soon(bob.search, cid)
        assert router.most == MAX_SEARCHES
        assert len(router.asked) == 3 * MAX_SEARCHES
        assert trio.current_time() == pytest.approx(3)


async def test_a_search_ends_after_its_time_with_what_it_has(
    nursery: trio.Nursery, clock: object
) -> None:
    provider = Provider(nursery, "ann", {})
    router = Router(provider.host.get_id(), peer_id("gone"), between=100)
    bob = Searcher(nursery, router, provider)
    async with bob.client.run():
        assert await bob.search() == ([provider.host.get_id()], {})
        assert trio.current_time() == pytest.approx(SEARCH_SECONDS)


async def test_a_provider_that_never_completes_a_dial_holds_up_nobody(
    nursery: trio.Nursery, clock: object
) -> None:
    class Endless(FakeHost):
        async def connect(self, peer_info: PeerInfo, *, hearsay: bool = False) -> None:
            if peer_info.peer_id == peer_id("tarpit"):
                await trio.sleep_forever()
            await super().connect(peer_info)

    provider = Provider(nursery, "ann", {X: X_DATA})
    host = Endless(nursery, "bob")
    host.known[provider.host.get_id()] = provider.host
    router = Router(peer_id("tarpit"), provider.host.get_id())
    client = BitswapClient(cast("IHost", host), content_router=router)
    async with client.run():
        assert await client.get_block(X) == X_DATA
        assert trio.current_time() == 0
        with pytest.raises(BlockUnavailableError) as caught:
            await client.get_block(Z)
        assert caught.value.peers[peer_id("tarpit")] is PeerAnswer.UNREACHABLE
        assert trio.current_time() == pytest.approx(SEARCH_SECONDS)


async def test_enough_providers_are_enough_and_one_is_not_counted_twice(
    nursery: trio.Nursery,
) -> None:
    ids = [peer_id(f"peer {number}") for number in range(100)]
    router = Router(ids[0], *ids)
    bob = Searcher(nursery, router)
    async with bob.client.run():
        result = await bob.manager.search(X)
        assert result.found == ids[:MAX_PROVIDERS]
        assert set(result.failed) == set(ids[:MAX_PROVIDERS])


async def test_one_that_gives_up_does_not_end_the_search_of_another(
    nursery: trio.Nursery, clock: object
) -> None:
    router = Router(peer_id("gone"), seconds=2)
    bob = Searcher(nursery, router)
    async with bob.client.run():
        with trio.move_on_after(1):
            async with trio.open_nursery() as other:
                other.start_soon(bob.search)
                await trio.sleep_forever()
        # It was the only one: the search ends with it, and a new one begins.
        await trio.testing.wait_all_tasks_blocked()
        assert router.active == 0
        async with trio.open_nursery() as searching:
            with trio.CancelScope() as impatient:
                searching.start_soon(bob.search)
                await trio.sleep(1)
                async with trio.open_nursery() as other:
                    other.start_soon(bob.search)
                    await trio.sleep(0.5)
                    impatient.cancel()
            assert (await bob.search())[1] == {peer_id("gone"): PeerAnswer.UNREACHABLE}
        assert len(router.asked) == 2


async def test_a_search_left_before_it_began_is_not_made(
    nursery: trio.Nursery, clock: object
) -> None:
    router = Router(seconds=1)
    bob = Searcher(nursery, router)
    async with bob.client.run():
        with trio.CancelScope() as scope:
            scope.cancel()
            await bob.search()
        await trio.testing.wait_all_tasks_blocked()
        assert router.active == 0
        assert bob.manager.get_stats()["active_queries"] == 0


async def test_late_comers_get_what_was_found_before(nursery: trio.Nursery, clock: object) -> None:
    first, second = Provider(nursery, "ann", {}), Provider(nursery, "cee", {})
    router = Router(first.host.get_id(), second.host.get_id(), between=2)
    bob = Searcher(nursery, router, first, second)
    async with bob.client.run(), trio.open_nursery() as searching:
        searching.start_soon(bob.search)
        await trio.sleep(1)
        assert await bob.search() == ([first.host.get_id(), second.host.get_id()], {})
    assert len(router.asked) == 1


@pytest.mark.parametrize("kind", ["list", "coroutine", "generator", "iterator", "dht"])
async def test_routers_of_all_kinds_will_do(nursery: trio.Nursery, kind: str) -> None:
    provider = Provider(nursery, "ann", {X: X_DATA})
    info = PeerInfo(provider.host.get_id(), [])

    class Listing:
        def find_provider_iter(self, cid: bytes, count: int) -> Iterable[PeerInfo]:
            return [info]

    class Coroutine:
        async def find_provider_iter(self, cid: bytes, count: int) -> Iterable[PeerInfo]:
            return iter([info])

    class Generator:
        async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
            yield info

    class Iterator:
        def find_provider_iter(self, cid: bytes, count: int) -> Iterator:
            self.left = [info]
            return self

        def __aiter__(self) -> Iterator:
            return self

        async def __anext__(self) -> PeerInfo:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    class Dht:
        async def find_providers(self, key: bytes, count: int = 20) -> list[PeerInfo]:
            assert key == X.multihash
            return [info]

    routers: dict[str, type] = {
        "list": Listing,
        "coroutine": Coroutine,
        "generator": Generator,
        "iterator": Iterator,
        "dht": Dht,
    }
    bob = Searcher(nursery, routers[kind](), provider)
    async with bob.client.run():
        assert await bob.client.get_block(X) == X_DATA


@pytest.mark.parametrize("error", [OSError("no route"), BaseLibp2pError("closed")])
async def test_a_router_that_fails_has_found_nobody(
    nursery: trio.Nursery, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def find_provider_iter(self, cid: bytes, count: int) -> Iterable[PeerInfo]:
            raise error

    bob = Searcher(nursery, Broken())
    async with bob.client.run():
        with pytest.raises(BlockUnavailableError, match="providers found: none"):
            await bob.client.get_block(X)
        assert ("no route" in caplog.text) is isinstance(error, OSError)
        stats = bob.manager.get_stats()
        assert (stats["errors"], stats["providers_found"]) == (1, 0)


async def test_a_silent_provider_runs_into_the_time_out_of_the_fetch(
    nursery: trio.Nursery, clock: object
) -> None:
    silent = ScriptedPeer(nursery, "ann")
    bob = Searcher(nursery, Router(silent.host.get_id()), silent)
    async with bob.client.run():
        with pytest.raises(BitswapTimeoutError) as caught:
            await bob.client.get_block(X, timeout=20)
        assert caught.value.peers == {silent.host.get_id(): PeerAnswer.SILENT}


# -- py-libp2p's names ----------------------------------------------------------------------------


async def test_providers_are_listed_by_binary_cids(nursery: trio.Nursery, clock: object) -> None:
    router = Router(peer_id("gone"), seconds=1)
    bob = Searcher(nursery, router)
    async with bob.client.run():
        found = await bob.manager.find_providers([X, str(Y)])
        assert found == {cid.buffer: [peer_id("gone")] for cid in (X, Y)}
        assert await bob.manager.find_providers_single(X) == [peer_id("gone")]
        assert await bob.manager.find_providers_single(Z, timeout=0.5) == []
        assert router.asked[:2] in ([X, Y], [Y, X])
        stats = bob.manager.get_stats()
        assert (stats["total_queries"], stats["cache_size"], stats["cache_hits"]) == (3, 2, 1)
        await trio.sleep(1000)
        assert await bob.manager.cleanup_expired_cache() == 2
        assert await bob.manager.find_providers_single(X, use_cache=False) == [peer_id("gone")]
    assert bob.client.provider_query_manager is bob.manager


async def test_a_manager_alone_only_lists(nursery: trio.Nursery) -> None:
    manager = ProviderQueryManager(Router(peer_id("ann")), max_providers=1)
    assert await manager.find_providers_single(X) == [peer_id("ann")]
    stats = manager.get_stats()
    assert (stats["errors"], stats["providers_found"]) == (0, 1)
    manager.clear_cache()
    assert manager.cache.size() == 0
    host = FakeHost(nursery, "bob")
    client = BitswapClient(cast("IHost", host), provider_query_manager=manager)
    assert await manager.find_providers_single(Y) == [peer_id("ann")]  # it does not run yet
    async with client.run():
        assert host_of(client) is host
        with pytest.raises(BlockUnavailableError, match="could not be reached"):
            await client.get_block(Y)


async def test_results_are_remembered_for_a_time_and_up_to_a_number(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cache = ProviderCache(max_size=2, default_ttl=10, clock=trio.current_time)
    ann, bob = peer_id("ann"), peer_id("bob")
    assert cache.get(b"1") is None
    cache.put(b"1", [ann])
    cache.put(b"2", [ann, bob], ttl=100)
    assert cache.get(b"1") == [ann]
    cache.put(b"1", [bob])
    cache.put(b"3", [ann])
    assert cache.get(b"2") is None
    await trio.sleep(9)
    assert cache.get(b"1") == [bob]
    await trio.sleep(1)
    assert cache.get(b"1") is None
    assert cache.cleanup_expired() == 1
    counts = {"cache_size": 0, "cache_hits": 2, "cache_misses": 3}
    assert cache.stats() == {**counts, "size": 0, "max_size": 2, "expired": 0}


def test_an_entry_that_a_program_makes_has_times_of_the_wall_clock() -> None:
    assert not ProviderCacheEntry([]).is_expired()
    entry = ProviderCacheEntry([peer_id("ann")], time.time() - 300)
    assert entry.is_expired()
    assert 300 <= entry.age() < 600


# -- routers and callers that misbehave -----------------------------------------------------------


async def test_two_searches_without_a_client_are_independent() -> None:
    """R13: one that gives up cancels the other's neither, and is not cancelled with it."""
    ann = peer_id("ann")
    for first, second in ((5.0, 0.1), (0.1, 5.0)):
        manager = ProviderQueryManager(Router(ann, seconds=1))
        found: dict[float, list[ID]] = {}

        async def find(
            seconds: float,
            manager: ProviderQueryManager = manager,
            found: dict[float, list[ID]] = found,
        ) -> None:
            found[seconds] = await manager.find_providers_single(X, seconds)

        async with trio.open_nursery() as finding:
            finding.start_soon(find, first)
            await trio.testing.wait_all_tasks_blocked()
            finding.start_soon(find, second)
        assert found == {5.0: [ann], 0.1: []}


class OddRouter:
    """Answers with whatever it is given."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def find_provider_iter(self, cid: bytes, count: int) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _endless(*infos: object) -> Iterator[object]:
    while True:
        yield from infos


async def _raising() -> AsyncIterator[PeerInfo]:
    yield PeerInfo(peer_id("nobody"), [])
    raise ExceptionGroup("a nursery of the router's", [KeyError("a fault")])


async def _hanging() -> AsyncIterator[PeerInfo]:
    await trio.sleep(3600)
    yield PeerInfo(peer_id("nobody"), [])


@pytest.mark.parametrize(
    "answer",
    [
        KeyError("a fault"),
        None,
        7,
        [None, "garbage", PeerInfo(peer_id("nobody"), [])],
        _endless("garbage"),
        _endless(PeerInfo(peer_id("nobody"), [])),
        _raising,
        _hanging,
    ],
    ids=["raises", "none", "number", "garbage", "endless", "repeats", "group", "hangs"],
)
@pytest.mark.usefixtures("clock")
async def test_an_odd_router_costs_the_search_and_nothing_else(
    nursery: trio.Nursery, answer: object
) -> None:
    bob = Searcher(nursery, OddRouter(answer() if callable(answer) else answer))
    async with bob.client.run():
        with trio.fail_after(2 * SEARCH_SECONDS), pytest.raises(BlockUnavailableError):
            await bob.client.get_block(X, timeout=60)
        assert bob.client.is_running


async def test_a_provider_that_cannot_even_be_tried_is_unreachable(nursery: trio.Nursery) -> None:
    ann = peer_id("ann")
    bob = Searcher(nursery, Router(ann))

    async def connect_badly(info: PeerInfo) -> None:
        raise UnicodeError("an address of a stranger's")

    bob.host.connect = connect_badly  # type: ignore[method-assign, assignment]
    async with bob.client.run():
        with pytest.raises(BlockUnavailableError) as failure:
            await bob.client.get_block(X)
        assert failure.value.peers == {ann: PeerAnswer.UNREACHABLE}


# -- addresses of providers -----------------------------------------------------------------------


class Network:
    """Real hosts in memory: the one that searches, and a provider."""

    def __init__(self, client: BitswapClient, provider: BitswapClient) -> None:
        self.client = client
        self.provider = provider.host.get_id()
        self.addrs = provider.host.get_addrs()


@asynccontextmanager
async def network(router: object, peer_router: object = None) -> AsyncIterator[Network]:
    provider = BitswapClient(new_host(transports=[MemoryTransport()]))
    manager = ProviderQueryManager(router, peer_router=peer_router)
    searcher = BitswapClient(
        new_host(transports=[MemoryTransport()]), provider_query_manager=manager
    )
    here = Multiaddr("/memory/0")
    async with (
        cast("BasicHost", provider.host).run([here]),
        cast("BasicHost", searcher.host).run([here]),
        provider.run(),
        searcher.run(),
    ):
        await provider.add_block(X, X_DATA)
        yield Network(searcher, provider)


async def test_addresses_may_be_looked_up_by_another_router() -> None:
    content, peers = ScriptedRouter(), ScriptedRouter()
    async with network(content, peers) as bob:
        content.peers = [PeerInfo(bob.provider, [])]
        peers.peers = [PeerInfo(bob.provider, bob.addrs)]
        assert await bob.client.get_block(X) == X_DATA
        assert peers.asked == [bob.provider]
        assert content.asked == [X.buffer]


async def test_a_router_that_knows_peers_as_well_is_asked_for_both() -> None:
    class Both(ScriptedRouter):
        async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
            for peer in self.peers:
                yield PeerInfo(peer.peer_id, [])

    router = Both()
    async with network(router) as bob:
        router.peers = [PeerInfo(bob.provider, bob.addrs)]
        assert await bob.client.get_block(X) == X_DATA
        assert router.asked == [bob.provider]


async def test_a_provider_whose_address_is_known_is_not_looked_up() -> None:
    content, peers = ScriptedRouter(), ScriptedRouter()
    async with network(content, peers) as bob:
        content.peers = [PeerInfo(bob.provider, [])]
        bob.client.host.get_peerstore().add_addrs(bob.provider, bob.addrs, 60)
        assert await bob.client.get_block(X) == X_DATA
        assert peers.asked == []


async def test_a_provider_that_nobody_knows_the_address_of_is_out_of_reach() -> None:
    content, peers = ScriptedRouter(), ScriptedRouter(error=RoutingError("nobody there"))
    async with network(content, peers) as bob:
        content.peers = [PeerInfo(bob.provider, [])]
        with pytest.raises(BlockUnavailableError) as caught:
            await bob.client.get_block(X)
        assert caught.value.peers == {bob.provider: PeerAnswer.UNREACHABLE}


@pytest.mark.parametrize("between", [0.0, 0.2])
async def test_addresses_that_another_router_knows_are_tried_next(between: float) -> None:
    router = ScriptedRouter(between=between)
    async with network(router) as bob:
        nowhere = PeerInfo(bob.provider, [Multiaddr("/memory/987654321")])
        router.peers = [nowhere, nowhere, PeerInfo(bob.provider, bob.addrs)]
        assert await bob.client.get_block(X) == X_DATA


def test_counts_are_there_before_a_program_of_trios_runs() -> None:
    stats = ProviderQueryManager(object()).get_stats()
    assert stats["queries"] == stats["expired"] == 0
