"""The best of the values that routers know for a key (sans-I/O)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from libp2p.exceptions import InvalidRecord
from libp2p.hostile_input import refused_as


class RecordRules(Protocol):
    """Which records are good, and which is the best: `libp2p.records`' ``NamespacedValidator``."""

    def validate(self, key: bytes, value: bytes) -> None:
        """:raises Exception: if the value may not stand under the key."""

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """Return the index of the best of several values of a key."""


class BestValue:
    """
    The best value of a key so far.

    Without rules nothing tells a good value from a bad one; then the first one stays.
    """

    def __init__(self, key: bytes, rules: RecordRules | None) -> None:
        self._key = key
        self._rules = rules
        self._best: bytes | None = None

    @property
    def best(self) -> bytes | None:
        """The best value; None if there is none yet."""
        return self._best

    def offer(self, value: bytes) -> bool:
        """
        Take a value if it is better than the one before; return whether it is.

        :raises InvalidRecord: if it may not stand under the key.
        """
        with refused_as(InvalidRecord, "a router's record is invalid"):
            if self._rules is not None:
                self._rules.validate(self._key, value)
            if self._best is None:
                self._best = value
                return True
            if self._rules is None or value == self._best:
                return False
            if self._rules.select(self._key, [self._best, value]) != 1:
                return False
            self._best = value
            return True
