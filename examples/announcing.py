"""Announce all blocks of a store over the DHT, and see another peer find one of them."""

from __future__ import annotations

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.bitswap import MemoryBlockStore
from libp2p.datastore import MemoryDatastore
from libp2p.ipld.cid import CID
from libp2p.kad_dht import DHTMode, KadDHT
from libp2p.peer.peerinfo import PeerInfo
from libp2p.provide import Provider, key_source

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


async def main() -> None:
    store = MemoryBlockStore()
    cids = [CID.for_block(b"block %d" % number) for number in range(100)]
    for number, cid in enumerate(cids):
        await store.put_block(cid, b"block %d" % number)

    here, there = new_host(listen_addrs=[LOOPBACK]), new_host(listen_addrs=[LOOPBACK])
    dht, other = KadDHT(here, DHTMode.SERVER), KadDHT(there, DHTMode.SERVER)
    async with here.run(), there.run(), dht.run(), other.run():
        await here.connect(PeerInfo(there.get_id(), there.get_transport_addrs()))

        # SqliteDatastore(path) in place of this one makes it go on after a restart.
        source = key_source("all", store)
        provider = Provider(dht, source, MemoryDatastore(), peer_id=here.get_id())
        async with provider.run():
            # The store is announced in the background, now and every 22 hours. One more, now:
            new = CID.for_block(b"a new block")
            print("announced:", await provider.provide_once(new, wait=True))
            [found] = await other.find_providers(new, count=1)
            print("found at this host:", found.peer_id == here.get_id())

            stats = provider.stats()
            print(f"waiting: {stats.queued}; regular work is {stats.lag:.0f} s late")


trio.run(main)
