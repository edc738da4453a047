"""py-libp2p's path of `libp2p.identity.identify.identify`."""

from libp2p.identity.identify.identify import update_peerstore_from_identify

__all__ = ["update_peerstore_from_identify"]
