"""
The client's core (sans-I/O): which blocks are wanted, who is asked for them, and who is next.

A want goes as WANT_BLOCK to one peer, its holder, and as WANT_HAVE to some others, so that another
one is known when the holder fails. Who delivered before in the session comes first; without such a
peer everybody is asked with WANT_HAVE and the first to say HAVE becomes the holder. DONT_HAVE, a
lost connection or a long silence of the holder makes the next best peer the holder; when nobody is
left the sessions get `Unavailable` at once.

Every method is plain and quick. What it leads to is fetched by the driver: `take_ready` (peers with
something to be sent, by `take_message`) and `take_outcomes` (what sessions have to be told).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.bitswap.config import (
    FIRST_PRIORITY,
    MAX_RESETS,
    MAX_WANTS_PER_PEER,
    RECENT_BLOCKS,
    RETRY_PEER_SECONDS,
    STALL_SECONDS,
    WANT_HAVE_PEERS,
)
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.peer_choice import best_of, best_stranger, load, says_have
from libp2p.bitswap.want_state import Found, Peer, Session, Unavailable, Want
from libp2p.bitswap.wantlist import BlockPresenceType, Entry, WantType, block_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

__all__ = ["Found", "Unavailable", "Want", "WantTracker"]


class WantTracker:
    """All that this side wants from others."""

    def __init__(self, *, max_wants_per_peer: int = MAX_WANTS_PER_PEER) -> None:
        self._max_wants_per_peer = max_wants_per_peer
        self._wants: dict[bytes, Want] = {}
        self._peers: dict[ID, Peer] = {}
        self._sessions: dict[int, Session] = {}
        self._down: dict[Peer, None] = {}
        self._waiting: dict[Peer, float] = {}  # since when blocks are due without a word
        self._ready: dict[Peer, None] = {}
        self._outcomes: list[Found | Unavailable] = []
        self._recent: dict[bytes, None] = {}
        self._next_session = 1
        self._next_priority = FIRST_PRIORITY

    # -- what sessions want ---------------------------------------------------------------------

    def open_session(
        self,
        peers: Iterable[ID] | None = None,
        *,
        wait: bool = False,
        presence_only: bool = False,
    ) -> int:
        """Begin a session, confined to ``peers`` if they are given; return its number."""
        session = Session(self._next_session, peers, wait, presence_only)
        self._next_session += 1
        self._sessions[session.session_id] = session
        return session.session_id

    def close_session(self, session_id: int) -> None:
        """End a session and its wants."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            for want in list(session.wants.values()):
                self._detach(session, want)

    def want(self, session_id: int, cid: CID, now: float, priority: int | None = None) -> None:
        """Want a block for a session; asking again for what it wants already changes nothing."""
        session = self._sessions[session_id]
        key = block_key(cid)
        if key in session.wants:
            return
        want = self._wants.get(key)
        if want is None:
            if priority is None:
                priority = self._next_priority
                self._next_priority = max(priority - 1, 1)
            want = self._wants[key] = Want(key, cid, priority)
        session.wants[key] = want
        want.sessions[session] = None
        if self._down:
            self._retry_peers(now)
        if session.presence_only and self._is_found(session, want):
            return
        self._dispatch(want)
        if want.holder is not None and not session.allows(want.holder):
            for peer in self._candidates(session):
                self._ask(want, peer, WantType.Have)
            self._drop_exhausted(want)

    def unwant(self, session_id: int, key: bytes) -> None:
        """A session no longer wants a block; the last one's leaving cancels it at the peers."""
        session = self._sessions.get(session_id)
        if session is not None and (want := session.wants.get(key)) is not None:
            self._detach(session, want)

    def knows_peers(self, session_id: int) -> bool:
        """Tell whether a session has found peers that have blocks of it."""
        session = self._sessions.get(session_id)
        return session is not None and bool(session.peers)

    def report(self, session_id: int, key: bytes) -> dict[ID, PeerAnswer]:
        """Say what each peer that a session could ask for a block has answered so far."""
        session = self._sessions.get(session_id)
        want = session.wants.get(key) if session else None
        return self._report(session, want) if session and want else {}

    def is_wanted(self, cid: CID) -> bool:
        """Tell whether a block is wanted."""
        return block_key(cid) in self._wants

    def wantlist(self) -> list[CID]:
        """List the CIDs that are wanted."""
        return [want.cid for want in self._wants.values()]

    # -- peers ----------------------------------------------------------------------------------

    def add_peer(self, peer_id: ID) -> None:
        """A peer has connected: it is asked for all that nobody is known to have."""
        if peer_id not in self._peers:
            peer = self._peers[peer_id] = Peer(peer_id)
            self._offer_wants(peer)

    def remove_peer(self, peer_id: ID, reason: PeerAnswer = PeerAnswer.DISCONNECTED) -> None:
        """A peer is gone for ``reason``: others are asked for what it was to send."""
        peer = self._peers.pop(peer_id, None)
        if peer is None:
            return
        for session in self._sessions.values():
            session.lose(peer, reason)
        self._ready.pop(peer, None)
        self._down.pop(peer, None)
        self._waiting.pop(peer, None)
        self._abandon(peer, reason)

    def peer_failed(self, peer_id: ID, reason: PeerAnswer, now: float) -> None:
        """A connected peer cannot be asked, for now; what it was asked goes to others."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.down = reason
            peer.down_since = now
            self._down[peer] = None
            self._abandon(peer, reason)

    def set_supports_have(self, peer_id: ID, supported: bool) -> None:
        """Say whether the protocol spoken with a peer has WANT_HAVE."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.supports_have = supported

    def heard(self, peer_id: ID) -> None:
        """A peer has said something: it lives, and can be asked again."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.resets = 0
            if peer.down is not None:
                self._revive(peer)

    @property
    def peer_ids(self) -> list[ID]:
        return list(self._peers)

    # -- what peers send ------------------------------------------------------------------------

    def receive_presences(
        self, peer_id: ID, presences: Mapping[CID, BlockPresenceType], now: float
    ) -> None:
        """Take in what a peer says about having blocks; what it was not asked is ignored."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        for cid, kind in presences.items():
            key = block_key(cid)
            want = self._wants.get(key)
            if want is None or want.claimed or key not in peer.known:
                continue
            if kind is BlockPresenceType.Have:
                self._receive_have(want, peer)
            else:
                self._receive_dont_have(want, peer)
        self._note_progress(peer, now)

    def claim(self, peer_id: ID | None, cid: CID, now: float) -> Want | None:
        """
        Take in a block; None if it is not wanted (any more).

        A claimed want cannot be claimed again. It is ended by `settle` when the block is stored.
        ``peer_id`` is None for a block that was found here.
        """
        want = self._wants.get(block_key(cid))
        if want is None or want.claimed:
            return None
        want.claimed = True
        sender = self._peers.get(peer_id) if peer_id is not None else None
        if sender is not None:
            sender.delivered += 1
            sender.known.pop(want.key, None)  # sending it ended the want over there
            for session in want.sessions:
                if session.allows(sender):
                    session.find(sender)
        self._withdraw(want)
        if sender is not None:
            self._note_progress(sender, now)
        return want

    def settle(self, want: Want) -> list[int]:
        """End a claimed want; return the sessions that wait for the block."""
        del self._wants[want.key]
        self._recent[want.key] = None
        if len(self._recent) > RECENT_BLOCKS:
            del self._recent[next(iter(self._recent))]
        for session in want.sessions:
            del session.wants[want.key]
        return [session.session_id for session in want.sessions]

    def came_lately(self, cid: CID) -> bool:
        """Tell whether a block that is not wanted was, until it came: it is a duplicate."""
        key = block_key(cid)
        return key in self._recent or key in self._wants

    # -- messages to peers ----------------------------------------------------------------------

    def take_ready(self) -> list[ID]:
        """Return the peers that have got something to be sent since the last call."""
        ready = [peer.peer_id for peer in self._ready]
        self._ready.clear()
        return ready

    def take_outcomes(self) -> list[Found | Unavailable]:
        """Return what sessions have to be told since the last call."""
        outcomes = self._outcomes
        self._outcomes = []
        return outcomes

    def has_outgoing(self, peer_id: ID) -> bool:
        """Tell whether `take_message` has something for a peer."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return False
        has_room = len(peer.unanswered) < self._max_wants_per_peer
        return bool(peer.cancels or (peer.pending and has_room))

    def take_message(self, peer_id: ID, now: float) -> list[Entry]:
        """
        Take all that is to be said to a peer: cancels, then wants as far as its limit allows.

        A want for what is cancelled in the same message waits for the next one: Go would take the
        cancel alone.
        """
        peer = self._peers.get(peer_id)
        if peer is None:
            return []
        cancels, peer.cancels = peer.cancels, {}
        entries = [Entry(cid, 0, cancel=True) for cid in cancels.values()]
        room = self._max_wants_per_peer - len(peer.unanswered)
        taken: list[bytes] = []
        for key, want in peer.pending.items():
            if room <= 0:
                break
            if key in cancels:
                continue
            taken.append(key)
            kind = self._kind_for(want, peer)
            if kind is None:
                continue
            room -= key not in peer.unanswered
            entries.append(Entry(want.cid, want.priority, False, kind, send_dont_have=True))
            peer.known[key] = want.cid
            peer.unanswered[key] = want
        for key in taken:
            del peer.pending[key]
        if peer.held:
            self._waiting.setdefault(peer, now)
        return entries

    def message_lost(self, peer_id: ID, entries: Iterable[Entry]) -> None:
        """A message could not be written: queue its entries again, as far as they still matter."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        for entry in entries:
            key = block_key(entry.cid)
            if entry.cancel:
                if key not in peer.known:
                    peer.cancels[key] = entry.cid
            elif (want := peer.unanswered.pop(key, None)) is not None:
                peer.pending[key] = want
        self._note_outgoing(peer)

    def stream_reset(self, peer_id: ID, now: float) -> None:
        """
        A peer has reset the stream that our wants went on: send again what it has not answered.

        One that does so again and again without a word is given up.
        """
        peer = self._peers.get(peer_id)
        if peer is None or not peer.unanswered:
            return
        peer.resets += 1
        if peer.resets > MAX_RESETS:
            self.peer_failed(peer_id, PeerAnswer.UNRESPONSIVE, now)
            return
        self.send_all_again(peer_id)

    def send_all_again(self, peer_id: ID) -> None:
        """Queue all that a peer has not answered: it may have forgotten it."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.pending = {**peer.unanswered, **peer.pending}
            peer.unanswered.clear()
            self._note_outgoing(peer)

    # -- time -----------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when `tick` should be called next."""
        return min(self._waiting.values()) + STALL_SECONDS if self._waiting else None

    def tick(self, now: float) -> None:
        """Let others take over from holders that have been silent for too long."""
        for peer, since in list(self._waiting.items()):
            if now < since + STALL_SECONDS:
                continue
            self._waiting[peer] = now
            for want in list(peer.held.values()):
                want.answers[peer] = PeerAnswer.SILENT
                if any(other is not peer for other in self._open_peers(want)):
                    self._release(want)
                    self._dispatch(want)

    # -- choosing -------------------------------------------------------------------------------

    def _candidates(self, session: Session) -> list[Peer]:
        if session.fixed is None:
            return list(self._peers.values())
        return [self._peers[peer_id] for peer_id in session.fixed if peer_id in self._peers]

    def _open_peers(self, want: Want) -> list[Peer]:
        """Everybody who may still deliver a want, for any of its sessions."""
        found: dict[Peer, None] = {}
        for session in want.sessions:
            for peer in self._candidates(session):
                if want.is_open(peer):
                    found[peer] = None
        return list(found)

    def _dispatch(self, want: Want) -> None:
        """Make somebody the holder of a want that has none, or ask who could be."""
        if want.claimed or want.holder is not None:
            return
        if not want.is_for_presence_only:
            # Fast path: the session knows its peers, and the others need not be looked at.
            mates = {p: None for s in want.sessions for p in s.peers if want.is_open(p)}
            best = best_of([peer for peer in mates if peer not in want.answers])
            best = best_of([p for p in mates if says_have(want, p)]) or best
            if best is not None:
                self._hold(want, best)
                others = sorted((p for p in mates if p is not best), key=load)
                for peer in others[:WANT_HAVE_PEERS]:
                    self._ask(want, peer, WantType.Have)
                return
        everybody = self._open_peers(want)
        if not want.is_for_presence_only and (best := best_stranger(want, everybody)):
            self._hold(want, best)
        for peer in everybody:
            if peer is not want.holder:
                self._ask(want, peer, WantType.Have)
        self._drop_exhausted(want)

    def _hold(self, want: Want, peer: Peer) -> None:
        want.holder = peer
        peer.held[want.key] = want
        self._ask(want, peer, WantType.Block)

    def _release(self, want: Want) -> None:
        """Take a want away from its holder; a block that still comes from it is welcome."""
        holder, want.holder = want.holder, None
        if holder is not None:
            holder.held.pop(want.key, None)
            if not holder.held:
                self._waiting.pop(holder, None)

    def _ask(self, want: Want, peer: Peer, kind: WantType) -> None:
        earlier = want.asked.get(peer)
        if earlier is WantType.Block or earlier is kind or not want.is_open(peer):
            return
        want.asked[peer] = kind
        peer.pending[want.key] = want
        self._ready[peer] = None

    def _kind_for(self, want: Want, peer: Peer) -> WantType | None:
        """Say how a pending want is sent; None if it need not be, since it has a holder."""
        kind = want.asked[peer]
        if kind is WantType.Block or peer.supports_have:
            return kind
        if want.holder is not None:
            del want.asked[peer]
            return None
        want.asked[peer] = WantType.Block
        want.holder = peer
        peer.held[want.key] = want
        return WantType.Block

    def _offer_wants(self, peer: Peer) -> None:
        """Ask a peer that has become available for what no proven peer is about to send."""
        for want in list(self._wants.values()):
            if not any(session.allows(peer) for session in want.sessions):
                continue
            if want.holder is None:
                self._dispatch(want)
            elif not want.holder.delivered:
                self._ask(want, peer, WantType.Have)

    def _retry_peers(self, now: float) -> None:
        for peer in list(self._down):
            if now >= peer.down_since + RETRY_PEER_SECONDS:
                self._revive(peer)

    def _revive(self, peer: Peer) -> None:
        del self._down[peer]
        peer.down = None
        self._offer_wants(peer)

    # -- answers --------------------------------------------------------------------------------

    def _receive_have(self, want: Want, peer: Peer) -> None:
        if want.answers.get(peer) is PeerAnswer.DONT_HAVE:
            want.asked[peer] = WantType.Have  # it has got it since: it may be asked once more
        want.answers[peer] = PeerAnswer.HAVE
        if want.asked.get(peer) is WantType.Have:
            self._answered(want, peer)
        for session in list(want.sessions):
            if not session.allows(peer):
                continue
            session.find(peer)
            if session.presence_only:
                self._outcomes.append(Found(session.session_id, want.key, peer.peer_id))
                self._detach(session, want)
        holder = want.holder
        if holder is not None and not holder.delivered and not says_have(want, holder):
            self._release(want)  # nothing is known of that one, this one has it
        if want.sessions:
            self._dispatch(want)

    def _is_found(self, session: Session, want: Want) -> bool:
        """Tell a session that asks for presence what has been said already."""
        for peer in want.answers:
            if says_have(want, peer) and session.allows(peer):
                self._outcomes.append(Found(session.session_id, want.key, peer.peer_id))
                self._detach(session, want)
                return True
        return False

    def _receive_dont_have(self, want: Want, peer: Peer) -> None:
        if says_have(want, peer) and want.holder is not peer:
            return  # replies on two streams have overtaken each other: HAVE is the later one
        want.answers[peer] = PeerAnswer.DONT_HAVE
        self._answered(want, peer)
        if want.holder is peer:
            self._release(want)
        self._dispatch(want)
        self._drop_exhausted(want)

    def _answered(self, want: Want, peer: Peer) -> None:
        """A want on the wire has been answered: there is room for another one."""
        peer.unanswered.pop(want.key, None)
        if peer.pending:
            self._ready[peer] = None

    def _note_progress(self, peer: Peer, now: float) -> None:
        if peer in self._waiting:
            self._waiting[peer] = now

    # -- ends -----------------------------------------------------------------------------------

    def _drop_exhausted(self, want: Want) -> None:
        """Tell the sessions that have nobody left to ask for a want."""
        for session in list(want.sessions):
            if session.wait or want.claimed:
                continue
            if not any(want.is_open(peer) for peer in self._candidates(session)):
                peers = self._report(session, want)
                self._outcomes.append(Unavailable(session.session_id, want.key, want.cid, peers))
                self._detach(session, want)

    def _report(self, session: Session, want: Want) -> dict[ID, PeerAnswer]:
        peers = {
            peer_id: answer
            for peer_id, answer in want.lost.items()
            if session.fixed is None or peer_id in session.fixed
        }
        for peer_id in session.fixed or ():
            peers.setdefault(peer_id, PeerAnswer.DISCONNECTED)
        for peer in self._candidates(session):
            peers[peer.peer_id] = peer.down or want.answers.get(peer, PeerAnswer.SILENT)
        # A block wanted after the loss of the only peer was never asked for: say who is missing.
        return peers or dict(session.lost)

    def _detach(self, session: Session, want: Want) -> None:
        session.wants.pop(want.key, None)
        want.sessions.pop(session, None)
        if not want.sessions and not want.claimed:
            self._withdraw(want)
            self._wants.pop(want.key, None)

    def _withdraw(self, want: Want) -> None:
        """Take a want back from everybody that was asked, by a cancel where it has been sent."""
        self._release(want)
        key = want.key
        for peer in want.asked:
            peer.pending.pop(key, None)
            if (cid := peer.known.pop(key, None)) is not None:
                peer.cancels[key] = cid
            self._answered(want, peer)
            self._note_outgoing(peer)
        want.asked.clear()

    def _abandon(self, peer: Peer, reason: PeerAnswer) -> None:
        """Forget all dealings with a peer and ask others instead."""
        keys = {**peer.pending, **peer.known}
        for waiting in (peer.pending, peer.unanswered, peer.known, peer.cancels):
            waiting.clear()
        for key in keys:
            want = self._wants.get(key)
            if want is None or peer not in want.asked:
                continue
            del want.asked[peer]
            want.answers.pop(peer, None)
            want.lost[peer.peer_id] = reason
            if want.holder is peer:
                self._release(want)
            self._dispatch(want)
            self._drop_exhausted(want)

    def _note_outgoing(self, peer: Peer) -> None:
        if peer.has_outgoing:
            self._ready[peer] = None
