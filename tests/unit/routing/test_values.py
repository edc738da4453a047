"""The best of several values."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from libp2p.exceptions import InvalidRecord
from libp2p.routing.values import BestValue


class LongestWins:
    """Takes the longest value as the best; an empty one is invalid."""

    def validate(self, key: bytes, value: bytes) -> None:
        if not value:
            raise KeyError("empty")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return values.index(max(values, key=len))


def test_the_best_value_stays() -> None:
    value = BestValue(b"key", LongestWins())
    assert value.best is None
    assert value.offer(b"22")
    assert not value.offer(b"1")
    assert not value.offer(b"22")
    assert value.offer(b"333")
    assert value.best == b"333"


def test_an_invalid_value_is_refused_and_says_why() -> None:
    value = BestValue(b"key", LongestWins())
    with pytest.raises(InvalidRecord, match="empty"):
        value.offer(b"")
    assert value.best is None


def test_without_rules_the_first_value_stays() -> None:
    value = BestValue(b"key", None)
    assert value.offer(b"1")
    assert not value.offer(b"22")
    assert value.best == b"1"
