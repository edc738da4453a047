"""What Prometheus is told of a provider."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import trio
from prometheus_client import CollectorRegistry, generate_latest

from libp2p.datastore.memory import MemoryDatastore
from libp2p.provide.metrics import ProvideCollector
from libp2p.provide.provider import Provider
from tests.support.model_network import ModelNetwork
from tests.support.sweep_router import ListedKeys, SweepRouter, numbered

if TYPE_CHECKING:
    from trio.testing import MockClock


def numbers_of(provider: Provider) -> dict[str, float]:
    registry = CollectorRegistry()
    ProvideCollector(provider, registry)
    lines = generate_latest(registry).decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.partition(" ") for line in lines if not line.startswith("#"))
    }


async def test_numbers_are_those_of_stats(autojump_clock: MockClock) -> None:
    router = SweepRouter(ModelNetwork(500))
    source = ListedKeys(numbered(0, 300))
    provider = Provider(router, source, MemoryDatastore(), clock=trio.current_time)
    assert numbers_of(provider)["libp2p_provide_network_peers"] == 0
    async with provider.run():
        await trio.sleep(120)
        stats, numbers = provider.stats(), numbers_of(provider)
        router.is_online = False
        await trio.sleep(30 * 3600)
        assert numbers_of(provider)["libp2p_provide_offline"] == 1
        assert numbers_of(provider)["libp2p_provide_lag_seconds"] > 3600
    for name, value in asdict(stats).items():
        for shown in (f"libp2p_provide_{name}", f"libp2p_provide_{name}_total"):
            if shown in numbers:
                assert numbers.pop(shown) == value or name == "peers"
    assert numbers == {
        "libp2p_provide_lag_seconds": 0,
        "libp2p_provide_network_peers": stats.peers,
        "libp2p_provide_offline": 0,
    }
    assert stats.keys_announced == 300
