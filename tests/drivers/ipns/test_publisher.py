"""Publishing names: the sequence never goes back, and records are said again in time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.datastore import MemoryDatastore, SqliteDatastore
from libp2p.datastore.base import Change
from libp2p.exceptions import DatastoreError, InvalidArgument, InvalidPath, RoutingError
from libp2p.ipld.cid import CID
from libp2p.ipns.cache import NameCache
from libp2p.ipns.config import PublisherConfig
from libp2p.ipns.name import Name
from libp2p.ipns.path import ContentPath
from libp2p.ipns.published import NAMESPACE
from libp2p.ipns.publisher import Publisher
from libp2p.ipns.resolver import Resolver
from libp2p.records.ipns_record import decode_record, make_record
from tests.support.value_routers import MemoryRouter, ScriptedRouter

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey

KEY = Ed25519PrivateKey.new(bytes(32))
NAME = Name.of(KEY)
OTHER = Ed25519PrivateKey.new(bytes([1]) * 32)
FILES = [f"/ipfs/{CID.for_block(bytes([n]))}" for n in range(4)]
START = 1_750_000_000.0


def wall_clock() -> float:
    """Unix seconds that pass as trio's do."""
    return START + trio.current_time()


class Keys:
    """Has some keys."""

    def __init__(self, *keys: PrivateKey) -> None:
        self.by_name = {Name.of(key): key for key in keys}

    async def key_of(self, name: Name) -> PrivateKey | None:
        await trio.lowlevel.checkpoint()
        return self.by_name.get(name)


@pytest.fixture
def router() -> MemoryRouter:
    return MemoryRouter(wall_clock)


def publisher(router: Any, datastore: Any = None, **options: Any) -> Publisher:
    return Publisher(router, datastore or MemoryDatastore(), clock=wall_clock, **options)


def sequences(router: MemoryRouter) -> list[int]:
    return [decode_record(value).sequence for _, value in router.puts]


async def test_the_sequence_grows_with_each_other_path(router: MemoryRouter) -> None:
    ours = publisher(router)
    first = await ours.publish(KEY, FILES[0])
    assert (first.name, str(first.path), first.record.sequence) == (NAME, FILES[0], 0)
    assert first.record.expires == pytest.approx(wall_clock() + 48 * 3600)
    assert first.record.ttl == 300
    for path in (FILES[0], ContentPath.of(FILES[1]), CID.of(FILES[1]), FILES[0]):
        await ours.publish(KEY, path)
    assert sequences(router) == [0, 0, 1, 1, 2]
    assert [key for key, _ in router.puts] == [NAME.routing_key] * 5


async def test_options_of_a_record(router: MemoryRouter) -> None:
    ours = publisher(router, config=PublisherConfig(lifetime=100, ttl=10))
    made = (await ours.publish(KEY, FILES[0])).record
    assert (made.ttl, made.has_v1) == (10, True)
    assert made.expires == pytest.approx(wall_clock() + 100)
    made = (
        await ours.publish(KEY, FILES[0], lifetime=50, ttl=7, sequence=40, with_v1=False)
    ).record
    assert (made.ttl, made.has_v1, made.sequence) == (7, False, 40)
    assert made.expires == pytest.approx(wall_clock() + 50)
    short = (await ours.publish(KEY, FILES[0], lifetime=5)).record
    assert (short.ttl, short.sequence) == (5, 41), "it is to count though it ends earlier"
    with pytest.raises(InvalidArgument, match="ttl must be at most the lifetime"):
        await ours.publish(KEY, FILES[0], lifetime=5, ttl=6)
    for low in (0, 40, 41):
        with pytest.raises(InvalidArgument, match="above 41"):
            await ours.publish(KEY, FILES[1], sequence=low)
    assert (await ours.publish(KEY, FILES[1])).record.sequence == 42


async def test_the_sequence_survives_a_restart(router: MemoryRouter, tmp_path: Path) -> None:
    router.is_down = True
    for number in range(3):
        store = SqliteDatastore(tmp_path / "data.sqlite")
        with pytest.raises(RoutingError, match="down"):
            await publisher(router, store).publish(KEY, FILES[number])
        await store.close()
    store = SqliteDatastore(tmp_path / "data.sqlite")
    router.is_down = False
    assert (await publisher(router, store).publish(KEY, FILES[3])).record.sequence == 3
    await store.close()


async def test_the_router_may_know_a_later_record(router: MemoryRouter) -> None:
    elsewhere, here = publisher(router), publisher(router)
    await here.publish(KEY, FILES[0])
    await elsewhere.publish(KEY, FILES[1], sequence=7)
    assert (await here.publish(KEY, FILES[2])).record.sequence == 8
    new_machine = publisher(router)
    assert (await new_machine.publish(KEY, FILES[2])).record.sequence == 8
    assert (await new_machine.publish(KEY, FILES[0])).record.sequence == 9


async def test_an_expired_record_counts(autojump_clock: trio.testing.MockClock) -> None:
    old = make_record(KEY, FILES[0], sequence=5, expires=START - 1)
    ours = publisher(ScriptedRouter(old.encoded))
    assert (await ours.publish(KEY, FILES[1])).record.sequence == 6


async def test_a_mute_router_does_not_hold_it(autojump_clock: trio.testing.MockClock) -> None:
    class Mute(MemoryRouter):
        def search_value(self, key: bytes) -> Any:
            return ScriptedRouter(float("inf")).search_value(key)

    mute = Mute(wall_clock)
    before = trio.current_time()
    assert (await publisher(mute).publish(KEY, FILES[0])).record.sequence == 0
    assert trio.current_time() - before == pytest.approx(30)


async def test_two_at_the_same_time_get_two_sequences(router: MemoryRouter) -> None:
    ours = publisher(router)
    async with trio.open_nursery() as nursery:
        for path in FILES:
            nursery.start_soon(ours.publish, KEY, path)
            nursery.start_soon(ours.publish, OTHER, path)
    for key in (KEY, OTHER):
        own = [decode_record(v).sequence for k, v in router.puts if k == Name.of(key).routing_key]
        assert own == [0, 1, 2, 3]


async def test_it_can_be_stored_without_a_router() -> None:
    cache = NameCache()
    ours = publisher(None, cache=cache)
    await ours.publish(KEY, FILES[0], announce=False)
    resolver = Resolver(None, published=ours.published, cache=cache, clock=wall_clock)
    assert str((await resolver.resolve(NAME)).path) == FILES[0]
    with pytest.raises(RoutingError, match="there is no router"):
        await ours.publish(KEY, FILES[1])
    assert str((await resolver.resolve(NAME)).path) == FILES[1], "the cache has forgotten"


async def test_nothing_is_announced_that_is_not_stored(router: MemoryRouter) -> None:
    store = MemoryDatastore()
    ours = publisher(router, store)
    await store.close()
    with pytest.raises(DatastoreError):
        await ours.publish(KEY, FILES[0])
    assert router.puts == []


async def test_a_broken_router_is_a_routing_error(caplog: pytest.LogCaptureFixture) -> None:
    ours = publisher(ScriptedRouter(ZeroDivisionError("oops")))
    with caplog.at_level(logging.ERROR), pytest.raises(RoutingError, match="oops"):
        await ours.publish(KEY, FILES[0])
    assert "publishing a name failed" in caplog.text


async def test_wrong_arguments(router: MemoryRouter) -> None:
    with pytest.raises(TypeError, match="put_value"):
        publisher(object())
    ours = publisher(router)
    with pytest.raises(TypeError, match="key must be"):
        await ours.publish(NAME, FILES[0])  # type: ignore[arg-type]
    with pytest.raises(InvalidPath):
        await ours.publish(KEY, "nothing")
    with pytest.raises(InvalidArgument):
        await ours.publish(KEY, FILES[0], ttl=-1)
    assert router.puts == []


async def test_names_are_announced_again_and_valid_for_longer(
    router: MemoryRouter, autojump_clock: trio.testing.MockClock
) -> None:
    config = PublisherConfig(lifetime=24 * 3600)
    ours = publisher(router, keys=Keys(KEY), config=config)
    await ours.publish(KEY, FILES[0], ttl=77)
    await ours.publish(OTHER, FILES[1])
    router.puts.clear()
    async with ours.run():
        await trio.sleep(30 * 24 * 3600)
    times = sum(key == NAME.routing_key for key, _ in router.puts)
    assert times == pytest.approx(30 * 6, abs=1)
    resolver = Resolver(router, clock=wall_clock)
    assert str((await resolver.resolve(NAME)).path) == FILES[0]
    last = decode_record(router.values[NAME.routing_key])
    assert (last.sequence, last.ttl) == (0, 77)
    # There is no key for this one: it was announced until it expired.
    others = sum(key == Name.of(OTHER).routing_key for key, _ in router.puts)
    assert others == pytest.approx(6, abs=1)


async def test_an_error_of_the_block_is_raised_as_it_is(router: MemoryRouter) -> None:
    with pytest.raises(ValueError, match="the block's own"):
        async with publisher(router).run():
            raise ValueError("the block's own")


async def test_what_a_report_says(router: MemoryRouter) -> None:
    ours = publisher(router, keys=Keys(KEY), config=PublisherConfig(lifetime=0))
    await ours.publish(KEY, FILES[0], announce=False, lifetime=60)
    await ours.publish(OTHER, FILES[0], announce=False, lifetime=-0.0)
    with trio.move_on_after(0.001):
        await trio.sleep_forever()
    report = await ours.republish()
    assert (report.announced, report.failed, report.expired) == ((NAME,), (), (Name.of(OTHER),))
    kept = await ours.published.get(NAME)
    assert kept is not None
    assert kept.expires > wall_clock() + 50, "a later end is kept"
    router.is_down = True
    report = await ours.republish()
    assert (report.announced, report.failed) == ((), (NAME,))


async def test_a_failed_announcement_is_repeated_soon(
    router: MemoryRouter, autojump_clock: trio.testing.MockClock
) -> None:
    ours = publisher(router, keys=Keys(KEY))
    router.is_down = True
    with pytest.raises(RoutingError):
        await ours.publish(KEY, FILES[0])
    async with ours.run():
        await trio.sleep(50)
        assert router.puts == []
        await trio.sleep(20)
        router.is_down = False
        await trio.sleep(300)
        assert len(router.puts) == 1


async def test_a_failing_store_does_not_end_the_announcements(
    router: MemoryRouter,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryDatastore()
    ours = publisher(router, store)
    await store.close()
    async with ours.run():
        await trio.sleep(1000)
    assert "announcing the published names failed" in caplog.text


async def test_damaged_entries_are_skipped(
    router: MemoryRouter, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryDatastore()
    foreign = make_record(OTHER, FILES[0], sequence=9, expires=START + 1e6)
    await store.write(
        [
            Change(NAMESPACE, b"no peer", b"x"),
            Change(NAMESPACE, NAME.peer_id.to_bytes() + bytes(8), foreign.encoded),
        ]
    )
    ours = publisher(router, store, keys=Keys(KEY))
    assert await ours.republish() == await ours.republish()
    assert router.puts == []
    assert "reading the published names failed" in caplog.text
    assert f"reading the record of {NAME} failed" in caplog.text
    assert (await ours.publish(KEY, FILES[0])).record.sequence == 0


async def test_an_old_record_does_not_come_back(router: MemoryRouter) -> None:
    """Two processes with one store: one announces again what the other has just replaced."""
    store = MemoryDatastore()
    serving, command = (publisher(router, store, keys=Keys(KEY)) for _ in range(2))
    old = (await serving.publish(KEY, FILES[0])).record
    new = (await command.publish(KEY, FILES[1])).record
    await serving.published.put(NAME, old)
    assert await serving.published.get(NAME) == new
    assert [found async for found in command.published.all()] == [(NAME, new)]
    assert (await serving.publish(KEY, FILES[2], announce=False)).record.sequence == 2
    (entries,) = [batch async for batch in store.scan(NAMESPACE)]
    assert len(entries) == 1, "those before it are gone"


async def test_all_published_names_are_listed(router: MemoryRouter) -> None:
    ours = publisher(router)
    keys = [Ed25519PrivateKey.new(bytes([n]) * 32) for n in range(5)]
    latest = {}
    for key in keys:
        for path in FILES[:3]:
            latest[Name.of(key)] = (await ours.publish(key, path, announce=False)).record
    assert {name: record async for name, record in ours.published.all()} == latest


async def test_a_name_that_stood_for_no_path_gets_the_next_sequence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    odd = make_record(KEY, "/nowhere", sequence=3, expires=START + 60)
    ours = publisher(ScriptedRouter(odd.encoded))
    assert (await ours.publish(KEY, FILES[0])).record.sequence == 4
