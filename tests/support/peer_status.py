"""What a want tracker holds of one peer, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.bitswap.want.tracker import WantTracker
    from libp2p.peer.id import ID


@dataclass(frozen=True)
class PeerStatus:
    """The state of one peer at the time of `peer_status`."""

    queued: int
    """Wants and cancels for the next messages."""
    unanswered: int
    """Wants that the peer was sent and has not answered."""
    assigned: int
    """Blocks that the peer is to send."""
    unfinished_messages: int
    """Messages to the peer with want-blocks of which some are due."""
    registered: int
    """Wants that may be in the peer's ledger."""
    may_come_twice: int
    """Blocks that the peer may still send although another peer was quicker."""
    bytes_per_second: float
    timeout: float
    distrusted_until: float
    times_distrusted: int
    dont_haves: dict[int, int]
    """The sessions that the peer has blocks of, by number, and its DONT_HAVEs in a row in each."""


def peer_status(tracker: WantTracker, peer_id: ID) -> PeerStatus:
    """Return what a tracker holds of a connected peer."""
    peer = tracker._peers.by_id[peer_id]
    sessions = [session for session in tracker._sessions.values() if peer in session.peers]
    return PeerStatus(
        queued=len(peer.pending) + len(peer.cancels),
        unanswered=len(peer.unanswered),
        assigned=len(peer.assigned),
        unfinished_messages=len(peer.due),
        registered=len(peer.known),
        may_come_twice=sum(1 for sessions in peer.withdrawn.values() if sessions),
        bytes_per_second=peer.receiving.bytes_per_second,
        timeout=peer.receiving.timeout,
        distrusted_until=peer.distrusted_until,
        times_distrusted=peer.times_distrusted,
        dont_haves={session.session_id: session.peers[peer] for session in sessions},
    )
