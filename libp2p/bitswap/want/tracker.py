"""
The client's core (sans-I/O): which blocks are wanted, what peers say, what sessions are told.

A want goes as WANT_BLOCK to one peer, its holder, which is the one that can be expected to send it
first. Without a peer that is known to have blocks of the session, peers are asked with WANT_HAVE
and the first to say HAVE becomes the holder (`dispatch`). DONT_HAVE, a lost connection or silence
makes another peer the holder (`takeover`). When nobody is left, the sessions get `Unavailable` at
once.

Every method is plain and quick; what may be long is begun, and the driver goes on with it
(`chores`). What it leads to is fetched by the driver: `take_ready` (peers with something to be
sent, by `take_message`) and `take_outcomes` (what is to be done or told).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from libp2p.bitswap.config import (
    DELIVERED_LATELY_SECONDS,
    FIRST_PRIORITY,
    MAX_RESETS,
    MAX_WANTS_PER_PEER,
    RETRY_PEER_SECONDS,
)
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.want.answers import Answers
from libp2p.bitswap.want.book import WantBook
from libp2p.bitswap.want.chores import each
from libp2p.bitswap.want.remote_peer import Peer
from libp2p.bitswap.want.state import Found, Outcome, Search, Session, Unavailable, Want
from libp2p.bitswap.want.strategy import Dispatcher
from libp2p.bitswap.want.takeover import Takeovers
from libp2p.bitswap.want.upkeep import Upkeep
from libp2p.bitswap.wire.entry import Entry, WantType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

__all__ = ["Found", "Search", "Unavailable", "Want", "WantTracker"]


class WantTracker:
    """All that this side wants from others."""

    def __init__(self, *, max_wants_per_peer: int = MAX_WANTS_PER_PEER) -> None:
        self._max_wants_per_peer = max_wants_per_peer
        self._asking = WantBook()
        self.chores = self._asking.chores
        self._wants = self._asking.wants
        self._peers = self._asking.peers
        self._dispatcher = Dispatcher(self._asking)
        self._takeovers = Takeovers(self._asking)
        self._upkeep = Upkeep(self._asking, self._dispatcher, self._takeovers)
        self._answers = Answers(self._asking, self._dispatcher, self._takeovers)
        # What peers send, and the passing of time, need nothing that is kept here.
        self.receive_presences = self._answers.receive_presences
        self.claim = self._answers.claim
        self.settle = self._answers.settle
        self.duplicate = self._answers.duplicate
        self.came_lately = self._answers.came_lately
        self.is_late = self._answers.is_late
        self.unasked = self._answers.unasked
        self.alarms = self._upkeep.alarms
        self.next_deadline = self._upkeep.next_deadline
        self.tick = self._upkeep.tick
        self._sessions: dict[int, Session] = {}
        self._down: dict[Peer, None] = {}
        self._next_session = 1
        self._next_priority = FIRST_PRIORITY

    # -- what sessions want ---------------------------------------------------------------------

    def open_session(
        self,
        peers: Iterable[ID] | None = None,
        *,
        wait: bool = False,
        presence_only: bool = False,
        searches: bool = False,
    ) -> int:
        """
        Begin a session and return its number.

        :param peers: ask these peers only, nobody else.
        :param wait: keep wants that nobody has.
        :param presence_only: ask who has the blocks, not for them.
        :param searches: providers can be searched for; `Search` says when.
        """
        session = Session(
            self._next_session, peers, wait=wait, presence_only=presence_only, searches=searches
        )
        self._next_session += 1
        self._sessions[session.session_id] = session
        return session.session_id

    def close_session(self, session_id: int) -> None:
        """End a session and its wants."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._upkeep.drop(session)
            session.backlog.clear()
            wants = list(session.wants.values())
            self.chores.begin(each(wants, partial(self._dispatcher.detach, session)))

    def want(self, session_id: int, cid: CID, now: float, priority: int | None = None) -> None:
        """Want a block for a session; asking again for what it wants already changes nothing."""
        session = self._sessions[session_id]
        key = cid.multihash
        if key in session.wants:
            return
        want = self._wants.get(key)
        if want is None:
            if priority is None:
                priority = self._next_priority
                self._next_priority = priority - 1 or 1
            want = self._wants[key] = Want(key, cid, priority, now)
        if not session.wants:
            session.since = now
        session.wants[key] = want
        want.sessions[session] = None
        if session.alarm is None:
            self._upkeep.begin_session(session, now)
        if self._down:
            self._retry_peers(now)
        if session.presence_only and self._answers.is_found(session, want):
            return
        self._dispatcher.dispatch(want)
        if session.fixed is not None and (want.holder is None or not session.allows(want.holder)):
            for peer in self._asking.candidates(session):
                self._asking.ask(want, peer, WantType.Have)
            self._dispatcher.settle_noes(want)

    def unwant(self, session_id: int, key: bytes) -> None:
        """A session no longer wants a block; the last one's leaving cancels it at the peers."""
        session = self._sessions.get(session_id)
        if session is not None and (want := session.wants.get(key)) is not None:
            self._dispatcher.detach(session, want)

    def knows_peers(self, session_id: int) -> bool:
        """Tell whether a session has found peers that have blocks of it."""
        session = self._sessions.get(session_id)
        return session is not None and bool(session.peers)

    def peers_of(self, session_id: int) -> set[ID]:
        """Give the peers that have blocks of a session, by what they have said or sent."""
        session = self._sessions.get(session_id)
        return {peer.peer_id for peer in session.peers} if session else set()

    def report(self, session_id: int, key: bytes) -> dict[ID, PeerAnswer]:
        """Say what each peer that a session has asked for a block has answered so far."""
        session = self._sessions.get(session_id)
        want = session.wants.get(key) if session else None
        return self._dispatcher.report(session, want) if session and want else {}

    def is_wanted(self, cid: CID) -> bool:
        """Tell whether a block is wanted."""
        return cid.multihash in self._wants

    def wantlist(self, kind: WantType | None = None) -> list[CID]:
        """List the CIDs that are wanted: all, the blocks, or those of which presence is asked."""
        haves = kind is WantType.Have
        return [
            want.cid
            # Copies, as a thread that collects metrics may ask.
            for want in list(self._wants.values())
            if kind is None or all(s.presence_only for s in list(want.sessions)) is haves
        ]

    # -- peers ----------------------------------------------------------------------------------

    def add_peer(self, peer_id: ID, *, local: bool = False) -> None:
        """
        A peer has connected: it is asked for all that nobody is known to have.

        :param local: it is on this machine or in this network, so that asking it costs little.
        """
        if peer_id not in self._peers:
            peer = self._peers[peer_id] = Peer(peer_id, self._max_wants_per_peer, local=local)
            self._dispatcher.offer(peer)

    def remove_peer(self, peer_id: ID, reason: PeerAnswer = PeerAnswer.DISCONNECTED) -> None:
        """A peer is gone for ``reason``: others are asked for what it was to send."""
        peer = self._peers.pop(peer_id, None)
        if peer is None:
            return
        peer.down = reason
        for session in self._sessions.values():
            session.lose(peer, reason)
        self._asking.ready.pop(peer, None)
        self._down.pop(peer, None)
        self._upkeep.drop(peer)
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
        if peer is None or peer.supports_have is supported:
            return
        peer.supports_have = supported
        if not supported:
            keys = list({**peer.pending, **peer.unanswered})
            self.chores.begin(each(keys, partial(self._ask_otherwise, peer)))

    def _ask_otherwise(self, peer: Peer, key: bytes) -> None:
        """Ask a peer that does not know WANT_HAVE for the block, if it is asked at all."""
        want = self._wants.get(key)
        if want is not None and want.asked.get(peer) is WantType.Have:
            self._asking.forget_asked(want, peer)
            self._asking.ask(want, peer, WantType.Have)

    def heard(self, peer_id: ID, pending_bytes: int = 0) -> None:
        """
        A peer has said something: it lives, and can be asked again.

        :param pending_bytes: what it says to have queued for us still.
        """
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.resets = 0
            peer.told = peer.pace.received + pending_bytes
            if peer.down is not None:
                self._revive(peer)

    def bytes_arrived(self, peer_id: ID, size: int, now: float) -> None:
        """Bytes of messages have come from a peer, of whole messages or of parts of them."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.arrived(size, now)

    def is_asked(self, peer_id: ID) -> bool:
        """Tell whether a peer is to send a block."""
        peer = self._peers.get(peer_id)
        return peer is not None and bool(peer.held)

    def has_delivered(self, peer_id: ID, now: float) -> bool:
        """Tell whether a peer has sent a block lately that was wanted."""
        peer = self._peers.get(peer_id)
        if peer is None or not peer.delivered:
            return False
        return now - peer.delivered_at < DELIVERED_LATELY_SECONDS

    @property
    def peer_ids(self) -> list[ID]:
        return list(self._peers)

    # -- messages to peers ----------------------------------------------------------------------

    def take_ready(self) -> list[ID]:
        """Return the peers that have got something to be sent since the last call."""
        ready = self._asking.ready
        if not ready:
            return []
        peer_ids = [peer.peer_id for peer in ready]
        ready.clear()
        return peer_ids

    def take_outcomes(self) -> list[Outcome]:
        """Return what is to be done, or told to sessions, since the last call."""
        outcomes = self._dispatcher.outcomes
        if outcomes:
            self._dispatcher.outcomes = []
        return outcomes

    def has_outgoing(self, peer_id: ID) -> bool:
        """Tell whether `take_message` has something for a peer."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.has_outgoing

    def take_message(self, peer_id: ID, *, lone: bool = False) -> list[Entry]:
        """
        Take all that is to be said to a peer; `message_written` or `message_lost` follows.

        :param lone: only if there are wants, the peer has answered all others, and it does not
            look as if more were to join them.
        """
        peer = self._peers.get(peer_id)
        if peer is None or (lone and (peer.unanswered or not (peer.pending and peer.lone))):
            return []
        return peer.take()

    def message_written(self, peer_id: ID, now: float, round_trip: float = 0.0) -> None:
        """
        What was taken has been written: from now on answers are waited for.

        :param round_trip: of the connection in seconds, 0 if it is not known.
        """
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        if round_trip:
            peer.pace.round_trip = round_trip
        peer.written(now, self._asking.block_size)
        self._upkeep.begin_peer(peer, now)

    def message_lost(self, peer_id: ID, entries: Iterable[Entry]) -> None:
        """
        A message could not be written: queue it again, as far as it still matters.

        So is all else that the peer has not answered, since its stream ends here.
        """
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        for entry in entries:
            key = entry.cid.multihash
            if entry.cancel and key not in peer.known:
                peer.cancels[key] = entry.cid
        self.send_all_again(peer_id)

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
            peer.say_again(self._wants)
            self._asking.note_outgoing(peer)

    # -- searches -------------------------------------------------------------------------------

    def provider_connected(self, key: bytes, peer_id: ID) -> None:
        """A search has found a peer that has the block, and it is connected."""
        peer = self._peers.get(peer_id)
        if peer is not None:
            self._dispatcher.provider_connected(key, peer)

    def searched(self, key: bytes, found: int, failed: Mapping[ID, PeerAnswer]) -> None:
        """
        A search has ended.

        :param found: how many providers there are.
        :param failed: those that could not be connected to.
        """
        self._dispatcher.searched(key, found, failed)

    # -- ends -----------------------------------------------------------------------------------

    def _abandon(self, peer: Peer, reason: PeerAnswer) -> None:
        """Forget all dealings with a peer and ask others instead."""

        def ask_others(key: bytes) -> None:
            want = self._asking.abandon(peer, key, reason)
            if want is not None:
                self._dispatcher.dispatch(want)
                self._dispatcher.settle_noes(want)

        self.chores.begin(each(self._asking.begin_to_abandon(peer), ask_others))

    def _retry_peers(self, now: float) -> None:
        for peer in list(self._down):
            if now >= peer.down_since + RETRY_PEER_SECONDS:
                self._revive(peer)

    def _revive(self, peer: Peer) -> None:
        del self._down[peer]
        peer.down = None
        self._dispatcher.offer(peer)
