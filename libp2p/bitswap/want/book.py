"""
Who is asked for what (sans-I/O): wants and peers, and the ties between them.

A want goes as WANT_BLOCK to its holder, and as WANT_HAVE to others. Whom to choose is not decided
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.bitswap.config import PRIOR_BLOCK_SIZE
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.want.chores import Chores
from libp2p.bitswap.wire.entry import WantType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.bitswap.want.remote_peer import Peer
    from libp2p.bitswap.want.state import Session, Want
    from libp2p.peer.id import ID


class WantBook:
    """All wants and all peers."""

    def __init__(self) -> None:
        self.wants: dict[bytes, Want] = {}
        self.peers: dict[ID, Peer] = {}
        self.ready: dict[Peer, None] = {}
        """Peers that have got something to be sent."""
        self.busy: dict[Peer, None] = {}
        """Peers that are to send a block."""
        self.chores = Chores()
        """What has begun and is too long for one step."""
        self.block_size = PRIOR_BLOCK_SIZE
        """The usual size of a block."""

    def candidates(self, session: Session) -> Iterable[Peer]:
        """Give the peers that a session may ask."""
        if session.fixed is None:
            return self.peers.values()
        return [self.peers[peer_id] for peer_id in session.fixed if peer_id in self.peers]

    def candidates_for(self, want: Want) -> Iterable[Peer]:
        """Give the peers that any of the sessions of a want may ask."""
        found: dict[Peer, None] = {}
        for session in want.sessions:
            if session.fixed is None:
                return self.peers.values()
            found.update(dict.fromkeys(self.candidates(session)))
        return found

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, want: Want, peer: Peer, kind: WantType) -> None:
        """Ask a peer, unless it has been asked as much or cannot deliver."""
        earlier = want.asked.get(peer)
        if earlier is WantType.Block or earlier is kind or not want.is_open(peer):
            return
        if kind is WantType.Have and not peer.supports_have:
            holder = want.holder
            if holder is not None and not want.has_said(holder, PeerAnswer.SILENT):
                return  # one that can only be asked for the block waits until it is needed
            self.hold(want, peer)
            return
        want.asked[peer] = kind
        peer.pending[want.key] = want
        self.ready[peer] = None

    def hold(self, want: Want, peer: Peer) -> None:
        """Let a peer send the block, instead of whoever was to."""
        if want.holder is not None:
            self.release(want)
        if not peer.held:
            self.busy[peer] = None
        peer.hold(want)
        if want.asked.get(peer) is WantType.Block:
            # Only because nobody else is left: whoever comes may take over.
            want.answers[peer] = PeerAnswer.SILENT
        else:
            self.ask(want, peer, WantType.Block)

    def release(self, want: Want) -> None:
        """Take a want away from the peer that is its holder."""
        holder = want.holder
        assert holder is not None
        holder.release(want)
        if not holder.held:
            del self.busy[holder]

    def deliver(self, want: Want, peer: Peer, now: float) -> None:
        """A peer has sent the block."""
        key = want.key
        peer.deliver(want, now)
        if not peer.held:
            self.busy.pop(peer, None)
        peer.pending.pop(key, None)
        if peer.repeats:
            peer.repeats.discard(key)
        want.asked.pop(peer, None)
        if peer.pending or peer.cancels:
            self.ready[peer] = None

    def note_outgoing(self, peer: Peer) -> None:
        if peer.pending or peer.cancels:
            self.ready[peer] = None

    # -- taking back ----------------------------------------------------------------------------

    def withdraw(self, want: Want, *, came: bool = False) -> None:
        """
        Take a want back from everybody that was asked, by a cancel where it has been sent.

        :param came: the block has come; who still sends it has been too slow.
        """
        if want.holder is not None:
            self.release(want)
        if want.asked:
            for peer in want.asked:
                self._take_back(want, peer, came)
            want.asked.clear()
        want.noes = 0

    def take_back(self, want: Want, peer: Peer) -> None:
        """Take a want back from one peer that has not answered it."""
        self._take_back(want, peer, True)
        del want.asked[peer]

    def _take_back(self, want: Want, peer: Peer, owe: bool) -> None:
        key = want.key
        peer.pending.pop(key, None)
        if peer.repeats:
            peer.repeats.discard(key)
        if (cid := peer.known.pop(key, None)) is not None:
            peer.cancels[key] = cid
            if not owe:
                peer.let_off(key)
            elif want.asked[peer] is WantType.Block:
                peer.owe(want)
        peer.unanswered.pop(key, None)
        self.note_outgoing(peer)

    def forget_asked(self, want: Want, peer: Peer) -> None:
        """A peer has not been asked after all."""
        peer.pending.pop(want.key, None)
        peer.repeats.discard(want.key)
        peer.known.pop(want.key, None)
        peer.unanswered.pop(want.key, None)
        del want.asked[peer]

    def answered(self, want: Want, peer: Peer) -> None:
        """A want on the wire has been answered: there is room for another one."""
        peer.unanswered.pop(want.key, None)
        if peer.repeats:
            peer.repeats.discard(want.key)
        self.note_outgoing(peer)

    def begin_to_abandon(self, peer: Peer) -> list[bytes]:
        """Forget what a peer was to be told and to send; `abandon` each want that is returned."""
        keys = list({**peer.pending, **peer.known})
        peer.forget_sent()
        for said in (peer.pending, peer.known, peer.cancels, peer.owed, peer.cancelled):
            said.clear()
        peer.told = 0
        return keys

    def abandon(self, peer: Peer, key: bytes, reason: PeerAnswer) -> Want | None:
        """Forget that a peer was asked; return the want, if there still is one."""
        want = self.wants.get(key)
        if want is None or peer not in want.asked:
            return None  # it has ended since
        self.forget_asked(want, peer)
        want.noes -= want.has_said_no(peer)
        want.answers.pop(peer, None)
        want.lose(peer.peer_id, reason)
        if want.holder is peer:
            self.release(want)
        return want
