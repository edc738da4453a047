"""Fixtures for tests over loopback."""

from __future__ import annotations

import pytest
from trio.testing import MockClock


@pytest.fixture
def patient_clock() -> MockClock:
    """Virtual time; it jumps when all tasks wait and the kernel has nothing more for them."""
    return MockClock(autojump_threshold=0.05)
