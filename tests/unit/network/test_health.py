"""What is known of a connection's health, without a network."""

from __future__ import annotations

import time
from unittest.mock import patch

import pytest

from libp2p.exceptions import InvalidArgument
from libp2p.network.config import ConnectionConfig, SwarmConfig
from libp2p.network.health.data_structures import create_default_connection_health


def test_options_are_those_of_py_libp2p() -> None:
    config = ConnectionConfig(enable_health_monitoring=True, ping_timeout=2, max_connections=7)
    assert config.health.enable_health_monitoring
    assert config.health.ping_timeout == 2.0
    assert not SwarmConfig().health.enable_health_monitoring
    assert getattr(config, "ping_timeout") == 2.0  # noqa: B009 - not known to type checkers
    assert getattr(config, "connection_timeout") == config.dial_peer_timeout  # noqa: B009
    assert not hasattr(config, "nonsense")
    for wrong in ({"load_balancing_strategy": "luck"}, {"health_check_interval": 0}):
        with pytest.raises(InvalidArgument):
            ConnectionConfig(**wrong)


def test_the_score_falls_with_pings_that_fail_and_errors_that_are_recent() -> None:
    health = create_default_connection_health()
    health.update_ping_metrics(20.0, success=True)
    assert (health.ping_latency, health.ping_success_rate) == (20.0, 1.0)
    good = health.health_score
    health.update_ping_metrics(0.0, success=False)
    assert health.ping_latency == 20.0
    assert health.health_score < good
    for _ in range(200):
        health.add_error("ping_failure")
        health.add_connection_event("used")
    assert (len(health.error_history), len(health.connection_events)) == (100, 50)
    assert health.connection_stability < 0.1
    with patch.object(time, "time", return_value=time.time() + 3600):
        summary = health.get_health_summary()
        assert summary["connection_stability"] == 1.0
        assert summary["connection_age_seconds"] >= 3600
        assert summary["idle_time_seconds"] >= 3600


def test_streams_and_bytes_are_counted() -> None:
    health = create_default_connection_health()
    health.note_totals(1000, 500, 1)
    health.note_totals(1000, 500, 1)
    assert (health.total_bytes_sent, health.total_bytes_received) == (1000, 500)
    assert health.peak_bandwidth == health.average_bandwidth == 5.0
    for window in range(1, 15):
        with patch.object(time, "time", return_value=time.time() + 300 * window):
            health.update_bandwidth_metrics(1, 1)
    assert len(health.bandwidth_usage) == 10
    health.note_stream_end(3, 2.0, failed=False)
    health.note_stream_end(2, 4.0, failed=True)
    assert (health.stream_count, health.failed_streams) == (2, 1)
    assert health.average_stream_lifetime == 3.0


def test_it_takes_several_bad_times_in_a_row() -> None:
    health = create_default_connection_health()
    assert [health.judge(bad, 2) for bad in (True, False, True, True, True)] == [
        *(False, False, False, True, False),
    ]
