"""
Who is asked next (sans-I/O), from the peers of a session to everybody to a search for providers.

A want goes to the best peer of its sessions. Where none is known, peers are asked in waves whether
they have it, the next wave as soon as the last one has said no; a session has so many wants in
that state at once, the others wait. When everybody has said no, providers are searched for; when
that has ended as well, the session is told.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from libp2p.bitswap.config import MAX_BROADCAST_WANTS, MAX_SEARCHES, WANT_HAVE_PEERS
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.want.chores import each
from libp2p.bitswap.want.peer_choice import best_mate, best_stranger, some_of, wave_of
from libp2p.bitswap.want.state import Outcome, Search, SearchState, Unavailable
from libp2p.bitswap.wire.entry import WantType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libp2p.bitswap.want.book import WantBook
    from libp2p.bitswap.want.remote_peer import Peer
    from libp2p.bitswap.want.state import Session, Want
    from libp2p.peer.id import ID


class Dispatcher:
    """Finds somebody to ask for each want, or says that there is nobody."""

    def __init__(self, asking: WantBook) -> None:
        self._asking = asking
        self._searches: dict[bytes, Session] = {}
        self._turn = 0
        self.outcomes: list[Outcome] = []

    # -- choosing -------------------------------------------------------------------------------

    def dispatch(self, want: Want) -> None:
        """Make somebody the holder of a want that has none, or ask who could be."""
        if want.claimed or want.holder is not None:
            return
        asking = self._asking
        if not want.is_for_presence_only:
            best = best_mate(want, asking.block_size)
            if best is not None:
                asking.hold(want, best)
                if want.asker is not None:
                    self.end_broadcast(want)
                self._tell_others(want, best)
                return
        everybody = asking.candidates_for(want)
        if not want.is_for_presence_only:
            best = best_stranger(want, everybody, asking.block_size)
            if best is not None:
                asking.hold(want, best)
        if self._may_broadcast(want):
            if not self.widen(want) and want.holder is None:
                self.settle_noes(want)
        elif want.holder is None:
            self._backlog(want)

    def _tell_others(self, want: Want, holder: Peer) -> None:
        """Ask some peers whether they have what another is to send, if it may turn out not to."""
        for session in want.sessions:
            if len(session.peers) < 2 or (holder.delivered and not session.scatter):
                continue
            session.scatter -= session.scatter > 0
            others = [peer for peer in session.peers if peer is not holder and want.is_open(peer)]
            for peer in some_of(want, others, self._asking.block_size, WANT_HAVE_PEERS):
                self._asking.ask(want, peer, WantType.Have)

    def redispatch(self, session: Session) -> None:
        """Find holders for the wants of a session that have none: there are peers for them."""
        session.backlog.clear()
        wants = list(session.wants.values())
        self._asking.chores.begin(each(wants, partial(self._find_holder, session)))

    def _find_holder(self, session: Session, want: Want) -> None:
        if session in want.sessions:  # else it has ended since
            self.move_on(want)
            self.dispatch(want)

    def move_on(self, want: Want) -> bool:
        """Take a want from a holder that is silent, if a peer of the sessions can take over."""
        holder = want.holder
        if holder is None or want.claimed or not want.has_said(holder, PeerAnswer.SILENT):
            return False
        if best_mate(want, self._asking.block_size) is None:
            return False
        self._asking.release(want)
        self.dispatch(want)
        return True

    def found(self, session: Session, peer: Peer) -> None:
        """A peer has a block of a session, or is said to."""
        session.find(peer)
        if session.backlog:
            waiting, session.backlog = session.backlog, {}
            wants = list(waiting.values())
            self._asking.chores.begin(each(wants, partial(self._find_holder, session)))

    def ask_around(self, want: Want) -> None:
        """Nothing comes: ask some more peers, also where one is to send the block."""
        if not self.move_on(want) and self._may_broadcast(want):
            self.widen(want)

    def offer(self, peer: Peer) -> None:
        """Ask a peer that has become available for what no proven peer is about to send."""
        wants = list(self._asking.wants.values())
        self._asking.chores.begin(each(wants, partial(self._offer, peer)))

    def _offer(self, peer: Peer, want: Want) -> None:
        if peer.down is not None or want.claimed:
            return
        if not any(session.allows(peer) for session in want.sessions):
            return
        holder = want.holder
        if holder is None:
            self.dispatch(want)
            if want.asker is not None:
                self._asking.ask(want, peer, WantType.Have)
            return
        trusted = holder.delivered and not want.has_said(holder, PeerAnswer.SILENT)
        if not trusted and self._may_broadcast(want):
            self._begin_broadcast(want)
            self._asking.ask(want, peer, WantType.Have)

    # -- asking around --------------------------------------------------------------------------

    def widen(self, want: Want) -> bool:
        """Ask more peers whether they have a block; return False if all have been asked."""
        targets = [
            peer
            for peer in self._asking.candidates_for(want)
            if peer not in want.asked and want.is_open(peer)
        ]
        if not targets:
            return False
        self._begin_broadcast(want)
        if want.asker is not None:
            targets = wave_of(targets, want.wave, self._turn)
            self._turn += 1
        want.wave += 1
        for peer in targets:
            self._asking.ask(want, peer, WantType.Have)
        return True

    def _may_broadcast(self, want: Want) -> bool:
        """Tell whether there is room for one more want that everybody is asked about."""
        if want.asker is not None or self._session_with_room(want) is not None:
            return True
        return all(session.fixed is not None for session in want.sessions)

    def _begin_broadcast(self, want: Want) -> None:
        if want.asker is None and (session := self._session_with_room(want)) is not None:
            want.asker = session
            session.broadcasts += 1

    def _session_with_room(self, want: Want) -> Session | None:
        for session in want.sessions:
            if session.fixed is None and session.broadcasts < MAX_BROADCAST_WANTS:
                return session
        return None

    def end_broadcast(self, want: Want) -> None:
        """A want needs no asking around any more: another one may."""
        session, want.asker = want.asker, None
        if session is None:
            return
        session.broadcasts -= 1
        while session.backlog and session.broadcasts < MAX_BROADCAST_WANTS:
            key = next(iter(session.backlog))
            self.dispatch(session.backlog.pop(key))

    def _backlog(self, want: Want) -> None:
        session = next(session for session in want.sessions if session.fixed is None)
        session.backlog[want.key] = want

    def forget(self, want: Want) -> None:
        """A want is over."""
        for session in want.sessions:
            if session.backlog:
                session.backlog.pop(want.key, None)
            if session.to_search:
                session.to_search.pop(want.key, None)
        if want.asker is not None:
            self.end_broadcast(want)

    # -- nobody left ----------------------------------------------------------------------------

    def settle_noes(self, want: Want) -> None:
        """Somebody has said no, or is gone: ask others, and tell the sessions that have none."""
        if want.claimed:
            return
        nobody = False
        if want.holder is None and want.noes >= len(want.asked):
            nobody = not self.widen(want)
        if nobody:
            self.end_broadcast(want)
        for session in list(want.sessions):
            if session.fixed is not None:
                candidates = self._asking.candidates(session)
                gone = not any(want.is_open(peer) for peer in candidates)
            else:
                gone = nobody
            if gone and not self._goes_on(session, want):
                self.give_up(session, want)

    def press_last(self, want: Want) -> None:
        """Ask the only peer that is left for the block, not whether it has it."""
        if want.noes != len(want.asked) - 1 or want.is_for_presence_only:
            return
        left = [peer for peer in self._asking.candidates_for(want) if want.is_open(peer)]
        if len(left) == 1:
            self._asking.hold(want, left[0])

    def _goes_on(self, session: Session, want: Want) -> bool:
        """Tell whether somebody may be found yet."""
        if session.searches and want.search is not SearchState.DONE:
            self.search(session, want)
            return True
        return session.wait

    def give_up(self, session: Session, want: Want) -> None:
        """Tell a session that nobody is left to ask."""
        peers = self.report(session, want)
        self.outcomes.append(
            Unavailable(session.session_id, want.key, want.cid, peers, want.providers)
        )
        self.detach(session, want)

    def report(self, session: Session, want: Want) -> dict[ID, PeerAnswer]:
        """Say what each peer that a session could ask for a block has answered so far."""
        peers = {
            peer_id: answer
            for peer_id, answer in want.lost.items()
            if session.fixed is None or peer_id in session.fixed
        }
        for peer_id in session.fixed or ():
            peers.setdefault(peer_id, PeerAnswer.DISCONNECTED)
        for peer in self._asking.candidates(session):
            if peer.down is not None or peer in want.asked:
                peers[peer.peer_id] = peer.down or want.answers.get(peer, PeerAnswer.SILENT)
        # A block wanted after the loss of the only peer was never asked for: say who is missing.
        return peers or dict(session.lost)

    def detach(self, session: Session, want: Want) -> None:
        """A session wants a block no longer; nobody does when it was the last one."""
        session.wants.pop(want.key, None)
        session.backlog.pop(want.key, None)
        session.to_search.pop(want.key, None)
        want.sessions.pop(session, None)
        if want.claimed:
            return
        if not want.sessions:
            self._asking.withdraw(want)
            self._asking.wants.pop(want.key, None)
            self.end_broadcast(want)
        elif want.asker is session:
            self.end_broadcast(want)
            self._begin_broadcast(want)

    # -- searches -------------------------------------------------------------------------------

    def search(self, session: Session, want: Want) -> None:
        """Have providers of a block searched for, not too many blocks at once."""
        if want.search is not SearchState.NONE:
            return
        if want.key in self._searches:
            want.search = SearchState.RUNNING
        elif session.searching >= MAX_SEARCHES:
            want.search = SearchState.QUEUED
            session.to_search[want.key] = want
        else:
            want.search = SearchState.RUNNING
            session.searching += 1
            self._searches[want.key] = session
            self.outcomes.append(Search(want.key, want.cid))

    def provider_connected(self, key: bytes, peer: Peer) -> None:
        """A provider of a block is there to be asked."""
        want = self._asking.wants.get(key)
        if want is None:
            return
        for session in list(want.sessions):
            if session.searches:
                session.find(peer)
                self._drop_searches(session)
                self.redispatch(session)

    def _drop_searches(self, session: Session) -> None:
        """Whoever has one block probably has the others: ask before searching for them too."""
        for want in session.to_search.values():
            want.search = SearchState.NONE
        session.to_search.clear()

    def searched(self, key: bytes, found: int, failed: Mapping[ID, PeerAnswer]) -> None:
        """A search has ended; what it has found has been connected to, as far as possible."""
        searcher = self._searches.pop(key, None)
        if searcher is None:
            return
        searcher.searching -= 1
        want = self._asking.wants.get(key)
        if want is not None:
            want.search = SearchState.DONE
            want.providers = found
            for peer_id, answer in failed.items():
                if peer_id not in self._asking.peers:
                    want.lose(peer_id, answer)
            if want.holder is None:
                self.settle_noes(want)
        while searcher.to_search and searcher.searching < MAX_SEARCHES:
            queued = searcher.to_search.pop(next(iter(searcher.to_search)))
            queued.search = SearchState.NONE
            self.search(searcher, queued)
