"""A configuration that cannot work is refused."""

from __future__ import annotations

from typing import Any

import pytest

from libp2p.exceptions import InvalidArgument, WrongArgumentType
from libp2p.provide.config import ProvideConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"replication": 0},
        {"max_workers": 4, "on_demand_workers": 3, "periodic_workers": 2},
        {"max_workers": 4, "on_demand_workers": 4, "periodic_workers": 0},
        {"max_workers": 4, "on_demand_workers": 0, "periodic_workers": 4},
        {"slack_seconds": 100.0, "interval_seconds": 50.0},
        {"lookup_seconds": -1},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        ProvideConfig(**wrong)


def test_wrong_types_are_refused() -> None:
    with pytest.raises(WrongArgumentType):
        ProvideConfig(max_keys="many")  # type: ignore[arg-type]
