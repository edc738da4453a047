"""The sweep over real hosts: what one announces by regions, another finds by looking it up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from libp2p.blockstore.memory import MemoryBlockStore
from libp2p.datastore import MemoryDatastore
from libp2p.ipld.cid import CID
from libp2p.kad_dht import DHTConfig, KadDHT
from libp2p.kad_dht.keyspace import key_of, key_of_peer
from libp2p.provide import ProvideConfig, Provider, Sweepable, key_source
from tests.support.dht_hosts import info_of, memory_host, running_dht, until_in_table
from tests.support.sweep_router import until_idle

KEYS = 500
HOSTS, COPIES = 14, 6
"""More hosts than keep a record, so that not all of them keep all."""


async def store_of(count: int) -> tuple[MemoryBlockStore, list[CID]]:
    """Return a store with so many blocks."""
    store, cids = MemoryBlockStore(), list[CID]()
    for number in range(count):
        data = b"block %d" % number
        cids.append(CID.for_block(data))
        await store.put_block(cids[-1], data)
    return store, cids


def kept(dht: KadDHT) -> int:
    return dht.statistics().provider_records


def is_near(dht: KadDHT, dhts: list[KadDHT], cid: CID) -> bool:
    """Tell whether a peer is one of the closest of a key."""
    place = key_of(cid.multihash)
    distances = sorted(key_of_peer(other.local_peer_id) ^ place for other in dhts)
    return key_of_peer(dht.local_peer_id) ^ place <= distances[COPIES - 1]


@asynccontextmanager
async def small_network() -> AsyncIterator[list[KadDHT]]:
    """Run hosts that know the first few of them; lookups find the others."""
    async with AsyncExitStack() as stack:
        dhts = list[KadDHT]()
        for _ in range(HOSTS):
            running = running_dht(config=DHTConfig(k=COPIES))
            dhts.append(await stack.enter_async_context(running))
            for first in dhts[:-1][:3]:
                await dhts[-1].host.connect(info_of(first.host))
        for dht in dhts:
            await until_in_table(dht, 3)
        yield dhts


def test_the_dht_can_be_swept() -> None:
    assert isinstance(KadDHT(memory_host()), Sweepable)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_what_a_sweep_announces_is_found_by_others() -> None:
    store, cids = await store_of(KEYS)
    async with small_network() as dhts:
        one, others = dhts[0], dhts[1:]
        provider = Provider(
            one,
            key_source("all", store),
            MemoryDatastore(),
            ProvideConfig(replication=COPIES),
            peer_id=one.local_peer_id,
        )
        async with provider.run():
            with trio.fail_after(120):
                await until_idle(provider, 0.05)
            stats = provider.stats()
        assert stats.keys_announced == KEYS
        assert stats.sends_failed == 0
        assert stats.records_sent == COPIES * KEYS
        assert stats.lookups < 0.02 * KEYS
        # Records are not acknowledged: the peers may be reading them yet.
        with trio.fail_after(60):
            while sum(map(kept, others)) < stats.records_sent:  # noqa: ASYNC110 - no event tells it
                await trio.sleep(0.05)
        assert sum(map(kept, others)) == stats.records_sent
        assert kept(one) == sum(is_near(one, dhts, cid) for cid in cids)
        # Somebody who keeps few of the records asks the others.
        for number, cid in enumerate(cids):
            found = await others[number % len(others)].find_providers(cid, count=1)
            assert [info.peer_id for info in found] == [one.local_peer_id], f"key {number}"
            assert found[0].addrs == one.host.get_transport_addrs()
