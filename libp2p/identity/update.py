"""py-libp2p's path of `libp2p.identity.identify.store`."""

from libp2p.identity.identify.store import update_peerstore_from_identify

__all__ = ["update_peerstore_from_identify"]
