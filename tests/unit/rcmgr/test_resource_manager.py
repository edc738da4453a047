"""py-libp2p's resource manager: what a program acquires counts beside what a host holds."""

from __future__ import annotations

import pytest

from libp2p.exceptions import InvalidArgument, WrongArgumentType
from libp2p.rcmgr import Direction, ResourceLimits, ResourceManager, ResourceScopeClosed
from libp2p.rcmgr.cidr_limits import CIDRLimiter
from libp2p.rcmgr.manager import ScopeStat
from libp2p.rcmgr.metrics import Metrics, MetricType

LIMITS = ResourceLimits(max_connections=2, max_memory_mb=1, max_streams=2)
MIB = 1024 * 1024


def test_limits_hold_for_what_a_host_and_the_program_hold_together() -> None:
    manager = ResourceManager(LIMITS)
    hosts = manager.resources.scope("sockets").open("connections").open("ann")
    hosts.hold(1)
    manager.resources.scope("inbound streams").open("ann").hold(1)
    manager.resources.scope("unread bytes").open("ann").hold(MIB - 10)
    assert manager.acquire_connection("ann")
    assert not manager.acquire_connection("bob")
    assert manager.acquire_stream("bob", Direction.OUTBOUND)
    assert not manager.acquire_stream("bob", Direction.OUTBOUND)
    assert manager.acquire_memory(10)
    assert not manager.acquire_memory(1)
    assert manager.stat() == ScopeStat(2, 2, MIB)
    assert manager.stat("ann") == ScopeStat(2, 1, MIB - 10)
    assert manager.stat("bob") == ScopeStat(0, 1, 0)
    assert manager.get_stats()["limits"]["max_streams"] == 2
    assert not manager.is_resource_available("connections")
    assert manager.metrics is not None
    assert manager.metrics.get_summary()["blocks"] == {"connections": 1, "memory": 1, "streams": 1}
    hosts.release(1)
    assert manager.is_resource_available("connections")
    with pytest.raises(InvalidArgument):
        manager.is_resource_available("sockets")


def test_no_more_is_released_than_was_acquired() -> None:
    manager = ResourceManager(enable_metrics=False)
    assert manager.metrics is None
    for _ in range(2):
        manager.release_connection("ann")
        manager.release_stream("ann", Direction.INBOUND)
        manager.release_memory(7)
        assert manager.stat() == ScopeStat(0, 0, 0)
        assert manager.acquire_connection("ann")
        assert manager.acquire_connection("ann")
        assert manager.acquire_stream("ann", Direction.INBOUND)
        assert manager.acquire_memory(5)
        manager.release_connection("ann")


def test_streams_of_services_and_protocols_have_limits_of_their_own() -> None:
    manager = ResourceManager()
    manager.set_service_stream_limit("echo", 2)
    manager.set_service_peer_stream_limit("echo", 1)
    manager.set_protocol_stream_limit("/p", 1)
    manager.set_protocol_peer_stream_limit("/p", 0)
    acquire, inbound = manager.acquire_scoped_stream, Direction.INBOUND
    assert not acquire("ann", inbound, protocol="/p")
    manager.set_protocol_peer_stream_limit("/p", 5)
    assert acquire("ann", inbound, service="echo", protocol="/p")
    assert not acquire("ann", inbound, service="echo")
    assert not acquire("bob", inbound, protocol="/p")
    assert acquire("bob", inbound, service="echo")
    assert not acquire("eve", inbound, service="echo")
    manager.release_scoped_stream("ann", inbound, service="echo", protocol="/p")
    assert acquire("eve", inbound, service="echo", protocol="/p")


def test_networks_have_limits_and_peers_a_rate() -> None:
    manager = ResourceManager(
        cidr_limits=[("10.0.0.0/8", 1), ("::/0", 0)],
        burst_connections_per_peer=2,
        connections_per_peer_per_sec=1e-6,
    )
    scope = manager.open_connection("ann", "10.0.0.1")
    assert scope is not None
    with scope:
        assert manager.open_connection("bob", "10.0.0.2") is None
    scope.close()
    assert manager.open_connection("bob", "10.0.0.2") is not None
    assert manager.open_connection("eve", "::1") is None
    assert manager.open_connection(None, "no address") is not None
    assert manager.acquire_connection("ann")
    assert not manager.acquire_connection("ann")  # three within a second
    with pytest.raises(InvalidArgument):
        CIDRLimiter([("10.0.0.0/99", 1)])


def test_a_closed_manager_holds_and_gives_nothing() -> None:
    manager = ResourceManager()
    assert manager.acquire_connection("ann")
    assert manager.acquire_memory(1)
    manager.close()
    assert manager.stat() == ScopeStat(0, 0, 0)
    with pytest.raises(ResourceScopeClosed):
        manager.acquire_connection("ann")
    with pytest.raises(ResourceScopeClosed):
        manager.acquire_memory(1)
    with pytest.raises(ResourceScopeClosed):
        manager.acquire_stream("ann", Direction.INBOUND)


def test_parts_that_are_not_here_can_only_be_turned_off() -> None:
    ResourceManager(enable_circuit_breaker=False, allowlist=None)
    with pytest.raises(InvalidArgument, match="enable_prometheus"):
        ResourceManager(enable_prometheus=True)
    with pytest.raises(WrongArgumentType, match="nonsense"):
        ResourceManager(nonsense=1)


def test_metrics_know_their_peaks() -> None:
    metrics = Metrics()
    metrics.record_connection("inbound")
    metrics.record_connection("outbound", 2)
    metrics.record_connection("outbound", -2)
    metrics.set_gauge(MetricType.PEAK_MEMORY, 7.0)
    assert metrics.get_gauge(MetricType.PEAK_CONNECTIONS) == 3
    assert metrics.get_summary()["memory"]["peak"] == 7
    metrics.allow_stream("ann", "outbound")
    metrics.remove_stream("outbound")
    assert metrics.get_summary()["streams"] == {"inbound": 0, "outbound": 0, "total": 0, "peak": 1}
    with pytest.raises(InvalidArgument):
        metrics.record_block("nonsense")
    assert Direction.from_string("OUTBOUND") is Direction.OUTBOUND
    assert Direction.from_string("sideways") is Direction.UNKNOWN
