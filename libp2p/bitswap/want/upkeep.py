"""
What is done when time has passed (sans-I/O).

Peers that owe blocks are looked after, what is unanswered is said again, and sessions that get
nothing ask around and have providers searched for.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from libp2p.bitswap.config import (
    IDLE_BASE_SECONDS,
    IDLE_LATENCIES,
    IDLE_SECONDS,
    LATE_SECONDS,
    MAX_BROADCAST_WANTS,
    SEARCH_INTERVAL_SECONDS,
    TAKEOVER_SECONDS,
)
from libp2p.bitswap.want.state import SearchState, Session
from libp2p.bitswap.want.timers import Timers

if TYPE_CHECKING:
    from libp2p.bitswap.want.book import WantBook
    from libp2p.bitswap.want.remote_peer import Peer
    from libp2p.bitswap.want.state import Want
    from libp2p.bitswap.want.strategy import Dispatcher
    from libp2p.bitswap.want.takeover import Takeovers


class Upkeep:
    """Knows when whom to look after."""

    def __init__(self, asking: WantBook, dispatcher: Dispatcher, takeovers: Takeovers) -> None:
        self._asking = asking
        self._dispatcher = dispatcher
        self._takeovers = takeovers
        self.alarms: Timers[Peer | Session] = Timers()

    def begin_session(self, session: Session, now: float) -> None:
        """A session wants something."""
        if session.alarm is None and session.fixed is None:
            self.alarms.set(session, now + IDLE_SECONDS)

    def begin_peer(self, peer: Peer, now: float) -> None:
        """A peer has been asked something."""
        if peer.alarm is not None and peer.alarm <= now + TAKEOVER_SECONDS:
            return
        if peer.batches:
            self.alarms.set(peer, now + self._takeovers.patience(peer))
        elif peer.repeat_at is not None:
            self.alarms.set(peer, peer.repeat_at)

    def drop(self, sleeper: Peer | Session) -> None:
        """A peer or a session is gone."""
        self.alarms.drop(sleeper)

    def next_deadline(self) -> float | None:
        """Return when `tick` should be called next."""
        return self.alarms.next

    def tick(self, now: float) -> None:
        """Look after the peers and sessions whose time has come."""
        while (item := self.alarms.take(now)) is not None:
            when, sleeper = item
            if now - when > LATE_SECONDS and not sleeper.spared:
                # We were late ourselves: what peers have sent may not have been read.
                sleeper.spared = True
                self.alarms.set(sleeper, now + LATE_SECONDS)
                continue
            sleeper.spared = False
            if isinstance(sleeper, Session):
                self._look_after_session(sleeper, now)
            else:
                self._look_after_peer(sleeper, now)

    def _look_after_peer(self, peer: Peer, now: float) -> None:
        if peer.doubt and now >= peer.doubt:
            peer.doubt = 0.0
        if peer.retry_at and now >= peer.retry_at:
            peer.retry_at = 0.0
            peer.pace.forget_rate()
        if peer.held:
            self.alarms.set(peer, now + self._takeovers.look_after(peer, now))
        peer.repeat(self._asking.wants, now)
        self._asking.note_outgoing(peer)
        for when in (peer.repeat_at, peer.doubt, peer.retry_at):
            if when:
                self.alarms.set(peer, when)

    def _look_after_session(self, session: Session, now: float) -> None:
        """Ask around for what has not come, if nothing of a session has come for a while."""
        if not session.wants:
            return
        idle = self._idle_seconds(session) * (1 + session.ticks)
        if now < session.since + idle:
            self.alarms.set(session, session.since + idle)
            return
        session.ticks += 1
        session.since = now
        live = (want for want in session.wants.values() if not want.claimed)
        wants = list(islice(live, MAX_BROADCAST_WANTS))
        for want in wants:
            self._dispatcher.ask_around(want)
        if session.searches and wants:
            self._search_again(session, wants[0], now)
        self.alarms.set(session, now + self._idle_seconds(session) * (1 + session.ticks))

    def _idle_seconds(self, session: Session) -> float:
        latencies = [peer.pace.latency for peer in session.peers if peer.delivered]
        if not latencies:
            return IDLE_SECONDS
        return IDLE_BASE_SECONDS + IDLE_LATENCIES * sum(latencies) / len(latencies)

    def _search_again(self, session: Session, want: Want, now: float) -> None:
        """Search for providers when a session begins to be idle, then every now and then."""
        if session.ticks > 1 and now < session.next_search:
            return
        session.next_search = now + SEARCH_INTERVAL_SECONDS
        if session.ticks > 1 and want.search is SearchState.DONE:
            want.search = SearchState.NONE
        self._dispatcher.search(session, want)
