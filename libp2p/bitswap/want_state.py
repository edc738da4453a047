"""What the want tracker keeps per want, peer and session (sans-I/O); nobody else changes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libp2p.bitswap.errors import PeerAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.bitswap.wantlist import WantType
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


class Want:
    """One block that is wanted, by one session or several."""

    __slots__ = (
        "answers", "asked", "cid", "claimed", "holder", "key", "lost", "priority", "sessions",
    )  # fmt: skip

    def __init__(self, key: bytes, cid: CID, priority: int) -> None:
        self.key = key
        self.cid = cid
        """As the first session named it: so it is asked for."""
        self.priority = priority
        self.sessions: dict[Session, None] = {}
        self.asked: dict[Peer, WantType] = {}
        """What each peer is asked, or will be with the next message to it."""
        self.answers: dict[Peer, PeerAnswer] = {}
        self.lost: dict[ID, PeerAnswer] = {}
        """Peers that were asked and are gone."""
        self.holder: Peer | None = None
        """The peer that is to send the block."""
        self.claimed = False
        """The block has come and is being stored."""

    def is_open(self, peer: Peer) -> bool:
        """Tell whether a peer may still deliver the block."""
        return peer.down is None and self.answers.get(peer) is not PeerAnswer.DONT_HAVE

    @property
    def is_for_presence_only(self) -> bool:
        return all(session.presence_only for session in self.sessions)


class Peer:
    """One connected peer."""

    __slots__ = (
        "cancels", "delivered", "down", "down_since", "held", "known", "peer_id", "pending",
        "resets", "supports_have", "unanswered",
    )  # fmt: skip

    def __init__(self, peer_id: ID) -> None:
        self.peer_id = peer_id
        self.supports_have = True
        self.pending: dict[bytes, Want] = {}
        """Wants for the next messages, oldest first."""
        self.cancels: dict[bytes, CID] = {}
        """Cancels for the next message."""
        self.known: dict[bytes, CID] = {}
        """What the peer has been sent and may have in its ledger: to be cancelled one day."""
        self.unanswered: dict[bytes, Want] = {}
        """What it has been sent and has not answered: counted against its limit."""
        self.held: dict[bytes, Want] = {}
        """Wants that it is the holder of."""
        self.delivered = 0
        """Blocks that it has sent and that were wanted."""
        self.resets = 0
        """Resets of our want stream since it last said something."""
        self.down: PeerAnswer | None = None
        """Why it cannot be asked."""
        self.down_since = 0.0

    @property
    def has_outgoing(self) -> bool:
        return bool(self.pending or self.cancels)


class Session:
    """Wants that share peers: who had one block of a DAG probably has the others."""

    __slots__ = ("fixed", "lost", "peers", "presence_only", "session_id", "wait", "wants")

    def __init__(
        self, session_id: int, fixed: Iterable[ID] | None, wait: bool, presence_only: bool
    ) -> None:
        self.session_id = session_id
        self.fixed = None if fixed is None else frozenset(fixed)
        """The only peers that may be asked; None for all."""
        self.wait = wait
        """Wants stay when nobody has the block; somebody may come who has."""
        self.presence_only = presence_only
        """Nothing but whether somebody has the blocks is asked."""
        self.peers: dict[Peer, None] = {}
        """Peers that said that they have a block of the session, or sent one."""
        self.lost: dict[ID, PeerAnswer] = {}
        """Those of them that are gone, since the latest that is not."""
        self.wants: dict[bytes, Want] = {}

    def allows(self, peer: Peer) -> bool:
        return self.fixed is None or peer.peer_id in self.fixed

    def find(self, peer: Peer) -> None:
        """A peer has a block of the session."""
        self.peers[peer] = None
        self.lost.clear()

    def lose(self, peer: Peer, reason: PeerAnswer) -> None:
        """A peer is gone."""
        if peer in self.peers:
            del self.peers[peer]
            self.lost[peer.peer_id] = reason


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
