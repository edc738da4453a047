"""`KadDHT` among others of its kind: what is stored is found, and what is not there is not."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p import new_host
from libp2p.base_types import TProtocol
from libp2p.datastore import MemoryDatastore
from libp2p.exceptions import (
    InvalidArgument,
    InvalidRecord,
    InvalidRecordType,
    RoutingError,
)
from libp2p.ipld.cid import CID
from libp2p.kad_dht import DHTConfig, DHTMode, DHTNetwork, KadDHT
from libp2p.kad_dht.messages import Message, MessageType, Record
from libp2p.kad_dht.routing_table import RoutingTableConfig
from libp2p.records.validator import NamespacedValidator, Validator
from libp2p.routing.abc import ContentRouter, PeerRouter, ValueRouter
from libp2p.transport.memory.memory import MemoryTransport
from tests.support.dht_hosts import (
    PROTOCOL,
    ask,
    framed,
    info_of,
    memory_host,
    network,
    peer_that,
    requests_on,
    running_dht,
    until_in_table,
)
from tests.support.identities import peer_id_of

if TYPE_CHECKING:
    from trio.testing import MockClock

    from libp2p.abc import INetStream
    from libp2p.peer.id import ID

BLOCK = CID.for_block(b"a block")
KEY = "/numbers/one"


class Largest(Validator):
    """The largest number is the best."""

    def validate(self, key: str, value: bytes) -> None:
        int(value)

    def select(self, key: str, values: list[bytes]) -> int:
        return values.index(max(values, key=int))


def with_numbers(*dhts: KadDHT) -> None:
    for dht in dhts:
        dht.register_validator("numbers", Largest())


def test_it_is_every_kind_of_router() -> None:
    dht = KadDHT(memory_host())
    for kind in (ContentRouter, PeerRouter, ValueRouter):
        assert isinstance(dht, kind)


async def test_what_one_provides_all_find(autojump_clock: MockClock) -> None:
    async with network(4) as dhts:
        assert await dhts[1].provide(BLOCK)
        for dht in dhts:
            [info] = await dht.find_providers(str(BLOCK))
            assert info.peer_id == dhts[1].local_peer_id
            assert info.addrs == dhts[1].host.get_transport_addrs()
        assert await dhts[2].find_providers(CID.for_block(b"another")) == []


async def test_keys_are_taken_in_every_form(autojump_clock: MockClock) -> None:
    async with network(2) as [one, two]:
        assert await one.provide("some text")
        assert await one.provide(bytes(BLOCK.multihash).hex())
        assert len(await two.find_providers(b"some text")) == 1
        assert len(await two.find_providers(bytes(BLOCK))) == 1
        assert len(await two.find_providers(BLOCK.to_v1())) == 1
        with pytest.raises(InvalidArgument, match="80 bytes"):
            await one.provide("x" * 81)
        with pytest.raises(InvalidArgument, match="key"):
            await one.provide("")


async def test_a_record_may_be_noted_here_alone(autojump_clock: MockClock) -> None:
    async with network(2) as [one, two]:
        assert not await one.provide(BLOCK, announce=False)
        assert two.local_providers(BLOCK) == []
        assert [info.peer_id for info in one.local_providers(BLOCK)] == [one.local_peer_id]
        # But whoever asks this host is told.
        assert len(await two.find_providers(BLOCK)) == 1


async def test_providers_come_one_by_one_and_the_search_can_be_left(
    autojump_clock: MockClock,
) -> None:
    async with network(5) as dhts:
        for dht in dhts[1:]:
            assert await dht.provide(BLOCK)
        async with aclosing(dhts[0].find_provider_iter(BLOCK)) as providers:
            async for info in providers:
                assert info.peer_id in {dht.local_peer_id for dht in dhts[1:]}
                break
        await trio.testing.wait_all_tasks_blocked()
        assert dhts[0].lookups() == []
        assert len(await dhts[0].find_providers(BLOCK, 2)) == 2
        assert len(await dhts[0].find_providers(BLOCK, 0)) == 4


async def test_many_records_are_sent_on_one_stream(autojump_clock: MockClock) -> None:
    async with network(2) as [one, two]:
        keys = [CID.for_block(b"%d" % number).multihash for number in range(600)]
        assert await one.send_provider_records(two.local_peer_id, keys) == 600
        await trio.sleep(1)
        assert two.statistics().provider_records == 600
        assert two.statistics().kinds["ADD_PROVIDER"].served == 600
        with pytest.raises(RoutingError):
            await one.send_provider_records(peer_id_of("nobody"), keys)


async def test_a_peer_is_found_by_its_id(autojump_clock: MockClock) -> None:
    async with network(4) as dhts:
        async with running_dht(DHTMode.CLIENT) as client:
            await client.host.connect(info_of(dhts[0].host))
            info = await dhts[3].find_peer(client.local_peer_id)
            assert info == info_of(client.host)
            assert await client.find_peer(dhts[3].local_peer_id) == info_of(dhts[3].host)
            assert await client.find_peer(client.local_peer_id) == info_of(client.host)
        assert await dhts[1].find_peer(peer_id_of("nobody")) is None


async def test_values_are_found_and_the_best_one_wins(autojump_clock: MockClock) -> None:
    async with network(4) as dhts:
        with_numbers(*dhts)
        await dhts[1].put_value(KEY, b"7")
        assert await dhts[2].get_value(KEY.encode()) == b"7"
        with pytest.raises(InvalidRecord, match="better"):
            await dhts[2].put_value(KEY, b"6")
        await dhts[2].put_value(KEY, b"8")
        for dht in dhts:
            assert await dht.get_value(KEY, quorum=1) in (b"7", b"8")
            assert await dht.get_value(KEY) == b"8"
        with pytest.raises(InvalidRecord):
            await dhts[2].put_value(KEY, b"no number")
        assert await dhts[2].get_value("/numbers/two") is None


async def test_who_has_a_worse_value_is_sent_the_best_one(autojump_clock: MockClock) -> None:
    async with network(3) as dhts:
        with_numbers(*dhts)
        key = KEY.encode()
        for dht, value in zip(dhts, (b"1", b"2"), strict=False):
            await outdated(dht, key, value)
        assert await dhts[2].get_value(key) == b"2"
        await trio.testing.wait_all_tasks_blocked(1)
        assert [dht.local_values().get(key) for dht in dhts] == [b"2", b"2", None]


async def outdated(dht: KadDHT, key: bytes, value: bytes) -> None:
    """Store a value at one peer only."""
    client = memory_host()
    async with client.run():
        await client.connect(info_of(dht.host))
        stream = await client.new_stream(dht.local_peer_id, [PROTOCOL])
        request = Message(MessageType.PUT_VALUE, key, Record(key, value))
        await ask(stream, request)


async def test_values_come_better_and_better(autojump_clock: MockClock) -> None:
    async with network(4) as dhts:
        with_numbers(*dhts)
        for number, dht in enumerate(dhts[1:], 1):
            await outdated(dht, KEY.encode(), b"%d" % number)
        async with aclosing(dhts[0].search_value(KEY)) as values:
            found = [int(value) async for value in values]
        assert found == sorted(found)
        assert found[-1] == 3


async def test_a_host_alone_keeps_its_values(autojump_clock: MockClock) -> None:
    async with running_dht() as dht:
        with_numbers(dht)
        await dht.put_value(KEY, b"1")
        assert await dht.get_value(KEY) == b"1"
        assert dht.get_value_store_size() == 1
        assert await dht.get_value("/numbers/two") is None
        assert not await dht.provide(BLOCK)
        assert await dht.find_providers(CID.for_block(b"another")) == []
        # Where results come one by one, it is said why there are none.
        for search in (dht.search_value("/numbers/two"), dht.find_provider_iter(b"another")):
            async with aclosing(search) as results:
                with pytest.raises(RoutingError, match="empty"):
                    await anext(results)
        with pytest.raises(RoutingError, match="empty"):
            await dht.get_closest_peers(b"key")
        [own] = await dht.find_providers(BLOCK)
        assert own.peer_id == dht.local_peer_id


async def test_it_works_only_while_it_runs(autojump_clock: MockClock) -> None:
    host = memory_host()
    dht = KadDHT(host, DHTMode.SERVER)
    async with host.run():
        assert dht.active_mode == "client"
        for call in (dht.provide(BLOCK), dht.find_providers(BLOCK), dht.get_value("/pk/x")):
            with pytest.raises(RoutingError, match="not running"):
                await call
        async with dht.run():
            assert dht.active_mode == "server"
        assert dht.active_mode == "client"
        async with dht.run():
            assert dht.active_mode == "server"


async def test_it_runs_once_at_a_time(autojump_clock: MockClock) -> None:
    async with network(2) as [one, _]:
        with pytest.raises(RoutingError, match="running already"):
            async with one.run():
                pass
        assert one.active_mode == "server"
        assert await one.provide(BLOCK)


async def test_connections_to_peers_of_the_table_are_kept_while_it_runs(
    autojump_clock: MockClock,
) -> None:
    async with running_dht() as other:
        host = memory_host()
        manager = host.get_network().connection_manager
        dht = KadDHT(host)
        peer = other.local_peer_id
        async with host.run():
            for _ in range(2):
                async with dht.run():
                    await host.connect(info_of(other.host))
                    await until_in_table(dht, 1)
                    await trio.testing.wait_all_tasks_blocked()
                    assert manager.value_of(peer) == 5
                    row = dht.table.row(peer)
                    assert row is not None
                    assert manager.is_protected(peer) == (row.prefix_length < 2)
                assert manager.value_of(peer) == 0
                assert not manager.is_protected(peer)


async def test_an_error_of_the_block_is_raised_as_it_is(autojump_clock: MockClock) -> None:
    host = memory_host()
    async with host.run():
        with pytest.raises(KeyError, match="mine"):
            async with KadDHT(host).run():
                raise KeyError("mine")


# -- modes ----------------------------------------------------------------------------------------


async def test_a_client_is_not_asked(autojump_clock: MockClock) -> None:
    async with network(2) as dhts, running_dht(DHTMode.CLIENT) as client:
        await client.host.connect(info_of(dhts[0].host))
        await until_in_table(client, 2)
        assert PROTOCOL not in client.host.get_mux().handlers
        assert all(client.local_peer_id not in dht.table for dht in dhts)
        await client.switch_mode(DHTMode.SERVER)
        await until_in_table(dhts[0], 2)
        await client.switch_mode(DHTMode.CLIENT)
        await trio.sleep(1)
        assert client.local_peer_id not in dhts[0].table


async def test_auto_is_a_server_where_others_can_reach_it(autojump_clock: MockClock) -> None:
    async with running_dht(DHTMode.AUTO) as dht:
        assert dht.active_mode == "client"
    async with running_dht(DHTMode.AUTO, lan=True) as dht:
        assert dht.active_mode == "server"
        assert dht.protocol == "/ipfs/lan/kad/1.0.0"
        assert dht.network is DHTNetwork.LAN
    host = memory_host()
    host = type(host)(host.get_network(), announce_addrs=["/ip4/8.8.8.8/tcp/4001"])
    async with host.run(), KadDHT(host).run():
        assert PROTOCOL in host.get_mux().handlers


async def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="mode"):
        KadDHT(memory_host(), "SERVER")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="new_mode"):
        await KadDHT(memory_host()).switch_mode("SERVER")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="alpha"):
        DHTConfig(alpha=0)


# -- records outlive a run ------------------------------------------------------------------------


async def test_records_outlive_a_restart(autojump_clock: MockClock) -> None:
    datastore = MemoryDatastore()
    async with running_dht(DHTMode.CLIENT) as client:
        async with running_dht(datastore=datastore) as server:
            with_numbers(server, client)
            await client.host.connect(info_of(server.host))
            assert await client.provide(BLOCK)
            await client.put_value(KEY, b"5")
            await trio.sleep(0.1)
        async with running_dht(datastore=datastore) as server:
            [info] = server.local_providers(BLOCK)
            assert info.peer_id == client.local_peer_id
            assert server.local_values() == {KEY.encode(): b"5"}


async def test_records_are_kept_in_a_folder(tmp_path: str) -> None:
    for expected in (0, 1):
        async with running_dht(persist_dir=str(tmp_path)) as dht:
            assert len(dht.local_providers(BLOCK)) == expected
            await dht.provide(BLOCK, announce=False)


# -- what it learns of peers ----------------------------------------------------------------------


async def test_who_does_not_answer_does_not_enter_the_table(autojump_clock: MockClock) -> None:
    async def hold(stream: INetStream) -> None:
        await trio.sleep_forever()

    async with running_dht() as dht, peer_that(hold) as mute:
        await dht.host.connect(info_of(mute))
        assert dht.table.candidates == [mute.get_id()]
        await trio.sleep(11)
        assert dht.table.candidates == []
        assert len(dht.table) == 0


async def test_a_peer_that_is_gone_leaves_the_table_when_it_is_asked(
    autojump_clock: MockClock,
) -> None:
    async with running_dht() as dht:
        async with running_dht() as other:
            await dht.host.connect(info_of(other.host))
            await until_in_table(dht, 1)
        with pytest.raises(RoutingError, match="none of 1 peers"):
            await dht.get_closest_peers(b"key")
        assert len(dht.table) == 0
        assert dht.statistics().lookups_failed == 1


@pytest.mark.slow
async def test_silent_peers_are_asked_whether_they_are_there(autojump_clock: MockClock) -> None:
    config = DHTConfig(upkeep_seconds=100.0)
    table = RoutingTableConfig(stale_seconds=50.0, refresh_seconds=1e6)
    async with (
        running_dht(config=config, table_config=table) as dht,
        AsyncExitStack() as stack,
    ):
        # More than a low table has: that one is refreshed at each look.
        others = [await stack.enter_async_context(running_dht()) for _ in range(12)]
        for other in others:
            await dht.host.connect(info_of(other.host))
        await until_in_table(dht, 12)
        row = dht.table.row(others[0].local_peer_id)
        assert row is not None
        await trio.sleep(210)
        assert trio.current_time() - row.last_seen < 110
        await others[0].host.close()
        await trio.sleep(110)
        assert len(dht.table) == 11
        assert others[0].local_peer_id not in dht.table


async def test_a_lookup_waits_for_no_mute_peer(autojump_clock: MockClock) -> None:
    async def mute(stream: INetStream) -> None:
        await trio.sleep_forever()

    async with network(6) as dhts, AsyncExitStack() as stack:
        for _ in range(12):
            peer = await stack.enter_async_context(peer_that(mute))
            await dhts[0].host.connect(info_of(peer))
            addrs = [addr.to_bytes() for addr in peer.get_transport_addrs()]
            dhts[0].table.consider(peer.get_id(), addrs, trio.current_time(), verified=True)
        began = trio.current_time()
        found = await dhts[0].get_closest_peers(b"key")
        assert {info.peer_id for info in found} == {dht.local_peer_id for dht in dhts[1:]}
        assert trio.current_time() - began < DHTConfig().request_seconds


async def test_a_lookup_has_a_time_out(autojump_clock: MockClock) -> None:
    async def slow(stream: INetStream) -> None:
        async with aclosing(requests_on(stream)) as requests:
            async for request in requests:
                await trio.sleep(2)
                await stream.write(framed(Message(request.kind, request.key)))

    async with running_dht(config=DHTConfig(query_seconds=1.0)) as dht, peer_that(slow) as peer:
        await dht.host.connect(info_of(peer))
        await until_in_table(dht, 1)
        began = trio.current_time()
        with pytest.raises(RoutingError):
            await dht.get_closest_peers(b"key")
        assert trio.current_time() - began == pytest.approx(1.0, abs=0.1)


async def test_a_quorum_ends_the_search(autojump_clock: MockClock) -> None:
    async def mute(stream: INetStream) -> None:
        await trio.sleep_forever()

    async with network(2) as [one, two], peer_that(mute) as peer:
        with_numbers(one, two)
        await outdated(two, KEY.encode(), b"1")
        await one.host.connect(info_of(peer))
        addrs = [addr.to_bytes() for addr in peer.get_transport_addrs()]
        for quorum, seconds in ((1, 0.0), (2, 10.0), (0, 10.0)):
            one.table.consider(peer.get_id(), addrs, trio.current_time(), verified=True)
            began = trio.current_time()
            assert await one.get_value(KEY, quorum) == b"1"
            assert trio.current_time() - began == pytest.approx(seconds, abs=0.5)


async def test_nobody_takes_a_value(autojump_clock: MockClock) -> None:
    async with network(2, enable_values=False, enable_providers=False) as [one, two]:
        with_numbers(one, two)
        with pytest.raises(RoutingError, match="none of 1 peers took"):
            await one.put_value(KEY, b"1")
        with pytest.raises(RoutingError, match="none of 1 peers of the DHT answered"):
            await one.find_providers(BLOCK)


async def test_a_host_without_addresses_announces_nothing(autojump_clock: MockClock) -> None:
    host = new_host(transports=[MemoryTransport()])
    dht = KadDHT(host, DHTMode.CLIENT)
    async with running_dht() as server, host.run(), dht.run():
        await host.connect(info_of(server.host))
        for call in (dht.provide(BLOCK), dht.send_provider_records(server.local_peer_id, [b"x"])):
            with pytest.raises(RoutingError, match="no address"):
                await call
        assert not server.local_providers(BLOCK)


async def test_in_the_public_network_private_peers_do_not_count(
    autojump_clock: MockClock,
) -> None:
    async with network(2) as dhts:
        host = memory_host()
        dht = KadDHT(host, DHTMode.CLIENT, network=DHTNetwork.WAN)
        async with host.run(), dht.run():
            await host.connect(info_of(dhts[0].host))
            await trio.sleep(1)
            assert len(dht.table) == 0
            with pytest.raises(RoutingError, match="no address"):
                await dht.provide(BLOCK)


async def test_validators_can_be_replaced() -> None:
    dht = KadDHT(memory_host(), max_peers_per_subnet=0, max_peers_per_subnet_table=5)
    assert dht.table.config.max_per_group_in_bucket == 0
    assert dht.table.config.max_per_group == 5
    assert dht.validator.namespaces == ["ipns", "pk"]
    dht.set_namespace_validator("numbers", Largest())
    dht.strict_validation = True
    dht.set_validator(NamespacedValidator({"numbers": Largest()}))
    dht.apply_fallbacks()
    assert dht.validator.namespaces == ["numbers"]
    assert dht.strict_validation
    own = NamespacedValidator({})
    assert KadDHT(memory_host(), validator=own).validator is own
    assert own.namespaces == ["ipns", "pk"]


async def test_a_fault_of_a_task_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with network(2) as [one, _]:
        one.register_validator("numbers", Largest())
        one._engine.start(_fail)
        await trio.testing.wait_all_tasks_blocked()
        assert "a task of the DHT failed" in caplog.text
        assert await one.get_closest_peers(b"key")


async def _fail() -> None:
    raise KeyError("broken")


# -- looking into it ------------------------------------------------------------------------------


async def test_lookups_under_way_are_shown(autojump_clock: MockClock) -> None:
    async def answer_once(stream: INetStream) -> None:
        async with aclosing(requests_on(stream)) as requests:
            async for request in requests:
                if request.kind is not MessageType.FIND_NODE:
                    await trio.sleep_forever()
                await stream.write(framed(Message(request.kind)))

    async with running_dht() as dht, peer_that(answer_once) as slow:
        await dht.host.connect(info_of(slow))
        await until_in_table(dht, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dht.find_providers, BLOCK)
            await trio.testing.wait_all_tasks_blocked()
            [lookup] = dht.lookups()
            assert lookup.kind == "GET_PROVIDERS"
            assert lookup.key == BLOCK.multihash
            assert lookup.cost.requests == 1
            assert dht.statistics().requests == 1
            nursery.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert dht.lookups() == []
    assert "/ipfs/kad/1.0.0" in repr(dht)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, None),
        ({"table_config": RoutingTableConfig(bucket_size=5)}, "20 peers"),
        ({"enable_providers": False}, "providers"),
        ({"enable_values": False}, "values"),
        ({"validator_changed": True}, "validators"),
    ],
)
def test_what_dhts_of_the_ipfs_network_have_to_do(
    options: dict[str, Any], fault: str | None
) -> None:
    KadDHT(new_host(), protocol_prefix=TProtocol("/own"), **options).validate_config()
    dht = KadDHT(new_host(), **options)
    if fault is None:
        dht.validate_config()
    else:
        with pytest.raises(ValueError, match=fault):
            dht.validate_config()


async def test_py_libp2ps_names(autojump_clock: MockClock) -> None:
    async with network(3) as [one, two, three]:
        assert one.get_routing_table_size() == one.routing_table.size() == 2
        assert set(one.routing_table.get_peer_ids()) == {two.local_peer_id, three.local_peer_id}
        assert one.routing_table.peer_in_table(two.local_peer_id)
        assert one.routing_table.get_peer_info(two.local_peer_id) == info_of(two.host)
        assert one.routing_table.get_peer_info(peer_id_of("nobody")) is None
        assert info_of(three.host) in one.routing_table.get_peer_infos()
        assert len(one.routing_table.find_local_closest_peers(b"key", 1)) == 1
        report = one.get_diagnostics().analyse()
        assert (report.total_peers, report.freshness.fresh) == (2, 2)
        assert one.routing_table.remove_peer(two.local_peer_id)
        assert await one.add_peer(two.local_peer_id, skip_server_mode_check=True)
        assert not await one.routing_table.add_peer(info_of(one.host))
        assert await one.provider_store.provide(b"x" * 32)
        assert [p.peer_id for p in await two.provider_store.find_providers(b"x" * 32)] == [
            one.local_peer_id
        ]
        assert two.provider_store.get_providers(b"x" * 32)
        assert two.provider_store.size() == 1
        third = info_of(three.host)
        assert two.provider_store.add_provider(b"y" * 32, third)
        assert two.provider_store.get_providers(b"y" * 32) == [third]
        assert one.provider_store.get_providers(b"y" * 32) == []
        assert [p.peer_id for p in await one.provider_store.find_providers(b"y" * 32)] == [
            three.local_peer_id
        ]
        await one.put_value("plain", b"value")
        record = two.value_store.get(b"plain")
        assert record is not None
        assert record.value == b"value"
        assert two.value_store.has(b"plain")
        assert two.value_store.get_keys() == [b"plain"]
        assert two.value_store.size() == 1
        two.value_store.put(b"here", b"only")
        assert await two.get_value("here") == b"only"
        assert not one.value_store.has(b"here")
        with pytest.raises(InvalidRecordType):
            two.value_store.put(b"/pk/nobody", b"no key")
        assert two.value_store.remove(b"here")
        assert not two.value_store.remove(b"here")
        assert two.value_store.get(b"here") is None
        found = await one.peer_routing.find_closest_peers_network(b"key", 1)
        assert len(found) == 1
        assert await one.peer_routing.find_peer(two.local_peer_id) == info_of(two.host)
        named: list[ID] = []
        for _ in range(2):
            await one.peer_routing._query_single_peer_for_closest(
                two.local_peer_id, two.local_peer_id.to_bytes(), named
            )
        assert named.count(two.local_peer_id) == 1
        await one.peer_routing.refresh_routing_table()
        one.strict_validation = True
        with pytest.raises(InvalidRecord):
            await one.put_value("plain", b"value")
        assert not one.is_random_walk_enabled()


@pytest.mark.parametrize("kind", DHTNetwork)
async def test_only_the_public_network_limits_ip_groups_by_itself(kind: DHTNetwork) -> None:
    config = KadDHT(memory_host(), network=kind).table.config
    limits = (config.max_per_group, config.max_per_group_in_bucket)
    assert limits == ((3, 2) if kind is DHTNetwork.WAN else (0, 0))
    assert config.public_only is (kind is DHTNetwork.WAN)
