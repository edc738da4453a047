"""The health of all connections of a swarm: what happens to them is noted as it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from libp2p.abc import INetConn
from libp2p.events import PeerConnected, PeerDisconnected, StreamClosed, StreamOpened
from libp2p.exceptions import InvalidArgument
from libp2p.network.health.data_structures import (
    ConnectionHealth,
    create_default_connection_health,
)

if TYPE_CHECKING:
    from libp2p.events import HostEvent
    from libp2p.network.health.config import HealthConfig
    from libp2p.peer.id import ID
    from libp2p.utils.event_bus import EventBus

#: Names for Prometheus of what `HealthBoard.summary` says, and what they mean.
_GAUGES: Final = {
    "total_peers": ("libp2p_peers_total", "Peers with a connection"),
    "total_connections": ("libp2p_connections_total", "Connections"),
    "average_peer_health": ("libp2p_average_peer_health", "Mean score of the peers, 0 to 1"),
    "peers_with_issues": ("libp2p_peers_with_issues", "Peers with a bad connection"),
}
#: A connection with a lower score is counted as a bad one in summaries.
_GOOD_SCORE: Final = 0.5

C = TypeVar("C", bound=INetConn)


class HealthBoard:
    """Keeps a `ConnectionHealth` for each connection, by peer."""

    def __init__(self, config: HealthConfig, events: EventBus) -> None:
        self.data: Final[dict[ID, dict[INetConn, ConnectionHealth]]] = {}
        self._config = config
        self._opened: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        events.subscribe(
            self._on_event, PeerConnected, PeerDisconnected, StreamOpened, StreamClosed
        )

    def begin(self, peer_id: ID, connection: INetConn) -> None:
        """Keep the health of a connection from now on; begin anew if it was kept before."""
        config = self._config
        self.data.setdefault(peer_id, {})[connection] = create_default_connection_health(
            None, config.latency_weight, config.success_rate_weight, config.stability_weight
        )

    def end(self, peer_id: ID, connection: INetConn) -> None:
        """Forget a connection."""
        if (of_peer := self.data.get(peer_id)) is not None:
            of_peer.pop(connection, None)
            if not of_peer:
                del self.data[peer_id]

    def _on_event(self, event: HostEvent) -> None:
        if isinstance(event, PeerConnected):
            if event.connection not in self.data.get(event.peer_id, {}):  # checked already
                self.begin(event.peer_id, event.connection)
            self.data[event.peer_id][event.connection].add_connection_event("established")
        elif isinstance(event, PeerDisconnected):
            self.end(event.peer_id, event.connection)
        elif isinstance(event, StreamOpened):
            self._opened[event.stream] = time.monotonic()
        elif isinstance(event, StreamClosed):
            self._on_stream_end(event.stream)

    def _on_stream_end(self, stream: Any) -> None:
        of_peer = self.data.get(stream.muxed_conn.peer_id, {})
        opened_at = self._opened.pop(stream, time.monotonic())
        for connection, health in of_peer.items():
            if connection.muxed_conn is stream.muxed_conn:
                state = getattr(stream.muxed_stream, "state", None)
                failed = bool(getattr(state, "reset_remotely", False))
                left = len(connection.get_streams())
                health.note_stream_end(left, time.monotonic() - opened_at, failed)

    # -- which connection gets a stream -----------------------------------------------------------

    def best(self, connections: Sequence[C], peer_id: ID) -> C | None:
        """Return the healthiest or quickest connection; None if no health is known."""
        of_peer = self.data.get(peer_id, {})
        if not any(each in of_peer for each in connections):
            return None

        def score(connection: C) -> float:
            health = of_peer.get(connection)
            if self._config.load_balancing_strategy == "health_based":
                return 1.0 if health is None else health.health_score
            return -inf if health is None else -health.ping_latency

        return max(connections, key=score)

    # -- summaries --------------------------------------------------------------------------------

    def summary_of(self, peer_id: ID) -> dict[str, Any]:
        """Return what is known of a peer's connections; an empty dict if there are none."""
        of_peer = self.data.get(peer_id)
        if not of_peer:
            return {}
        for connection, health in of_peer.items():
            _take_counts(connection, health)
        healths = of_peer.values()
        return {
            "peer_id": str(peer_id),
            "connection_count": len(of_peer),
            "average_health_score": _mean([each.health_score for each in healths]),
            "average_latency_ms": _mean([each.ping_latency for each in healths]),
            "average_success_rate": _mean([each.ping_success_rate for each in healths]),
            "total_streams": sum(each.stream_count for each in healths),
            "unhealthy_connections": sum(not each.is_healthy(_GOOD_SCORE) for each in healths),
            "connections": [each.get_health_summary() for each in healths],
        }

    def summary(self) -> dict[str, Any]:
        """Return what is known of all peers."""
        peers = [self.summary_of(peer_id) for peer_id in self.data]
        return {
            "total_peers": len(peers),
            "total_connections": sum(each["connection_count"] for each in peers),
            "average_peer_health": _mean([each["average_health_score"] for each in peers]),
            "peers_with_issues": sum(each["unhealthy_connections"] > 0 for each in peers),
            "peer_details": peers,
        }

    def export(self, form: str) -> str:
        """
        Return the summary as "json", or its totals as "prometheus".

        :raises InvalidArgument: for another form.
        """
        summary = self.summary()
        if form == "json":
            return json.dumps(summary, indent=2)
        if form != "prometheus":
            raise InvalidArgument(f"Unsupported format: {form}; known are json and prometheus")
        lines = [
            f"# HELP {name} {meaning}\n# TYPE {name} gauge\n{name} {summary[key]}\n"
            for key, (name, meaning) in _GAUGES.items()
        ]
        return "".join(lines)


def _take_counts(connection: INetConn, health: ConnectionHealth) -> None:
    """Note what the connection has carried, if its muxer counts that."""
    statistics = getattr(connection.muxed_conn, "statistics", None)
    if statistics is not None and hasattr(counts := statistics(), "bytes_sent"):
        open_streams = len(connection.get_streams())
        health.note_totals(int(counts.bytes_sent), int(counts.bytes_received), open_streams)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
