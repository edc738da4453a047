"""What a swarm allows and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass, fields

from libp2p.utils import arguments


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """
    Limits of a swarm. Fewer descriptors than these need make the first limits lower.

    :param max_connections: connections at the same time. One more takes the place of one that has
        been idle for a few seconds, or is refused.
    :param outbound_share: the part of them that only this side's own dials may use, so that
        strangers cannot keep it from dialling.
    :param max_connections_per_peer: go-libp2p allows 8.
    :param high_water: the part of ``max_connections`` above which idle connections are closed, and
    :param low_water: the part at which that stops.
    :param idle_grace: seconds without a byte on any stream after which a connection is idle.
    :param max_stream_handlers: handlers that run at the same time. For a further one, that
        connection loses one which has the most. A task takes kilobytes, and makes garbage
        collections longer.
    :param max_pending_inbound: inbound handshakes at the same time; each costs a key exchange.
        More wait in the kernel, until one is over or has taken too long.
    :param max_dials: addresses that are dialled at the same time. go-libp2p allows 160.
    :param max_dials_per_peer: addresses of one peer; go-libp2p allows 8.
    :param dial_timeout: seconds for one address: connect, secure and multiplex.
    :param dial_peer_timeout: seconds for all addresses of a peer.
    :param inbound_timeout: seconds for an inbound connection to be secured and multiplexed.
    :param negotiate_timeout: seconds for a new stream to agree on its protocol.
    :param receive_budget: bytes by which all receive windows together may grow.
    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    max_connections: int = 1024
    outbound_share: float = 0.125
    max_connections_per_peer: int = 8
    high_water: float = 0.75
    low_water: float = 0.625
    idle_grace: float = 30.0
    max_stream_handlers: int = 2048
    max_pending_inbound: int = 256
    max_dials: int = 160
    max_dials_per_peer: int = 8
    dial_timeout: float = 15.0
    dial_peer_timeout: float = 60.0
    inbound_timeout: float = 15.0
    negotiate_timeout: float = 10.0
    receive_budget: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, int):
                arguments.count(value, field.name)
            elif field.name in ("outbound_share", "high_water", "low_water"):
                arguments.share(value, field.name)
            else:
                object.__setattr__(self, field.name, arguments.seconds(value, field.name))
