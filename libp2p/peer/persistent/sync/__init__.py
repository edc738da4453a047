"""py-libp2p's place of a peer store that writes before it returns."""

from libp2p.peer.persistent.sync.peerstore import SyncPersistentPeerStore

__all__ = ["SyncPersistentPeerStore"]
