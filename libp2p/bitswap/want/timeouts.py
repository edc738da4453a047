"""
What is done when time has passed (sans-I/O): late peers, slow peers, idle sessions.

A peer that owes blocks and sends nothing for its usual time and more has, as far as choosing goes,
said DONT_HAVE: its blocks are asked of other peers, and no more are asked of it while others send.
Before that time is over, a quicker peer takes over what it would have delivered long ago, and what
a slow peer would take long for. A block that comes all the same is welcome. How many of the blocks
that are asked of two peers come twice is counted, and only a share of all blocks may.

What a peer has not answered for long is sent to it again. A session that gets no block asks more
peers and has providers searched for.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.common.timers import Timers
from libp2p.bitswap.config import (
    DONT_HAVE_TIMEOUT_BASE,
    IDLE_BASE_SECONDS,
    IDLE_LATENCIES,
    IDLE_SECONDS,
    LATE_SECONDS,
    MAX_BROADCAST_WANTS,
    MAX_COPIES,
    TAKEOVER_SECONDS,
)
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.want.state import SessionWants
from libp2p.bitswap.wire.entry import WantType

if TYPE_CHECKING:
    from libp2p.bitswap.want.remote_peer import Peers, RemotePeer
    from libp2p.bitswap.want.state import Want
    from libp2p.bitswap.want.strategy import Strategy

#: How many times sooner than a silent or slow peer another one must be expected to deliver before
#: it takes over: estimates are no better than that. A slow peer is also given some seconds more.
_SILENT_FACTOR: Final = 3
_SLOW_FACTOR: Final = 4
_SLOW_SECONDS: Final = 5 * TAKEOVER_SECONDS
#: So many blocks stay asked of a slow peer although another one takes over: it is about to send
#: them, or does already.
_LEFT_TO_SLOW_PEER: Final = 2
#: The least time between two checks of a peer.
_MIN_CHECK_SECONDS: Final = 0.001
#: Late peers that a peer which has become idle may take over from.
_MAX_HELPED: Final = 16


class Timeouts:
    """Checks peers that owe blocks and sessions that want some, each when its timer goes off."""

    def __init__(self, wants: dict[bytes, Want], peers: Peers, strategy: Strategy) -> None:
        self._wants = wants
        self._peers = peers
        self._strategy = strategy
        self.timers: Timers[RemotePeer | SessionWants] = Timers()
        self._postponed: set[RemotePeer | SessionWants] = set()
        """Their check was put off, since it was late because of us."""

    def begin_session(self, session: SessionWants, now: float) -> None:
        """A session that wanted nothing wants something."""
        if session not in self.timers and session.only_peers is None:
            self.timers.set(session, now + IDLE_SECONDS)

    def begin_peer(self, peer: RemotePeer, now: float) -> None:
        """A peer has been asked something."""
        when = self.timers.time_of(peer)
        if when is not None and when <= now + TAKEOVER_SECONDS:
            return
        if peer.due:
            self.timers.set(peer, now + _usual_silence(peer))
        elif peer.repeat_at is not None:
            self.timers.set(peer, peer.repeat_at)

    def drop(self, owner: RemotePeer | SessionWants) -> None:
        """A peer or a session is gone."""
        self.timers.drop(owner)
        self._postponed.discard(owner)

    def tick(self, now: float) -> None:
        """Check the peers and sessions whose time has come."""
        while (item := self.timers.take(now)) is not None:
            when, owner = item
            if now - when > LATE_SECONDS and owner not in self._postponed:
                # We are late ourselves: what peers have sent may not have been read.
                self._postponed.add(owner)
                self.timers.set(owner, now + LATE_SECONDS)
                continue
            self._postponed.discard(owner)
            if isinstance(owner, SessionWants):
                self._check_session(owner, now)
            else:
                self._check_peer(owner, now)

    # -- sessions -------------------------------------------------------------------------------

    def _check_session(self, session: SessionWants, now: float) -> None:
        """If no block of a session has come for a while, ask more peers for some wants."""
        if not session.wants:
            return
        due = session.since + _idle_seconds(session)
        if now < due:
            self.timers.set(session, due)
            return
        session.count_idle(now)
        live = (want for want in session.wants.values() if not want.claimed)
        wants = list(islice(live, MAX_BROADCAST_WANTS))
        for want in wants:
            self._strategy.ask_around(want)
        if session.searches and wants:
            self._strategy.search_again(session, wants[0], now)
        self.timers.set(session, now + _idle_seconds(session))

    # -- peers ----------------------------------------------------------------------------------

    def _check_peer(self, peer: RemotePeer, now: float) -> None:
        peer.on_time(now)
        if peer.assigned:
            self.timers.set(peer, now + self._check_assigned(peer, now))
        peer.repeat(now)
        for when in (peer.repeat_at, peer.distrusted_until, peer.retry_at):
            if when:
                self.timers.set(peer, when)

    def _check_assigned(self, peer: RemotePeer, now: float) -> float:
        """See whether a peer that owes blocks is late; return the seconds until the next check."""
        timeout = peer.receiving.timeout
        if not self._peers.may_ask_twice:
            timeout = max(timeout, DONT_HAVE_TIMEOUT_BASE)
        silence = peer.silence(now)
        while peer.due and peer.silence(now) >= timeout:
            self._give_up(peer, now)
        self._relieve(peer, silence, now)
        usual = _usual_silence(peer)
        seconds = usual - silence if silence < usual else silence
        if silence < timeout:
            seconds = min(seconds, timeout - silence)
        return max(seconds, _MIN_CHECK_SECONDS)

    def _give_up(self, peer: RemotePeer, now: float) -> None:
        """Take the silence of a peer for DONT_HAVE, for all blocks of a message."""
        peer.distrust(now)
        for key in peer.give_up_first():
            want = self._wants[key]
            want.note_answer(peer, PeerAnswer.SILENT)
            for session in want.sessions:
                session.dont_have(peer)

    # -- takeovers ------------------------------------------------------------------------------

    def offer_help(self, helper: RemotePeer, now: float) -> None:
        """A peer has delivered all it owed: it may be quicker with what others owe."""
        for peer in list(islice(self._peers.busy, _MAX_HELPED)):
            self._relieve(peer, peer.silence(now), now, helper)

    def _relieve(
        self, slow: RemotePeer, silence: float, now: float, helper: RemotePeer | None = None
    ) -> None:
        """Let others take over what they would deliver long before ``slow``."""
        if len(self._peers.by_id) < 2:
            return
        if silence >= _usual_silence(slow):
            self._relieve_silent(slow, silence, now, helper)
        if slow.receiving.bytes_per_second:
            self._relieve_slow(slow, now, helper)

    def _relieve_silent(
        self, slow: RemotePeer, silence: float, now: float, helper: RemotePeer | None
    ) -> None:
        """
        Let others take over from a silent peer, which is expected to be silent for as long again.

        They take over no more than they can deliver in that time: the peer may go on.
        """
        moved = False
        for key, batch in list(slow.assigned.items()):
            want = self._wants[key]
            given_up = want.has_said(slow, PeerAnswer.SILENT)
            if not given_up and (batch is None or not self._peers.may_ask_twice):
                continue
            taker = self._taker(want, slow, helper)
            if taker is None:
                continue
            if taker.blocks_delivered:
                factor = 1 if given_up else _SILENT_FACTOR
                if silence <= factor * taker.seconds_to_next():
                    break
            elif taker.assigned:
                continue  # nothing is known of it: it has to deliver one block first
            want.assign(taker)
            moved = True
        if moved:
            slow.distrust(now)

    def _relieve_slow(self, slow: RemotePeer, now: float, helper: RemotePeer | None) -> None:
        """Let others take over what comes last from a peer that is at work, if it comes late."""
        size, rate = self._peers.block_size, slow.receiving.bytes_per_second
        if len(slow.assigned) * size <= _SLOW_SECONDS * rate:
            return
        wants = [self._wants[key] for key in slow.assigned]
        wants.sort(key=lambda want: want.priority, reverse=True)
        for place in range(len(wants) - 1, -1, -1):
            want = wants[place]
            expected = (place + 1) * size / rate
            taker = self._taker(want, slow, helper)
            if taker is None or (taker.assigned and not taker.blocks_delivered):
                continue
            if expected <= _SLOW_FACTOR * taker.seconds_to_next() + _SLOW_SECONDS:
                break
            if place < _LEFT_TO_SLOW_PEER and not self._peers.may_ask_twice:
                break
            want.assign(taker)
            if place >= _LEFT_TO_SLOW_PEER:
                want.supersede(slow)
        if not slow.assigned:
            slow.retry_later(now)

    def _taker(self, want: Want, slow: RemotePeer, helper: RemotePeer | None) -> RemotePeer | None:
        """Choose a peer of the sessions that can take over a block; only ``helper`` if given."""
        copies = sum(
            1
            for peer, kind in want.asked.items()
            if kind is WantType.Block
            and not peer.distrusted_until
            and not want.has_said(peer, PeerAnswer.SILENT)
        )
        if want.claimed or copies >= MAX_COPIES:
            return None
        if helper is not None:
            return helper if _can_take(want, helper) else None
        peers = dict.fromkeys(peer for session in want.sessions for peer in session.peers)
        able = [peer for peer in peers if peer is not slow and _can_take(want, peer)]
        return min(able, key=lambda peer: peer.seconds_to_next(), default=None)


def _can_take(want: Want, peer: RemotePeer) -> bool:
    if peer.distrusted_until or not want.is_open(peer) or want.is_tried(peer):
        return False
    return any(peer in session.peers for session in want.sessions)


def _usual_silence(peer: RemotePeer) -> float:
    """Return the seconds of silence that are nothing unusual for a peer."""
    receiving = peer.receiving
    return max(TAKEOVER_SECONDS, 2 * receiving.latency, 2 * receiving.round_trip)


def _idle_seconds(session: SessionWants) -> float:
    """Return after how many seconds without a block a session is idle: more each time."""
    latencies = [peer.receiving.latency for peer in session.peers if peer.blocks_delivered]
    seconds = IDLE_SECONDS
    if latencies:
        seconds = IDLE_BASE_SECONDS + IDLE_LATENCIES * sum(latencies) / len(latencies)
    return seconds * (1 + session.idle_times)
