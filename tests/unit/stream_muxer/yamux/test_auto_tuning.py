"""Windows on a long link: they fill it, at every length, and no credit is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from libp2p.stream_muxer.yamux.flow_control import (
    DEFAULT_WINDOW_SIZE,
    GROWTH_ROUND_TRIPS,
    MAX_WINDOW_SIZE,
)
from tests.support.virtual_link import (
    GIGABIT,
    LeakingReceiveWindow,
    LinkSettings,
    VirtualLink,
)

MIB = 1024 * 1024
LONG = 0.050
STEADY = 0.7
"""From here to its end a run is steady, as a fraction of it."""

round_trips = pytest.mark.parametrize("ms", [1, 10, 50, 100, 200])


def run(settings: LinkSettings, trips: int = 40) -> VirtualLink:
    return VirtualLink(settings).run_all(max(trips * settings.round_trip, 0.3))


def steady_rate(link: VirtualLink) -> float:
    return link.rate(STEADY * link.clock.now, link.clock.now)


def highest_rate(settings: LinkSettings) -> float:
    """What the wire carries, or the largest window per round trip if that is less."""
    return min(settings.bandwidth, MAX_WINDOW_SIZE / settings.round_trip)


@round_trips
def test_the_window_reaches_the_product_of_bandwidth_and_delay(ms: int) -> None:
    link = run(LinkSettings(ms / 1000))
    assert link.window >= min(GIGABIT * ms / 1000, MAX_WINDOW_SIZE)


@round_trips
@pytest.mark.parametrize("bandwidth", [GIGABIT, 5 * GIGABIT])
def test_a_long_link_is_used_to_nine_tenths(ms: int, bandwidth: float) -> None:
    settings = LinkSettings(ms / 1000, bandwidth)
    assert steady_rate(run(settings)) >= 0.9 * highest_rate(settings)


@round_trips
def test_the_window_is_tuned_within_ten_round_trips(ms: int) -> None:
    link = run(LinkSettings(ms / 1000, 10 * GIGABIT))
    needed = min(10 * GIGABIT * ms / 1000, MAX_WINDOW_SIZE)
    tuned = next(mark.time for mark in link.reader.history if mark.window >= needed)
    assert tuned <= 10 * ms / 1000


@round_trips
@pytest.mark.parametrize("rate", [1e6, GIGABIT / 10])
def test_a_window_stays_in_proportion_to_what_is_read(ms: int, rate: float) -> None:
    """It doubles only if half of it went in four round trips: from less than eight trips' worth."""
    link = run(LinkSettings(ms / 1000, reader_rate=rate))
    half_windows_in_time = GROWTH_ROUND_TRIPS * rate * ms / 1000
    assert link.window <= max(4 * half_windows_in_time, DEFAULT_WINDOW_SIZE)


@pytest.mark.parametrize("ms", [1, 10])
def test_a_slow_reader_keeps_its_first_window(ms: int) -> None:
    link = VirtualLink(LinkSettings(ms / 1000, reader_rate=1e6)).run_all(2)
    assert link.window == DEFAULT_WINDOW_SIZE
    assert link.rate(0.5, 2) == pytest.approx(1e6, rel=0.1)


def test_nothing_grows_before_the_round_trip_time_is_known() -> None:
    link = run(LinkSettings(LONG, measure_rtt=False))
    assert link.window == DEFAULT_WINDOW_SIZE
    assert steady_rate(link) == pytest.approx(DEFAULT_WINDOW_SIZE / LONG, rel=0.15)


def test_a_used_up_budget_stops_the_growth_and_nothing_else() -> None:
    link = run(LinkSettings(LONG, budget=MIB))
    assert link.window == MIB
    assert link.reader.session._holdings.windows.held == MIB - DEFAULT_WINDOW_SIZE
    assert steady_rate(link) == pytest.approx(MIB / LONG, rel=0.1)


@round_trips
@pytest.mark.parametrize("reader_rate", [None, 20e6])
def test_credit_and_data_and_what_is_owed_make_the_window_at_any_time(
    ms: int, reader_rate: float | None
) -> None:
    link = VirtualLink(LinkSettings(ms / 1000, reader_rate=reader_rate))
    for now in link.run(max(20 * ms / 1000, 0.2)):
        assert now.lost_credit == 0


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    splits=st.lists(st.integers(1, 70_000), min_size=1, max_size=5),
    reader_rate=st.sampled_from([None, 2e6, 50e6]),
    round_trip=st.sampled_from([0.0, 0.001, 0.2]),
)
def test_no_credit_is_lost_whatever_the_pieces_that_arrive(
    splits: list[int], reader_rate: float | None, round_trip: float
) -> None:
    pieces = [*splits, 65_519]
    link = VirtualLink(LinkSettings(round_trip, reader_rate=reader_rate, splits=pieces))
    for now in link.run(0.02 + 3 * round_trip):
        assert now.lost_credit == 0
    assert link.reader.bytes_read > 0


@pytest.mark.parametrize(("bandwidth", "share"), [(GIGABIT, 0.65), (5 * GIGABIT, 0.5)])
def test_windows_that_leak_credit_collapse_where_these_do_not(
    bandwidth: float, share: float
) -> None:
    ours = run(LinkSettings(LONG, bandwidth))
    leaking = run(LinkSettings(LONG, bandwidth, window_type=LeakingReceiveWindow))
    assert ours.window == leaking.window == MAX_WINDOW_SIZE
    assert ours.lost_credit == 0
    half_of_each_window_outgrown = [DEFAULT_WINDOW_SIZE * 2**doubling // 2 for doubling in range(6)]
    assert leaking.lost_credit == pytest.approx(sum(half_of_each_window_outgrown), rel=0.05)
    assert steady_rate(leaking) < share * steady_rate(ours)
