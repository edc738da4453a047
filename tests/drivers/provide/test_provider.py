"""`Provider` on a virtual clock: intervals pass in milliseconds."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from libp2p.datastore.memory import MemoryDatastore
from libp2p.exceptions import DatastoreError, WrongArgumentType
from libp2p.ipld.cid import CID
from libp2p.kad_dht.keyspace import key_of, key_of_peer
from libp2p.provide.config import DEFAULT_CONFIG, ProvideConfig
from libp2p.provide.errors import ProvideError
from libp2p.provide.provider import Provider
from tests.support.model_network import ModelNetwork, multihash_number, peer_number
from tests.support.sweep_router import (
    ListedKeys,
    PlainRouter,
    RecordingSweepRouter,
    SweepRouter,
    numbered,
    until_idle,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

    from libp2p.datastore.base import Change
    from libp2p.provide.abc import KeySource, Sweepable
    from libp2p.routing.abc import ContentRouter

START = 1_800_000_000.0
HOUR = 3600.0
INTERVAL = 22 * HOUR


def wall_clock() -> float:
    return START + trio.current_time()


def cids_of(multihashes: Iterable[bytes]) -> list[bytes]:
    return [b"\x01\x55" + multihash for multihash in multihashes]


def provider_of(
    router: Sweepable | ContentRouter,
    keys: KeySource | None = None,
    datastore: MemoryDatastore | None = None,
    config: ProvideConfig = DEFAULT_CONFIG,
) -> Provider:
    return Provider(
        router,
        keys,
        datastore or MemoryDatastore(),
        config,
        peer_id=peer_number(-1),
        clock=wall_clock,
    )


def share_placed(network: ModelNetwork, keys: Iterable[bytes]) -> float:
    shares = [network.placed(key) for key in keys]
    return sum(shares) / len(shares)


async def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="the block's own"):
        async with provider_of(PlainRouter()).run():
            raise ValueError("the block's own")


async def test_what_a_peer_has_is_announced_to_the_right_peers(autojump_clock: MockClock) -> None:
    network, keys = ModelNetwork(2000), numbered(0, 3000)
    router = SweepRouter(network)
    async with provider_of(router, ListedKeys(keys)).run() as provider:
        await until_idle(provider)
        stats = provider.stats()
    assert share_placed(network, keys) == 1
    assert network.lookups < 0.1 * len(keys)
    assert stats.keys == stats.keys_announced == 3000
    assert stats.records_sent == 60_000
    assert stats.lookups + 4 == network.lookups == router.lookups
    assert stats.peers == pytest.approx(2000, rel=0.3)
    assert stats.lag == 0
    assert repr(provider) == "<Provider 3000 keys>"
    assert router.most_lookups_at_once <= provider.config.max_workers
    assert router.most_sends_at_once <= provider.config.max_sends


async def test_who_has_announced_to_a_lan_tells_the_world_when_it_is_there(
    autojump_clock: MockClock,
) -> None:
    lan, world, keys = ModelNetwork(5), ModelNetwork(1000), numbered(0, 200)
    router = SweepRouter(lan)
    async with provider_of(router, ListedKeys(keys)).run() as provider:
        await trio.sleep(30)
        assert provider.stats().keys_announced == 200
        assert share_placed(lan, keys) == 1
        router.network = world
        await trio.sleep(HOUR)
        assert provider.stats().peers == pytest.approx(1000, rel=0.4)
        assert share_placed(world, keys) == 1
        assert provider.stats().keys_announced == 400


@pytest.mark.parametrize("peers", [1, 2, 19, 20, 21])
async def test_a_network_of_few_peers_will_do(autojump_clock: MockClock, peers: int) -> None:
    network, keys = ModelNetwork(peers), numbered(0, 100)
    async with provider_of(SweepRouter(network), ListedKeys(keys)).run() as provider:
        with trio.fail_after(60):
            assert await provider.provide_once(cids_of(numbered(200, 201)), wait=True) == 1
            await until_idle(provider)
        assert provider.stats().peers == pytest.approx(peers, abs=2)
    assert share_placed(network, [*keys, *numbered(200, 201)]) == 1
    assert network.lookups <= 4 + 1 + 8


async def test_every_key_is_announced_again_within_each_interval(autojump_clock: MockClock) -> None:
    network, keys = ModelNetwork(1000), numbered(0, 500)
    router = SweepRouter(network)
    async with provider_of(router, ListedKeys(keys)).run():
        await trio.sleep(3.2 * INTERVAL)
    end = trio.current_time()
    for key in keys:
        times = [0.0, *router.sent_at[key], end]
        assert max(b - a for a, b in itertools.pairwise(times)) <= INTERVAL + HOUR + 600
        assert 4 <= len(router.sent_at[key]) <= 5
    # The cost of an interval, not of the first rush.
    assert network.lookups < 5 * 110


async def test_a_lookup_that_hangs_and_peers_that_are_mute_cost_their_time_only(
    autojump_clock: MockClock,
) -> None:
    network, keys = ModelNetwork(200), numbered(0, 100)
    router = SweepRouter(network)
    router.mute = {peer_number(n) for n in range(0, 200, 5)}
    network.dead = {peer_number(n) for n in range(1, 200, 10)}
    config = ProvideConfig(send_seconds=20.0)
    async with provider_of(router, ListedKeys(keys), config=config).run() as provider:
        await until_idle(provider)
        stats = provider.stats()
    assert 0.7 < share_placed(network, keys) < 0.9
    assert stats.keys_announced == 100
    assert stats.sends_failed > 30
    hanging = SweepRouter(network, lookup_seconds=10 * HOUR)
    async with provider_of(hanging, ListedKeys(keys)).run() as provider:
        await trio.sleep(200)
        assert provider.stats().offline_since == START + trio.current_time() - 200 + 120


async def test_on_demand_keys_do_not_wait_for_the_regular_work(autojump_clock: MockClock) -> None:
    network = ModelNetwork(20_000)
    router = SweepRouter(network, lookup_seconds=10)
    async with provider_of(router, ListedKeys(numbered(0, 4000))).run() as provider:
        await trio.sleep(60)
        assert provider.stats().regions_at_work == 12
        began = trio.current_time()
        new = numbered(5000, 5003)
        assert await provider.provide_once(cids_of(new), wait=True) == 3
        assert trio.current_time() - began < 30
        assert provider.stats().keys_left > 3500
    assert share_placed(network, new) == 1


async def test_provide_once_returns_at_once_and_announces_once(autojump_clock: MockClock) -> None:
    network = ModelNetwork(100)
    router = SweepRouter(network)
    async with provider_of(router).run() as provider:
        began = trio.current_time()
        cid = CID.of(cids_of(numbered(0, 1))[0])
        assert await provider.provide_once(cid) == 1
        assert await provider.provide_once([str(cid), cid.buffer]) == 1
        assert trio.current_time() == began
        assert provider.stats().queued == 1
        await trio.sleep(2 * INTERVAL)
    assert len(router.sent_at[multihash_number(0)]) == 1


async def test_provide_once_waits_for_room(autojump_clock: MockClock) -> None:
    network = ModelNetwork(100)
    config = ProvideConfig(max_queued=40)
    async with provider_of(SweepRouter(network), config=config).run() as provider:
        keys = numbered(0, 100)
        began = trio.current_time()
        assert await provider.provide_once(cids_of(keys)) == 100
        assert trio.current_time() > began
        assert provider.stats().queued <= 40
        await until_idle(provider)
    assert share_placed(network, keys) == 1


async def test_what_waits_may_be_dropped(autojump_clock: MockClock) -> None:
    router = SweepRouter(ModelNetwork(100))
    router.is_online = False
    async with provider_of(router).run() as provider, trio.open_nursery() as nursery:
        results: list[int] = []

        async def wait() -> None:
            results.append(await provider.provide_once(cids_of(numbered(0, 5)), wait=True))

        nursery.start_soon(wait)
        await trio.sleep(10)
        assert await provider.clear_queue() == 5
        await trio.testing.wait_all_tasks_blocked()
        assert results == [0]


async def test_named_keys_are_announced_in_later_runs_too(autojump_clock: MockClock) -> None:
    network, store = ModelNetwork(300), MemoryDatastore()
    router = SweepRouter(network)
    async with provider_of(router, datastore=store).run() as provider:
        await provider.start_providing(cids_of(numbered(0, 700)))
        await until_idle(provider)
        assert share_placed(network, numbered(0, 700)) == 1
        assert provider.stats().keys == 700
    sends = network.sends
    async with provider_of(router, datastore=store).run() as provider:
        await trio.sleep(600)
        assert provider.stats().keys == 700
        assert network.sends == sends  # nothing is due
        await provider.stop_providing(cids_of(numbered(0, 600)))
        assert provider.stats().keys == 100
    async with provider_of(router, datastore=store).run() as provider:
        await trio.sleep(1.1 * INTERVAL)
    assert {len(router.sent_at[key]) for key in numbered(0, 600)} == {1}
    assert {len(router.sent_at[key]) for key in numbered(600, 700)} == {2}


async def test_too_many_named_keys_are_an_error(autojump_clock: MockClock) -> None:
    config = ProvideConfig(max_keys=10)
    async with provider_of(SweepRouter(ModelNetwork(50)), config=config).run() as provider:
        with pytest.raises(ProvideError, match="5 keys are too many: 10 "):
            await provider.start_providing(cids_of(numbered(0, 15)))


async def test_a_run_that_is_cut_off_is_resumed(autojump_clock: MockClock) -> None:
    network, store, keys = ModelNetwork(3000), MemoryDatastore(), numbered(0, 2000)
    router = SweepRouter(network)
    cuts = 0
    with trio.fail_after(10 * HOUR):
        while share_placed(network, keys) < 1:
            async with provider_of(router, ListedKeys(keys), store).run() as provider:
                await trio.sleep(25)
                assert provider.stats().keys == 2000
            cuts += 1
    assert cuts >= 3
    # Only regions that were under way are explored twice.
    assert network.lookups < 1.4 * 260 + cuts * 16 * 3


async def test_while_nobody_can_be_asked_little_is_done_and_then_all(
    autojump_clock: MockClock,
) -> None:
    network, keys = ModelNetwork(500), numbered(0, 300)
    router = SweepRouter(network)
    router.is_online = False
    async with provider_of(router, ListedKeys(keys)).run() as provider:
        await trio.sleep(24 * HOUR)
        assert router.lookups < 4 * 160
        assert provider.stats().offline_since is not None
        router.is_online = True
        provider.note_online()
        await trio.sleep(60)
        assert provider.stats().offline_since is None
        await until_idle(provider)
        assert share_placed(network, keys) == 1
        router.is_online = False
        lookups = router.lookups
        await trio.sleep(30 * HOUR)
        stats = provider.stats()
        assert stats.regions_left == stats.regions
        assert stats.lag > 6 * HOUR
        assert stats.regions_failed == 0
        assert router.lookups - lookups < 200 * 3
        router.is_online = True
        await trio.sleep(700)  # without being told
        await until_idle(provider)
        assert provider.stats().lag == 0
    for key in keys:
        assert len(router.sent_at[key]) == 2


async def test_a_connection_that_is_lost_while_sending_is_no_success(
    autojump_clock: MockClock,
) -> None:
    network, keys = ModelNetwork(100), numbered(0, 50)
    router = SweepRouter(network)
    router.network.dead = set(map(peer_number, range(100)))
    router.network.closest = ModelNetwork(100).closest  # type: ignore[method-assign]
    async with provider_of(router, ListedKeys(keys)).run() as provider:
        await trio.sleep(60)
        stats = provider.stats()
        assert stats.regions_failed == 1
        assert stats.keys_missed == 50
        assert stats.offline_since is not None
        router.network.dead = set()
        await trio.sleep(200)
        assert provider.stats().keys_announced == 50


async def test_new_keys_of_the_source_are_announced_when_it_is_read(
    autojump_clock: MockClock,
) -> None:
    network, source = ModelNetwork(200), ListedKeys(numbered(0, 100))
    async with provider_of(SweepRouter(network), source).run() as provider:
        await until_idle(provider)
        source.keys = numbered(50, 150)
        await trio.sleep(7 * HOUR)
        assert source.reads == 2
        assert share_placed(network, numbered(100, 150)) == 1
        assert provider.stats().keys == 100
        source.keys = numbered(150, 160)
        provider.refresh()
        await trio.sleep(60)
        assert share_placed(network, numbered(150, 160)) == 1


async def test_a_source_that_fails_is_logged_and_read_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    source = ListedKeys(numbered(0, 100))
    source.fault = ValueError("a bug of the source")
    async with provider_of(SweepRouter(ModelNetwork(200)), source).run() as provider:
        await trio.sleep(30)
        assert provider.stats().keys == 0
        source.fault = None
        await trio.sleep(60)
        assert provider.stats().keys == 100
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "the source of keys failed" in caplog.text


async def test_a_router_with_a_bug_is_logged_once_and_tried_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    network = ModelNetwork(100)
    router = SweepRouter(network)
    router.fault = KeyError("a bug of the router")
    async with provider_of(router, ListedKeys(numbered(0, 10))).run() as provider:
        await trio.sleep(10)
        router.fault = None
        await until_idle(provider)
    assert share_placed(network, numbered(0, 10)) == 1
    assert len(caplog.records) == 1


class FailingDatastore(MemoryDatastore):
    """One whose disk is full now and then."""

    is_full = False

    async def write(self, changes: Iterable[Change]) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_full:
            raise DatastoreError("the disk is full")
        await super().write(changes)


async def test_a_datastore_that_fails_stops_nothing_and_is_told_later(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    network, store = ModelNetwork(100), FailingDatastore()
    router = SweepRouter(network)
    store.is_full = True
    async with provider_of(router, ListedKeys(numbered(0, 10)), store).run() as provider:
        await until_idle(provider)
        store.is_full = False
        await provider.provide_once(cids_of(numbered(20, 21)), wait=True)
    assert "the datastore of the provider failed" in caplog.text
    lookups = network.lookups
    async with provider_of(router, ListedKeys(numbered(0, 10)), store).run() as provider:
        await trio.sleep(60)
    assert network.lookups == lookups


async def test_a_peer_that_is_one_of_the_closest_keeps_the_record_itself(
    autojump_clock: MockClock,
) -> None:
    network, keys = ModelNetwork(200), numbered(0, 300)
    router = RecordingSweepRouter(network)
    async with provider_of(router, ListedKeys(keys)).run() as provider:
        await until_idle(provider)
    own = key_of_peer(peer_number(-1))

    def is_near(key: bytes) -> bool:
        place = key_of(key)
        return own ^ place < key_of_peer(network.closest(key)[-1]) ^ place

    near = {key for key in keys if is_near(key)}
    assert router.own == set(cids_of(near))
    assert 10 < len(near) < 60


async def test_any_other_router_is_handed_one_key_after_the_other(
    autojump_clock: MockClock,
) -> None:
    router, keys = PlainRouter(), numbered(0, 3000)
    async with provider_of(router, ListedKeys(keys)).run() as provider:
        await until_idle(provider)
        assert sorted(router.provided) == sorted(cids_of(keys))
        assert router.most_at_once <= 64
        await trio.sleep(1.2 * INTERVAL)
        assert 6000 <= len(router.provided) <= 9000
        router.answer = lambda cid: False
        assert await provider.provide_once(cids_of(numbered(5000, 5002)), wait=True) == 0
        assert provider.stats().keys_given_up == 2


async def test_any_other_router_may_be_offline_or_have_a_bug(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    router = PlainRouter()
    router.is_online = False
    keys = numbered(0, 100)
    async with provider_of(router, ListedKeys(keys)).run() as provider:
        await trio.sleep(60)
        assert provider.stats().offline_since is not None
        router.is_online = True

        def broken(cid: bytes) -> bool:
            if cid == cids_of(keys)[7]:
                raise ValueError("a bug of the router")
            return True

        router.answer = broken
        await trio.sleep(200)
        assert len(router.provided) == 99
        router.answer = lambda cid: True
        await trio.sleep(2 * HOUR)
        assert len(router.provided) == 100
    assert "provide of the router failed" in caplog.text


@pytest.mark.parametrize("wait", [True, False])
async def test_who_waits_when_the_provider_ends_is_told(
    autojump_clock: MockClock, wait: bool
) -> None:
    router = SweepRouter(ModelNetwork(100))
    router.is_online = False
    config = ProvideConfig(max_queued=50)
    errors: list[ProvideError] = []

    async def provide(provider: Provider) -> None:
        with pytest.raises(ProvideError, match="does not run") as caught:
            await provider.provide_once(cids_of(numbered(0, 40 if wait else 60)), wait=wait)
        errors.append(caught.value)

    running = provider_of(router, config=config).run()
    async with trio.open_nursery() as nursery, running as provider:
        nursery.start_soon(provide, provider)
        await trio.sleep(10)
    assert len(errors) == 1


async def test_it_is_run_once_and_used_while_it_runs() -> None:
    provider = provider_of(SweepRouter(ModelNetwork(10)))
    with pytest.raises(ProvideError, match="does not run"):
        await provider.provide_once(cids_of(numbered(0, 1)))
    with pytest.raises(ProvideError, match="does not run"):
        await provider.start_providing(cids_of(numbered(0, 1)))
    async with provider.run():
        await provider.reprovide()
    with pytest.raises(ProvideError, match="does not run"):
        await provider.provide_once(cids_of(numbered(0, 1)), wait=True)
    with pytest.raises(ProvideError, match="once"):
        async with provider.run():
            pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"router": object()},
        {"keys": [b"x"]},
        {"datastore": {}},
        {"config": {"max_workers": 2}},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    right = {
        "router": PlainRouter(),
        "keys": None,
        "datastore": MemoryDatastore(),
        "config": DEFAULT_CONFIG,
    }
    with pytest.raises(WrongArgumentType):
        Provider(**cast("Any", right | wrong))
