"""The DHT's numbers for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from libp2p.kad_dht.metrics import DHTCollector
from tests.support.dht_hosts import network

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_numbers(autojump_clock: MockClock) -> None:
    async with network(2) as [one, _]:
        registry = CollectorRegistry(auto_describe=True)
        DHTCollector(one, registry=registry)
        await one.get_closest_peers(b"key")
        labels = {"protocol": "/ipfs/kad/1.0.0"}
        assert registry.get_sample_value("libp2p_dht_table", labels) == 1
        done = registry.get_sample_value("libp2p_dht_lookups_done_total", {**labels, "end": "done"})
        assert done is not None
        assert done >= 1
        kind = {**labels, "kind": "FIND_NODE", "what": "sent"}
        sent = registry.get_sample_value("libp2p_dht_messages_total", kind)
        assert sent == one.statistics().kinds["FIND_NODE"].sent > 0
        with pytest.raises(ValueError, match="Duplicated"):
            DHTCollector(one, registry=registry)
        DHTCollector(one, registry=None)
