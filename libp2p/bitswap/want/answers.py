"""What peers send (sans-I/O): blocks and what they say about having them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.bitswap.config import RECENT_BLOCKS, SCATTERED_WANTS
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.want.state import Found
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libp2p.bitswap.want.book import WantBook
    from libp2p.bitswap.want.remote_peer import Peer
    from libp2p.bitswap.want.state import Session, Want
    from libp2p.bitswap.want.strategy import Dispatcher
    from libp2p.bitswap.want.takeover import Takeovers
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


class Answers:
    """Takes in what comes for the wants there are."""

    def __init__(self, asking: WantBook, dispatcher: Dispatcher, takeovers: Takeovers) -> None:
        self._asking = asking
        self._wants = asking.wants
        self._peers = asking.peers
        self._dispatcher = dispatcher
        self._takeovers = takeovers
        self._recent: dict[bytes, tuple[int, ...]] = {}

    # -- blocks ---------------------------------------------------------------------------------

    def claim(self, peer_id: ID | None, cid: CID, size: int, now: float) -> Want | None:
        """
        Take in a block of ``size`` bytes; None if it is not wanted (any more).

        A claimed want cannot be claimed again. It is ended by `settle` when the block is stored.
        ``peer_id`` is None for a block that was found here.
        """
        want = self._wants.get(cid.multihash)
        if want is None or want.claimed:
            return None
        want.claimed = True
        sender = self._peers.get(peer_id) if peer_id is not None else None
        asking = self._asking
        if sender is not None:
            asking.block_size += (size - asking.block_size) // 8
            self._takeovers.delivered += 1
            asking.deliver(want, sender, now)
            for session in want.sessions:
                session.since = now
                session.ticks = 0
                if session.fixed is None or session.allows(sender):
                    self._dispatcher.found(session, sender)
        asking.withdraw(want, came=True)
        self._dispatcher.forget(want)
        if sender is not None:
            if not sender.held and asking.busy:
                self._takeovers.offer_help(sender, now)
            self._judge(sender)
        return want

    def settle(self, want: Want) -> tuple[int, ...]:
        """End a claimed want; return the sessions that wait for the block."""
        del self._wants[want.key]
        for session in want.sessions:
            del session.wants[want.key]
        sessions = tuple([session.session_id for session in want.sessions])
        self._recent[want.key] = sessions
        if len(self._recent) > RECENT_BLOCKS:
            del self._recent[next(iter(self._recent))]
        return sessions

    def came_lately(self, cid: CID) -> bool:
        """Tell whether a block that is not wanted was, until it came."""
        key = cid.multihash
        return key in self._recent or key in self._wants

    def duplicate(self, peer_id: ID, cid: CID) -> tuple[int, ...] | None:
        """
        Take in a block that `claim` did not want: return the sessions that it has come for before.

        None if it was never asked for.
        """
        key = cid.multihash
        peer = self._peers.get(peer_id)
        if peer is not None and (sessions := peer.owed.pop(key, None)) is not None:
            self._takeovers.duplicates += 1
            peer.doubt = peer.doubts = 0  # late, but it does send what it is asked for
            return sessions
        want = self._wants.get(key)
        if want is not None:
            return tuple(session.session_id for session in want.sessions)
        return self._recent.get(key)

    def is_late(self, peer_id: ID, cid: CID) -> bool:
        """Tell whether a peer was asked for a block that came when nobody wanted it any more."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.cancelled.pop(cid.multihash, self) is None

    def unasked(self, peer_id: ID, count: int = 1) -> None:
        """
        Take in blocks that a peer was never asked for.

        They are in place of what it was asked for and has damaged. It is not known of what; but a
        peer works in order, so they are counted until the rest of the message is here.
        """
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        due = peer.oldest or peer
        due.wrong += count
        self._judge(peer)

    def _judge(self, peer: Peer) -> None:
        """Ask others for the blocks in place of which a peer has sent something else."""
        batch = peer.oldest
        if batch is not None:
            if batch.wrong < batch.due:
                return
            wants = [want for want, went_with in peer.held.items() if went_with is batch]
        elif len(peer.unanswered) <= peer.wrong:
            wants = [self._wants[key] for key in peer.unanswered]
        else:
            return
        for want in wants:
            self._receive_no(want, peer, PeerAnswer.UNASKED)

    # -- presences ------------------------------------------------------------------------------

    def receive_presences(
        self, peer_id: ID, presences: Mapping[CID, BlockPresenceType], now: float
    ) -> None:
        """Take in what a peer says about having blocks; what it was not asked is ignored."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        for cid, kind in presences.items():
            key = cid.multihash
            want = self._wants.get(key)
            if want is None or want.claimed or key not in peer.known:
                continue
            batch = peer.unanswered.get(key)
            if batch is not None and batch.first and not batch.due and batch.written <= now:
                batch.first = False
                peer.pace.round_trip = now - batch.written
            if kind is BlockPresenceType.Have:
                self._receive_have(want, peer)
            else:
                if batch is not None:
                    batch.heard = now
                self._receive_dont_have(want, peer)
        self._judge(peer)

    def _receive_have(self, want: Want, peer: Peer) -> None:
        peer.proven = True
        answer = want.answers.get(peer)
        if answer is PeerAnswer.UNASKED:
            return  # it has something by that name, and that is damaged
        asked = want.asked[peer]
        if answer is PeerAnswer.SILENT and asked is WantType.Block:
            return  # it is to send the block, not to promise it again
        if answer is PeerAnswer.DONT_HAVE:
            want.noes -= 1
            want.asked[peer] = WantType.Have  # it has got it since: it may be asked once more
        want.answers[peer] = PeerAnswer.HAVE
        if asked is WantType.Have:
            self._asking.answered(want, peer)
        for session in list(want.sessions):
            if not session.allows(peer):
                continue
            self._dispatcher.found(session, peer)
            if session.presence_only:
                self._tell_found(session, want, peer)
        holder = want.holder
        if holder is not None and holder is not peer:
            known = holder.proven or any(holder in session.peers for session in want.sessions)
            if not known or want.has_said(holder, PeerAnswer.SILENT):
                self._asking.release(want)  # nothing good is known of that one, this one has it
        if want.sessions:
            self._dispatcher.dispatch(want)

    def is_found(self, session: Session, want: Want) -> bool:
        """Tell a session that asks for presence what has been said already."""
        for peer in want.answers:
            if want.has_said(peer, PeerAnswer.HAVE) and session.allows(peer):
                self._tell_found(session, want, peer)
                return True
        return False

    def _tell_found(self, session: Session, want: Want, peer: Peer) -> None:
        found = Found(session.session_id, want.key, peer.peer_id)
        self._dispatcher.outcomes.append(found)
        self._dispatcher.detach(session, want)

    def _receive_dont_have(self, want: Want, peer: Peer) -> None:
        answer = want.answers.get(peer)
        if answer is PeerAnswer.DONT_HAVE or answer is PeerAnswer.UNASKED:
            return
        if answer is PeerAnswer.HAVE and want.asked[peer] is WantType.Have:
            return  # replies on two streams have overtaken each other: HAVE is the later one
        self._receive_no(want, peer, PeerAnswer.DONT_HAVE)

    def _receive_no(self, want: Want, peer: Peer, answer: PeerAnswer) -> None:
        """A peer has said, or shown, that it will not send a block."""
        want.answers[peer] = answer
        want.noes += 1
        self._asking.answered(want, peer)
        for session in want.sessions:
            if peer in session.peers:
                session.scatter = SCATTERED_WANTS
                self._takeovers.count_dont_have(session, peer)
        if want.holder is peer:
            self._asking.release(want)
            self._dispatcher.dispatch(want)
        elif want.holder is None:
            self._dispatcher.press_last(want)
        self._dispatcher.settle_noes(want)
