"""Marks every test of this folder: they talk to processes of others, and wait for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put `interop` on the tests below this folder, so that a run can ask for them, and `timed`."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)
            item.add_marker(pytest.mark.timed)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """Pytest's folder, but it goes with the test: some of the files in them are large."""
    yield tmp_path
    shutil.rmtree(tmp_path)
