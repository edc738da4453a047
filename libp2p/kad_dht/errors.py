"""What can be wrong with what a peer sends in the DHT's protocol."""

from __future__ import annotations

from libp2p.exceptions import RemoteProtocolError


class InvalidMessageError(RemoteProtocolError, ValueError):
    """A peer's message is malformed, too large, or not what its type allows."""
