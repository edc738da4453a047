"""py-libp2p's names of a swarm's `HealthBoard` and of its monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from libp2p.abc import INetConn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.network.config import SwarmConfig
    from libp2p.network.connection_manager import ConnectionManager
    from libp2p.network.health.board import HealthBoard
    from libp2p.network.health.data_structures import ConnectionHealth
    from libp2p.network.health.monitor import ConnectionHealthMonitor
    from libp2p.peer.id import ID
    from libp2p.utils.event_bus import EventBus

C = TypeVar("C", bound=INetConn)


class HealthNames:
    """What a `Swarm` knows of its connections' health; empty unless monitoring is enabled."""

    config: SwarmConfig
    connection_manager: ConnectionManager

    def watch_health(self, events: EventBus) -> None:
        """Begin, when the swarm is made."""
        self._board: HealthBoard | None = None
        self._health_monitor: ConnectionHealthMonitor | None = None
        self._turn = 0
        self._last_turns: WeakKeyDictionary[INetConn, int] = WeakKeyDictionary()
        if self._is_health_monitoring_enabled:
            from libp2p.network.health.board import HealthBoard
            from libp2p.network.health.monitor import ConnectionHealthMonitor

            self._board = HealthBoard(self.config.health, events)
            self._health_monitor = ConnectionHealthMonitor(self)

    @property
    def tag_store(self) -> ConnectionManager:
        """What keeps tags and protections."""
        return self.connection_manager

    @property
    def _is_health_monitoring_enabled(self) -> bool:
        return self.config.health.enable_health_monitoring

    @property
    def health_data(self) -> dict[ID, dict[INetConn, ConnectionHealth]]:
        """The health of each connection, by peer."""
        return {} if self._board is None else self._board.data

    def initialize_connection_health(self, peer_id: ID, connection: INetConn) -> None:
        """Keep the health of a connection; those of the swarm are kept from their beginning."""
        if self._board is not None:
            self._board.begin(peer_id, connection)

    def cleanup_connection_health(self, peer_id: ID, connection: INetConn) -> None:
        """Forget a connection."""
        if self._board is not None:
            self._board.end(peer_id, connection)

    def record_connection_event(self, peer_id: ID, connection: INetConn, event: str) -> None:
        """Note what has happened to a connection."""
        if (health := self.health_data.get(peer_id, {}).get(connection)) is not None:
            health.add_connection_event(event)

    def record_connection_error(self, peer_id: ID, connection: INetConn, error: str) -> None:
        """Note what went wrong on a connection."""
        if (health := self.health_data.get(peer_id, {}).get(connection)) is not None:
            health.add_error(error)

    def get_peer_health_summary(self, peer_id: ID) -> dict[str, Any]:
        """Return what is known of a peer's connections."""
        return {} if self._board is None else self._board.summary_of(peer_id)

    def get_global_health_summary(self) -> dict[str, Any]:
        """Return what is known of all connections."""
        return {} if self._board is None else self._board.summary()

    def export_health_metrics(self, format: str = "json") -> str:
        """
        Return it all as JSON, or the totals for Prometheus (``"prometheus"``).

        :raises InvalidArgument: for another form.
        """
        if self._board is None:
            return "{}" if format == "json" else ""
        return self._board.export(format)

    async def get_health_monitor_status(self) -> dict[str, Any]:
        """Return what the monitor watches."""
        if self._health_monitor is None:
            return {"enabled": False}
        return (await self._health_monitor.get_monitoring_status()).to_dict()

    def _select_connection(self, connections: Sequence[C], peer_id: ID) -> C:
        """Return the connection that a new stream is opened on."""
        strategy = self.config.health.load_balancing_strategy
        if strategy == "best" or len(connections) == 1:
            return connections[-1]
        if strategy == "round_robin":
            self._turn += 1
            next_one = min(connections, key=lambda each: self._last_turns.get(each, 0))
            self._last_turns[next_one] = self._turn
            return next_one
        best: C | None = None
        if strategy != "least_loaded" and self._board is not None:
            best = self._board.best(connections, peer_id)
        return best or min(connections, key=lambda each: len(each.get_streams()))
