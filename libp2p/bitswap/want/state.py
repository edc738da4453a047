"""What is kept per want and per session, and what sessions are told (sans-I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from libp2p.bitswap.config import MAX_LOST_PEERS
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.wire.entry import WantType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.bitswap.want.remote_peer import Peer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


class SearchState(Enum):
    """How far a want is with the search for providers."""

    NONE = "not searched for"
    QUEUED = "waits until other searches of the session have ended"
    RUNNING = "is searched for"
    DONE = "was searched for"


class Want:
    """One block that is wanted, by one session or several."""

    __slots__ = (
        "answers", "asked", "asker", "cid", "claimed", "holder", "key", "lost", "noes",
        "priority", "providers", "search", "sessions", "wanted_at", "wave",
    )  # fmt: skip

    def __init__(self, key: bytes, cid: CID, priority: int, wanted_at: float) -> None:
        self.key = key
        self.wanted_at = wanted_at
        self.cid = cid
        """As the first session named it: so it is asked for."""
        self.priority = priority
        self.sessions: dict[Session, None] = {}
        self.asked: dict[Peer, WantType] = {}
        """What each peer is asked, or will be with the next message to it."""
        self.noes = 0
        """How many of them have said DONT_HAVE, or sent another block."""
        self.answers: dict[Peer, PeerAnswer] = {}
        self.lost: dict[ID, PeerAnswer] = {}
        """Peers that were asked and are gone, providers that could not be reached."""
        self.holder: Peer | None = None
        """The peer that is to send the block."""
        self.claimed = False
        """The block has come and is being stored."""
        self.asker: Session | None = None
        """The session among whose broadcast wants this one is, while it is one."""
        self.wave = 0
        """How many waves of peers have been asked whether they have it."""
        self.search = SearchState.NONE
        self.providers: int | None = None
        """How many providers the search has found."""

    def lose(self, peer_id: ID, answer: PeerAnswer) -> None:
        """A peer cannot be asked any more."""
        _remember(self.lost, peer_id, answer)

    def is_open(self, peer: Peer) -> bool:
        """Tell whether a peer may still deliver the block."""
        answer = self.answers.get(peer)
        is_no = answer is PeerAnswer.DONT_HAVE or answer is PeerAnswer.UNASKED
        return not is_no and peer.down is None

    def is_tried(self, peer: Peer) -> bool:
        """Tell whether a peer was asked for the block already, or does not have it."""
        if self.has_said_no(peer) or self.answers.get(peer) is PeerAnswer.SILENT:
            return True
        return self.asked.get(peer) is WantType.Block

    def has_said_no(self, peer: Peer) -> bool:
        """Tell whether a peer does not have the block, or has sent another one in its place."""
        answer = self.answers.get(peer)
        return answer is PeerAnswer.DONT_HAVE or answer is PeerAnswer.UNASKED

    def has_said(self, peer: Peer, answer: PeerAnswer) -> bool:
        return self.answers.get(peer) is answer

    @property
    def is_for_presence_only(self) -> bool:
        for session in self.sessions:  # noqa: SIM110 - half the time of all()
            if not session.presence_only:
                return False
        return True


class Session:
    """Wants that share peers: who had one block of a DAG probably has the others."""

    __slots__ = (
        "alarm", "backlog", "broadcasts", "fixed", "lost", "next_search", "peers",
        "presence_only", "scatter", "searches", "searching", "session_id", "since", "spared",
        "ticks", "to_search", "wait", "wants",
    )  # fmt: skip

    def __init__(
        self,
        session_id: int,
        fixed: Iterable[ID] | None,
        *,
        wait: bool,
        presence_only: bool,
        searches: bool,
    ) -> None:
        self.session_id = session_id
        self.fixed = None if fixed is None else frozenset(fixed)
        """The only peers that may be asked; None for all."""
        self.wait = wait
        """Wants stay when nobody has the block; somebody may come who has."""
        self.presence_only = presence_only
        """Nothing but whether somebody has the blocks is asked."""
        self.searches = searches and fixed is None
        """Providers can be searched for."""
        self.peers: dict[Peer, int] = {}
        """
        Peers that said that they have a block of the session, or sent one, or are providers; and
        how often each has said DONT_HAVE since.
        """
        self.lost: dict[ID, PeerAnswer] = {}
        """Those of them that are gone, since the latest that is not."""
        self.wants: dict[bytes, Want] = {}
        # broadcasts
        self.broadcasts = 0
        """Wants that all sorts of peers are being asked about."""
        self.backlog: dict[bytes, Want] = {}
        """Wants that will be when there is room."""
        self.scatter = 0
        """So many of the next wants are made known to several peers: not all have all blocks."""
        # searches
        self.searching = 0
        self.to_search: dict[bytes, Want] = {}
        self.next_search = 0.0
        """When a want may be searched for although something has come of the session."""
        # time
        self.since = 0.0
        """When a wanted block came last, or the first want was made."""
        self.ticks = 0
        """How often in a row it was found idle."""
        self.alarm: float | None = None
        self.spared = False
        """It was not looked after because we were late ourselves."""

    def allows(self, peer: Peer) -> bool:
        return self.fixed is None or peer.peer_id in self.fixed

    def find(self, peer: Peer) -> None:
        """A peer has a block of the session."""
        self.peers[peer] = 0
        if self.lost:
            self.lost.clear()

    def lose(self, peer: Peer, reason: PeerAnswer) -> None:
        """A peer is gone."""
        if self.peers.pop(peer, None) is not None:
            _remember(self.lost, peer.peer_id, reason)


def _remember(lost: dict[ID, PeerAnswer], peer_id: ID, answer: PeerAnswer) -> None:
    lost[peer_id] = answer
    if len(lost) > MAX_LOST_PEERS:
        del lost[next(iter(lost))]


@dataclass(slots=True)
class Found:
    """A session that only asked for presence: ``peer_id`` has the block."""

    session_id: int
    key: bytes
    peer_id: ID


@dataclass(slots=True)
class Unavailable:
    """Nobody is left whom a session could ask for a block."""

    session_id: int
    key: bytes
    cid: CID
    peers: dict[ID, PeerAnswer]
    providers: int | None = None
    """How many providers a search has found; None if there was none."""


@dataclass(slots=True)
class Search:
    """Providers of a block should be searched for, and `WantTracker.searched` be told."""

    key: bytes
    cid: CID


Outcome = Found | Unavailable | Search
