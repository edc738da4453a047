"""
Which peer is asked for a block (sans-I/O): the place for whatever makes a better choice.

All that is weighed now is what a peer said and how many blocks are due from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.bitswap.errors import PeerAnswer

if TYPE_CHECKING:
    from libp2p.bitswap.want_state import Peer, Want


def load(peer: Peer) -> int:
    """Count the blocks that are due from a peer: a quick one works them off and gets the next."""
    return len(peer.held)


def says_have(want: Want, peer: Peer) -> bool:
    return want.answers.get(peer) is PeerAnswer.HAVE


def best_of(peers: list[Peer]) -> Peer | None:
    return min(peers, key=load, default=None)


def best_stranger(want: Want, peers: list[Peer]) -> Peer | None:
    """
    Choose a holder among peers that have no part in the sessions, if any may be trusted with it.

    That is who says HAVE, the only one there is, or who has delivered anything before.
    """
    if best := best_of([peer for peer in peers if says_have(want, peer)]):
        return best
    fresh = [peer for peer in peers if want.answers.get(peer) is not PeerAnswer.SILENT]
    if len(fresh) == 1:
        return fresh[0]
    if not fresh:
        return best_of(peers)
    return best_of([peer for peer in fresh if peer.delivered])
