"""What our sweep announces to servers of go-libp2p-kad-dht, all of them find."""

from __future__ import annotations

import pytest
import trio

from libp2p.blockstore.memory import MemoryBlockStore
from libp2p.datastore import MemoryDatastore
from libp2p.ipld.cid import CID
from libp2p.provide import Provider, key_source
from tests.support.sweep_router import until_idle

from .dht_network import joined
from .files import random_bytes
from .go_dht import GoDht
from .need import need
from .ours import in_thread

GO_SERVERS = 25
KEYS = 500
FOUND_AT_ONCE = 8

pytestmark = pytest.mark.timeout(300)


async def test_keys_that_a_sweep_announces_are_found_by_go() -> None:
    need("dht-peer")
    store, cids = MemoryBlockStore(), list[CID]()
    for number in range(KEYS):
        data = random_bytes(f"swept {number}", 64)
        cids.append(CID.for_block(data))
        await store.put_block(cids[-1], data)
    with GoDht(GO_SERVERS) as go:
        async with joined(go, 1) as [ours]:
            provider = Provider(
                ours.dht,
                key_source("all", store),
                MemoryDatastore(),
                peer_id=ours.dht.local_peer_id,
            )
            async with provider.run():
                with trio.fail_after(120):
                    await until_idle(provider, 0.05)
                stats = provider.stats()
            assert stats.keys_announced == KEYS
            assert stats.records_sent == 20 * KEYS
            assert stats.sends_failed == 0
            assert stats.lookups <= 0.05 * KEYS
            print(f"{stats.lookups} lookups and {stats.sends} streams for {KEYS} keys")

            found = 0

            async def look(numbers: range) -> None:
                nonlocal found
                for number in numbers:
                    server = number % GO_SERVERS
                    providers, _ = await in_thread(go.find_providers, server, str(cids[number]), 1)
                    found += providers == [ours.id]

            async with trio.open_nursery() as nursery:
                for first in range(FOUND_AT_ONCE):
                    nursery.start_soon(look, range(first, KEYS, FOUND_AT_ONCE))
            assert found == KEYS
