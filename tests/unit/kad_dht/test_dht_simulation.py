"""Lookups among many simulated peers: what they find, what they cost, who can harm them."""

from __future__ import annotations

import os

import pytest

from libp2p.kad_dht.routing_table import MAX_PEERS_PER_GROUP, REFRESH_SECONDS
from tests.support.dht_simulator import (
    LIES,
    REQUEST_TIMEOUT,
    Figures,
    Shape,
    SimulatedNetwork,
    peer_number,
    requests_in_theory,
)

pytestmark = pytest.mark.slow

NIGHTLY = bool(os.environ.get("NIGHTLY"))


def test_a_healthy_network() -> None:
    network = SimulatedNetwork(Shape(500))
    figures = Figures.of(network.lookups(40))
    assert figures.recall > 0.995
    assert figures.requests < requests_in_theory(500)
    assert figures.failed == 0
    assert figures.seconds < 1
    assert network.requests == round(figures.requests * 40)


def test_a_fifth_is_dead_and_a_twentieth_lies() -> None:
    figures = Figures.of(SimulatedNetwork(Shape(500, dead=0.2, lying=0.05)).lookups(50))
    assert figures.recall >= 0.99
    assert figures.requests < 1.5 * requests_in_theory(500)
    assert figures.most_requests < 120
    # Half of the dead are mute: no lookup waits for them until their requests time out.
    assert figures.seconds < REQUEST_TIMEOUT / 3


@pytest.mark.skipif(not NIGHTLY, reason="takes minutes: NIGHTLY=1")
@pytest.mark.timeout(1200)
def test_a_fifth_of_ten_thousand_is_dead_and_a_twentieth_lies() -> None:
    figures = Figures.of(SimulatedNetwork(Shape(10_000, dead=0.2, lying=0.05)).lookups(300))
    assert figures.recall >= 0.99
    assert figures.requests < 1.5 * requests_in_theory(10_000)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_of_many_costs_bounded_work(lie: str) -> None:
    network = SimulatedNetwork(Shape(300, lying=0.15), seed=3)
    for liar in network.liars:
        liar.lie = lie
    figures = Figures.of(network.lookups(15))
    assert figures.most_requests < 200
    assert figures.recall > 0.97


def test_disjoint_paths_cost_more_and_find_the_same() -> None:
    shape = Shape(300, dead=0.1, lying=0.1)
    one, three = (
        Figures.of(SimulatedNetwork(shape).lookups(15, disjoint_paths=paths)) for paths in (1, 3)
    )
    assert one.requests < three.requests < 3 * one.requests
    assert three.recall > 0.98


def test_an_eclipse_from_one_network_gets_a_small_share() -> None:
    network = SimulatedNetwork(Shape(400))
    target = b"the one they want"
    attackers = {peer.peer_id for peer in network.add_attackers(target, 300)}
    truth = set(network.closest(target))  # the attackers are not counted
    for _ in range(10):
        result = network.lookup(target)
        assert len(attackers & set(result.found)) <= 2 * MAX_PEERS_PER_GROUP
        assert len(truth & set(result.found)) >= 20 - 2 * MAX_PEERS_PER_GROUP
        assert result.statistics.requests < 120
    for peer in network.closest(target):
        assert len(attackers & set(network.table(peer))) <= MAX_PEERS_PER_GROUP


def test_peers_that_join_find_each_other() -> None:
    # Nobody is given a table here: each joins by one other peer, and asks for itself.
    network = SimulatedNetwork(Shape(80, joined=True, wire=True))
    for number in range(1, 80):
        network.join(peer_number(number), via=peer_number(number // 2))
    for number in [*range(80)] * 2:
        network.clock.now += REFRESH_SECONDS / 70
        network.refresh(peer_number(number))
    figures = Figures.of(network.lookups(30))
    assert figures.recall > 0.995
    assert figures.requests < requests_in_theory(80)
    sizes = [len(network.table(peer.peer_id)) for peer in network.peers]
    assert min(sizes) > 40


def test_the_same_seed_gives_the_same() -> None:
    def some(seed: int) -> Figures:
        return Figures.of(SimulatedNetwork(Shape(200, 0.2, 0.05), seed).lookups(5))

    assert some(7) == some(7) != some(8)


def test_records_are_counted() -> None:
    network = SimulatedNetwork(Shape(50, dead=0.2))
    sent = [network.send(peer.peer_id, 10) for peer in network.peers]
    assert sent.count(True) == 40
    assert network.records == sum(peer.records for peer in network.peers) == 400
