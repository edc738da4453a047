"""What a swarm allows and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """
    Limits of a swarm.

    :param max_connections: connections at the same time; more are refused.
    :param max_connections_per_peer: go-libp2p allows 8.
    :param max_pending_inbound: inbound handshakes at the same time; each costs a key exchange. A
        further one takes the place of the oldest.
    :param dial_timeout: seconds for one address: connect, secure and multiplex.
    :param dial_peer_timeout: seconds for all addresses of a peer.
    :param inbound_timeout: seconds for an inbound connection to be secured and multiplexed.
    :param negotiate_timeout: seconds for a new stream to agree on its protocol.
    :param receive_budget: bytes by which all receive windows together may grow, and bytes that may
        lie unread in all streams; a connection with more of them than are left is reset its
        fullest streams.
    """

    max_connections: int = 512
    max_connections_per_peer: int = 8
    max_pending_inbound: int = 64
    dial_timeout: float = 15.0
    dial_peer_timeout: float = 60.0
    inbound_timeout: float = 15.0
    negotiate_timeout: float = 10.0
    receive_budget: int = 256 * 1024 * 1024
