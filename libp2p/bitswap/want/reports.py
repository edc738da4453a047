"""What the want tracker tells the engine (sans-I/O): the outcomes of its sessions' wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.bitswap.errors import PeerAnswer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


@dataclass(slots=True)
class Found:
    """A peer has a block of a session that only asks whether peers have its blocks."""

    session_id: int
    key: bytes


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
