"""What a swarm has of its connections' health: a `HealthBoard` and a monitor, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from libp2p.abc import INetConn

if TYPE_CHECKING:
    from libp2p.abc import INetworkService
    from libp2p.network.health.board import HealthBoard
    from libp2p.network.health.config import HealthConfig
    from libp2p.network.health.data_structures import ConnectionHealth
    from libp2p.network.health.monitor import ConnectionHealthMonitor
    from libp2p.peer.id import ID
    from libp2p.utils.event_bus import EventBus

C = TypeVar("C", bound=INetConn)


class HealthWatch:
    """The health of a swarm's connections; nothing is kept unless monitoring is enabled."""

    def __init__(self, swarm: INetworkService, config: HealthConfig, events: EventBus) -> None:
        self._strategy = config.load_balancing_strategy
        self._board: HealthBoard | None = None
        self.monitor: ConnectionHealthMonitor | None = None
        self._turn = 0
        self._last_turns: WeakKeyDictionary[INetConn, int] = WeakKeyDictionary()
        if config.enable_health_monitoring:
            from libp2p.network.health.board import HealthBoard
            from libp2p.network.health.monitor import ConnectionHealthMonitor

            self._board = HealthBoard(config, events)
            self.monitor = ConnectionHealthMonitor(swarm)

    @property
    def data(self) -> dict[ID, dict[INetConn, ConnectionHealth]]:
        """The health of each connection, by peer."""
        return {} if self._board is None else self._board.data

    def of(self, peer_id: ID, connection: INetConn) -> ConnectionHealth | None:
        """Return the health of a connection; None if it is not kept."""
        return self.data.get(peer_id, {}).get(connection)

    def begin(self, peer_id: ID, connection: INetConn) -> None:
        """Keep the health of a connection that is not the swarm's; the swarm's are kept anyway."""
        if self._board is not None:
            self._board.begin(peer_id, connection)

    def end(self, peer_id: ID, connection: INetConn) -> None:
        """Forget a connection."""
        if self._board is not None:
            self._board.end(peer_id, connection)

    def summary_of(self, peer_id: ID) -> dict[str, Any]:
        """Return what is known of a peer's connections."""
        return {} if self._board is None else self._board.summary_of(peer_id)

    def summary(self) -> dict[str, Any]:
        """Return what is known of all connections."""
        return {} if self._board is None else self._board.summary()

    def export(self, form: str) -> str:
        """
        Return it all as JSON, or the totals for Prometheus (``"prometheus"``).

        :raises InvalidArgument: for another form.
        """
        if self._board is None:
            return "{}" if form == "json" else ""
        return self._board.export(form)

    async def status(self) -> dict[str, Any]:
        """Return what the monitor watches."""
        if self.monitor is None:
            return {"enabled": False}
        return (await self.monitor.get_monitoring_status()).to_dict()

    def choose(self, connections: Sequence[C], peer_id: ID) -> C:
        """Return that connection of a peer on which to open a new stream."""
        if self._strategy == "best" or len(connections) == 1:
            return connections[-1]
        if self._strategy == "round_robin":
            self._turn += 1
            next_one = min(connections, key=lambda each: self._last_turns.get(each, 0))
            self._last_turns[next_one] = self._turn
            return next_one
        best: C | None = None
        if self._strategy != "least_loaded" and self._board is not None:
            best = self._board.best(connections, peer_id)
        return best or min(connections, key=lambda each: len(each.get_streams()))
