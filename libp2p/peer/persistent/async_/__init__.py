"""py-libp2p's place of a peer store that writes in async methods."""

from libp2p.peer.persistent.async_.peerstore import AsyncPersistentPeerStore

__all__ = ["AsyncPersistentPeerStore"]
