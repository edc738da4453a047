"""
The timeouts of late peers, slow peers and idle sessions (sans-I/O).

A peer that owes blocks and is silent for its timeout is treated as if it had answered DONT_HAVE:
others are asked for its blocks, and it gets no new wants while other peers deliver. Before the
timeout, a peer that would have delivered long ago takes over from a silent peer, and a quicker peer
takes over the last blocks of a slow one. The late block is still welcome. Blocks that come twice
because of this are counted, and only a share of all blocks may (`Peers.may_ask_twice`).

A want that a peer has not answered for long is sent to it again. A session that gets no block asks
more peers and has providers searched for.
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

#: A peer takes over from a silent or slow one if it is expected to deliver so many times sooner, as
#: estimates are rough. A slow peer is also given some seconds more.
_SILENT_FACTOR: Final = 3
_SLOW_FACTOR: Final = 4
_SLOW_SECONDS: Final = 5 * TAKEOVER_SECONDS
#: So many blocks are still asked of a slow peer after a takeover: it is about to send them.
_LEFT_TO_SLOW_PEER: Final = 2
#: The least time between two checks of a peer.
_MIN_CHECK_SECONDS: Final = 0.001
#: How many late peers an idle peer may take over from.
_MAX_HELPED: Final = 16


class Timeouts:
    """Checks a peer that owes blocks, or a session with wants, when its timer goes off."""

    def __init__(self, wants: dict[bytes, Want], peers: Peers, strategy: Strategy) -> None:
        self._wants = wants
        self._peers = peers
        self._strategy = strategy
        self.timers: Timers[RemotePeer | SessionWants] = Timers()
        self._postponed: set[RemotePeer | SessionWants] = set()
        """Owners whose check was put off once, since this program itself was late."""

    def begin_session(self, session: SessionWants, now: float) -> None:
        """Set the timer of a session that has got its first want."""
        if session not in self.timers and session.only_peers is None:
            self.timers.set(session, now + IDLE_SECONDS)

    def begin_peer(self, peer: RemotePeer, now: float) -> None:
        """Set the timer of a peer that was sent wants."""
        when = self.timers.time_of(peer)
        if when is not None and when <= now + TAKEOVER_SECONDS:
            return
        if peer.due:
            self.timers.set(peer, now + _usual_silence(peer))
        elif peer.repeat_at is not None:
            self.timers.set(peer, peer.repeat_at)

    def drop(self, owner: RemotePeer | SessionWants) -> None:
        """Drop the timer of a peer or session that has ended."""
        self.timers.drop(owner)
        self._postponed.discard(owner)

    def tick(self, now: float) -> None:
        """Check the peers and sessions whose time has come."""
        while (item := self.timers.take(now)) is not None:
            when, owner = item
            if now - when > LATE_SECONDS and owner not in self._postponed:
                # This program is late itself: bytes that have come may not have been read.
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
        """Ask more peers for some wants of a session that has got no block for a while."""
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
        """Act if a peer that owes blocks is late; return the seconds until the next check."""
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
        """Take the silence of a peer for DONT_HAVE, for all due blocks of its first batch."""
        peer.distrust(now)
        for key in peer.give_up_first():
            want = self._wants[key]
            want.note_answer(peer, PeerAnswer.SILENT)
            for session in want.sessions:
                session.dont_have(peer)

    # -- takeovers ------------------------------------------------------------------------------

    def offer_help(self, helper: RemotePeer, now: float) -> None:
        """Let a peer that owes nothing any more take over from the peers that owe blocks."""
        for peer in list(islice(self._peers.busy, _MAX_HELPED)):
            self._relieve(peer, peer.silence(now), now, helper)

    def _relieve(
        self, slow: RemotePeer, silence: float, now: float, helper: RemotePeer | None = None
    ) -> None:
        """Let others take over the blocks that they would deliver long before ``slow``."""
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
        Let others take over from a silent peer.

        The silence is expected to last as long again, and others take over no more than they can
        deliver in that time.
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
                continue  # an unknown peer has to deliver its first block before it gets more
            want.assign(taker)
            moved = True
        if moved:
            slow.distrust(now)

    def _relieve_slow(self, slow: RemotePeer, now: float, helper: RemotePeer | None) -> None:
        """Let others take over the last blocks of a peer that is at work, if they would be late."""
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
        """Choose the peer to take over a block: ``helper``, or the quickest of the sessions."""
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
    """Return the seconds of silence that are usual for a peer."""
    receiving = peer.receiving
    return max(TAKEOVER_SECONDS, 2 * receiving.latency, 2 * receiving.round_trip)


def _idle_seconds(session: SessionWants) -> float:
    """Return the seconds without a block after which a session is idle: more each time."""
    latencies = [peer.receiving.latency for peer in session.peers if peer.blocks_delivered]
    seconds = IDLE_SECONDS
    if latencies:
        seconds = IDLE_BASE_SECONDS + IDLE_LATENCIES * sum(latencies) / len(latencies)
    return seconds * (1 + session.idle_times)
