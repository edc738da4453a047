"""A fake host logs what its handlers raise, as a real one does; no test may overlook it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import fake_host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def nothing_fails_unseen() -> Iterator[None]:
    fake_host.failures.clear()
    yield
    assert fake_host.failures == []
