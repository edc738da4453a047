"""
The table of connections: how many are allowed, and which are closed for new ones (no I/O).

Each connection counts in the scope of its peer, which is a child of the scope of all connections. A
connection that the peer has dialled counts in the scope of inbound connections as well.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from libp2p.network.connection.stream_handlers import HandlerScopes
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.connection_manager import ConnectionManager

if TYPE_CHECKING:
    from libp2p.network.config import SwarmConfig
    from libp2p.peer.id import ID
    from libp2p.resources import Resources, Scope
    from libp2p.transport.abc import MuxedConnection
    from libp2p.utils.event_bus import EventBus


class ConnectionTable:
    """The connections of a host by peer. A closed one is listed until `remove`, but not counted."""

    def __init__(
        self, config: SwarmConfig, resources: Resources, connections: Scope, events: EventBus
    ) -> None:
        """:param connections: counts them; its limit may be lower than that of ``config``."""
        self._events = events
        self._resources = resources
        self.by_peer: dict[ID, list[SwarmConn]] = {}
        self.manager = ConnectionManager(config.max_tagged_peers)
        #: When connections were last closed because there were too many.
        self.trimmed_at: float | None = None
        self._config = config
        self._all = connections
        self._peers: dict[ID, Scope] = {}
        #: The most connections that `allow` accepts: there are sockets for so many.
        self.obtained = limit = connections.limit or config.max_connections
        self._inbound = resources.scope(
            "inbound connections", limit - int(limit * config.outbound_share)
        )
        self._handlers = HandlerScopes(resources, config)
        #: With more than ``high`` connections idle ones are closed, until ``low`` are left.
        self.high, self.low = int(limit * config.high_water), int(limit * config.low_water)

    @property
    def limit(self) -> int:
        """How many connections are allowed."""
        return self.obtained if self._all.limit is None else self._all.limit

    def allow(
        self, limit: int | None = None, *, high: int | None = None, low: int | None = None
    ) -> None:
        """Change the limits from now on; None leaves one as it is."""
        if limit is not None:
            limit = min(limit, self.obtained)
            self._all.set_limit(limit)
            self._inbound.set_limit(limit - int(limit * self._config.outbound_share))
        self.high = self.high if high is None else high
        self.low = self.low if low is None else low

    def live(self, peer_id: ID | None = None) -> list[SwarmConn]:
        """Return the live connections to a peer, or to all."""
        if peer_id is not None:
            return [c for c in self.by_peer.get(peer_id, ()) if not c.is_closed]
        return [c for peers in self.by_peer.values() for c in peers if not c.is_closed]

    @property
    def count(self) -> int:
        """How many connections there are, without those that are closed or closing."""
        return self._all.held

    def admits_stranger(self, now: float) -> bool:
        """Tell whether an inbound connection has room, or one can be closed for it."""
        is_room = self._all.room != 0 and self._inbound.room != 0
        return is_room or bool(self._give_way(True, now))

    def add(
        self, muxed_conn: MuxedConnection, now: float
    ) -> tuple[SwarmConn | None, list[SwarmConn]]:
        """
        Enter a connection.

        :return: the connection, or None if there is no room for it; and connections that the
            caller must close now.
        """
        peer_id = muxed_conn.peer_id
        inbound = () if muxed_conn.is_initiator else (self._inbound,)
        addresses = muxed_conn.get_transport_addresses()
        networks = self._resources.of_address(addresses[0]) if addresses else []
        leaving: list[SwarmConn] = []
        if len(self.live(peer_id)) >= self._config.max_connections_per_peer:
            return None, leaving
        if any(scope.room == 0 for scope in networks):
            return None, leaving
        if any(scope.room == 0 for scope in (self._all, *inbound)):
            leaving = self._give_way(not muxed_conn.is_initiator, now)
            _release(leaving)
            if not leaving:
                return None, leaving
        if peer_id not in self._peers:
            limit = self._config.max_connections_per_peer
            self._peers[peer_id] = self._all.open(str(peer_id), limit)
        scopes = (self._peers[peer_id], *inbound, *networks)
        for scope in scopes:
            scope.hold(1)
        connection = SwarmConn(muxed_conn, self._events, self._handlers, self._config, scopes)
        if self._all.held > self.high:
            idle_since = now - self._config.idle_grace
            surplus = self._all.held - self.low
            if chosen := self.manager.choose(self._counted(), surplus, idle_since):
                self.trimmed_at = now
            leaving += chosen
            _release(leaving)
        self.by_peer.setdefault(peer_id, []).append(connection)
        return connection, leaving

    def remove(self, connection: SwarmConn) -> bool:
        """Take a connection out; return False if it is not in the table."""
        connection.release()
        peers = self.by_peer.get(connection.peer_id, [])
        if connection not in peers:
            return False
        peers.remove(connection)
        if not peers:
            del self.by_peer[connection.peer_id]
            self._peers.pop(connection.peer_id).close()
        return True

    def _give_way(self, inbound: bool, now: float) -> list[SwarmConn]:
        """
        Return the connection whose place a new one takes, if there is one.

        It is the newest idle connection, and never one of the older half: a crowd of new peers must
        not replace the peers that were connected before.
        """
        counted = sorted(self._counted(), key=attrgetter("opened_at"))
        younger = counted[len(counted) // 2 :]
        return self.manager.choose(
            younger, 1, now - self._config.idle_when_full, inbound=inbound, newest=True
        )

    def _counted(self) -> list[SwarmConn]:
        return [c for c in self.live() if c.is_counted]


def _release(leaving: list[SwarmConn]) -> None:
    for connection in leaving:
        connection.release()
