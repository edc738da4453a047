"""
The wants, and the sessions that want them (sans-I/O).

A want is assigned to one peer, which is sent WANT_BLOCK; other peers are sent WANT_HAVE. `strategy`
and `timeouts` choose the peers.

A `Want` has a table of the peers that are asked for it, and a `RemotePeer` has tables of its wants
by key. Only the methods of `Want` change these tables, both at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import (
    MAX_DONT_HAVES,
    MAX_LOST_PEERS,
    MAX_SEARCHES,
    SCATTERED_WANTS,
    SEARCH_INTERVAL_SECONDS,
)
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.wire.entry import Entry, WantType

if TYPE_CHECKING:
    from libp2p.bitswap.want.remote_peer import RemotePeer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

#: The answers after which a peer will not send the block.
_NOES: Final = (PeerAnswer.DONT_HAVE, PeerAnswer.UNASKED)


class Want:
    """One block that one or several sessions want, and which peers are asked for it."""

    __slots__ = (
        "_have_entry", "answers", "asked", "assignee", "broadcaster", "cid", "claimed", "key",
        "lost", "noes", "presence_only", "priority", "providers", "sessions", "wanted_at", "waves",
    )  # fmt: skip

    def __init__(
        self, key: bytes, cid: CID, priority: int, wanted_at: float, session: SessionWants
    ) -> None:
        self.key = key
        """The multihash of the block."""
        self.cid = cid
        """The CID by which the first session wanted the block; peers are asked for this CID."""
        self.priority = priority
        """The priority of the want on the wire: a peer sends the highest first."""
        self.wanted_at = wanted_at
        """When the want was made, in seconds."""
        self.sessions: dict[SessionWants, None] = {session: None}
        self.presence_only = session.presence_only
        """All sessions only ask which peers have the block."""
        self.claimed = False
        """The block is here and is being stored: no peer is asked any more."""
        self.asked: dict[RemotePeer, WantType] = {}
        """The type of want that each peer was sent, or will be sent with the next message."""
        self.assignee: RemotePeer | None = None
        """The peer that is to send the block."""
        self._have_entry: Entry | None = None  # the WANT_HAVE; all peers share one object
        self.answers: dict[RemotePeer, PeerAnswer] = {}
        """The latest answer of each peer."""
        self.noes = 0
        """How many peers of ``asked`` have given one of `_NOES`."""
        self.lost: dict[ID, PeerAnswer] = {}
        """Peers that were asked and have disconnected, and providers that were not reached."""
        self.broadcaster: SessionWants | None = None
        """The session whose ``broadcasting`` has this want."""
        self.waves = 0
        """How many waves of peers were asked whether they have the block."""
        self.providers: int | None = None
        """How many providers a search has found; None until a search has ended."""

    def join(self, session: SessionWants) -> None:
        """Add a session that wants the block."""
        self.sessions[session] = None
        self.presence_only = self.presence_only and session.presence_only

    def leave(self, session: SessionWants) -> None:
        """Remove a session that does not want the block any more."""
        self.sessions.pop(session, None)
        self.presence_only = not self.sessions or all(s.presence_only for s in self.sessions)

    @property
    def session_ids(self) -> tuple[int, ...]:
        """The numbers of the sessions that want the block."""
        return tuple([session.session_id for session in self.sessions])

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, peer: RemotePeer) -> None:
        """Ask a peer whether it has the block, unless it is asked already or cannot deliver."""
        if peer in self.asked or not self.is_open(peer):
            return
        if not peer.supports_have:
            # This peer can only be asked for the block, so it is asked only in need.
            if self.assignee is None or self.has_said(self.assignee, PeerAnswer.SILENT):
                self.assign(peer)
            return
        self.asked[peer] = kind = WantType.Have
        if self._have_entry is None:
            self._have_entry = Entry(self.cid, self.priority, False, kind, True)
        peer.queue(self.key, self._have_entry)

    def assign(self, peer: RemotePeer) -> None:
        """Assign the want to a peer, instead of the assignee so far."""
        if self.assignee is not None:
            self.unassign()
        self.assignee = peer
        if self.asked.get(peer) is WantType.Block:
            # The peer was sent WANT_BLOCK already and is silent: any other peer may take over.
            self.note_answer(peer, PeerAnswer.SILENT)
            peer.assign(self.key, None)
        else:
            self.asked[peer] = kind = WantType.Block
            peer.assign(self.key, Entry(self.cid, self.priority, False, kind, True))

    def unassign(self) -> None:
        """Wait no longer for the assignee; its block is still welcome."""
        peer, self.assignee = self.assignee, None
        assert peer is not None
        peer.unassign(self.key)

    def supersede(self, peer: RemotePeer) -> None:
        """Take the want back from a peer, since another one is quicker."""
        if peer.take_back(self.key) and self.asked[peer] is WantType.Block:
            peer.note_withdrawn(self.key, self.session_ids)
        del self.asked[peer]

    def withdraw(self) -> None:
        """Take the want back from all peers: no session wants the block any more."""
        if self.assignee is not None:
            self.unassign()
        for peer in self.asked:
            if peer.take_back(self.key):
                peer.note_withdrawn(self.key, ())
        self.asked.clear()
        self.noes = 0

    def claim(self, sender: RemotePeer | None) -> None:
        """Note that the block is here; take the want back from all peers except its sender."""
        self.claimed = True
        assignee, self.assignee = self.assignee, None
        if assignee is not None and assignee is not sender:
            assignee.unassign(self.key)
        if sender is not None:
            self.asked.pop(sender, None)
        for peer in list(self.asked):
            self.supersede(peer)
        self.noes = 0

    def forget_asked(self, peer: RemotePeer) -> None:
        """Forget that a peer was asked, without a cancel."""
        peer.forget(self.key)
        del self.asked[peer]

    def abandon(self, peer: RemotePeer, reason: PeerAnswer) -> None:
        """Forget a peer that was asked and cannot be asked any more, for ``reason``."""
        if self.answers.pop(peer, None) in _NOES:
            self.noes -= 1
        self.forget_asked(peer)
        self.lose(peer.peer_id, reason)
        if self.assignee is peer:
            self.unassign()

    def lose(self, peer_id: ID, answer: PeerAnswer) -> None:
        """Note why a peer cannot be asked, for the error if no peer has the block."""
        _remember(self.lost, peer_id, answer)

    # -- answers --------------------------------------------------------------------------------

    def note_answer(self, peer: RemotePeer, answer: PeerAnswer) -> None:
        """Note the answer of a peer that was asked and has given none of `_NOES`."""
        self.answers[peer] = answer
        if answer in _NOES:
            self.noes += 1

    def heard_have(self, peer: RemotePeer) -> None:
        """Note HAVE of a peer that was asked."""
        kind = self.asked[peer]
        if self.answers.get(peer) in _NOES:
            self.noes -= 1
            self.asked[peer] = WantType.Have  # the peer has got the block since: ask once more
        self.answers[peer] = PeerAnswer.HAVE
        if kind is WantType.Have:
            peer.answered(self.key)

    def has_said(self, peer: RemotePeer, answer: PeerAnswer) -> bool:
        """Return whether ``answer`` is the latest answer of a peer."""
        return self.answers.get(peer) is answer

    def is_open(self, peer: RemotePeer) -> bool:
        """Return whether a peer may still send the block."""
        return peer.down is None and self.answers.get(peer) not in _NOES

    def is_tried(self, peer: RemotePeer) -> bool:
        """Return whether a peer was sent WANT_BLOCK, was silent, or will not send the block."""
        if self.asked.get(peer) is WantType.Block:
            return True
        answer = self.answers.get(peer)
        return answer is PeerAnswer.SILENT or answer in _NOES

    # -- broadcast and search -------------------------------------------------------------------

    def begin_broadcast(self, session: SessionWants) -> None:
        """Make this one of the wants that ``session`` broadcasts."""
        self.broadcaster = session
        session.broadcasting.add(self)

    def end_broadcast(self, session: SessionWants) -> None:
        """Take this want out of those that ``session`` broadcasts."""
        self.broadcaster = None
        session.broadcasting.discard(self)

    def count_wave(self) -> None:
        """Count a wave of peers that are asked whether they have the block."""
        self.waves += 1

    def searched(self, providers: int) -> None:
        """Note how many providers a search has found."""
        self.providers = providers


@dataclass(slots=True, eq=False)
class SessionWants:
    """The wants of a session, and its peers: a peer with one block of a DAG often has others."""

    session_id: int
    only_peers: frozenset[ID] | None
    """The only peers that may be asked; None for all."""
    wait: bool
    """A want stays when no peer has the block: a peer that has it may connect."""
    presence_only: bool
    """The session only asks which peers have the blocks."""
    searches: bool
    """Providers can be searched for."""
    wants: dict[bytes, Want] = field(default_factory=dict)
    """By multihash; filled by `WantTracker`."""
    peers: dict[RemotePeer, int] = field(default_factory=dict)
    """
    Peers that have said HAVE of a block of the session, have sent one, or are providers; and the
    DONT_HAVEs in a row of each since then.
    """
    lost: dict[ID, PeerAnswer] = field(default_factory=dict)
    """Peers of the session that have disconnected since another peer was found."""
    broadcasting: set[Want] = field(default_factory=set)
    """Wants that are being broadcast to all peers; written by `Want`."""
    backlog: dict[bytes, Want] = field(default_factory=dict)
    """Wants that wait for a place in ``broadcasting``; filled by `Strategy`."""
    scattered: int = 0
    """How many of the next wants go to several peers, as not all peers have all blocks."""
    searching: int = 0
    """How many searches for providers are running."""
    to_search: dict[bytes, Want] = field(default_factory=dict)
    """Wants that wait for a running search to end."""
    since: float = 0.0
    """When the session got a block, got its first want or was found idle, whichever was last."""
    idle_times: int = 0
    """How often in a row the session was found idle."""
    _next_search: float = 0.0
    """When an idle session may search again, in seconds."""

    def begin(self, now: float) -> None:
        """Note the first want of a session without wants."""
        self.since = now

    def allows(self, peer: RemotePeer) -> bool:
        """Return whether the session may ask a peer."""
        return self.only_peers is None or peer.peer_id in self.only_peers

    def forget(self, want: Want) -> None:
        """Take a want out of ``backlog`` and ``to_search``."""
        self.backlog.pop(want.key, None)
        self.to_search.pop(want.key, None)

    # -- peers ----------------------------------------------------------------------------------

    def found(self, peer: RemotePeer) -> None:
        """Note that a peer has a block of the session."""
        self.peers[peer] = 0
        if self.lost:
            self.lost.clear()

    def delivered(self, peer: RemotePeer, now: float) -> None:
        """Note that a peer has sent a wanted block."""
        self.since = now
        self.idle_times = 0
        if self.only_peers is None or peer.peer_id in self.only_peers:
            self.peers[peer] = 0
            if self.lost:
                self.lost.clear()

    def dont_have(self, peer: RemotePeer, *, scatter: bool = False) -> None:
        """
        Count a DONT_HAVE, or a silence; drop a peer after more than `MAX_DONT_HAVES` in a row.

        :param scatter: send the next wants to several peers.
        """
        count = self.peers.get(peer)
        if count is None:
            return
        if scatter:
            self.scattered = SCATTERED_WANTS
        self.peers[peer] = count + 1
        if count < MAX_DONT_HAVES:
            return
        if any(want.has_said(peer, PeerAnswer.HAVE) for want in self.wants.values()):
            self.peers[peer] = 0
        else:
            del self.peers[peer]

    def count_scattered(self) -> None:
        """Count a want that was sent to several peers."""
        if self.scattered:
            self.scattered -= 1

    def lose(self, peer: RemotePeer, reason: PeerAnswer) -> None:
        """Drop a peer that has disconnected."""
        if self.peers.pop(peer, None) is not None:
            _remember(self.lost, peer.peer_id, reason)

    # -- searches and time ----------------------------------------------------------------------

    def begin_search(self, want: Want) -> bool:
        """Count a new search for providers; return False if it has to wait for another to end."""
        if self.searching >= MAX_SEARCHES:
            self.to_search[want.key] = want
            return False
        self.searching += 1
        return True

    def end_search(self) -> None:
        """Count off a search that has ended."""
        self.searching -= 1

    def next_to_search(self) -> Want | None:
        """Remove and return a want that may be searched for now; None if there is none."""
        if not self.to_search or self.searching >= MAX_SEARCHES:
            return None
        return self.to_search.pop(next(iter(self.to_search)))

    def count_idle(self, now: float) -> None:
        """Note that no block has come for too long."""
        self.idle_times += 1
        self.since = now

    def begin_idle_search(self, now: float) -> bool:
        """Return whether an idle session is to search now: the first time, then at intervals."""
        if self.idle_times > 1 and now < self._next_search:
            return False
        self._next_search = now + SEARCH_INTERVAL_SECONDS
        return True


def _remember(lost: dict[ID, PeerAnswer], peer_id: ID, answer: PeerAnswer) -> None:
    lost[peer_id] = answer
    if len(lost) > MAX_LOST_PEERS:
        del lost[next(iter(lost))]
