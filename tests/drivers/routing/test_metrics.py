"""The numbers of routers for Prometheus."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr
from prometheus_client import CollectorRegistry

from libp2p.exceptions import RoutingError
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.metrics import RouterCollector
from libp2p.routing.parallel import ParallelRouter
from tests.support.identities import peer_id_of
from tests.support.routers import ScriptedRouter

ANN = PeerInfo(peer_id_of("ann"), [Multiaddr("/ip4/192.0.2.1/tcp/1")])


async def test_each_router_has_its_numbers(autojump_clock: object) -> None:
    routers = {
        "dht": ScriptedRouter(ANN, seconds=2),
        "http": ScriptedRouter(error=RoutingError("no")),
    }
    registry = CollectorRegistry(auto_describe=True)
    async with ParallelRouter(routers).run() as router:
        RouterCollector(router, registry)
        for _ in range(3):
            assert [info async for info in router.find_provider_iter(b"\x01\x55\x00\x00")] == [ANN]

    def number(name: str, router: str) -> float | None:
        return registry.get_sample_value(f"libp2p_router_{name}", {"router": router})

    assert number("calls_total", "dht") == number("calls_total", "http") == 3
    assert (number("results_total", "dht"), number("results_total", "http")) == (3, 0)
    assert (number("errors_total", "dht"), number("errors_total", "http")) == (0, 3)
    assert number("timeouts_total", "dht") == number("active_calls", "http") == 0
    assert number("first_result_seconds_count", "dht") == 3
    assert number("first_result_seconds_sum", "dht") == pytest.approx(6)
    with pytest.raises(ValueError, match="Duplicated"):
        RouterCollector(router, registry)
