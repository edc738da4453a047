"""A block is found through the DHT and fetched by bitswap, from a peer that nobody has named."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.bitswap.provider_query import ProviderQueryManager
from libp2p.ipld.cid import CID
from libp2p.kad_dht import DHTMode, KadDHT
from tests.support.dht_hosts import info_of, memory_host, until_in_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DATA = b"a block that one peer has"
BLOCK = CID.for_block(DATA)


@asynccontextmanager
async def running_peer(
    mode: DHTMode = DHTMode.SERVER,
) -> AsyncIterator[tuple[KadDHT, BitswapClient]]:
    host = memory_host()
    dht = KadDHT(host, mode)
    client = BitswapClient(
        host, MemoryBlockStore(), provider_query_manager=ProviderQueryManager(dht)
    )
    async with host.run(), dht.run(), client.run():
        yield dht, client


async def test_a_block_comes_from_a_provider_that_the_dht_knows() -> None:
    async with (
        running_peer() as (meeting_point, _),
        running_peer() as (provider, provider_client),
        running_peer(DHTMode.CLIENT) as (_, client),
    ):
        for dht in (provider, client):
            await dht.host.connect(info_of(meeting_point.host))
        await until_in_table(provider, 1)
        await provider_client.add_block(BLOCK, DATA)
        assert await provider.provide(BLOCK)
        with trio.fail_after(20):
            assert await client.get_block(BLOCK) == DATA
        assert provider.local_peer_id in client.host.get_connected_peers()
