"""Marks every test of this folder as `interop`, so that a run can ask for them or leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the marker on the tests below this folder."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)
