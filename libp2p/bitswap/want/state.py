"""
The wants, and the sessions that want them (sans-I/O).

A want is sent as WANT_BLOCK to one peer, the one that it is assigned to, and as WANT_HAVE to
others. Whom to choose is not decided here.

Which peers are asked for a want is kept at both ends. `Want` changes both: its own, and by the
methods of `RemotePeer`, which knows no wants, what that one keeps by the want's key.
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

#: Answers of a peer that will not send the block.
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
        """As the first session named it; peers are asked for this one."""
        self.priority = priority
        """The priority of its entries on the wire: a peer sends the highest first."""
        self.wanted_at = wanted_at
        """When it was made, in seconds."""
        self.sessions: dict[SessionWants, None] = {session: None}
        self.presence_only = session.presence_only
        """No session wants more than to know who has the block."""
        self.claimed = False
        """The block is here and is being stored: nobody is asked any more."""
        self.asked: dict[RemotePeer, WantType] = {}
        """What each peer is asked, or will be with the next message to it."""
        self.assignee: RemotePeer | None = None
        """The peer that is to send the block."""
        self._have_entry: Entry | None = None  # one for all peers: there may be many
        self.answers: dict[RemotePeer, PeerAnswer] = {}
        self.noes = 0
        """How many of the peers in ``asked`` have said that they will not send the block."""
        self.lost: dict[ID, PeerAnswer] = {}
        """Peers that were asked and are gone, providers that could not be reached."""
        self.broadcaster: SessionWants | None = None
        """The session among whose ``broadcasting`` wants it is."""
        self.waves = 0
        """How many waves of peers have been asked whether they have the block."""
        self.providers: int | None = None
        """How many providers a search has found; None before one has ended."""

    def join(self, session: SessionWants) -> None:
        """One more session wants the block."""
        self.sessions[session] = None
        self.presence_only = self.presence_only and session.presence_only

    def leave(self, session: SessionWants) -> None:
        """A session does not want the block any more."""
        self.sessions.pop(session, None)
        self.presence_only = not self.sessions or all(s.presence_only for s in self.sessions)

    @property
    def session_ids(self) -> tuple[int, ...]:
        """The sessions that want the block."""
        return tuple([session.session_id for session in self.sessions])

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, peer: RemotePeer) -> None:
        """Ask a peer whether it has the block, unless it is asked already or cannot deliver."""
        if peer in self.asked or not self.is_open(peer):
            return
        if not peer.supports_have:
            # It can only be asked for the block: not before that is needed.
            if self.assignee is None or self.has_said(self.assignee, PeerAnswer.SILENT):
                self.assign(peer)
            return
        self.asked[peer] = kind = WantType.Have
        if self._have_entry is None:
            self._have_entry = Entry(self.cid, self.priority, False, kind, True)
        peer.queue(self.key, self._have_entry)

    def assign(self, peer: RemotePeer) -> None:
        """Let a peer that may deliver send the block, instead of the one that was to."""
        if self.assignee is not None:
            self.unassign()
        self.assignee = peer
        if self.asked.get(peer) is WantType.Block:
            # It is asked already, and is silent: any other peer may take over.
            self.note_answer(peer, PeerAnswer.SILENT)
            peer.assign(self.key, None)
        else:
            self.asked[peer] = kind = WantType.Block
            peer.assign(self.key, Entry(self.cid, self.priority, False, kind, True))

    def unassign(self) -> None:
        """Wait no longer for the peer that was to send the block; it may still do so."""
        peer, self.assignee = self.assignee, None
        assert peer is not None
        peer.unassign(self.key)

    def supersede(self, peer: RemotePeer) -> None:
        """Take the want back from a peer that has not answered: another one is quicker."""
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
        """The block is here: take the want back from all peers but the one that has sent it."""
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
        """Forget that a peer was asked."""
        peer.forget(self.key)
        del self.asked[peer]

    def abandon(self, peer: RemotePeer, reason: PeerAnswer) -> None:
        """A peer that was asked cannot be asked any more, for ``reason``."""
        if self.answers.pop(peer, None) in _NOES:
            self.noes -= 1
        self.forget_asked(peer)
        self.lose(peer.peer_id, reason)
        if self.assignee is peer:
            self.unassign()

    def lose(self, peer_id: ID, answer: PeerAnswer) -> None:
        """A peer cannot be asked: remember why, for the error if nobody has the block."""
        _remember(self.lost, peer_id, answer)

    # -- answers --------------------------------------------------------------------------------

    def note_answer(self, peer: RemotePeer, answer: PeerAnswer) -> None:
        """Note what a peer that was asked, and has not said no, has said or shown."""
        self.answers[peer] = answer
        if answer in _NOES:
            self.noes += 1

    def heard_have(self, peer: RemotePeer) -> None:
        """A peer that was asked has said HAVE."""
        kind = self.asked[peer]
        if self.answers.get(peer) in _NOES:
            self.noes -= 1
            self.asked[peer] = WantType.Have  # it has got the block since: ask for it once more
        self.answers[peer] = PeerAnswer.HAVE
        if kind is WantType.Have:
            peer.answered(self.key)

    def has_said(self, peer: RemotePeer, answer: PeerAnswer) -> bool:
        """Return whether this is the latest answer of a peer."""
        return self.answers.get(peer) is answer

    def is_open(self, peer: RemotePeer) -> bool:
        """Return whether a peer may still deliver the block."""
        return peer.down is None and self.answers.get(peer) not in _NOES

    def is_tried(self, peer: RemotePeer) -> bool:
        """Return whether a peer was asked for the block already, or does not have it."""
        if self.asked.get(peer) is WantType.Block:
            return True
        answer = self.answers.get(peer)
        return answer is PeerAnswer.SILENT or answer in _NOES

    # -- broadcast and search -------------------------------------------------------------------

    def begin_broadcast(self, session: SessionWants) -> None:
        """Ask peers of all sorts, as one of the wants that ``session`` may do so for at once."""
        self.broadcaster = session
        session.broadcasting.add(self)

    def end_broadcast(self, session: SessionWants) -> None:
        """Leave the place among those wants to another one."""
        self.broadcaster = None
        session.broadcasting.discard(self)

    def count_wave(self) -> None:
        """Count a wave of peers that are asked."""
        self.waves += 1

    def searched(self, providers: int) -> None:
        """A search for providers has ended and has found so many."""
        self.providers = providers


@dataclass(slots=True, eq=False)
class SessionWants:
    """The wants of a session. They share peers: who has one block of a DAG often has others."""

    session_id: int
    only_peers: frozenset[ID] | None
    """The only peers that may be asked; None for all."""
    wait: bool
    """Wants stay when nobody has the block: somebody may come who has it."""
    presence_only: bool
    """Peers are only asked whether they have the blocks."""
    searches: bool
    """Providers can be searched for."""
    wants: dict[bytes, Want] = field(default_factory=dict)
    """By multihash; filled by `WantTracker`."""
    peers: dict[RemotePeer, int] = field(default_factory=dict)
    """
    Peers that have said that they have a block of the session, have sent one, or are providers, and
    how many DONT_HAVEs in a row each has said since.
    """
    lost: dict[ID, PeerAnswer] = field(default_factory=dict)
    """Those of them that are gone since another one was found."""
    broadcasting: set[Want] = field(default_factory=set)
    """Wants that peers of all sorts are being asked about; written by `Want`."""
    backlog: dict[bytes, Want] = field(default_factory=dict)
    """Wants that are to be broadcast when fewer others are; filled by `Strategy`."""
    scattered: int = 0
    """Of so many of the next wants several peers are told: not all of them have all blocks."""
    searching: int = 0
    """Searches for providers that are running."""
    to_search: dict[bytes, Want] = field(default_factory=dict)
    """Wants that are searched for when fewer others are."""
    since: float = 0.0
    """When, in seconds, a wanted block came last, the first want was made or it was found idle."""
    idle_times: int = 0
    """How often in a row the session was found idle."""
    _next_search: float = 0.0

    def begin(self, now: float) -> None:
        """The session, which wanted nothing, wants something."""
        self.since = now

    def allows(self, peer: RemotePeer) -> bool:
        """Return whether the session may ask a peer."""
        return self.only_peers is None or peer.peer_id in self.only_peers

    def forget(self, want: Want) -> None:
        """A want is neither to be broadcast nor to be searched for any more."""
        self.backlog.pop(want.key, None)
        self.to_search.pop(want.key, None)

    def take_backlog(self) -> list[Want]:
        """Remove and return the wants that are to be broadcast."""
        wants = list(self.backlog.values())
        self.backlog.clear()
        return wants

    # -- peers ----------------------------------------------------------------------------------

    def found(self, peer: RemotePeer) -> None:
        """A peer has a block of the session."""
        self.peers[peer] = 0
        if self.lost:
            self.lost.clear()

    def delivered(self, peer: RemotePeer, now: float) -> None:
        """A peer has sent a wanted block."""
        self.since = now
        self.idle_times = 0
        if self.only_peers is None or peer.peer_id in self.only_peers:
            self.peers[peer] = 0
            if self.lost:
                self.lost.clear()

    def dont_have(self, peer: RemotePeer, *, scatter: bool = False) -> None:
        """
        Count a DONT_HAVE, or silence; a peer that says nothing else is dropped.

        :param scatter: tell several peers of the next wants.
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
        """Several peers are told of a want."""
        if self.scattered:
            self.scattered -= 1

    def lose(self, peer: RemotePeer, reason: PeerAnswer) -> None:
        """A peer is gone."""
        if self.peers.pop(peer, None) is not None:
            _remember(self.lost, peer.peer_id, reason)

    # -- searches and time ----------------------------------------------------------------------

    def begin_search(self, want: Want) -> bool:
        """Begin a search for providers; return False if it is to begin when another one ends."""
        if self.searching >= MAX_SEARCHES:
            self.to_search[want.key] = want
            return False
        self.searching += 1
        return True

    def end_search(self) -> None:
        """A search that the session has begun has ended."""
        self.searching -= 1

    def next_to_search(self) -> Want | None:
        """Remove and return a want that may be searched for now; None if there is none."""
        if not self.to_search or self.searching >= MAX_SEARCHES:
            return None
        return self.to_search.pop(next(iter(self.to_search)))

    def count_idle(self, now: float) -> None:
        """Count that nothing has come for too long."""
        self.idle_times += 1
        self.since = now

    def begin_idle_search(self, now: float) -> bool:
        """Return whether an idle session is to search now: at first, then at intervals."""
        if self.idle_times > 1 and now < self._next_search:
            return False
        self._next_search = now + SEARCH_INTERVAL_SECONDS
        return True


def _remember(lost: dict[ID, PeerAnswer], peer_id: ID, answer: PeerAnswer) -> None:
    lost[peer_id] = answer
    if len(lost) > MAX_LOST_PEERS:
        del lost[next(iter(lost))]
