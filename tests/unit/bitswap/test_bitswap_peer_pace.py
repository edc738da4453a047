"""What is learned of a peer's latency and rate, and the time-out that follows."""

from __future__ import annotations

import pytest

from libp2p.bitswap.config import (
    DONT_HAVE_TIMEOUT,
    MAX_DONT_HAVE_TIMEOUT,
    MAX_LATENCY_SECONDS,
    MIN_DONT_HAVE_TIMEOUT,
)
from libp2p.bitswap.want.receive_rate import Pace


def test_a_peer_that_nothing_is_known_of_gets_the_default_time() -> None:
    assert Pace().timeout == DONT_HAVE_TIMEOUT


@pytest.mark.parametrize(("round_trip", "timeout"), [(0.1, 2.3), (1.0, 5.0), (9.0, 7.0)])
def test_a_known_round_trip_makes_the_time_out(round_trip: float, timeout: float) -> None:
    pace = Pace()
    pace.round_trip = round_trip
    assert pace.timeout == pytest.approx(timeout)


@pytest.mark.parametrize(
    ("latency", "timeout"),
    [(0.0, MIN_DONT_HAVE_TIMEOUT), (0.01, MIN_DONT_HAVE_TIMEOUT), (0.2, 0.4), (5, 7)],
)
def test_once_blocks_have_come_the_time_out_is_twice_their_latency(
    latency: float, timeout: float
) -> None:
    pace = Pace()
    pace.round_trip = 3.0
    pace.waited(latency, first=True)
    assert pace.timeout == timeout


def test_the_latency_rises_quickly_and_falls_slowly() -> None:
    pace = Pace()
    pace.waited(0.1, first=True)
    pace.waited(0.3, first=True)
    assert pace.latency == pytest.approx(0.2)
    pace.waited(0.0, first=True)
    assert pace.latency == pytest.approx(0.15)


def test_times_between_blocks_count_only_if_they_are_long() -> None:
    pace = Pace()
    pace.waited(0.1, first=True)
    pace.waited(0.001, first=False)
    assert pace.latency == pytest.approx(0.1)
    pace.waited(0.5, first=False)
    assert pace.latency == pytest.approx(0.3)


def test_accidents_do_not_count_and_the_time_out_has_a_bound() -> None:
    pace = Pace()
    pace.waited(MAX_LATENCY_SECONDS + 1, first=True)
    assert pace.timeout == DONT_HAVE_TIMEOUT
    pace.waited(MAX_LATENCY_SECONDS, first=True)
    assert pace.timeout == MAX_DONT_HAVE_TIMEOUT


def test_the_rate_is_that_of_the_time_in_which_blocks_are_due() -> None:
    pace = Pace()
    pace.arrived(1000, 0.0)  # nothing is due: answers, wants
    assert (pace.rate, pace.received) == (0.0, 1000)
    pace.begin(0.0)
    pace.begin(50.0)
    pace.arrived(1000, 1.0)
    assert pace.rate == pytest.approx(1000)
    pace.end()
    pace.begin(100.0)
    pace.arrived(1000, 101.0)
    assert pace.rate == pytest.approx(1000)


def test_the_rate_leaves_out_the_round_trip() -> None:
    pace = Pace()
    pace.round_trip = 0.5
    pace.begin(0.0)
    pace.arrived(1000, 0.5)
    assert pace.rate == 0.0  # all at once: nothing is known yet
    pace.arrived(1000, 0.6)
    assert pace.rate == pytest.approx(20_000)


def test_a_first_guess_of_the_rate_gives_way_to_a_sample() -> None:
    pace = Pace()
    pace.begin(0.0)
    pace.arrived(1000, 0.01)
    assert pace.rate == pytest.approx(100_000)
    pace.arrived(0, 0.02)
    assert pace.rate == pytest.approx(50_000)
    pace.arrived(0, 0.1)
    assert pace.rate == pytest.approx(10_000)
    pace.arrived(100, 0.11)  # too short for a sample, which there is
    assert pace.rate == pytest.approx(10_000)


def test_a_long_sample_weighs_more_than_a_short_one() -> None:
    def after(seconds: float) -> float:
        pace = Pace()
        pace.begin(0.0)
        pace.arrived(1000, 1.0)
        pace.arrived(0, 1.0 + seconds)
        return pace.rate

    assert after(0.1) == pytest.approx(500)
    assert after(0.9) == pytest.approx(100)


def test_a_rate_that_is_forgotten_is_learned_anew() -> None:
    pace = Pace()
    pace.begin(0.0)
    pace.arrived(1000, 1.0)
    pace.forget_rate()
    assert pace.rate == 0.0
    pace.arrived(9000, 2.0)
    assert pace.rate == pytest.approx(9000)
