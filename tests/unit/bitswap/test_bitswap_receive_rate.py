"""What is learned of a peer's latency and rate, and the time-out that follows."""

from __future__ import annotations

import pytest

from libp2p.bitswap.config import (
    DONT_HAVE_TIMEOUT,
    MAX_DONT_HAVE_TIMEOUT,
    MAX_LATENCY_SECONDS,
    MIN_DONT_HAVE_TIMEOUT,
)
from libp2p.bitswap.want.receive_rate import ReceiveRate


def test_a_peer_that_nothing_is_known_of_gets_the_default_time() -> None:
    assert ReceiveRate().timeout == DONT_HAVE_TIMEOUT


@pytest.mark.parametrize(("round_trip", "timeout"), [(0.1, 2.3), (1.0, 5.0), (9.0, 7.0)])
def test_a_known_round_trip_makes_the_time_out(round_trip: float, timeout: float) -> None:
    rate = ReceiveRate()
    rate.measured_round_trip(round_trip)
    assert rate.timeout == pytest.approx(timeout)


@pytest.mark.parametrize(
    ("latency", "timeout"),
    [(0.0, MIN_DONT_HAVE_TIMEOUT), (0.01, MIN_DONT_HAVE_TIMEOUT), (0.2, 0.4), (5, 7)],
)
def test_once_blocks_have_come_the_time_out_is_twice_their_latency(
    latency: float, timeout: float
) -> None:
    rate = ReceiveRate()
    rate.measured_round_trip(3.0)
    rate.waited(latency, is_first=True)
    assert rate.timeout == timeout


def test_the_latency_rises_quickly_and_falls_slowly() -> None:
    rate = ReceiveRate()
    rate.waited(0.1, is_first=True)
    rate.waited(0.3, is_first=True)
    assert rate.latency == pytest.approx(0.2)
    rate.waited(0.0, is_first=True)
    assert rate.latency == pytest.approx(0.15)


def test_times_between_blocks_count_only_if_they_are_long() -> None:
    rate = ReceiveRate()
    rate.waited(0.1, is_first=True)
    rate.waited(0.001, is_first=False)
    assert rate.latency == pytest.approx(0.1)
    rate.waited(0.5, is_first=False)
    assert rate.latency == pytest.approx(0.3)


def test_accidents_do_not_count_and_the_time_out_has_a_bound() -> None:
    rate = ReceiveRate()
    rate.waited(MAX_LATENCY_SECONDS + 1, is_first=True)
    assert rate.timeout == DONT_HAVE_TIMEOUT
    rate.waited(MAX_LATENCY_SECONDS, is_first=True)
    assert rate.timeout == MAX_DONT_HAVE_TIMEOUT


def test_the_rate_is_that_of_the_time_in_which_blocks_are_due() -> None:
    rate = ReceiveRate()
    rate.arrived(1000, 0.0)  # nothing is due: answers, wants
    assert (rate.bytes_per_second, rate.received) == (0.0, 1000)
    rate.begin(0.0)
    rate.begin(50.0)
    rate.arrived(1000, 1.0)
    assert rate.bytes_per_second == pytest.approx(1000)
    rate.end()
    rate.begin(100.0)
    rate.arrived(1000, 101.0)
    assert rate.bytes_per_second == pytest.approx(1000)


def test_the_rate_leaves_out_the_round_trip() -> None:
    rate = ReceiveRate()
    rate.measured_round_trip(0.5)
    rate.begin(0.0)
    rate.arrived(1000, 0.5)
    assert rate.bytes_per_second == 0.0  # all at once: nothing is known yet
    rate.arrived(1000, 0.6)
    assert rate.bytes_per_second == pytest.approx(20_000)


def test_a_first_guess_of_the_rate_gives_way_to_a_sample() -> None:
    rate = ReceiveRate()
    rate.begin(0.0)
    rate.arrived(1000, 0.01)
    assert rate.bytes_per_second == pytest.approx(100_000)
    rate.arrived(0, 0.02)
    assert rate.bytes_per_second == pytest.approx(50_000)
    rate.arrived(0, 0.1)
    assert rate.bytes_per_second == pytest.approx(10_000)
    rate.arrived(100, 0.11)  # too short for a sample, which there is
    assert rate.bytes_per_second == pytest.approx(10_000)


def test_a_long_sample_weighs_more_than_a_short_one() -> None:
    def after(seconds: float) -> float:
        rate = ReceiveRate()
        rate.begin(0.0)
        rate.arrived(1000, 1.0)
        rate.arrived(0, 1.0 + seconds)
        return rate.bytes_per_second

    assert after(0.1) == pytest.approx(500)
    assert after(0.9) == pytest.approx(100)


def test_a_rate_that_is_forgotten_is_learned_anew() -> None:
    rate = ReceiveRate()
    rate.begin(0.0)
    rate.arrived(1000, 1.0)
    rate.forget_rate()
    assert rate.bytes_per_second == 0.0
    rate.arrived(9000, 2.0)
    assert rate.bytes_per_second == pytest.approx(9000)
