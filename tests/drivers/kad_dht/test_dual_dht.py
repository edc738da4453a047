"""Both DHTs of a peer, used as one."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from trio.testing import wait_all_tasks_blocked

from libp2p.exceptions import RoutingError
from libp2p.ipld.cid import CID
from libp2p.kad_dht import DHTMode, DHTNetwork, DualDHT, KadDHT
from libp2p.records.validator import Validator
from libp2p.routing.abc import ContentRouter, PeerRouter, ValueRouter
from tests.support.dht_hosts import info_of, memory_host, until_in_table
from tests.support.identities import peer_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from libp2p import BasicHost

BLOCK = CID.for_block(b"a block")


class Largest(Validator):
    def validate(self, key: str, value: bytes) -> None:
        int(value)

    def select(self, key: str, values: list[bytes]) -> int:
        return values.index(max(values, key=int))


@asynccontextmanager
async def running_dual(
    *, with_wan: bool = True, with_lan: bool = True
) -> AsyncIterator[tuple[DualDHT, KadDHT, KadDHT]]:
    """Run a peer with both DHTs, and two others that have one of them each."""
    hosts = [memory_host() for _ in range(3)]
    # In memory nothing is public, so the first DHT makes no difference between addresses.
    dual = DualDHT(KadDHT(hosts[0], DHTMode.SERVER), KadDHT(hosts[0], DHTMode.SERVER, lan=True))
    wan = KadDHT(hosts[1], DHTMode.SERVER)
    lan = KadDHT(hosts[2], DHTMode.SERVER, lan=True)
    for dht in (dual.wan, dual.lan, wan, lan):
        dht.register_validator("numbers", Largest())
    async with hosts[0].run(), hosts[1].run(), hosts[2].run(), dual.run(), wan.run(), lan.run():
        if with_wan:
            await hosts[0].connect(info_of(hosts[1]))
            await until_in_table(dual.wan, 1)
        if with_lan:
            await hosts[0].connect(info_of(hosts[2]))
            await until_in_table(dual.lan, 1)
        yield dual, wan, lan


def test_it_is_every_kind_of_router() -> None:
    dual = DualDHT.of_host(memory_host(), strict_validation=True)
    for kind in (ContentRouter, PeerRouter, ValueRouter):
        assert isinstance(dual, kind)
    assert (dual.wan.network, dual.lan.network) == (DHTNetwork.WAN, DHTNetwork.LAN)
    assert (dual.wan.protocol, dual.lan.protocol) == (
        "/ipfs/kad/1.0.0",
        "/ipfs/lan/kad/1.0.0",
    )
    assert dual.wan.strict_validation
    assert "lan" in repr(dual)


async def test_providers_of_both_are_found_once(autojump_clock: MockClock) -> None:
    async with running_dual() as (dual, wan, lan):
        await wan.provide(BLOCK, announce=False)
        await lan.provide(BLOCK, announce=False)
        found = [info.peer_id for info in await dual.find_providers(BLOCK)]
        assert sorted(found) == sorted([wan.local_peer_id, lan.local_peer_id])
        await wan.send_provider_records(dual.wan.local_peer_id, [bytes(BLOCK.multihash)])
        assert len(await dual.find_providers(BLOCK, 0)) == 2
        async with aclosing(dual.find_provider_iter(BLOCK, 1)) as providers:
            assert len([info async for info in providers]) == 1


async def test_records_go_to_the_public_network_if_there_is_one(
    autojump_clock: MockClock,
) -> None:
    async with running_dual() as (dual, wan, lan):
        assert await dual.provide(BLOCK)
        await dual.put_value("/numbers/one", b"1")
        await wait_all_tasks_blocked(0.1)
        assert wan.local_providers(BLOCK)
        assert wan.local_values()
        assert not lan.local_providers(BLOCK)
        assert not lan.local_values()
        keys = [bytes(CID.for_block(b"%d" % number).multihash) for number in range(3)]
        assert await dual.send_provider_records(wan.local_peer_id, keys) == 3
        assert [info.peer_id for info in await dual.get_closest_peers(b"key")] == [
            wan.local_peer_id
        ]
    async with running_dual(with_wan=False) as (dual, wan, lan):
        assert await dual.provide(BLOCK)
        await wait_all_tasks_blocked(0.1)
        assert lan.local_providers(BLOCK)
        assert not wan.local_providers(BLOCK)


async def test_the_better_value_of_both_is_found(autojump_clock: MockClock) -> None:
    async with running_dual() as (dual, wan, lan):
        await wan.put_value("/numbers/one", b"1")
        await lan.put_value("/numbers/one", b"2")
        assert await dual.get_value("/numbers/one") == b"2"
        assert await dual.get_value("/numbers/two") is None
        async with aclosing(dual.search_value(b"/numbers/one")) as values:
            found = [int(value) async for value in values]
        assert found == sorted(found)


async def test_a_peer_is_found_in_either(autojump_clock: MockClock) -> None:
    async with running_dual() as (dual, wan, lan):
        for dht in (wan, lan):
            client: BasicHost = memory_host()
            async with client.run():
                await client.connect(info_of(dht.host))
                assert await dual.find_peer(client.get_id()) == info_of(client)
        assert await dual.find_peer(peer_id_of("nobody")) is None


async def test_one_may_be_empty_and_both_may(autojump_clock: MockClock) -> None:
    async with running_dual(with_lan=False) as (dual, wan, _):
        await wan.provide(BLOCK, announce=False)
        assert len(await dual.find_providers(BLOCK)) == 1
    async with running_dual(with_lan=False, with_wan=False) as (dual, _, _):
        with pytest.raises(RoutingError, match="empty"):
            await dual.find_peer(peer_id_of("nobody"))
        assert await dual.find_providers(BLOCK) == []
        dual.register_validator("more", Largest())
        assert "more" in dual.lan.validator.namespaces
    with pytest.raises(RoutingError, match="not running"):
        await dual.find_providers(BLOCK)
