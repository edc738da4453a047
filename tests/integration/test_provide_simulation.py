"""
The sweep in the simulated network of the DHT's own cores, where a fifth of the peers are dead and a
twentieth lie: what it costs beside a lookup for each key, and where the records are.

``NIGHTLY=1`` takes the sizes of the budget: 100,000 keys and 10,000 peers, a minute and a half.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.datastore.memory import MemoryDatastore
from libp2p.peer.peerinfo import PeerInfo
from libp2p.provide.provider import Provider
from tests.support.dht_simulator import Shape, SimulatedNetwork
from tests.support.sweep_router import ListedKeys, numbered, until_idle

if TYPE_CHECKING:
    from libp2p.peer.id import ID

KEYS, PEERS = (100_000, 10_000) if os.environ.get("NIGHTLY") else (4000, 800)


class SimulatedRouter:
    """A `Sweepable`: each lookup takes the time that it takes in the simulation."""

    def __init__(self, network: SimulatedNetwork, own: ID) -> None:
        self.own = own
        self.network = network
        self.sends = 0
        self.kept: dict[ID, set[bytes]] = {}

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        result = self.network.lookup(key, asker=self.own)
        await trio.sleep(result.seconds)
        return [PeerInfo(peer, []) for peer in result.found]

    async def send_provider_records(self, peer: ID, multihashes: Sequence[bytes]) -> int:
        self.sends += 1
        await trio.sleep(0.5)
        if not self.network.send(peer, len(multihashes)):
            return 0
        self.kept.setdefault(peer, set()).update(multihashes)
        return len(multihashes)

    def placed(self, multihash: bytes) -> float:
        """Return which part of the closest other peers of a key have its record."""
        closest = [peer for peer in self.network.closest(multihash, 21) if peer != self.own][:20]
        return sum(multihash in self.kept.get(peer, ()) for peer in closest) / len(closest)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_sweep_among_dead_and_lying_peers(autojump_clock: trio.testing.MockClock) -> None:
    network = SimulatedNetwork(Shape(PEERS, dead=0.2, lying=0.05), seed=1)
    router = SimulatedRouter(network, network.honest[0].peer_id)
    keys = numbered(0, KEYS)
    sample = random.Random(7).sample(keys, 50)
    one_by_one = mean(network.lookup(key, asker=router.own).statistics.requests for key in sample)
    network.requests = 0
    provider = Provider(
        router, ListedKeys(keys), MemoryDatastore(), peer_id=router.own, clock=trio.current_time
    )
    async with provider.run():
        await until_idle(provider, 30.0)
        stats = provider.stats()
    messages = network.requests + router.sends
    share = messages / (KEYS * one_by_one)
    places = [router.placed(key) for key in random.Random(8).sample(keys, min(KEYS, 2000))]
    print(
        f"{KEYS} keys, {PEERS} peers: {stats.lookups} lookups of {network.requests} requests and"
        f" {router.sends} streams, {share:.2%} of {one_by_one:.1f} requests for each key;"
        f" done after {trio.current_time():.0f} s; {mean(places):.1%} of the closest peers have it"
    )
    assert share <= 0.05
    assert stats.keys_announced >= KEYS
    assert trio.current_time() < 3600
    assert mean(places) >= 0.95
    assert sum(place >= 0.9 for place in places) >= 0.95 * len(places)
