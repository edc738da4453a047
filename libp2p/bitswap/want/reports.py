"""What the want tracker tells others (sans-I/O): its driver of outcomes, people of a peer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.bitswap.errors import PeerAnswer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


@dataclass(slots=True)
class Found:
    """For a session that only asks for presence: ``peer_id`` has the block."""

    session_id: int
    key: bytes
    peer_id: ID


@dataclass(slots=True)
class Unavailable:
    """A session's want has ended: there is no peer left to ask for the block."""

    session_id: int
    key: bytes
    cid: CID
    peers: dict[ID, PeerAnswer]
    providers: int | None = None
    """How many providers a search has found; None if there was no search."""


@dataclass(slots=True)
class Search:
    """The driver is to search for providers of a block, then to call `WantTracker.searched`."""

    key: bytes
    cid: CID


Outcome = Found | Unavailable | Search


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What the tracker knew of a peer when `WantTracker.describe` was called."""

    down: PeerAnswer | None
    """Why the peer cannot be asked; None if it can."""
    supports_have: bool
    """The protocol spoken with it has WANT_HAVE."""
    queued: int
    """Wants and cancels that are to be sent to it."""
    unanswered: int
    """Wants that it was sent and has not answered."""
    assigned: int
    """Blocks that it is the one to send."""
    unfinished_messages: int
    """Messages to it with want-blocks of which some are due."""
    registered: int
    """Wants that its ledger may have: each is answered by a block, or a cancel is to be sent."""
    may_come_twice: int
    """Blocks that it may still send although another peer has sent them, or is to."""
    blocks_delivered: int
    """Wanted blocks that it has sent."""
    latency: float
    """Its usual silence in seconds while it owes blocks; 0 before the first block."""
    round_trip: float
    """Seconds; 0 if unknown."""
    bytes_per_second: float
    """The rate at which it has sent while blocks were due; 0 if unknown."""
    timeout: float
    """Seconds of silence after which its blocks are asked of others."""
    distrusted_until: float
    """The peer is chosen last until this time, since it owed blocks and was silent; 0 if not."""
    times_distrusted: int
    """How often that has happened since its latest block."""
    dont_haves: Mapping[int, int]
    """The sessions it has blocks for, by number, and its latest DONT_HAVEs in a row in each."""
