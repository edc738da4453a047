"""
The wants, and the sessions that want them (sans-I/O).

A want is sent as WANT_BLOCK to one peer, the one that it is assigned to, and as WANT_HAVE to
others. Whom to choose is not decided here.

Which peers are asked for a want is kept at both ends. `Want` changes both: its own, and by the
methods of `RemotePeer`, which knows no wants, what that one keeps by the want's key.
"""

from __future__ import annotations

from enum import Enum
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
    from collections.abc import Iterable

    from libp2p.bitswap.want.remote_peer import RemotePeer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

#: Answers of a peer that will not send the block.
_NOES: Final = (PeerAnswer.DONT_HAVE, PeerAnswer.UNASKED)


class SearchState(Enum):
    """How far the search for providers of a want has got."""

    NONE = "not begun"
    QUEUED = "to begin when other searches of the session have ended"
    RUNNING = "running"
    DONE = "ended"


class Want:
    """One block that one or several sessions want, and which peers are asked for it."""

    __slots__ = (
        "answers", "asked", "assignee", "broadcaster", "cid", "claimed", "key", "lost", "noes",
        "presence_only", "priority", "providers", "search", "sessions", "wanted_at", "waves",
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
        self.answers: dict[RemotePeer, PeerAnswer] = {}
        self.noes = 0
        """How many of the peers in ``asked`` have said that they will not send the block."""
        self.lost: dict[ID, PeerAnswer] = {}
        """Peers that were asked and are gone, providers that could not be reached."""
        self.broadcaster: SessionWants | None = None
        """The session among whose ``broadcasting`` wants it is."""
        self.waves = 0
        """How many waves of peers have been asked whether they have the block."""
        self.search = SearchState.NONE
        self.providers: int | None = None
        """How many providers the search has found; None before it has ended."""

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

    def ask(self, peer: RemotePeer, kind: WantType) -> None:
        """Ask a peer, unless it has been asked as much or cannot deliver."""
        earlier = self.asked.get(peer)
        if earlier is WantType.Block or earlier is kind or not self.is_open(peer):
            return
        if kind is WantType.Have and not peer.supports_have:
            # It can only be asked for the block: not before that is needed.
            if self.assignee is None or self.has_said(self.assignee, PeerAnswer.SILENT):
                self.assign(peer)
            return
        self.asked[peer] = kind
        peer.queue(self.key, self._entry(kind))

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

    def _entry(self, kind: WantType) -> Entry:
        return Entry(self.cid, self.priority, want_type=kind, send_dont_have=True)

    def unassign(self) -> None:
        """Wait no longer for the peer that was to send the block; it may still do so."""
        peer, self.assignee = self.assignee, None
        if peer is not None:
            peer.unassign(self.key)

    def supersede(self, peer: RemotePeer) -> None:
        """Take the want back from a peer that has not answered: another one is quicker."""
        if peer.take_back(self.key) and self.asked[peer] is WantType.Block:
            peer.note_superseded(self.key, self.session_ids)
        del self.asked[peer]

    def withdraw(self) -> None:
        """Take the want back from all peers: no session wants the block any more."""
        if self.assignee is not None:
            self.unassign()
        for peer in self.asked:
            if peer.take_back(self.key):
                peer.note_cancelled(self.key)
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
        """Note what a peer that was asked has said, or shown."""
        if self.answers.get(peer) in _NOES:
            self.noes -= 1
        if answer in _NOES:
            self.noes += 1
        self.answers[peer] = answer

    def heard_have(self, peer: RemotePeer) -> None:
        """A peer that was asked has said HAVE."""
        kind = self.asked[peer]
        if self.answers.get(peer) in _NOES:
            # It has got the block since: it may be asked for it once more.
            self.noes -= 1
            self.asked[peer] = WantType.Have
            peer.change_pending(self.key, self._entry(WantType.Have))
        self.answers[peer] = PeerAnswer.HAVE
        if kind is WantType.Have:
            peer.answered(self.key)

    def has_said(self, peer: RemotePeer, answer: PeerAnswer) -> bool:
        """Return whether this is the latest answer of a peer."""
        return self.answers.get(peer) is answer

    def has_said_no(self, peer: RemotePeer) -> bool:
        """Return whether a peer does not have the block, or has sent another one instead."""
        return self.answers.get(peer) in _NOES

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
        """End that."""
        self.broadcaster = None
        session.broadcasting.discard(self)

    def count_wave(self) -> None:
        """Count a wave of peers that are asked."""
        self.waves += 1

    def note_search(self, state: SearchState) -> None:
        """Note how far the search for providers has got."""
        self.search = state

    def searched(self, providers: int) -> None:
        """The search for providers has ended and has found so many."""
        self.search = SearchState.DONE
        self.providers = providers


class SessionWants:
    """The wants of a session. They share peers: who has one block of a DAG often has others."""

    __slots__ = (
        "_next_search", "backlog", "broadcasting", "idle_times", "lost", "only_peers", "peers",
        "presence_only", "scattered", "searches", "searching", "session_id", "since", "to_search",
        "wait", "wants",
    )  # fmt: skip

    def __init__(
        self,
        session_id: int,
        only_peers: Iterable[ID] | None,
        *,
        wait: bool,
        presence_only: bool,
        searches: bool,
    ) -> None:
        self.session_id = session_id
        self.only_peers = None if only_peers is None else frozenset(only_peers)
        """The only peers that may be asked; None for all."""
        self.wait = wait
        """Wants stay when nobody has the block: somebody may come who has it."""
        self.presence_only = presence_only
        """Peers are only asked whether they have the blocks."""
        self.searches = searches and only_peers is None
        """Providers can be searched for."""
        self.wants: dict[bytes, Want] = {}
        """By multihash; filled by `WantTracker`."""
        self.peers: dict[RemotePeer, int] = {}
        """
        Peers that have said that they have a block of the session, have sent one, or are
        providers, and how many DONT_HAVEs in a row each has said since.
        """
        self.lost: dict[ID, PeerAnswer] = {}
        """Those of them that are gone since another one was found."""
        # broadcasts
        self.broadcasting: set[Want] = set()
        """Wants that peers of all sorts are being asked about; written by `Want`."""
        self.backlog: dict[bytes, Want] = {}
        """Wants that are to be broadcast when fewer others are; filled by `Strategy`."""
        self.scattered = 0
        """Of so many of the next wants several peers are told: not all of them have all blocks."""
        # searches
        self.searching = 0
        """Searches for providers that are running."""
        self.to_search: dict[bytes, Want] = {}
        """Wants whose search has not begun, since there are too many others."""
        self._next_search = 0.0
        # time
        self.since = 0.0
        """When it was last known not to be idle: a wanted block came, the first want was made."""
        self.idle_times = 0
        """How often in a row the session was found idle."""

    def begin(self, now: float) -> None:
        """The session, which wanted nothing, wants something."""
        self.since = now

    def allows(self, peer: RemotePeer) -> bool:
        """Return whether the session may ask a peer."""
        return self.only_peers is None or peer.peer_id in self.only_peers

    def forget(self, want: Want) -> None:
        """A want waits no longer: neither to be broadcast nor for a search."""
        if self.backlog:
            self.backlog.pop(want.key, None)
        if self.to_search:
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
        """Begin a search for providers; return False if it has to wait for others to end."""
        if self.searching >= MAX_SEARCHES:
            want.note_search(SearchState.QUEUED)
            self.to_search[want.key] = want
            return False
        want.note_search(SearchState.RUNNING)
        self.searching += 1
        return True

    def end_search(self) -> None:
        """A search that the session has begun has ended."""
        self.searching -= 1

    def next_to_search(self) -> Want | None:
        """Remove and return a want whose search may begin now; None if there is none."""
        if not self.to_search or self.searching >= MAX_SEARCHES:
            return None
        want = self.to_search.pop(next(iter(self.to_search)))
        want.note_search(SearchState.NONE)
        return want

    def drop_searches(self) -> None:
        """A provider was found and probably has the other blocks: ask it before searching."""
        for want in self.to_search.values():
            want.note_search(SearchState.NONE)
        self.to_search.clear()

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
