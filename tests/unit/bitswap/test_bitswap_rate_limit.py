"""Token buckets: what passes at once, what waits, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.bitswap.config import MAX_ACCOUNTS
from libp2p.bitswap.serve.rate_limit import BandwidthLimits, RateLimiter, TokenBucket
from libp2p.peer.id import ID

ANN, BOB = ID(b"\x00\x03ann"), ID(b"\x00\x03bob")


def test_a_full_bucket_passes_its_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=1000, burst=5000)
    sent = 0
    while bucket.ready_at(7) == 7:
        bucket.spend(100, 7)
        sent += 100
    assert sent == 5000
    assert bucket.ready_at(7) == pytest.approx(7.001)
    bucket.spend(1000, 7.5)
    assert bucket.ready_at(7.5) == pytest.approx(8.001)


def test_a_block_larger_than_the_bucket_passes_and_is_paid_for_later() -> None:
    bucket = TokenBucket(rate=1000)
    bucket.spend(11_000, 0)
    assert bucket.ready_at(0) == pytest.approx(10.001)
    assert bucket.ready_at(10.5) == 10.5


def test_a_pause_saves_no_more_than_the_burst() -> None:
    bucket = TokenBucket(rate=1000)
    bucket.spend(1000, 0)
    bucket.spend(2000, 1000)
    assert bucket.ready_at(1000) == pytest.approx(1001.001)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=1000)
    bucket.spend(1000, 10)
    assert bucket.ready_at(5) > 5
    assert bucket.ready_at(5) < 6


@pytest.mark.parametrize(("rate", "burst"), [(0, None), (-1, None), (1, 0)])
def test_a_bucket_without_a_rate_is_refused(rate: float, burst: float | None) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        TokenBucket(rate, burst)


@pytest.mark.parametrize(
    "wrong", [{"total": 0}, {"per_peer": -1}, {"peers": {ANN: 0}}, {"burst_seconds": 0}]
)
def test_limits_of_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        BandwidthLimits(**wrong)  # type: ignore[arg-type]  # one of several kinds


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5000)), max_size=50), st.integers(1, 3000)
)
def test_no_more_than_burst_rate_and_one_block_passes(
    steps: list[tuple[float, int]], rate: int
) -> None:
    bucket = TokenBucket(rate)
    now = sent = largest = 0.0
    for pause, size in steps:
        now = bucket.ready_at(now + pause)
        bucket.spend(size, now)
        sent += size
        largest = max(largest, size)
        assert sent <= rate * (1 + now) + largest + 1e-6 * sent


def test_without_limits_everything_passes() -> None:
    limiter = RateLimiter()
    limiter.spend(ANN, 10**12, 0)
    assert limiter.peer_ready_at(ANN, 0) == limiter.total_ready_at(0) == 0
    assert not limiter.limits_any


def test_each_peer_has_its_own_limit_and_all_have_one_together() -> None:
    limiter = RateLimiter(BandwidthLimits(total=3000, per_peer=1000))
    assert limiter.limits_any
    assert limiter.limits_total
    limiter.spend(ANN, 2000, 0)
    assert limiter.peer_ready_at(ANN, 0) == pytest.approx(1.001)
    assert limiter.peer_ready_at(BOB, 0) == 0
    assert limiter.total_ready_at(0) == 0
    limiter.spend(BOB, 2000, 0)
    assert limiter.total_ready_at(0) > 0


def test_named_peers_have_limits_of_their_own_or_none() -> None:
    limits = BandwidthLimits(per_peer=1000, peers={ANN: 5000, BOB: None}, burst_seconds=2)
    limiter = RateLimiter(limits)
    assert not limiter.limits_total
    for peer in (ANN, BOB):
        limiter.spend(peer, 9999, 0)
        assert limiter.peer_ready_at(peer, 0) == 0
    limiter.spend(ANN, 5001, 0)
    assert limiter.peer_ready_at(ANN, 0) == pytest.approx(1.0002)


def test_the_bucket_of_a_peer_outlives_its_connections_and_a_few_thousand_others() -> None:
    limiter = RateLimiter(BandwidthLimits(per_peer=1000))
    limiter.spend(ANN, 10_000, 0)
    for number in range(MAX_ACCOUNTS - 1):
        limiter.spend(ID(b"\x00\x01%d" % number), 1, 0)
    assert limiter.peer_ready_at(ANN, 0) > 0
    for number in range(MAX_ACCOUNTS):
        limiter.spend(ID(b"\x00\x02x%d" % number), 1, 0)
    assert limiter.peer_ready_at(ANN, 0) == 0
