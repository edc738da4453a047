"""
The want tracker (sans-I/O): the wants of all sessions, and the peers that are asked for them.

WANT_BLOCK is sent to one peer, the one that is expected to deliver first. If no peer is known to
have blocks of the session, peers are sent WANT_HAVE, and the first that says HAVE is sent
WANT_BLOCK (`strategy`). After DONT_HAVE, a lost connection or a silence another peer is asked
(`timeouts`). When no peer is left, the sessions get `Unavailable` at once.

No method takes long: the engine does the rest of long work in steps (``chores``). After each change
the engine calls `take_ready` for the peers that `take_message` has entries for, and `take_outcomes`
for searches to make and news for sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from libp2p.bitswap.common.chores import Chores, each
from libp2p.bitswap.config import (
    DELIVERED_LATELY_SECONDS,
    FIRST_PRIORITY,
    MAX_RESETS,
    RECENT_BLOCKS,
    RETRY_PEER_SECONDS,
)
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.want.remote_peer import Peers, RemotePeer
from libp2p.bitswap.want.reports import Found, Outcome, Search, Unavailable
from libp2p.bitswap.want.state import SessionWants, Want
from libp2p.bitswap.want.strategy import Strategy
from libp2p.bitswap.want.timeouts import Timeouts
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

__all__ = ["Found", "Search", "Unavailable", "Want", "WantTracker"]


class WantTracker:
    """The wants of this side: those of all sessions, and those that each peer is asked for."""

    def __init__(self) -> None:
        self.chores = Chores()
        """Work that is too long for one step of the event loop."""
        self._wants: dict[bytes, Want] = {}
        self._sessions: dict[int, SessionWants] = {}
        self._peers = Peers()
        self._down: dict[RemotePeer, None] = {}
        """Connected peers that cannot be asked."""
        self._recent: dict[bytes, tuple[int, ...]] = {}
        """The keys of blocks that came lately, and the sessions that got each."""
        self._strategy = Strategy(self._wants, self._peers, self.chores)
        self._timeouts = Timeouts(self._wants, self._peers, self._strategy)
        self.timers = self._timeouts.timers
        """The engine calls `tick` when the first of these timers goes off."""
        self._next_session = 1
        self._next_priority = FIRST_PRIORITY

    # -- sessions and their wants ---------------------------------------------------------------

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

        :param peers: ask only these peers.
        :param wait: keep a want when no peer has its block.
        :param presence_only: ask which peers have the blocks, not for the blocks.
        :param searches: providers can be searched for; the outcome `Search` asks for it.
        """
        only = None if peers is None else frozenset(peers)
        searches = searches and only is None
        session = SessionWants(self._next_session, only, wait, presence_only, searches)
        self._next_session += 1
        self._sessions[session.session_id] = session
        return session.session_id

    def close_session(self, session_id: int) -> None:
        """End a session and its wants."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._timeouts.drop(session)
            session.backlog.clear()
            wants = list(session.wants.values())
            self.chores.begin(each(wants, partial(self._strategy.detach, session)))

    def want(self, session_id: int, cid: CID, now: float, priority: int | None = None) -> None:
        """Add a want to a session; nothing changes if the session has it already."""
        session = self._sessions[session_id]
        key = cid.multihash
        if key in session.wants:
            return
        if not session.wants:
            session.begin(now)
            self._timeouts.begin_session(session, now)
        want = self._wants.get(key)
        if want is None:
            if priority is None:
                priority = self._next_priority
                self._next_priority = priority - 1 or 1
            want = self._wants[key] = Want(key, cid, priority, now, session)
        else:
            want.join(session)
        session.wants[key] = want
        if self._down:
            self._retry_peers(now)
        if session.presence_only and self._is_found(session, want):
            return
        self._strategy.dispatch(want)
        if session.only_peers is not None:
            self._strategy.ask_only_peers(session, want)

    def _is_found(self, session: SessionWants, want: Want) -> bool:
        """Tell a session that asks for presence of an earlier HAVE; return if there was one."""
        for peer in want.answers:
            if want.has_said(peer, PeerAnswer.HAVE) and session.allows(peer):
                self._strategy.tell_found(session, want)
                return True
        return False

    def unwant(self, session_id: int, key: bytes) -> None:
        """Remove a want from a session; if no other session has it, peers get a cancel."""
        session = self._sessions.get(session_id)
        if session is not None and (want := session.wants.get(key)) is not None:
            self._strategy.detach(session, want)

    def knows_peers(self, session_id: int) -> bool:
        """Return whether a session has found peers that have its blocks."""
        session = self._sessions.get(session_id)
        return session is not None and bool(session.peers)

    def peers_of(self, session_id: int) -> set[ID]:
        """Return the peers that have sent a block of a session, or HAVE, or are providers."""
        session = self._sessions.get(session_id)
        return {peer.peer_id for peer in session.peers} if session else set()

    def report(self, session_id: int, key: bytes) -> dict[ID, PeerAnswer]:
        """Return the answers so far of the peers that a session could ask for a block."""
        session = self._sessions.get(session_id)
        want = session.wants.get(key) if session else None
        return self._strategy.report(session, want) if session and want else {}

    def is_wanted(self, cid: CID) -> bool:
        """Return whether a block is wanted."""
        return cid.multihash in self._wants

    def wantlist(self, kind: WantType | None = None) -> list[CID]:
        """Return the wanted CIDs: all, or those of which the block or only presence is asked."""
        # A copy, as a thread that collects metrics may ask.
        wants = list(self._wants.values())
        is_have = kind is WantType.Have
        return [want.cid for want in wants if kind is None or want.presence_only is is_have]

    # -- blocks ---------------------------------------------------------------------------------

    def claim(self, peer_id: ID | None, cid: CID, size: int, now: float) -> Want | None:
        """
        Claim the want of a block that has come; return None if there is none, or it is claimed.

        `settle` ends the want when the block is stored.

        :param peer_id: the sender of the block; None if the block was found here.
        :param size: the length of the block in bytes.
        """
        want = self._wants.get(cid.multihash)
        if want is None or want.claimed:
            return None
        peers = self._peers
        sender = peers.by_id.get(peer_id) if peer_id is not None else None
        if sender is not None:
            peers.block_size += (size - peers.block_size) // 8
            peers.blocks_received += 1
            sender.deliver(want.key, now)
        want.claim(sender)
        for session in want.sessions:
            if sender is not None:
                session.delivered(sender, now)
                if session.backlog:
                    self._strategy.dispatch_backlog(session)
            if session.backlog or session.to_search:
                session.forget(want)
        if want.broadcaster is not None:
            self._strategy.end_broadcast(want)
        if sender is not None:
            if peers.busy and not sender.assigned:
                self._timeouts.offer_help(sender, now)
            if sender.unasked:
                self._judge(sender)
        return want

    def settle(self, want: Want) -> tuple[int, ...]:
        """End a claimed want; return the numbers of the sessions that want the block."""
        key, session_ids = want.key, []
        del self._wants[key]
        for session in want.sessions:
            del session.wants[key]
            session_ids.append(session.session_id)
        recent = self._recent[key] = tuple(session_ids)
        if len(self._recent) > RECENT_BLOCKS:
            del self._recent[next(iter(self._recent))]
        return recent

    def came_lately(self, cid: CID) -> bool:
        """Return whether a block came lately, or is still wanted."""
        key = cid.multihash
        return key in self._recent or key in self._wants

    def duplicate(self, peer_id: ID, cid: CID) -> tuple[int, ...] | None:
        """
        Take in a block that came again; return the sessions that got it before.

        None if the block was not wanted; then `is_late` tells whether it once was.
        """
        key = cid.multihash
        peer = self._peers.by_id.get(peer_id)
        if peer is not None and peer.withdrawn.get(key):
            self._peers.duplicates += 1
            return peer.take_withdrawn(key)
        want = self._wants.get(key)
        return self._recent.get(key) if want is None else want.session_ids

    def is_late(self, peer_id: ID, cid: CID) -> bool:
        """Return whether a block that no session wants any more was asked of this peer; once."""
        peer = self._peers.by_id.get(peer_id)
        return peer is not None and peer.take_withdrawn(cid.multihash) is not None

    def unasked(self, peer_id: ID, count: int = 1) -> None:
        """
        Take in blocks that a peer was never asked for.

        They come in place of blocks that the peer was asked for and has damaged copies of.
        """
        peer = self._peers.by_id.get(peer_id)
        if peer is not None:
            peer.count_unasked(count)
            self._judge(peer)

    def _judge(self, peer: RemotePeer) -> None:
        """Ask others for the blocks that a peer has replaced by unasked ones."""
        for want in [self._wants[key] for key in peer.replaced()]:
            self._take_no(want, peer, PeerAnswer.UNASKED)

    # -- presences ------------------------------------------------------------------------------

    def receive_presences(
        self, peer_id: ID, presences: Mapping[CID, BlockPresenceType], now: float
    ) -> None:
        """Take in the presences of a message; those that the peer was not asked are ignored."""
        peer = self._peers.by_id.get(peer_id)
        if peer is None:
            return
        for cid, kind in presences.items():
            key = cid.multihash
            want = self._wants.get(key)
            if want is None or want.claimed or key not in peer.known:
                continue
            peer.heard_presence(key, kind, now)
            if kind is BlockPresenceType.Have:
                self._take_have(want, peer)
            else:
                self._take_dont_have(want, peer)
        if peer.unasked:
            self._judge(peer)

    def _take_have(self, want: Want, peer: RemotePeer) -> None:
        answer = want.answers.get(peer)
        if answer is PeerAnswer.UNASKED:
            return  # the peer's copy of the block is damaged
        if answer is PeerAnswer.SILENT and want.asked[peer] is WantType.Block:
            return  # the peer owes the block already and has sent nothing
        want.heard_have(peer)
        for session in list(want.sessions):
            if not session.allows(peer):
                continue
            session.found(peer)
            if session.backlog:
                self._strategy.dispatch_backlog(session)
            if session.presence_only:
                self._strategy.tell_found(session, want)
        assignee = want.assignee
        if assignee is not None and assignee is not peer:
            is_known = assignee.is_useful or any(assignee in s.peers for s in want.sessions)
            if not is_known or want.has_said(assignee, PeerAnswer.SILENT):
                want.unassign()  # the assignee has shown nothing, and this peer has the block
        if want.sessions:
            self._strategy.dispatch(want)

    def _take_dont_have(self, want: Want, peer: RemotePeer) -> None:
        answer = want.answers.get(peer)
        if answer is PeerAnswer.DONT_HAVE or answer is PeerAnswer.UNASKED:
            return
        if answer is PeerAnswer.HAVE and want.asked[peer] is WantType.Have:
            return  # replies on two streams have overtaken each other: HAVE is the later one
        self._take_no(want, peer, PeerAnswer.DONT_HAVE)

    def _take_no(self, want: Want, peer: RemotePeer, answer: PeerAnswer) -> None:
        """Take in an answer that says or shows that a peer will not send a block."""
        want.note_answer(peer, answer)
        peer.answered(want.key)
        for session in want.sessions:
            if peer in session.peers:
                session.dont_have(peer, scatter=True)
        if want.assignee is peer:
            want.unassign()
            self._strategy.dispatch(want)
        elif want.assignee is None:
            self._strategy.ask_last_peer(want)
        self._strategy.settle_noes(want)

    # -- peers ----------------------------------------------------------------------------------

    def add_peer(self, peer_id: ID, *, local: bool = False) -> None:
        """
        Add a peer that has connected; it is asked for the wants that no trusted peer owes.

        :param local: the peer is on this machine or in this network: asking it costs little.
        """
        if peer_id not in self._peers.by_id:
            peer = self._peers.by_id[peer_id] = RemotePeer(peer_id, self._peers, local)
            self._strategy.offer(peer)

    def remove_peer(self, peer_id: ID, reason: PeerAnswer = PeerAnswer.DISCONNECTED) -> None:
        """Remove a peer, for ``reason``; others are asked for its blocks."""
        peer = self._peers.by_id.pop(peer_id, None)
        if peer is None:
            return
        self._peers.ready.pop(peer, None)
        for session in self._sessions.values():
            session.lose(peer, reason)
        self._down.pop(peer, None)
        self._timeouts.drop(peer)
        self._abandon(peer, reason, peer.down_since)

    def peer_failed(self, peer_id: ID, reason: PeerAnswer, now: float) -> None:
        """Note that a connected peer cannot be asked for now; others are asked for its blocks."""
        peer = self._peers.by_id.get(peer_id)
        if peer is not None:
            self._down[peer] = None
            self._abandon(peer, reason, now)

    def _abandon(self, peer: RemotePeer, reason: PeerAnswer, now: float) -> None:
        """Take all wants back from a peer without cancels, and ask others for the blocks."""

        def ask_others(key: bytes) -> None:
            want = self._wants.get(key)
            if want is not None and peer in want.asked:  # else the want has ended since
                want.abandon(peer, reason)
                self._strategy.dispatch(want)
                self._strategy.settle_noes(want)

        self.chores.begin(each(peer.abandon(reason, now), ask_others))

    def _retry_peers(self, now: float) -> None:
        for peer in list(self._down):
            if now >= peer.down_since + RETRY_PEER_SECONDS:
                self._revive(peer)

    def _revive(self, peer: RemotePeer) -> None:
        del self._down[peer]
        peer.revive()
        self._strategy.offer(peer)

    def set_supports_have(self, peer_id: ID, supported: bool) -> None:
        """Note whether the protocol spoken with a peer has WANT_HAVE."""
        peer = self._peers.by_id.get(peer_id)
        if peer is None or peer.supports_have is supported:
            return
        peer.set_supports_have(supported)
        if not supported:
            keys = list({**peer.pending, **peer.unanswered})
            self.chores.begin(each(keys, partial(self._ask_otherwise, peer)))

    def _ask_otherwise(self, peer: RemotePeer, key: bytes) -> None:
        """Ask a peer for a want anew, as it does not know the WANT_HAVE that was to be sent."""
        want = self._wants.get(key)
        if want is not None and want.asked.get(peer) is WantType.Have:
            want.forget_asked(peer)
            want.ask(peer)

    def heard(self, peer_id: ID, pending_bytes: int = 0) -> None:
        """
        Note that a peer has sent a message, so that it can be asked again.

        :param pending_bytes: bytes of blocks that the peer says it has queued for us.
        """
        peer = self._peers.by_id.get(peer_id)
        if peer is not None:
            peer.heard(pending_bytes)
            if peer.down is not None:
                self._revive(peer)

    def bytes_arrived(self, peer_id: ID, size: int, now: float) -> None:
        """Count ``size`` bytes that a peer has sent, of whole messages or parts of them."""
        peer = self._peers.by_id.get(peer_id)
        if peer is not None:
            peer.arrived(size, now)

    def is_asked(self, peer_id: ID) -> bool:
        """Return whether a peer is to send a block."""
        peer = self._peers.by_id.get(peer_id)
        return peer is not None and bool(peer.assigned)

    def has_delivered(self, peer_id: ID, now: float) -> bool:
        """Return whether a peer has sent a wanted block within `DELIVERED_LATELY_SECONDS`."""
        peer = self._peers.by_id.get(peer_id)
        if peer is None or not peer.blocks_delivered:
            return False
        return now - peer.delivered_at < DELIVERED_LATELY_SECONDS

    @property
    def peer_ids(self) -> list[ID]:
        """The connected peers."""
        return list(self._peers.by_id)

    # -- messages to peers ----------------------------------------------------------------------

    def take_ready(self) -> list[ID]:
        """Return the peers that have new wants or cancels to be sent since the last call."""
        ready = self._peers.ready
        if not ready:
            return []
        peer_ids = [peer.peer_id for peer in ready]
        ready.clear()
        return peer_ids

    def take_outcomes(self) -> list[Outcome]:
        """Return the outcomes since the last call."""
        outcomes = self._strategy.outcomes
        if not outcomes:
            return []
        taken = outcomes.copy()
        outcomes.clear()
        return taken

    def has_outgoing(self, peer_id: ID) -> bool:
        """Return whether `take_message` has entries for a peer."""
        peer = self._peers.by_id.get(peer_id)
        return peer is not None and peer.has_outgoing

    def take_message(self, peer_id: ID, *, if_single: bool = False) -> list[Entry]:
        """
        Take the entries of the next message to a peer; call `message_written` or `message_lost`.

        :param if_single: take them only if the peer has answered all wants so far and its latest
            message had one want, so that no more wants are expected to join these.
        """
        peer = self._peers.by_id.get(peer_id)
        if peer is None:
            return []
        if if_single and (peer.unanswered or not peer.pending or not peer.last_had_one_want):
            return []
        return peer.take()

    def message_written(self, peer_id: ID, now: float, round_trip: float = 0.0) -> None:
        """
        Note that the message was written: from now on answers are due.

        :param round_trip: of the connection in seconds, 0 if it is not known.
        """
        peer = self._peers.by_id.get(peer_id)
        if peer is not None:
            peer.written(now, round_trip)
            self._timeouts.begin_peer(peer, now)

    def message_lost(self, peer_id: ID, entries: Iterable[Entry]) -> None:
        """
        Queue the entries of a message that was not written again, if they still matter.

        All other unanswered wants of the peer are queued too, since their stream has ended.
        """
        peer = self._peers.by_id.get(peer_id)
        if peer is not None:
            peer.send_again(entries)

    def stream_reset(self, peer_id: ID, now: float) -> None:
        """
        Queue the unanswered wants of a peer that has reset our want stream again.

        After more than `MAX_RESETS` resets without a message of the peer, the peer is given up.
        """
        peer = self._peers.by_id.get(peer_id)
        if peer is None or not peer.unanswered:
            return
        if peer.count_reset() > MAX_RESETS:
            self.peer_failed(peer_id, PeerAnswer.UNRESPONSIVE, now)
        else:
            peer.send_again()

    def send_all_again(self, peer_id: ID) -> None:
        """Queue all unanswered wants of a peer again, as it may have forgotten them."""
        self.message_lost(peer_id, ())

    # -- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Check the peers and sessions whose timers have gone off."""
        self._timeouts.tick(now)

    # -- searches -------------------------------------------------------------------------------

    def provider_connected(self, key: bytes, peer_id: ID) -> None:
        """Note that a provider of a block, found by a search, is connected."""
        peer = self._peers.by_id.get(peer_id)
        if peer is not None:
            self._strategy.provider_connected(key, peer)

    def searched(self, key: bytes, found: int, failed: Mapping[ID, PeerAnswer]) -> None:
        """
        Note that a search for providers has ended.

        :param found: how many providers it has found.
        :param failed: the providers that were not reached.
        """
        self._strategy.searched(key, found, failed)
