"""Tests over loopback, on the clock of the machine, and often with other processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

_HERE = Path(__file__).parent


@pytest.fixture
def patient_clock() -> MockClock:
    """Virtual time; it jumps when all tasks wait and the kernel has nothing more for them."""
    return MockClock(autojump_threshold=0.05)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put `timed` on the tests below this folder."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.timed)
