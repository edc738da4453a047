"""Every field of a swarm's configuration is checked, and frozen."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
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


def test_py_libp2ps_names_of_the_limits() -> None:
    config = ConnectionConfig(
        max_connections=10,
        low_watermark=2,
        high_watermark=3,
        grace_period=2.0,
        inbound_upgrade_timeout=7.0,
        dial_timeout=5,
        allow_list=["192.0.2.0/24"],
        deny_list="192.0.2.1",
        enable_health_monitoring=False,
    )
    assert isinstance(config, SwarmConfig)
    assert (config.low_watermark, config.high_watermark, config.low_water) == (2, 3, 0.2)
    assert (config.idle_grace, config.inbound_timeout, config.dial_timeout) == (2.0, 7.0, 5.0)
    assert (config.allow_list, config.deny_list) == (("192.0.2.0/24",), ("192.0.2.1",))
    assert replace(config, negotiate_timeout=1.0).allow_list == config.allow_list
    assert ConnectionConfig(max_connections=0, low_watermark=5).low_water == 1.0
    assert config == replace(config)
    assert config != ConnectionConfig()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_peer_addrs_to_dial": 7}, "does not have it"),
        ({"load_balancing_strategy": "luck"}, "Load balancing strategy must be one of"),
        ({"max_connectionz": 1}, "no option"),
        ({"low_watermark": -1}, "low_watermark"),
        ({"low_watermark": "2"}, "low_watermark"),
        ({"max_connections": "2"}, "max_connections"),
        ({"min_connections": -1}, "Min connections"),
        ({"min_connections": "1"}, "min_connections"),
        ({"low_watermark": 9, "high_watermark": 8}, "High watermark should be >= low_watermark"),
        ({"high_watermark": 9, "max_connections": 8}, "Max connections should be >= high"),
        ({"min_connections": 9, "low_watermark": 8}, "Low watermark should be >= min"),
        ({"auto_connect_interval": 0}, "Auto connect interval"),
        ({"grace_period": -1}, "Grace period"),
        ({"deny_list": ["nowhere"]}, "neither an IP address nor a network"),
        ({"deny_list": [7]}, "deny_list"),
    ],
)
def test_what_py_libp2ps_configuration_cannot_have(options: Any, told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        ConnectionConfig(**options)
