"""The health of real connections: round trips, bytes, failures; bad ones are replaced."""

from __future__ import annotations

import json

import pytest
import trio

from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.base_types import TProtocol
from libp2p.events import PeerDisconnected, StreamClosed
from libp2p.exceptions import InvalidArgument
from libp2p.network.config import ConnectionConfig
from libp2p.network.health.monitor import ConnectionHealthMonitor
from libp2p.network.health.ping_probe import ping_connection
from tests.support.hosts import LOOPBACK, info_of, running_host

ECHO = TProtocol("/echo/1")


def config(**options: object) -> ConnectionConfig:
    return ConnectionConfig(
        enable_health_monitoring=True,
        **{"health_warmup_window": 0.0, "health_initial_delay": 0.0, **options},
    )


async def test_round_trips_bytes_and_failures_of_a_connection() -> None:
    host = new_host(connection_config=config())

    async def answer(stream: INetStream) -> None:
        if await stream.read(1) == b"x":
            await stream.reset()

    async with running_host() as other, host.run(listen_addrs=[LOOPBACK]):
        other.set_stream_handler(ECHO, answer)
        await host.connect(info_of(other))
        swarm, peer = host.get_network(), other.get_id()
        (connection,) = swarm.get_connections(peer)
        health = swarm.health_data[peer][connection]
        ended = trio.Event()
        swarm.events.subscribe(lambda e: e.stream is stream and ended.set(), StreamClosed)
        stream = await host.new_stream(peer, [ECHO])
        await stream.write(b"x" * 1000)
        await ended.wait()
        assert health.failed_streams == 1
        assert health.average_stream_lifetime > 0
        result = await ping_connection(connection, ping_timeout=5)
        assert result.success
        assert result.rtt_ms > 0
        swarm.record_connection_event(peer, connection, "seen")
        swarm.record_connection_error(peer, connection, "odd")
        summary = host.get_connection_health(peer)
        (details,) = summary["connections"]
        assert details["total_bytes_sent"] > 1000
        assert details["total_bytes_received"] > 0
        assert details["recent_errors"] == 2
        assert host.get_network_health_summary()["total_connections"] == 1
        assert json.loads(host.export_health_metrics())["peer_details"][0]["peer_id"] == str(peer)
        assert "libp2p_connections_total 1\n" in host.export_health_metrics("prometheus")
        with pytest.raises(InvalidArgument):
            host.export_health_metrics("XML")
        status = await host.get_health_monitor_status()
        assert status["monitored_connections"] == 1
        await host.disconnect(peer)
        assert not (await ping_connection(connection, ping_timeout=5)).success
    assert swarm.health_data == {}


async def test_connections_are_checked_by_themselves() -> None:
    host = new_host(connection_config=config(health_check_interval=0.01))
    async with running_host() as other, host.run(listen_addrs=[]):
        await host.connect(info_of(other))
        with trio.fail_after(10):
            while not host.get_peerstore().latency_EWMA(other.get_id()):  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert host.get_connection_health(other.get_id())["average_latency_ms"] > 0


async def test_a_bad_connection_is_replaced_and_the_newest_strategy_uses_another() -> None:
    host = new_host(
        connection_config=config(
            health_initial_delay=3600.0,
            unhealthy_grace_period=1,
            min_ping_success_rate=0.9,
            load_balancing_strategy="health_based",
        )
    )
    async with running_host() as other, host.run(listen_addrs=[]):
        await host.connect(info_of(other))
        swarm, peer = host.get_network(), other.get_id()
        (old,) = swarm.get_connections(peer)
        await old.event_identified.wait()
        while old.get_streams():
            await trio.testing.wait_all_tasks_blocked()
        other.remove_stream_handler(TProtocol("/ipfs/ping/1.0.0"))
        monitor = ConnectionHealthMonitor(swarm)
        await monitor._check_connection_health(peer, old)
        assert swarm.get_connections(peer) == [old]  # it is the only one, and not hopeless
        second = await swarm.dial_peer_replacement(peer)
        assert swarm.get_connection(peer) is second
        ended = trio.Event()
        swarm.events.subscribe(lambda _: ended.set(), PeerDisconnected)
        await monitor._check_connection_health(peer, old)
        await ended.wait()
        assert old not in swarm.get_connections(peer)
        assert len(swarm.get_connections(peer)) == 2


async def test_who_does_not_ask_for_it_has_none() -> None:
    async with running_host() as host, running_host() as other:
        await host.connect(info_of(other))
        assert host.get_connection_health(other.get_id()) == {}
        assert host.get_network_health_summary() == {}
        assert host.export_health_metrics() == "{}"
        assert host.export_health_metrics("prometheus") == ""
        assert await host.get_health_monitor_status() == {"enabled": False}
        await ConnectionHealthMonitor(host.get_network()).run()


async def test_streams_go_to_each_connection_in_turn_or_to_the_one_with_the_fewest() -> None:
    for strategy in ("round_robin", "least_loaded", "latency_based"):
        options = {"load_balancing_strategy": strategy}
        host = new_host(connection_config=ConnectionConfig(**options))
        async with running_host() as other, host.run(listen_addrs=[]):
            other.set_stream_handler(ECHO, INetStream.close)
            await host.connect(info_of(other))
            await host.get_network().dial_peer_replacement(other.get_id())
            streams = [await host.new_stream(other.get_id(), [ECHO]) for _ in range(4)]
            assert len({id(each.muxed_conn) for each in streams}) == 2
