"""What a swarm allows and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

from libp2p.resources import Resources
from libp2p.utils import arguments


@dataclass(frozen=True, slots=True)
class SwarmConfig:
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
    :param idle_when_full: the same where there are as many connections as there may be, and an
        idle one gives way to a new one: long enough to have begun to use it.
    :param max_tagged_peers: peers that the connection manager can have tagged. A program that tags
        each peer it meets must not grow for ever; one more makes it forget the first.
    :param max_stream_handlers: handlers that run at the same time. For a further one, that
        connection loses one which has the most. A task takes kilobytes, and makes garbage
        collections longer.
    :param max_connection_handlers: handlers of one connection: as many as it may have inbound
        streams.
    :param handler_grace: seconds that handlers get when their connection has ended, to finish with
        what they had received: a block that has come should still reach the disk.
    :param max_pending_inbound: inbound handshakes at the same time; each costs a key exchange.
        More wait in the kernel, until one is over or has taken too long.
    :param safe_handshake: seconds in which a handshake is not given up for another one. A crowd of
        clients takes turns on one processor: its handshakes take seconds although each is honest.
    :param max_dials: addresses that are dialled at the same time. go-libp2p allows 160.
    :param max_dials_per_peer: addresses of one peer; go-libp2p allows 8.
    :param dial_timeout: seconds for one address: connect, secure and multiplex.
    :param dial_peer_timeout: seconds for all addresses of a peer.
    :param inbound_timeout: seconds for an inbound connection to be secured and multiplexed.
    :param negotiate_timeout: seconds for a new stream to agree on its protocol.
    :param receive_budget: bytes by which all receive windows together may grow.
    :param close_timeout: seconds that closing all connections may take: a peer may read slowly what
        was written, and a muxer of the user's may never come back.
    :param hurried_close_timeout: the same where the program is cancelled or fails: it wants to end,
        and no more than say so.
    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    max_connections: int = 1024
    outbound_share: float = 0.125
    max_connections_per_peer: int = 8
    high_water: float = 0.75
    low_water: float = 0.625
    idle_grace: float = 30.0
    idle_when_full: float = 1.0
    max_tagged_peers: int = 16_384
    max_stream_handlers: int = 2048
    max_connection_handlers: int = 1000
    handler_grace: float = 5.0
    max_pending_inbound: int = 256
    safe_handshake: float = 3.0
    max_dials: int = 160
    max_dials_per_peer: int = 8
    dial_timeout: float = 15.0
    dial_peer_timeout: float = 60.0
    inbound_timeout: float = 15.0
    negotiate_timeout: float = 10.0
    receive_budget: int = 256 * 1024 * 1024
    close_timeout: float = 10.0
    hurried_close_timeout: float = 0.5

    def __post_init__(self) -> None:
        arguments.check_numbers(self, shares=("outbound_share", "high_water", "low_water"))

    def new_resources(self) -> Resources:
        """Return what a host of this configuration may hold."""
        return Resources({"receive windows": self.receive_budget})


#: py-libp2p's name.
ConnectionConfig = SwarmConfig
