"""Resolving names: which record counts, how long it is kept, how chains end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.datastore import MemoryDatastore
from libp2p.exceptions import (
    DNSLinkError,
    InvalidPath,
    NameNotFound,
    ResolutionError,
    RoutingError,
)
from libp2p.ipld.cid import CID
from libp2p.ipns.cache import NameCache
from libp2p.ipns.config import MAX_RECORDS_PER_SEARCH, ResolverConfig
from libp2p.ipns.name import Name
from libp2p.ipns.path import ContentPath
from libp2p.ipns.published import NAMESPACE, PublishedRecords
from libp2p.ipns.resolver import Resolver
from libp2p.records.ipns_record import make_record
from tests.support.name_server import name_server
from tests.support.value_routers import MemoryRouter, ScriptedRouter

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey

KEYS = [Ed25519PrivateKey.new(bytes([n]) * 32) for n in range(40)]
NAMES = [Name.of(key) for key in KEYS]
FILES = [f"/ipfs/{CID.for_block(bytes([n]))}" for n in range(4)]
NOW = 1_750_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Texts:
    """DNS with a few names."""

    def __init__(self, **names: list[str]) -> None:
        self.names = {name.replace("_dot_", "."): texts for name, texts in names.items()}
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def txt(self, name: str) -> tuple[list[str], float]:
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        return self.names.get(name.removeprefix("_dnslink."), []), 20.0


def record(
    path: str, sequence: int = 0, *, key: PrivateKey = KEYS[0], lifetime: float = 3600, **more: Any
) -> bytes:
    expires = NOW + lifetime
    return make_record(key, path, sequence=sequence, expires=expires, **more).encoded


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def router(clock: Clock) -> MemoryRouter:
    return MemoryRouter(clock)


async def test_a_name_is_resolved_and_kept_for_its_time(router: MemoryRouter, clock: Clock) -> None:
    resolver = Resolver(router, clock=clock)
    await router.put_value(NAMES[0].routing_key, record(FILES[0], 1, ttl=30))
    found = await resolver.resolve(NAMES[0].path + "/a/b")
    assert str(found.path) == FILES[0] + "/a/b"
    assert found.ttl == 30
    assert [str(path) for path in found.chain] == [NAMES[0].path]
    await router.put_value(NAMES[0].routing_key, record(FILES[1], 2, ttl=30))
    clock.now += 10
    again = await resolver.resolve(f"/ipns/{NAMES[0].peer_id}")
    assert (str(again.path), again.ttl) == (FILES[0], 20), "another spelling is the same name"
    fresh = await resolver.resolve(NAMES[0], use_cache=False)
    assert str(fresh.path) == FILES[1]
    assert str((await resolver.resolve(NAMES[0])).path) == FILES[1], "what is fresh is kept"
    await router.put_value(NAMES[0].routing_key, record(FILES[2], 3))
    clock.now += 30
    assert str((await resolver.resolve(NAMES[0])).path) == FILES[2]


async def test_nothing_is_kept_longer_than_it_is_valid(router: MemoryRouter, clock: Clock) -> None:
    await router.put_value(NAMES[0].routing_key, record(FILES[0], lifetime=12, ttl=30))
    assert (await Resolver(router, clock=clock).resolve(NAMES[0])).ttl == pytest.approx(12)
    short = Resolver(router, clock=clock, config=ResolverConfig(max_ttl=5))
    assert (await short.resolve(NAMES[0])).ttl == 5


async def test_a_cid_stands_for_itself() -> None:
    found = await Resolver(None).resolve(
        f"ipfs{FILES[0].removeprefix('/ipfs').replace('/', '://', 1)}"
    )
    assert (str(found.path), found.ttl, found.chain) == (FILES[0], inf, ())
    with pytest.raises(InvalidPath):
        await Resolver(None).resolve("nothing")


async def test_the_best_valid_record_counts(clock: Clock) -> None:
    router = ScriptedRouter(
        record(FILES[0], 1),
        b"junk",
        record(FILES[1], 9, key=KEYS[1]),
        record(FILES[1], 8, lifetime=-1),
        record(FILES[2], 3),
        record(FILES[3], 2),
    )
    resolver = Resolver(router, clock=clock)
    assert str((await resolver.resolve(NAMES[0])).path) == FILES[2]
    first = await resolver.resolve(NAMES[0], use_cache=False, first_good=True)
    assert str(first.path) == FILES[0]
    async with aclosing(resolver.resolve_iter(NAMES[0].path + "/x")) as found:
        assert [str(step.path) async for step in found] == [FILES[0] + "/x", FILES[2] + "/x"]
    async with aclosing(resolver.resolve_iter(NAMES[0], recursive=False)) as found:
        async for step in found:
            assert str(step.path) == FILES[0]
            break
    assert router.closed == router.searches == 4


async def test_a_slow_search_ends_with_the_best_so_far(
    clock: Clock, autojump_clock: trio.testing.MockClock
) -> None:
    router = ScriptedRouter(1.0, record(FILES[0], 1), 1.0, record(FILES[1], 2), inf)
    resolver = Resolver(router, clock=clock, config=ResolverConfig(timeout=10))
    start = trio.current_time()
    assert str((await resolver.resolve(NAMES[0])).path) == FILES[1]
    assert trio.current_time() - start == pytest.approx(10)
    mute = Resolver(ScriptedRouter(inf), clock=clock, config=ResolverConfig(timeout=10))
    with pytest.raises(NameNotFound, match="nobody who was asked has a record"):
        await mute.resolve(NAMES[0])


async def test_a_router_that_never_stops_is_left(clock: Clock) -> None:
    router = ScriptedRouter(*[b"junk"] * (MAX_RECORDS_PER_SEARCH + 10))
    with pytest.raises(
        NameNotFound, match=f"{MAX_RECORDS_PER_SEARCH} of the records found not the"
    ):
        await Resolver(router, clock=clock).resolve(NAMES[0])
    assert router.closed == 1


@pytest.mark.parametrize(
    ("steps", "kind", "why"),
    [
        ([], NameNotFound, "nobody who was asked has a record"),
        ([record(FILES[0], lifetime=-1)], NameNotFound, "1 of the records found expired"),
        ([RoutingError("no peers")], ResolutionError, "no peers"),
        ([record("/nowhere")], ResolutionError, "stands for no path"),
        ([record(FILES[0]), record("/nowhere", 2)], ResolutionError, "stands for no path"),
    ],
)
async def test_what_cannot_be_resolved(
    clock: Clock, steps: list[Any], kind: type[ResolutionError], why: str
) -> None:
    with pytest.raises(kind, match=why) as raised:
        await Resolver(ScriptedRouter(*steps), clock=clock).resolve(NAMES[0])
    assert type(raised.value) is kind
    assert NAMES[0].path in str(raised.value)


async def test_a_value_that_is_no_path_may_be_followed_by_a_better_one(clock: Clock) -> None:
    router = ScriptedRouter(record("/nowhere"), record(FILES[0], 2), RoutingError("gone"))
    assert str((await Resolver(router, clock=clock).resolve(NAMES[0])).path) == FILES[0]


async def test_a_broken_router_is_logged(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    broken = ScriptedRouter(record(FILES[0]), ZeroDivisionError("oops"))
    with caplog.at_level(logging.ERROR):
        assert str((await Resolver(broken, clock=clock).resolve(NAMES[0])).path) == FILES[0]
        with pytest.raises(ResolutionError, match="oops"):
            await Resolver(ScriptedRouter(KeyError("oops")), clock=clock).resolve(NAMES[0])
    assert "searching for a record of IPNS failed" in caplog.text


async def test_iterators_of_users_need_not_be_generators(clock: Clock) -> None:
    class Once:
        def __init__(self) -> None:
            self.left = [record(FILES[0])]

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    class Router(ScriptedRouter):
        def search_value(self, key: bytes) -> Any:
            return Once()

    assert str((await Resolver(Router(), clock=clock).resolve(NAMES[0])).path) == FILES[0]


async def test_a_chain_is_followed_with_what_is_under_it(
    router: MemoryRouter, clock: Clock
) -> None:
    texts = Texts(example_dot_com=[f"dnslink={NAMES[0].path}/docs"])
    await router.put_value(NAMES[0].routing_key, record(f"{NAMES[1].path}/b/", ttl=50))
    await router.put_value(NAMES[1].routing_key, record(f"{FILES[0]}/a", key=KEYS[1], ttl=40))
    resolver = Resolver(router, texts, clock=clock)
    found = await resolver.resolve("/ipns/example.com/index.html")
    assert str(found.path) == f"{FILES[0]}/a/b/docs/index.html"
    assert found.ttl == 20
    assert len(found.chain) == 3
    one = await resolver.resolve("/ipns/example.com/index.html", recursive=False)
    assert str(one.path) == f"{NAMES[0].path}/docs/index.html"
    async with aclosing(resolver.resolve_iter("/ipns/example.com")) as steps:
        assert [str(s.path) async for s in steps] == [f"{FILES[0]}/a/b/docs"]
    assert texts.asked == ["_dnslink.example.com"], "it is kept for its time in DNS"


async def test_names_that_stand_for_one_another_end(router: MemoryRouter, clock: Clock) -> None:
    await router.put_value(NAMES[0].routing_key, record(f"{NAMES[1].path}/a"))
    await router.put_value(NAMES[1].routing_key, record(f"/ipns/{NAMES[0].peer_id}", key=KEYS[1]))
    with pytest.raises(ResolutionError, match="stand for one another"):
        await Resolver(router, clock=clock).resolve(NAMES[0])


async def test_a_chain_may_be_32_names_long(router: MemoryRouter, clock: Clock) -> None:
    for number in range(32):
        target = NAMES[number + 1].path if number < 31 else FILES[0]
        await router.put_value(NAMES[number].routing_key, record(target, key=KEYS[number]))
    resolver = Resolver(router, clock=clock)
    assert str((await resolver.resolve(NAMES[0])).path) == FILES[0]
    await router.put_value(NAMES[35].routing_key, record(NAMES[0].path, key=KEYS[35]))
    with pytest.raises(ResolutionError, match="more than 32 names"):
        await resolver.resolve(NAMES[35])


async def test_domains() -> None:
    with pytest.raises(ResolutionError, match="no DNS to ask"):
        await Resolver(None).resolve("/ipns/example.com")
    texts = Texts(two_dot_com=[FILES[0], FILES[1]])
    resolver = Resolver(None, texts)
    with pytest.raises(DNSLinkError, match=r"example\.com has no DNSLink"):
        await resolver.resolve("/ipns/example.com")
    with pytest.raises(DNSLinkError, match="has 2 DNSLinks"):
        await resolver.resolve("/ipns/two.com")
    texts.error = RoutingError("DNS is down")
    with pytest.raises(ResolutionError, match="DNS is down"):
        await resolver.resolve("/ipns/example.com")


async def test_spellings_of_a_domain_are_one() -> None:
    texts = Texts(example_dot_com=[FILES[0]])
    resolver = Resolver(None, texts)
    for domain in ("example.com", "example.com.", "Example.COM"):
        assert str((await resolver.resolve(f"/ipns/{domain}")).path) == FILES[0]
    assert len(texts.asked) == 1


async def test_static_names_are_not_asked_for() -> None:
    resolver = Resolver(None, static={"example.com": FILES[0], str(NAMES[0]): FILES[1]})
    assert str((await resolver.resolve("/ipns/Example.com/a")).path) == FILES[0] + "/a"
    assert str((await resolver.resolve(f"/ipns/{NAMES[0].peer_id}")).path) == FILES[1]


async def test_what_was_published_here_counts_too(clock: Clock) -> None:
    datastore = MemoryDatastore()
    published = PublishedRecords(datastore)
    own = make_record(KEYS[0], FILES[0], sequence=5, expires=NOW + 60)
    await published.put(NAMES[0], own)
    offline = Resolver(None, published=published, clock=clock)
    assert str((await offline.resolve(NAMES[0])).path) == FILES[0]
    with pytest.raises(NameNotFound, match="no router"):
        await offline.resolve(NAMES[1])
    for sequence, expected in ((4, FILES[0]), (6, FILES[1])):
        router = ScriptedRouter(record(FILES[1], sequence))
        online = Resolver(router, published=published, clock=clock)
        assert str((await online.resolve(NAMES[0])).path) == expected
    clock.now += 61
    with pytest.raises(NameNotFound):
        await offline.resolve(NAMES[0], use_cache=False)
    assert [name async for name, _ in published.all()] == [NAMES[0]]
    assert [len(batch) async for batch in datastore.scan(NAMESPACE)] == [1]


async def test_a_cache_can_be_shared(router: MemoryRouter, clock: Clock) -> None:
    cache = NameCache()
    await router.put_value(NAMES[0].routing_key, record(FILES[0]))
    await Resolver(router, cache=cache, clock=clock).resolve(NAMES[0])
    router.is_down = True
    found = await Resolver(router, cache=cache, clock=clock).resolve(NAMES[0])
    assert str(found.path) == FILES[0]
    cache.forget(ContentPath.of(NAMES[0]))
    with pytest.raises(ResolutionError, match="down"):
        await Resolver(router, cache=cache, clock=clock).resolve(NAMES[0])


async def test_many_who_want_one_name_share_a_search(
    clock: Clock, autojump_clock: trio.testing.MockClock
) -> None:
    router = ScriptedRouter(1.0, record(FILES[0]))
    resolver = Resolver(router, clock=clock)
    found: list[str] = []

    async def resolve(patience: float) -> None:
        with trio.move_on_after(patience):
            found.append(str((await resolver.resolve(NAMES[0])).path))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(resolve, 10)
    assert found == [FILES[0]] * 20
    assert router.searches == 1
    # The one who searches gives up: the others search themselves.
    resolver, router.searches = Resolver(router, clock=clock), 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(resolve, 0.5)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            nursery.start_soon(resolve, 10)
    assert found == [FILES[0]] * 23
    assert router.searches == router.closed - 1 == 4


@pytest.mark.parametrize("wrong", [{"router": 7}, {"router": None, "txt": 7}])
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="must be an object with"):
        Resolver(**wrong)


async def test_dnslinks_of_a_real_nameserver() -> None:
    async with name_server() as zone:
        zone.ttl = 77
        zone.txt("_dnslink.example.com", "v=spf1 -all", f"dnslink={FILES[0]}/docs")
        zone.txt("_dnslink.long.example.com", f"dnslink={FILES[0]}/" + "a" * 300)
        zone.mute.add("_dnslink.mute.example")
        resolver = Resolver(None, zone.resolver(query_timeout=0.3))
        found = await resolver.resolve("/ipns/example.com/index.html")
        assert str(found.path) == f"{FILES[0]}/docs/index.html"
        assert found.ttl == pytest.approx(77, abs=2)
        await resolver.resolve("/ipns/example.com")
        assert zone.asked["_dnslink.example.com"] == 1
        long = await resolver.resolve("/ipns/long.example.com")
        assert long.path.rest == "/" + "a" * 300
        with pytest.raises(DNSLinkError, match="has no DNSLink"):
            await resolver.resolve("/ipns/nothing.example")
        with pytest.raises(ResolutionError, match=r"mute\.example cannot be resolved"):
            await resolver.resolve("/ipns/mute.example")
