"""What a log at INFO says of connections: one line at the beginning, one at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.network.connection.swarm_connection import SwarmConn

logger = get_logger(__name__)


def log_connected(connection: SwarmConn, agent: str) -> None:
    """
    Log a connection on which identify is over.

    :param agent: the software that the peer says it is, or why it said nothing.
    """
    logger.info(
        "connected: %s at %s, %s, %s, %.100s",
        connection.peer_id,
        _Address(connection),
        "outbound" if connection.is_initiator else "inbound",
        connection.muxed_conn.security_protocol or "unknown security",
        agent,
    )


def log_gone(connection: SwarmConn) -> None:
    """Log the end of a connection."""
    logger.info(
        "gone: %s at %s, after %.1f s: %s",
        connection.peer_id,
        _Address(connection),
        trio.current_time() - connection.opened_at,
        connection.end_reason,
    )


class _Address:
    """A connection's address, looked up when the line is written."""

    def __init__(self, connection: SwarmConn) -> None:
        self._connection = connection

    def __str__(self) -> str:
        return ", ".join(map(str, self._connection.get_transport_addresses()))
