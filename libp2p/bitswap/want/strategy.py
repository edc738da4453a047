"""
The choice of the peers that are asked for a want (sans-I/O).

A want is assigned to the best peer of its sessions. If the sessions have no peers, the want is
broadcast: peers are sent WANT_HAVE in waves, the next wave when all peers so far have answered
DONT_HAVE. A session broadcasts `MAX_BROADCAST_WANTS` wants at once; its backlog has the others.
When all peers have answered DONT_HAVE, providers are searched for. When the search has ended as
well, the sessions get `Unavailable`.

The best peer is the one from which one more block can be expected first, by its latency, the bytes
that are due from it, and its rate. A peer that has said HAVE comes before one that has not
answered, and a distrusted peer comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.common.chores import each
from libp2p.bitswap.config import (
    BROADCAST_STRANGERS,
    MAX_BROADCAST_PEERS,
    MAX_BROADCAST_WANTS,
    WANT_HAVE_PEERS,
)
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.want.reports import Found, Outcome, Search, Unavailable

if TYPE_CHECKING:
    from libp2p.bitswap.common.chores import Chores
    from libp2p.bitswap.want.remote_peer import Peers, RemotePeer
    from libp2p.bitswap.want.state import SessionWants, Want
    from libp2p.peer.id import ID

# Seconds added to the cost of a peer: more than any block takes, so that the peer comes later.
_HAS_NOT_SAID_HAVE: Final = 1e6
_IS_DISTRUSTED: Final = 1e9
#: Each wave has so many times more unknown peers than the wave before.
_WAVE_GROWTH: Final = 4


class Strategy:
    """Chooses the peers to ask for each want, or reports that there are none."""

    def __init__(self, wants: dict[bytes, Want], peers: Peers, chores: Chores) -> None:
        self._wants = wants
        self._peers = peers
        self._chores = chores
        self._searches: dict[bytes, SessionWants] = {}
        """The keys of the wants that are searched for, and the session that counts the search."""
        self._waves = 0
        self.outcomes: list[Outcome] = []
        """Outcomes for the engine; `WantTracker.take_outcomes` removes them."""

    # -- assigning ------------------------------------------------------------------------------

    def dispatch(self, want: Want) -> None:
        """Assign a want without an assignee, or broadcast it."""
        if want.claimed or want.assignee is not None:
            return
        if not want.presence_only:
            best = _best_of_sessions(want)
            if best is not None:
                want.assign(best)
                if want.broadcaster is not None:
                    self.end_broadcast(want)
                for session in want.sessions:
                    if len(session.peers) > 1 and (session.scattered or not best.blocks_delivered):
                        self._tell_others(session, want, best)
                return
            best = _best_of_others(want, self._candidates_for(want))
            if best is not None:
                want.assign(best)
        if self._may_broadcast(want):
            if not self.widen(want) and want.assignee is None:
                self.settle_noes(want)
        elif want.assignee is None:
            session = next(session for session in want.sessions if session.only_peers is None)
            session.backlog[want.key] = want

    def _tell_others(self, session: SessionWants, want: Want, assignee: RemotePeer) -> None:
        """Send WANT_HAVE to some other peers of a session: the assignee may not have the block."""
        session.count_scattered()
        others = [peer for peer in session.peers if peer is not assignee and want.is_open(peer)]
        for peer in nsmallest(WANT_HAVE_PEERS, others, key=_cost_of(want)):
            want.ask(peer)

    def dispatch_all(self, session: SessionWants) -> None:
        """Assign all wants of a session without an assignee, since a peer was found."""
        session.backlog.clear()
        self._begin(session, list(session.wants.values()))

    def dispatch_backlog(self, session: SessionWants) -> None:
        """Assign the wants of a session's backlog, since a peer was found."""
        wants = list(session.backlog.values())
        session.backlog.clear()
        self._begin(session, wants)

    def _begin(self, session: SessionWants, wants: list[Want]) -> None:
        self._chores.begin(each(wants, partial(self._redispatch, session)))

    def _redispatch(self, session: SessionWants, want: Want) -> None:
        if session in want.sessions:  # else the want has ended since
            self.move_on(want)
            self.dispatch(want)

    def move_on(self, want: Want) -> bool:
        """Assign a want whose assignee is silent to another peer of its sessions, if any."""
        assignee = want.assignee
        if assignee is None or want.claimed or not want.has_said(assignee, PeerAnswer.SILENT):
            return False
        if _best_of_sessions(want) is None:
            return False
        want.unassign()
        self.dispatch(want)
        return True

    def ask_only_peers(self, session: SessionWants, want: Want) -> None:
        """Ask the only peers of a session, unless one of them is the assignee."""
        if want.claimed or (want.assignee is not None and session.allows(want.assignee)):
            return
        for peer in self._peers.among(session.only_peers):
            want.ask(peer)
        self.settle_noes(want)

    def ask_around(self, want: Want) -> None:
        """Ask more peers for the block of an idle session, even if the want has an assignee."""
        if not self.move_on(want) and self._may_broadcast(want):
            self.widen(want)

    def offer(self, peer: RemotePeer) -> None:
        """Ask a peer that has become available for the wants that no trusted peer owes."""
        self._chores.begin(each(list(self._wants.values()), partial(self._offer, peer)))

    def _offer(self, peer: RemotePeer, want: Want) -> None:
        if peer.down is not None or want.claimed:
            return
        if not any(session.allows(peer) for session in want.sessions):
            return
        assignee = want.assignee
        if assignee is None:
            self.dispatch(want)
            if want.broadcaster is not None:
                want.ask(peer)
            return
        is_trusted = assignee.blocks_delivered and not want.has_said(assignee, PeerAnswer.SILENT)
        if not is_trusted and self._may_broadcast(want):
            self._begin_broadcast(want)
            want.ask(peer)

    # -- broadcasting ---------------------------------------------------------------------------

    def widen(self, want: Want) -> bool:
        """Send WANT_HAVE to the next wave of peers; return False if all peers were asked."""
        targets = [
            peer
            for peer in self._candidates_for(want)
            if peer not in want.asked and want.is_open(peer)
        ]
        if not targets:
            return False
        self._begin_broadcast(want)
        if want.broadcaster is not None:
            targets = _wave_of(targets, want.waves, self._waves)
            self._waves += 1
        want.count_wave()
        for peer in targets:
            want.ask(peer)
        return True

    def _candidates_for(self, want: Want) -> Iterable[RemotePeer]:
        """Return the peers that at least one session of a want may ask."""
        found: dict[RemotePeer, None] = {}
        for session in want.sessions:
            if session.only_peers is None:
                return self._peers.by_id.values()
            found.update(dict.fromkeys(self._peers.among(session.only_peers)))
        return found

    def _may_broadcast(self, want: Want) -> bool:
        """Return whether a want may be broadcast; a want for only some peers always may."""
        if want.broadcaster is not None or _session_with_room(want) is not None:
            return True
        return all(session.only_peers is not None for session in want.sessions)

    def _begin_broadcast(self, want: Want) -> None:
        if want.broadcaster is None and (session := _session_with_room(want)) is not None:
            want.begin_broadcast(session)

    def end_broadcast(self, want: Want) -> None:
        """End the broadcast of a want, and dispatch wants of the backlog in its place."""
        session = want.broadcaster
        if session is None:
            return
        want.end_broadcast(session)
        while session.backlog and len(session.broadcasting) < MAX_BROADCAST_WANTS:
            self.dispatch(session.backlog.pop(next(iter(session.backlog))))

    # -- ends -----------------------------------------------------------------------------------

    def settle_noes(self, want: Want) -> None:
        """Ask more peers after a no or a lost peer; end the want of sessions with no peer left."""
        if want.claimed:
            return
        is_no_peer_left = False
        if want.assignee is None and want.noes >= len(want.asked):
            is_no_peer_left = not self.widen(want)
        if is_no_peer_left:
            self.end_broadcast(want)
        for session in list(want.sessions):
            if session.only_peers is not None:
                candidates = self._peers.among(session.only_peers)
                is_over = not any(want.is_open(peer) for peer in candidates)
            else:
                is_over = is_no_peer_left
            if is_over and not self._waits(session, want):
                self._give_up(session, want)

    def _waits(self, session: SessionWants, want: Want) -> bool:
        """Return whether the want stays, as a search or a new peer may bring the block."""
        if session.searches and (want.providers is None or self._is_searched(want)):
            self._search(session, want)
            return True
        return session.wait

    def _give_up(self, session: SessionWants, want: Want) -> None:
        peers = self.report(session, want)
        self.outcomes.append(
            Unavailable(session.session_id, want.key, want.cid, peers, want.providers)
        )
        self.detach(session, want)

    def ask_last_peer(self, want: Want) -> None:
        """Assign a want to the last peer that has not said no."""
        if want.noes != len(want.asked) - 1 or want.presence_only:
            return
        left = [peer for peer in self._candidates_for(want) if want.is_open(peer)]
        if len(left) == 1:
            want.assign(left[0])

    def report(self, session: SessionWants, want: Want) -> dict[ID, PeerAnswer]:
        """Return the answers so far of the peers that a session could ask for a block."""
        only = session.only_peers
        peers = {
            peer_id: answer
            for peer_id, answer in want.lost.items()
            if only is None or peer_id in only
        }
        for peer_id in only or ():
            peers.setdefault(peer_id, PeerAnswer.DISCONNECTED)
        for peer in self._peers.among(only):
            if peer.down is not None or peer in want.asked:
                peers[peer.peer_id] = peer.down or want.answers.get(peer, PeerAnswer.SILENT)
        # If the session lost its last peer before the want was made, name the lost peers.
        return peers or dict(session.lost)

    def tell_found(self, session: SessionWants, want: Want) -> None:
        """Tell a session that only asks for presence that a peer has the block."""
        self.outcomes.append(Found(session.session_id, want.key))
        self.detach(session, want)

    def detach(self, session: SessionWants, want: Want) -> None:
        """Remove a want from a session; take it back from the peers if no session has it."""
        session.wants.pop(want.key, None)
        if session.backlog or session.to_search:
            session.forget(want)
        want.leave(session)
        if want.claimed:
            return
        if not want.sessions:
            want.withdraw()
            self._wants.pop(want.key, None)
            self.end_broadcast(want)
        elif want.broadcaster is session:
            self.end_broadcast(want)
            self._begin_broadcast(want)

    # -- searches -------------------------------------------------------------------------------

    def _is_searched(self, want: Want) -> bool:
        """Return whether providers of a block are searched for, or will be."""
        key = want.key
        return key in self._searches or any(key in s.to_search for s in want.sessions)

    def _search(self, session: SessionWants, want: Want) -> None:
        """Have providers of a block searched for, unless the session has many searches running."""
        if not self._is_searched(want) and session.begin_search(want):
            self._searches[want.key] = session
            self.outcomes.append(Search(want.key, want.cid))

    def search_again(self, session: SessionWants, want: Want, now: float) -> None:
        """Search for an idle session: when it becomes idle, then at intervals."""
        if session.begin_idle_search(now) and (want.providers is None or session.idle_times > 1):
            self._search(session, want)

    def provider_connected(self, key: bytes, peer: RemotePeer) -> None:
        """Note a connected provider of a block: sessions that want the block ask it."""
        want = self._wants.get(key)
        if want is None:
            return
        for session in list(want.sessions):
            if session.searches:
                session.found(peer)
                # The provider probably has the other blocks too: ask it before other searches.
                session.to_search.clear()
                self.dispatch_all(session)

    def searched(self, key: bytes, found: int, failed: Mapping[ID, PeerAnswer]) -> None:
        """Take in the end of a search; ``failed`` are the providers that were not reached."""
        session = self._searches.pop(key, None)
        if session is None:
            return
        session.end_search()
        want = self._wants.get(key)
        if want is not None:
            want.searched(found)
            for peer_id, answer in failed.items():
                if peer_id not in self._peers.by_id:
                    want.lose(peer_id, answer)
            if want.assignee is None:
                self.settle_noes(want)
        while (queued := session.next_to_search()) is not None:
            self._search(session, queued)


# -- the choice of peers --------------------------------------------------------------------------


def _cost_of(want: Want) -> Callable[[RemotePeer], float]:
    """Return the function that gives a peer's expected seconds to the block, plus penalties."""

    def cost(peer: RemotePeer) -> float:
        seconds = peer.seconds_to_next()
        if want.answers.get(peer) is not PeerAnswer.HAVE:
            seconds += _HAS_NOT_SAID_HAVE
        return seconds + _IS_DISTRUSTED if peer.distrusted_until else seconds

    return cost


def _best_of_sessions(want: Want) -> RemotePeer | None:
    """Choose the best peer of a want's sessions that has not been tried yet."""
    is_new = not (want.asked or want.answers)
    peers = []
    for session in want.sessions:
        for peer in session.peers:
            if peer.down is None and (is_new or not want.is_tried(peer)):
                peers.append(peer)
    if len(peers) == 1:
        return peers[0]
    return min(peers, key=_cost_of(want), default=None)


def _best_of_others(want: Want, peers: Iterable[RemotePeer]) -> RemotePeer | None:
    """
    Choose the best of ``peers``, which are no peers of the sessions, to be the assignee.

    A candidate has said HAVE, or is the only peer left, or has delivered blocks before.
    """
    open_peers = [peer for peer in peers if want.is_open(peer)]
    fresh = [peer for peer in open_peers if not want.is_tried(peer)]
    chosen = [peer for peer in fresh if want.has_said(peer, PeerAnswer.HAVE)]
    if not chosen:
        if len(fresh) == 1:
            return fresh[0]
        if fresh:
            chosen = [p for p in fresh if p.blocks_delivered and not p.distrusted_until]
        else:
            chosen = open_peers
    return min(chosen, key=_cost_of(want), default=None)


def _wave_of(peers: Sequence[RemotePeer], wave: int, place: int) -> list[RemotePeer]:
    """
    Choose the peers of the next wave of WANT_HAVEs.

    First come useful peers, local peers and peers that will be written to anyway. The number of
    other peers grows with each ``wave``; they are taken from another ``place`` each time.
    """
    near: list[RemotePeer] = []
    far: list[RemotePeer] = []
    for peer in peers:
        is_near = peer.is_useful or peer.is_local or peer.has_outgoing
        (near if is_near else far).append(peer)
    del near[MAX_BROADCAST_PEERS:]
    if far:
        start = place % len(far)
        far = far[start:] + far[:start]
    return near + far[: BROADCAST_STRANGERS * _WAVE_GROWTH**wave]


def _session_with_room(want: Want) -> SessionWants | None:
    """Return a session of a want with a free place in its ``broadcasting``; None if none has."""
    for session in want.sessions:
        if session.only_peers is None and len(session.broadcasting) < MAX_BROADCAST_WANTS:
            return session
    return None
