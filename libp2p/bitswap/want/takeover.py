"""
What becomes of blocks that a peer does not send in time (sans-I/O).

A peer that owes blocks and sends nothing for its usual time and more has, as far as choosing goes,
said DONT_HAVE: its blocks are asked of others, and of it no longer while they do. Before that time
is over a quicker peer takes over what it would have delivered long ago, and what a slow peer would
take long for. A block that comes all the same is welcome; how many of those that are asked of two
peers come twice is watched, and no more than a share of all may.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import (
    DONT_HAVE_TIMEOUT_BASE,
    DUPLICATE_SHARE,
    FREE_DUPLICATES,
    MAX_COPIES,
    MAX_DONT_HAVES,
    RETRY_PEER_SECONDS,
    TAKEOVER_SECONDS,
)
from libp2p.bitswap.errors import PeerAnswer
from libp2p.bitswap.wire.entry import WantType

if TYPE_CHECKING:
    from libp2p.bitswap.want.book import WantBook
    from libp2p.bitswap.want.remote_peer import Batch, Peer
    from libp2p.bitswap.want.state import Session, Want

#: How much sooner another peer must be: an estimate is no better than that.
_SILENT_FACTOR: Final = 3
_SLOW_FACTOR: Final = 4
_SLOW_SECONDS: Final = 5 * TAKEOVER_SECONDS
#: A slow peer is about to send the first blocks of what is due from it, or already does.
_ON_THE_WAY: Final = 2
#: Nobody is looked after more often, in seconds.
_A_MOMENT: Final = 0.001
#: Peers that an idle one looks at, those first that have owed something for longest.
_MOST_HELPED: Final = 16


class Takeovers:
    """Moves blocks from peers that are late to those that are not."""

    def __init__(self, asking: WantBook) -> None:
        self._asking = asking
        self.delivered = 0
        """Wanted blocks that have come."""
        self.duplicates = 0
        """Blocks that have come for the second time, since they were asked of two peers."""

    @property
    def is_affordable(self) -> bool:
        """Tell whether more blocks may be asked of a second peer."""
        return (self.duplicates - FREE_DUPLICATES) * DUPLICATE_SHARE <= self.delivered

    # -- silence --------------------------------------------------------------------------------

    def look_after(self, peer: Peer, now: float) -> float:
        """See whether a peer that owes blocks is late; return the seconds until the next time."""
        timeout = peer.pace.timeout
        if not self.is_affordable:
            timeout = max(timeout, DONT_HAVE_TIMEOUT_BASE)
        silence = peer.silence(now)
        while (batch := peer.oldest) is not None and peer.silence(now) >= timeout:
            self._give_up(peer, batch, now)
        self._relieve(peer, silence, now)
        patience = self.patience(peer)
        again = patience - silence if silence < patience else silence
        return max(min(again, timeout - silence) if silence < timeout else again, _A_MOMENT)

    def _give_up(self, peer: Peer, batch: Batch, now: float) -> None:
        """Take the silence of a peer for DONT_HAVE, for all blocks of a message."""
        peer.doubt_until_later(now)
        for want in peer.give_up(batch):
            want.answers[peer] = PeerAnswer.SILENT
            for session in want.sessions:
                self.count_dont_have(session, peer)

    def count_dont_have(self, session: Session, peer: Peer) -> None:
        """Note a DONT_HAVE; who says nothing else is asked no more in the session."""
        count = session.peers.get(peer)
        if count is None:
            return
        session.peers[peer] = count + 1
        if count < MAX_DONT_HAVES:
            return
        if any(want.has_said(peer, PeerAnswer.HAVE) for want in session.wants.values()):
            session.peers[peer] = 0
        else:
            del session.peers[peer]

    # -- slowness -------------------------------------------------------------------------------

    def offer_help(self, helper: Peer, now: float) -> None:
        """A peer that has just delivered all it owed may be quicker with what others owe."""
        for peer in list(islice(self._asking.busy, _MOST_HELPED)):
            self._relieve(peer, peer.silence(now), now, helper)

    def _relieve(self, slow: Peer, silence: float, now: float, helper: Peer | None = None) -> None:
        """Let others take over what they would deliver long before ``slow``."""
        if len(self._asking.peers) < 2:
            return
        if silence >= self.patience(slow):
            self._relieve_silent(slow, silence, now, helper)
        if slow.pace.rate:
            self._relieve_slow(slow, now, helper)

    def patience(self, peer: Peer) -> float:
        """Give the seconds of silence that are nothing unusual."""
        pace = peer.pace
        return max(TAKEOVER_SECONDS, 2 * pace.latency, 2 * pace.round_trip)

    def _relieve_silent(self, slow: Peer, silence: float, now: float, helper: Peer | None) -> None:
        """
        Expect as much more of a silence as has been: who is much quicker takes over.

        It takes over no more than it can deliver meanwhile; the silent one may come back.
        """
        size = self._asking.block_size
        moved = False
        for want, batch in list(slow.held.items()):
            given_up = want.has_said(slow, PeerAnswer.SILENT)
            if not given_up and (batch is None or not self.is_affordable):
                continue
            taker = self._helper(want, slow, helper)
            if taker is None:
                continue
            if taker.delivered:
                factor = 1 if given_up else _SILENT_FACTOR
                if silence <= factor * taker.cost(size):
                    break
            elif taker.held:
                continue  # nothing is known of it: one block has to show
            self._asking.hold(want, taker)
            moved = True
        if moved:
            slow.doubt_until_later(now)

    def _relieve_slow(self, slow: Peer, now: float, helper: Peer | None) -> None:
        """Move what comes last from a peer that is at work but would take long for it."""
        size, rate = self._asking.block_size, slow.pace.rate
        if len(slow.held) * size <= _SLOW_SECONDS * rate:
            return
        wants = sorted(slow.held, key=lambda want: want.priority, reverse=True)
        for place in range(len(wants) - 1, -1, -1):
            want = wants[place]
            expected = (place + 1) * size / rate
            taker = self._helper(want, slow, helper)
            if taker is None or (taker.held and not taker.delivered):
                continue
            if expected <= _SLOW_FACTOR * taker.cost(size) + _SLOW_SECONDS:
                break
            if place < _ON_THE_WAY and not self.is_affordable:
                break
            self._asking.hold(want, taker)
            if place >= _ON_THE_WAY:
                self._asking.take_back(want, slow)
        if not slow.held:
            slow.retry_at = now + RETRY_PEER_SECONDS

    def _helper(self, want: Want, slow: Peer, helper: Peer | None) -> Peer | None:
        """Choose who could take over a block: a peer of its sessions, or one that says HAVE."""
        copies = sum(
            kind is WantType.Block and not peer.doubt and not want.has_said(peer, PeerAnswer.SILENT)
            for peer, kind in want.asked.items()
        )
        if want.claimed or copies >= MAX_COPIES:
            return None
        if helper is not None:
            return helper if self._can_take(want, helper) else None
        peers = dict.fromkeys(peer for session in want.sessions for peer in session.peers)
        able = [peer for peer in peers if peer is not slow and self._can_take(want, peer)]
        size = self._asking.block_size
        return min(able, key=lambda peer: peer.cost(size), default=None)

    def _can_take(self, want: Want, peer: Peer) -> bool:
        if peer.doubt or not want.is_open(peer) or want.has_said(peer, PeerAnswer.SILENT):
            return False
        if want.asked.get(peer) is WantType.Block:
            return False
        return any(peer in session.peers for session in want.sessions)
