"""How large a reply is made for a peer, by how quickly it took the ones before."""

from __future__ import annotations

import pytest

from libp2p.bitswap.config import (
    EARLY_HAVE_SECONDS,
    MIN_REPLY_TARGET_BYTES,
    REPLY_SECONDS,
    REPLY_TARGET_BYTES,
)
from libp2p.bitswap.serve.send_rate import SendRate


def test_a_quick_peer_gets_large_replies() -> None:
    rate = SendRate()
    for _ in range(10):
        rate.wrote(REPLY_TARGET_BYTES, 0.001)
    assert rate.target == REPLY_TARGET_BYTES
    assert rate.seconds_for(REPLY_TARGET_BYTES) < EARLY_HAVE_SECONDS


def test_a_slow_peer_gets_small_ones_that_take_little_time() -> None:
    rate = SendRate()
    for _ in range(10):
        rate.wrote(64 * 1024, 64 * 1024 / 5e6)
    assert rate.target == pytest.approx(5e6 * REPLY_SECONDS, rel=0.1)
    for _ in range(10):
        rate.wrote(MIN_REPLY_TARGET_BYTES, 1.0)
    assert rate.target == MIN_REPLY_TARGET_BYTES
    assert rate.seconds_for(MIN_REPLY_TARGET_BYTES) == pytest.approx(1, rel=0.1)


def test_nothing_is_expected_of_a_peer_that_is_not_known() -> None:
    rate = SendRate()
    assert MIN_REPLY_TARGET_BYTES < rate.target < REPLY_TARGET_BYTES
    assert rate.seconds_for(256 * 1024) > EARLY_HAVE_SECONDS


def test_a_few_bytes_tell_nothing_unless_they_are_slow() -> None:
    rate = SendRate()
    first = rate.target
    rate.wrote(1024, 0.00001)
    assert rate.target == first
    rate.wrote(1024, 0.5)
    assert rate.target < first
