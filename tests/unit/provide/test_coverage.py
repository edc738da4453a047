"""Balls of the key space: what was added is there, and nothing else but by the rounding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libp2p.kad_dht.keyspace import KEY_BITS
from libp2p.provide.coverage import Coverage

TOP = KEY_BITS - 8
"""Keys and distances of these tests differ in their first 8 bits only, so all can be tried."""
small = st.integers(0, 255)
balls = st.lists(st.tuples(small, small), max_size=6)


def coverage_of(some: list[tuple[int, int]]) -> tuple[Coverage, set[int]]:
    """Return the coverage of balls, and the first 8 bits of the keys that are in it."""
    coverage = Coverage()
    for center, radius in some:
        coverage.add_ball(center << TOP, ((radius + 1) << TOP) - 1)
    inside = {key for key in range(256) if any(key ^ center <= radius for center, radius in some)}
    return coverage, inside


@given(balls)
def test_keys_are_in_it_if_they_are_in_a_ball(some: list[tuple[int, int]]) -> None:
    coverage, inside = coverage_of(some)
    assert {key for key in range(256) if key << TOP in coverage} == inside
    assert {key for key in range(256) if ((key + 1) << TOP) - 1 in coverage} == inside
    assert coverage.share == len(inside) / 256


@given(balls, small, small)
def test_a_ball_is_in_it_if_all_of_its_keys_are(
    some: list[tuple[int, int]], center: int, radius: int
) -> None:
    coverage, inside = coverage_of(some)
    ball = {key for key in range(256) if key ^ center <= radius}
    missing = coverage.missing_from_ball(center << TOP, ((radius + 1) << TOP) - 1)
    assert (missing is None) is (ball <= inside)
    if missing is not None:
        assert missing not in coverage
        assert missing >> TOP in ball - inside


@given(st.integers(0, (1 << KEY_BITS) - 1), st.integers(0, (1 << KEY_BITS) - 1))
def test_rounding_never_claims_what_is_not_known(center: int, radius: int) -> None:
    coverage = Coverage()
    coverage.add_ball(center, radius)
    assert center in coverage or radius == 0
    outside = center ^ (radius + 1)
    assert radius + 1 == 1 << KEY_BITS or outside not in coverage
    # Its own ball may be said to be incomplete, by a thousandth of its radius.
    assert coverage.missing_from_ball(center, radius * 499 // 500) is None


def test_the_whole_space() -> None:
    coverage = Coverage()
    assert coverage.missing_from_ball(5, (1 << KEY_BITS) - 1) == 0
    coverage.add_ball(5, (1 << KEY_BITS) - 1)
    assert coverage.share == 1
    assert coverage.missing_from_ball(77, (1 << KEY_BITS) - 1) is None
