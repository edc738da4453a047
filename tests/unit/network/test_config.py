"""Every field of a swarm's configuration is checked, and frozen."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from libp2p.network.config import ConnectionConfig, SwarmConfig

FIELDS = {field.name: field.default for field in fields(SwarmConfig)}
SHARES = ("outbound_share", "high_water", "low_water")


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [-1, "1", None])
def test_what_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    limits: Any = {name: value}
    if value is None and isinstance(FIELDS[name], float) and name not in SHARES:
        assert getattr(SwarmConfig(**limits), name) == float("inf")  # no limit
        return
    with pytest.raises((ValueError, TypeError), match=name):
        SwarmConfig(**limits)


@pytest.mark.parametrize("name", SHARES)
def test_a_share_is_at_most_one(name: str) -> None:
    limits: Any = {name: 1.5}
    with pytest.raises(ValueError, match=name):
        SwarmConfig(**limits)


def test_it_does_not_change() -> None:
    config = SwarmConfig(dial_timeout=1)
    with pytest.raises(FrozenInstanceError):
        config.dial_timeout = 2.0  # type: ignore[misc]
    assert config == SwarmConfig(dial_timeout=1.0)


def test_the_budgets_of_a_host_follow_from_it() -> None:
    resources = SwarmConfig(receive_budget=1000).new_resources()
    assert resources.scope("receive windows", 5).limit == 1000


def test_it_has_py_libp2ps_name_too() -> None:
    assert ConnectionConfig is SwarmConfig
