"""
The table of connections: how many there may be, and who gives way (no I/O; the swarm closes them).

Limits are counted in the host's `Resources`: "connections", and below it "inbound" and "outbound".
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.connection_manager import ConnectionManager

if TYPE_CHECKING:
    from libp2p.network.config import ConnectionConfig
    from libp2p.peer.id import ID
    from libp2p.resources import Resources
    from libp2p.transport.abc import MuxedConnection

#: What a connection and a handler take in memory, about.
CONNECTION_BYTES: Final = 32 * 1024
HANDLER_BYTES: Final = 8 * 1024
#: Seconds without a byte on any stream after which a connection may be closed for a new one, when
#: there are as many as there may be: long enough to have begun to use it.
IDLE_WHEN_FULL: Final = 1.0


class ConnectionTable:
    """The connections of a host by peer. A closed one counts no longer, although it is listed."""

    def __init__(self, config: ConnectionConfig, resources: Resources, limit: int) -> None:
        """:param limit: connections that there may be; ``config`` has what was wished for."""
        self.by_peer: dict[ID, list[SwarmConn]] = {}
        self.manager = ConnectionManager()
        self._config = config
        self._all = resources.scope("connections", limit, each=CONNECTION_BYTES)
        self._inbound = self._all.open("inbound", limit - int(limit * config.outbound_share))
        self._outbound = self._all.open("outbound")
        self._handlers = resources.scope(
            "stream handlers", config.max_stream_handlers, each=HANDLER_BYTES
        )
        self._high, self._low = int(limit * config.high_water), int(limit * config.low_water)

    def live(self, peer_id: ID | None = None) -> list[SwarmConn]:
        """Return the live connections to a peer, or to all."""
        if peer_id is not None:
            return [c for c in self.by_peer.get(peer_id, ()) if not c.is_closed]
        return [c for peers in self.by_peer.values() for c in peers if not c.is_closed]

    @property
    def count(self) -> int:
        """How many connections count."""
        return self._all.held

    def admits_stranger(self, now: float) -> bool:
        """Tell whether an inbound connection has a chance, whoever it is from."""
        return self._inbound.room != 0 or bool(self._give_way(True, now))

    def add(
        self, muxed_conn: MuxedConnection, now: float
    ) -> tuple[SwarmConn | None, list[SwarmConn]]:
        """
        Enter a connection.

        :return: the connection, None if there is no room for it; and those to be closed now.
        """
        peer_id = muxed_conn.peer_id
        scope = self._outbound if muxed_conn.is_initiator else self._inbound
        leaving: list[SwarmConn] = []
        if len(self.live(peer_id)) >= self._config.max_connections_per_peer:
            return None, leaving
        if not scope.try_hold(1):
            leaving = self._give_way(not muxed_conn.is_initiator, now)
            _release(leaving)
            if not scope.try_hold(1):
                return None, leaving
        connection = SwarmConn(muxed_conn, scope, self._handlers)
        if self._all.held > self._high:
            idle_since = now - self._config.idle_grace
            surplus = self._all.held - self._low
            leaving += self.manager.choose(self._counted(), surplus, idle_since)
            _release(leaving)
        self.by_peer.setdefault(peer_id, []).append(connection)
        return connection, leaving

    def remove(self, connection: SwarmConn) -> None:
        """Take a connection out; a second call does nothing."""
        connection.release()
        peers = self.by_peer.get(connection.peer_id, [])
        if connection in peers:
            peers.remove(connection)
            if not peers:
                del self.by_peer[connection.peer_id]

    def _give_way(self, inbound: bool, now: float) -> list[SwarmConn]:
        """
        Return the connection whose place a new one takes, if there is one.

        It is the newest of the idle ones, and never of the older half: a crowd that keeps coming
        should not push out those who were here before.
        """
        counted = sorted(self._counted(), key=attrgetter("opened_at"))
        younger = counted[len(counted) // 2 :]
        return self.manager.choose(younger, 1, now - IDLE_WHEN_FULL, inbound=inbound, newest=True)

    def _counted(self) -> list[SwarmConn]:
        return [c for c in self.live() if c.is_counted]


def _release(leaving: list[SwarmConn]) -> None:
    for connection in leaving:
        connection.release()
