"""Checks connections with pings, and replaces those that stay bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from libp2p.network.health.data_structures import ConnectionHealth, HealthMonitorStatus
from libp2p.network.health.ping_probe import ConnectionPingResult, ping_connection
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.peer.id import ID

logger = get_logger(__name__)


class ConnectionHealthMonitor:
    """
    Checks the connections of a swarm every so many seconds; `libp2p.network.health.config`.

    A connection that several checks in a row found bad, and that is not in use, is replaced: first
    another one is dialled. Connections of protected peers are kept. So are those of a peer with at
    most ``min_connections_per_peer`` of them, unless their score is below the critical threshold.

    :param swarm: a `Swarm`.
    """

    def __init__(self, swarm: Any) -> None:
        self.swarm = swarm
        self.config = swarm.connection_config
        self._monitoring_task_started = trio.Event()
        self._stop_monitoring = trio.Event()

    async def run(self) -> None:
        """Check until cancelled or stopped; return at once if monitoring is not enabled."""
        if not self.config.enable_health_monitoring:
            return
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_when_told, scope)
                delay = self.config.health_initial_delay
                await trio.sleep(delay)  # time: the program has said how long
                self._monitoring_task_started.set()
                while True:
                    await self._check_all_connections()
                    await trio.sleep(self.config.health_check_interval)  # time: likewise

    def stop(self) -> None:
        """End `run`."""
        self._stop_monitoring.set()

    async def _stop_when_told(self, scope: trio.CancelScope) -> None:
        await self._stop_monitoring.wait()
        scope.cancel()

    async def _check_all_connections(self) -> None:
        for peer_id, connections in list(self.swarm.connections.items()):
            for connection in list(connections):
                with fault_barrier(lambda error: logger.debug("not checked: %s", error)):
                    await self._check_connection_health(peer_id, connection)

    async def _check_connection_health(self, peer_id: ID, conn: Any) -> None:
        """Ping a connection unless it is new; replace it if it has been bad for long."""
        if not self._has_health_data(peer_id, conn):
            self.swarm.initialize_connection_health(peer_id, conn)
        health: ConnectionHealth = self.swarm.health_data[peer_id][conn]
        if health.get_age() < self.config.health_warmup_window:
            return
        result = await self._ping_connection(conn)
        if not result.skipped:
            health.update_ping_metrics(result.rtt_ms, result.success)
        if result.success and not result.skipped:
            if self.config.record_ping_latency_in_peerstore:
                self.swarm.peerstore.record_latency(peer_id, result.rtt_ms / 1000)
        elif not result.success:
            health.add_error("ping_failure")
            if self.config.abort_connection_on_ping_failure:
                await conn.close()
                return
        if self._should_replace_connection(peer_id, conn):
            await self._replace_unhealthy_connection(peer_id, conn)

    async def _ping_connection(self, conn: Any) -> ConnectionPingResult:
        return await ping_connection(
            conn,
            ping_timeout=self.config.ping_timeout,
            skip_when_streams_open=self.config.skip_ping_when_streams_open,
        )

    def _should_replace_connection(self, peer_id: ID, conn: Any) -> bool:
        """Judge a connection; return whether it was bad often enough and is not in use."""
        if not self._has_health_data(peer_id, conn) or conn.get_streams():
            return False
        health: ConnectionHealth = self.swarm.health_data[peer_id][conn]
        config = self.config
        is_bad = (
            not health.is_healthy(config.min_health_threshold)
            or health.ping_latency > config.max_ping_latency
            or health.ping_success_rate < config.min_ping_success_rate
            or health.failed_streams > config.max_failed_streams
        )
        return health.judge(is_bad, config.unhealthy_grace_period)

    async def _replace_unhealthy_connection(self, peer_id: ID, conn: Any) -> None:
        if self.swarm.tag_store.is_protected(peer_id):
            return
        is_spare = len(self.swarm.connections.get(peer_id, ())) > (
            self.config.min_connections_per_peer
        )
        health: ConnectionHealth = self.swarm.health_data[peer_id][conn]
        if not is_spare and health.is_healthy(self.config.critical_health_threshold):
            return
        new = None
        with fault_barrier(lambda error: logger.debug("none instead of %r: %s", conn, error)):
            new = await self.swarm.dial_peer_replacement(peer_id)
        if new is not None:
            logger.debug("%r has been bad for long and is replaced", conn)
            await conn.close()

    def _has_health_data(self, peer_id: ID, conn: Any) -> bool:
        return conn in self.swarm.health_data.get(peer_id, {})

    async def get_monitoring_status(self) -> HealthMonitorStatus:
        """Return what is watched."""
        if not self.config.enable_health_monitoring:
            return HealthMonitorStatus(enabled=False)
        connections, kept = self.swarm.connections, self.swarm.health_data
        return HealthMonitorStatus(
            enabled=True,
            monitoring_task_started=self._monitoring_task_started.is_set(),
            check_interval_seconds=self.config.health_check_interval,
            total_connections=sum(map(len, connections.values())),
            monitored_connections=sum(map(len, kept.values())),
            total_peers=len(connections),
            monitored_peers=len(kept),
        )
