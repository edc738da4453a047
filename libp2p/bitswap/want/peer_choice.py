"""
Which peer is asked for a block (sans-I/O).

A peer is as good as the time in which one more block can be expected from it: its latency, and what
is due from it already, at the rate that it has shown. Who has said HAVE comes before who has not
answered, and who has promised blocks and sent nothing comes last.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import BROADCAST_STRANGERS, MAX_BROADCAST_PEERS
from libp2p.bitswap.errors import PeerAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libp2p.bitswap.want.remote_peer import Peer
    from libp2p.bitswap.want.state import Want

# More seconds than any peer takes.
_UNASKED: Final = 1e6
_DOUBTFUL: Final = 1e9


def cost(want: Want, peer: Peer, block_size: int) -> float:
    """Give the seconds in which a block may come, and more for what speaks against the peer."""
    seconds = peer.cost(block_size)
    if want.answers.get(peer) is not PeerAnswer.HAVE:
        seconds += _UNASKED
    return seconds + _DOUBTFUL if peer.doubt else seconds


def best_of(want: Want, peers: Iterable[Peer], block_size: int) -> Peer | None:
    """Choose among peers that may be asked for a block, the earliest of equals."""
    return min(peers, key=lambda peer: cost(want, peer, block_size), default=None)


def some_of(want: Want, peers: Iterable[Peer], block_size: int, count: int) -> list[Peer]:
    """Choose the best ``count`` peers."""
    return nsmallest(count, peers, key=lambda peer: cost(want, peer, block_size))


def best_mate(want: Want, block_size: int) -> Peer | None:
    """Choose among the peers of the sessions that have not been asked for the block before."""
    tried = want.asked or want.answers
    mates = []
    for session in want.sessions:
        for peer in session.peers:
            if peer.down is None and not (tried and want.is_tried(peer)):
                mates.append(peer)
    if len(mates) == 1:
        return mates[0]
    return best_of(want, mates, block_size)


def best_stranger(want: Want, peers: Iterable[Peer], block_size: int) -> Peer | None:
    """
    Choose a holder among peers that have no part in the sessions, if any may be trusted with it.

    That is who says HAVE, the only one there is, or who has delivered anything before.
    """
    open_peers = [peer for peer in peers if want.is_open(peer)]
    fresh = [peer for peer in open_peers if not want.is_tried(peer)]
    having = [peer for peer in fresh if want.has_said(peer, PeerAnswer.HAVE)]
    if having:
        return best_of(want, having, block_size)
    if len(fresh) == 1:
        return fresh[0]
    if not fresh:
        return best_of(want, open_peers, block_size)
    return best_of(want, [p for p in fresh if p.delivered and not p.doubt], block_size)


def wave_of(peers: Sequence[Peer], wave: int, turn: int) -> list[Peer]:
    """
    Choose whom to ask next whether they have a block.

    Those first that have been of use, are near, or are written to anyway, and some of the others:
    four times as many in each ``wave``, beginning at another place each ``turn``.
    """
    near = [peer for peer in peers if peer.proven or peer.local or peer.has_outgoing]
    del near[MAX_BROADCAST_PEERS:]
    far = [peer for peer in peers if not (peer.proven or peer.local or peer.has_outgoing)]
    if far:
        at = turn % len(far)
        far = far[at:] + far[:at]
    return near + far[: BROADCAST_STRANGERS << 2 * wave]
