"""What can be wrong with what a peer sends in the DHT's protocol."""

from __future__ import annotations

from libp2p.exceptions import RemoteProtocolError, RoutingError


class InvalidMessageError(RemoteProtocolError, ValueError):
    """A peer's message is malformed, too large, or not what its type allows."""


class NoPeersError(RoutingError):
    """The routing table is empty, so nobody could be asked."""
