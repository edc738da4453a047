"""The estimate of the network's size, and the size of regions that follows from it."""

from __future__ import annotations

import pytest

from libp2p.provide.density import MAX_REGION_BITS, REGION_PEERS, Density


def test_nothing_is_known_at_first() -> None:
    density = Density()
    assert density.peers is None
    assert density.region_bits == 0
    density.observe(0, 0.5)
    density.observe(5, 0.0)
    assert density.peers is None


def test_the_first_measurement_counts_and_later_ones_move_it() -> None:
    density = Density()
    density.observe(20, 20 / 10_000)
    assert density.peers == pytest.approx(10_000)
    for _ in range(40):
        density.observe(20, 20 / 100_000)
    assert density.peers == pytest.approx(100_000, rel=0.01)


@pytest.mark.parametrize(
    ("peers", "bits"), [(1, 0), (25, 0), (127, 0), (128, 1), (10_000, 7), (100_000, 10)]
)
def test_a_region_has_between_one_and_two_times_the_peers(peers: int, bits: int) -> None:
    density = Density(peers + 0.5)
    assert density.region_bits == bits
    if bits:
        assert REGION_PEERS <= peers / 2**bits < 2 * REGION_PEERS


def test_peers_that_lie_do_not_make_regions_endlessly_small() -> None:
    density = Density()
    density.observe(20, 1e-70)
    assert density.region_bits == MAX_REGION_BITS
