"""py-ipfs-lite's errors, where this library's are not the same."""

from __future__ import annotations

from libp2p.bitswap.errors import BlockUnavailableError as BlockNotFoundError
from libp2p.exceptions import BaseLibp2pError as IPFSLiteError
from libp2p.exceptions import RoutingError

__all__ = ["BlockNotFoundError", "IPFSLiteError", "PeerNotStartedError", "RoutingError"]


class PeerNotStartedError(IPFSLiteError):
    """A peer is used before `Peer.start` or after `Peer.close`."""
