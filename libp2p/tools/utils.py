"""py-libp2p's path to a function of `libp2p.peer.peerinfo`."""

from libp2p.peer.peerinfo import info_from_p2p_addr

__all__ = ["info_from_p2p_addr"]
