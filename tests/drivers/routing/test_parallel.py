"""Several routers asked at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest
import trio
from multiaddr import Multiaddr

from libp2p.exceptions import RoutersFailed, RoutingError
from libp2p.peer.id import ID, sha256_digest
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.abc import ContentRouter, PeerRouter, ValueRouter
from libp2p.routing.parallel import MAX_CLOSEST_PEERS, ParallelConfig, ParallelRouter
from libp2p.routing.static import StaticRouter
from tests.support.identities import peer_id_of
from tests.support.routers import ScriptedRouter

CID = b"\x01\x55\x12\x20" + bytes(32)
KEY = b"/test/key"
HERE, THERE = Multiaddr("/ip4/192.0.2.1/tcp/1"), Multiaddr("/ip4/192.0.2.2/tcp/2")
ANN, BOB, EVE = (PeerInfo(peer_id_of(name), [HERE]) for name in ("ann", "bob", "eve"))


class LongestWins:
    """Takes the longest value as the best; one that begins with ! is invalid."""

    def validate(self, key: bytes, value: bytes) -> None:
        if value.startswith(b"!"):
            raise KeyError("not good")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return values.index(max(values, key=len))


async def providers(router: ParallelRouter, count: int = 0) -> list[PeerInfo]:
    return [info async for info in router.find_provider_iter(CID, count)]


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


def test_it_is_a_router_of_every_kind() -> None:
    router = ParallelRouter([])
    assert isinstance(router, ContentRouter)
    assert isinstance(router, PeerRouter)
    assert isinstance(router, ValueRouter)


# -- providers ------------------------------------------------------------------------------------


async def test_the_first_result_comes_first_and_duplicates_are_united(clock: object) -> None:
    quick = ScriptedRouter(ANN, seconds=1)
    slow = ScriptedRouter(PeerInfo(ANN.peer_id, [THERE]), BOB, seconds=5)
    begin = trio.current_time()
    async with ParallelRouter([slow, quick]).run() as router:
        seen = []
        async for info in router.find_provider_iter(CID):
            seen.append((trio.current_time() - begin, info))
    assert seen == [
        (1, ANN),
        (5, PeerInfo(ANN.peer_id, [HERE, THERE])),
        (5, BOB),
    ]


async def test_one_that_fails_and_one_that_hangs_hide_nothing(
    clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    routers = {
        "broken": ScriptedRouter(error=ValueError("a bug")),
        "dead": ScriptedRouter(error=RoutingError("connection refused")),
        "mute": ScriptedRouter(seconds=1e6),
        "good": ScriptedRouter(ANN, seconds=1, error=RoutingError("half way")),
    }
    begin = trio.current_time()
    async with ParallelRouter(routers, timeouts={"mute": 7}).run() as router:
        assert await providers(router) == [ANN]
        assert await providers(router) == [ANN]
    assert trio.current_time() - begin == 14
    broken, dead, mute, good = router.reports()
    assert (broken.name, broken.calls, broken.errors, broken.last_error) == (
        "broken",
        2,
        2,
        "a bug",
    )
    assert (dead.errors, dead.timeouts, dead.last_error) == (2, 0, "connection refused")
    assert (mute.errors, mute.timeouts) == (2, 2)
    assert mute.last_error == "no answer within 7 s"
    assert (good.results, good.errors, good.mean_seconds, good.active) == (2, 2, 1, 0)
    assert [record.exc_info is not None for record in caplog.records] == [True]  # once, the bug


async def test_that_all_have_failed_is_an_error_that_names_each(clock: object) -> None:
    dead = RoutingError("connection refused")
    routers = {"dht": ScriptedRouter(error=dead), "http": ScriptedRouter(seconds=1e6)}
    async with ParallelRouter(routers, config=ParallelConfig(timeout=3)).run() as router:
        with pytest.raises(RoutersFailed, match="dht: connection refused; http: no answer") as got:
            await providers(router)
        assert got.value.by_router["dht"] is dead
        assert set(got.value.by_router) == {"dht", "http"}


async def test_that_nobody_knows_a_provider_is_no_error() -> None:
    routers = [ScriptedRouter(), ScriptedRouter(error=RoutingError("no"))]
    async with ParallelRouter(routers).run() as router:
        assert await providers(router) == []
    async with ParallelRouter([]).run() as router:
        assert await providers(router) == []


async def test_a_deadline_keeps_what_was_found(clock: object) -> None:
    endless = ScriptedRouter(ANN, BOB, between=2.5)
    async with ParallelRouter([endless], config=ParallelConfig(timeout=2)).run() as router:
        assert await providers(router) == [ANN]
    (report,) = router.reports()
    assert (report.timeouts, report.errors) == (1, 0)


async def test_closing_the_iterator_ends_all_searches(clock: object) -> None:
    slow = ScriptedRouter(BOB, seconds=1e6)
    async with ParallelRouter([ScriptedRouter(ANN), slow]).run() as router:
        async with aclosing(router.find_provider_iter(CID)) as found:
            assert await anext(found) == ANN
        await trio.testing.wait_all_tasks_blocked()
        assert (slow.cancelled, slow.active) == (1, 0)
        assert [report.active for report in router.reports()] == [0, 0]


async def test_as_many_as_are_asked_for(clock: object) -> None:
    slow = ScriptedRouter(EVE, seconds=1e6)
    async with ParallelRouter([ScriptedRouter(ANN, BOB, EVE), slow]).run() as router:
        assert await providers(router, 2) == [ANN, BOB]
        await trio.testing.wait_all_tasks_blocked()
        assert slow.active == 0


async def test_searches_at_once_have_a_limit(clock: object, nursery: trio.Nursery) -> None:
    slow = ScriptedRouter(ANN, seconds=1)
    config = ParallelConfig(max_questions=3)
    async with ParallelRouter([slow], config=config).run() as router:
        begin = trio.current_time()
        async with trio.open_nursery() as searches:
            for _ in range(9):
                searches.start_soon(providers, router)
        assert (slow.most, trio.current_time() - begin) == (3, 3)


async def test_the_end_of_the_router_ends_searches_with_an_error(clock: object) -> None:
    router = ParallelRouter([ScriptedRouter(seconds=1e6)], config=ParallelConfig(timeout=1e7))

    async def search() -> None:
        with pytest.raises(RoutingError, match="stopped"):
            await providers(router)

    async with trio.open_nursery() as nursery, router.run():
        nursery.start_soon(search)
        await trio.testing.wait_all_tasks_blocked()


async def test_it_must_run_and_once_only() -> None:
    router = ParallelRouter([ScriptedRouter(ANN)])
    with pytest.raises(RoutingError, match="does not run"):
        await providers(router)
    async with router.run():
        with pytest.raises(RoutingError, match="runs already"):
            async with router.run():
                pass  # pragma: no cover
        assert await providers(router) == [ANN]
    async with router.run():  # again
        assert await providers(router) == [ANN]


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    router = ParallelRouter([ScriptedRouter(ANN)])
    with pytest.raises(KeyError):
        async with router.run():
            raise KeyError
    async with router.run():
        assert await providers(router) == [ANN]


async def test_routers_of_every_kind_are_asked() -> None:
    class Lists:
        def find_provider_iter(self, cid: bytes, count: int) -> list[PeerInfo]:
            return [ANN]

    class Awaitables:
        async def find_provider_iter(self, cid: bytes, count: int) -> list[object]:
            return ["no peer", BOB]

    class Dht:
        async def find_providers(self, key: bytes, count: int) -> list[PeerInfo]:
            assert key == CID[2:]
            return [EVE]

    async with ParallelRouter([Lists(), Awaitables(), Dht(), OnlyPeers()]).run() as router:
        assert {info.peer_id for info in await providers(router)} == {
            ANN.peer_id,
            BOB.peer_id,
            EVE.peer_id,
        }


class OnlyPeers:
    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        return None


def test_names_are_those_given_or_of_the_classes() -> None:
    router = ParallelRouter([StaticRouter(), ScriptedRouter(), StaticRouter()])
    names = ["StaticRouter", "ScriptedRouter", "StaticRouter 2"]
    assert [report.name for report in router.reports()] == names
    assert repr(router) == "<ParallelRouter StaticRouter, ScriptedRouter, StaticRouter 2>"


@pytest.mark.parametrize("bad", [[7], [StaticRouter], {"x": None}, 7])
def test_what_is_no_router_is_refused(bad: object) -> None:
    with pytest.raises(TypeError, match="router"):
        ParallelRouter(bad)  # type: ignore[arg-type]  # is tested


def test_wrong_times_are_refused() -> None:
    with pytest.raises(ValueError, match="timeouts"):
        ParallelRouter({"a": StaticRouter()}, timeouts={"b": 3})
    with pytest.raises(ValueError, match="timeout of a"):
        ParallelRouter({"a": StaticRouter()}, timeouts={"a": -3})
    with pytest.raises(ValueError, match="max_questions"):
        ParallelConfig(max_questions=0)


# -- announcing -----------------------------------------------------------------------------------


async def test_a_block_is_announced_through_all_that_can(clock: object) -> None:
    one, two = ScriptedRouter(), ScriptedRouter(provides=False)
    dead = ScriptedRouter(error=RoutingError("no"))
    router = ParallelRouter([one, two, dead, StaticRouter(), OnlyPeers()])
    assert await router.provide(CID)
    assert one.provided == two.provided == [CID]
    assert not await ParallelRouter([two, StaticRouter()]).provide(CID)
    with pytest.raises(RoutersFailed, match="announce"):
        await ParallelRouter([dead]).provide(CID)


async def test_a_router_in_py_libp2ps_style_announces() -> None:
    class Old:
        def provide(self, cid: bytes, announce: bool = True) -> None:
            pass

    assert await ParallelRouter([Old()]).provide(CID)


# -- peers ----------------------------------------------------------------------------------------


async def test_the_first_that_knows_a_peer_is_believed(clock: object) -> None:
    slow = ScriptedRouter(PeerInfo(ANN.peer_id, [THERE]), seconds=9)
    routers = [
        ScriptedRouter(seconds=1),
        ScriptedRouter(ANN, seconds=2),
        ScriptedRouter(PeerInfo(ANN.peer_id, [])),
        slow,
        ScriptedRouter(error=RoutingError("no")),
        StaticRouter(),
    ]
    begin = trio.current_time()
    assert await ParallelRouter(routers).find_peer(ANN.peer_id) == ANN
    assert trio.current_time() - begin == 2
    assert slow.cancelled == 1
    assert await ParallelRouter([ScriptedRouter()]).find_peer(ANN.peer_id) is None
    with pytest.raises(RoutersFailed, match="find a peer"):
        await ParallelRouter([routers[4]]).find_peer(ANN.peer_id)


async def test_the_closest_peers_of_all_routers() -> None:
    peers = [PeerInfo(peer_id_of(f"{number}"), [HERE]) for number in range(30)]
    router = ParallelRouter(
        [
            ScriptedRouter(*peers[:20]),
            ScriptedRouter(*peers[10:]),
            StaticRouter(),
            ScriptedRouter(error=RoutingError("no")),
        ]
    )
    target = int.from_bytes(sha256_digest(KEY), "big")
    nearest = sorted(peers, key=lambda info: info.peer_id.xor_id ^ target)
    assert await router.get_closest_peers(KEY) == nearest[:MAX_CLOSEST_PEERS]


# -- values ---------------------------------------------------------------------------------------


def with_values(*values: bytes, seconds: float = 0.0, between: float = 0.0) -> ScriptedRouter:
    return ScriptedRouter(values={KEY: values}, seconds=seconds, between=between)


async def test_the_best_value_of_all_wins(clock: object) -> None:
    routers = [with_values(b"1"), with_values(b"333", seconds=3), with_values(b"!4444")]
    router = ParallelRouter(routers, validator=LongestWins())
    assert await router.get_value(KEY) == b"333"
    assert [report.errors for report in router.reports()] == [0, 0, 1]
    assert "not good" in router.reports()[2].last_error
    assert await router.get_value(b"/test/other") is None
    assert await ParallelRouter([*routers[:2], StaticRouter()]).get_value(KEY) == b"1"
    with pytest.raises(RoutersFailed, match="not good"):
        await ParallelRouter([routers[2]], validator=LongestWins()).get_value(KEY)


async def test_values_are_given_as_they_get_better(clock: object) -> None:
    class NoSearch:
        async def get_value(self, key: bytes) -> bytes | None:
            await trio.sleep(4)
            return b"55555" if key == KEY else None

    routers = [with_values(b"1", b"4444", between=2), with_values(b"22", seconds=1), NoSearch()]
    async with ParallelRouter(routers, validator=LongestWins()).run() as router:
        assert [v async for v in router.search_value(KEY)] == [b"1", b"22", b"4444", b"55555"]
        assert [v async for v in router.search_value(b"/test/other")] == []
        async with aclosing(router.search_value(KEY)) as values:
            assert await anext(values) == b"1"
        await trio.testing.wait_all_tasks_blocked()
        assert [report.active for report in router.reports()] == [0, 0, 0]
    async with ParallelRouter([ScriptedRouter(error=RoutingError("no"))]).run() as router:
        with pytest.raises(RoutersFailed, match="find a record"):
            await anext(router.search_value(KEY))


async def test_a_value_is_stored_by_all_that_can() -> None:
    one, dead = ScriptedRouter(), ScriptedRouter(error=RoutingError("full"))
    await ParallelRouter([one, dead, StaticRouter()]).put_value(KEY, b"v")
    assert one.values == {KEY: [b"v"]}
    with pytest.raises(RoutersFailed, match="full"):
        await ParallelRouter([dead]).put_value(KEY, b"v")
    with pytest.raises(RoutersFailed, match="there is no router"):
        await ParallelRouter([StaticRouter()]).put_value(KEY, b"v")


async def test_an_error_in_the_callers_loop_ends_the_search(clock: object) -> None:
    slow = ScriptedRouter(BOB, seconds=1e6)

    async def use(found: AsyncIterator[PeerInfo]) -> None:
        async for _ in found:
            raise KeyError

    async with ParallelRouter([ScriptedRouter(ANN), slow]).run() as router:
        async with aclosing(router.find_provider_iter(CID)) as found:
            with pytest.raises(KeyError):
                await use(found)
        await trio.testing.wait_all_tasks_blocked()
        assert slow.active == 0
