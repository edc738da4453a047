"""
What one peer is asked: the queue of what is to be said to it, and what it owes (sans-I/O).

The want-blocks of one message are a `Batch`. A peer works messages off in their order, so only the
oldest batch that is not done has to be watched: as long as its blocks come, or bytes that may
precede them, the peer is at work, and the blocks of later batches are not late.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import (
    LIAR_SECONDS,
    MAX_CANCELS,
    MAX_LIAR_SECONDS,
    MAX_OWED,
    PRIOR_RATE,
    REBROADCAST_AFTER,
    REBROADCAST_INTERVAL,
)
from libp2p.bitswap.want.receive_rate import Pace
from libp2p.bitswap.wire.entry import Entry

if TYPE_CHECKING:
    from libp2p.bitswap.errors import PeerAnswer
    from libp2p.bitswap.want.state import Want
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

_NOT_YET: Final = float("inf")
#: An alarm goes off on time if it is early by less than this: sums of floats are not exact.
_A_MOMENT: Final = 1e-6
#: What may come before the blocks of a batch beside other blocks: answers, wants of the peer.
_SLACK_BYTES: Final = 64 * 1024


class Batch:
    """The want-blocks of one message."""

    __slots__ = ("due", "first", "heard", "limit", "written", "wrong")

    def __init__(self, first: bool) -> None:
        self.due = 0
        """Blocks of it that the peer is to send."""
        self.first = first
        """The peer owed nothing when it was asked, and has not answered."""
        self.written = _NOT_YET
        self.heard = 0.0
        """When one of its blocks came last, or bytes that may precede them."""
        self.limit = 0
        """The count of bytes from the peer up to which they may."""
        self.wrong = 0
        """Blocks that nobody asked for and that came in place of some of it."""


class Peer:
    """One connected peer."""

    __slots__ = (
        "alarm", "batches", "cancelled", "cancels", "delivered", "delivered_at", "doubt", "doubts",
        "down", "down_since", "held", "known", "local", "lone", "max_wants", "owed", "pace",
        "peer_id", "pending", "proven", "repeat_at", "repeats", "resets", "retry_at", "spared",
        "supports_have", "told", "unanswered", "worked", "writing", "wrong",
    )  # fmt: skip

    def __init__(self, peer_id: ID, max_wants: int, *, local: bool = False) -> None:
        self.peer_id = peer_id
        self.max_wants = max_wants
        self.local = local
        """It is on this machine or in this network: asking it costs little."""
        self.pace = Pace()
        self.supports_have = True
        # what is to be said
        self.pending: dict[bytes, Want] = {}
        """Wants for the next messages, oldest first."""
        self.cancels: dict[bytes, CID] = {}
        """Cancels for the next message."""
        self.repeats: set[bytes] = set()
        """Which of ``pending`` have been said before."""
        self.repeat_at: float | None = None
        self.writing: Batch | None = None
        self.lone = True
        """The last message had but one want: the next one is not kept for others to join it."""
        # what was said
        self.known: dict[bytes, CID] = {}
        """What the peer has been sent and may have in its ledger: to be cancelled one day."""
        self.unanswered: dict[bytes, Batch] = {}
        """What it has been sent and has not answered: counted against its limit."""
        self.owed: dict[bytes, tuple[int, ...]] = {}
        """Want-blocks taken back since another peer was quicker, and the sessions they were for."""
        self.cancelled: dict[bytes, None] = {}
        """What it has been sent and nobody wants any more; it may be on its way."""
        self.wrong = 0
        """Blocks that nobody asked for and that came when no block was due."""
        # what is due
        self.held: dict[Want, Batch | None] = {}
        """Wants that it is the holder of, and the batch that each went with, once it has."""
        self.batches: deque[Batch] = deque()
        self.worked = 0.0
        """When the last block of a batch came."""
        self.delivered_at = 0.0
        self.told = 0
        """The count of its bytes at which all is here that it said to have queued for us."""
        self._begin_standing()

    def _begin_standing(self) -> None:
        self.delivered = 0
        """Blocks that it has sent and that were wanted."""
        self.proven = False
        """It has sent a block, or said HAVE."""
        self.doubt = 0.0
        """Until when it is asked last, having promised blocks and sent nothing; 0 if it is not."""
        self.doubts = 0
        self.retry_at = 0.0
        """When it may show again how quick it is, having been too slow for all it owed."""
        self.resets = 0
        """Resets of our want stream since it last said something."""
        self.down: PeerAnswer | None = None
        """Why it cannot be asked."""
        self.down_since = 0.0
        self.alarm: float | None = None
        self.spared = False
        """It was not judged because we were late ourselves."""

    # -- what is to be said ---------------------------------------------------------------------

    @property
    def has_outgoing(self) -> bool:
        has_room = len(self.unanswered) < self.max_wants
        return bool(self.cancels or (self.pending and (has_room or self.repeats)))

    def take(self) -> list[Entry]:
        """
        Take what is to be said: cancels, then wants as far as the limit allows.

        A want for what is cancelled in the same message waits for the next one: Go would take the
        cancel alone.
        """
        cancels, said, entries = self.cancels, {}, []
        if cancels:
            said = dict(islice(cancels.items(), MAX_CANCELS))
            for key in said:
                del cancels[key]
            entries = [Entry(cid, 0, cancel=True) for cid in said.values()]
        unanswered, pending, repeats = self.unanswered, self.pending, self.repeats
        batch = Batch(self.oldest is None)
        room = self.max_wants - len(unanswered)
        taken: list[bytes] = []
        for key, want in pending.items():
            if key in said or key in cancels:
                continue
            if repeats and key in repeats:
                repeats.discard(key)
            elif room > 0:
                room -= key not in unanswered
                unanswered[key] = batch
                if want.holder is self:
                    self.held[want] = batch
                    batch.due += 1
            elif repeats:
                continue
            else:
                break
            taken.append(key)
            self.known[key] = want.cid
            kind = want.asked[self]
            entries.append(Entry(want.cid, want.priority, False, kind, send_dont_have=True))
        for key in taken:
            del pending[key]
        if batch.due:
            self.batches.append(batch)
        if taken:
            self.wrong = 0
            self.writing = batch
            self.lone = len(taken) == 1
        return entries

    def written(self, now: float, block_size: int) -> None:
        """What was taken has been written."""
        batch, self.writing = self.writing, None
        if batch is None:
            return
        batch.written = now
        if batch.due:
            self.pace.begin(now)
            ahead = max(len(self.held) * block_size, self.told - self.pace.received)
            batch.limit = self.pace.received + 2 * ahead + _SLACK_BYTES
        if self.repeat_at is None:
            self.repeat_at = now + REBROADCAST_AFTER

    def say_again(self, wants: dict[bytes, Want]) -> None:
        """Queue all that has not been answered: the peer may have forgotten it."""
        again = {key: wants[key] for key in self.unanswered}
        self.pending = {**again, **self.pending}
        self.forget_sent()

    def repeat(self, wants: dict[bytes, Want], now: float) -> None:
        """Queue what has not been answered for long: a message may be lost over there."""
        if self.repeat_at is None or now < self.repeat_at:
            return
        self.repeat_at = now + REBROADCAST_INTERVAL if self.unanswered else None
        for key, batch in self.unanswered.items():
            if batch.written <= now - REBROADCAST_AFTER and key not in self.pending:
                self.pending[key] = wants[key]
                self.repeats.add(key)

    def forget_sent(self) -> None:
        """Nothing that was said is waited for."""
        for want in self.held:
            self.held[want] = None
        self.unanswered.clear()
        self.repeats.clear()
        self.batches.clear()
        self.writing = None

    # -- what is due ----------------------------------------------------------------------------

    def hold(self, want: Want) -> None:
        """This peer is to send a block."""
        want.holder = self
        self.held[want] = None

    def release(self, want: Want) -> None:
        """Another peer is, or nobody; a block that still comes from it is welcome."""
        want.holder = None
        if (batch := self.held.pop(want)) is not None:
            batch.due -= 1
        if not self.held:
            self.pace.end()

    def deliver(self, want: Want, now: float) -> None:
        """A wanted block has come from this peer; sending it has ended the want over there."""
        key = want.key
        self.delivered += 1
        self.proven = True
        self.doubt = self.doubts = 0
        self.known.pop(key, None)
        if (batch := self.unanswered.pop(key, None)) is not None:
            since = batch.written if batch.first else max(batch.written, self.delivered_at)
            if since <= now:
                self.pace.waited(now - since, batch.first)
            batch.first = False
            batch.heard = self.delivered_at = now
        if want.holder is self:
            self.release(want)
            if batch is not None and not batch.due:
                self.worked = now

    def arrived(self, size: int, now: float) -> None:
        """Bytes have come."""
        self.pace.arrived(size, now)
        if self.batches:
            batch = self.batches[0]
            if self.pace.received <= batch.limit:
                batch.heard = now

    @property
    def oldest(self) -> Batch | None:
        """The batch that the peer works on, None if it owes nothing."""
        batches = self.batches
        while batches and not batches[0].due:
            self.worked = max(self.worked, batches.popleft().heard)
        return batches[0] if batches else None

    def silence(self, now: float) -> float:
        """Give the seconds in which nothing came of what is due; below 0 if nothing is."""
        batch = self.oldest
        if batch is not None:
            return now - max(batch.written, batch.heard, self.worked) + _A_MOMENT
        return now - self.worked if self.held else -1.0

    def give_up(self, batch: Batch) -> list[Want]:
        """Wait for the oldest batch no longer; return what it had left to send."""
        self.batches.popleft()
        self.worked = max(batch.written, batch.heard, self.worked)
        late = [want for want, went_with in self.held.items() if went_with is batch]
        for want in late:
            self.held[want] = None
        return late

    def cost(self, block_size: int) -> float:
        """Give the seconds in which one more block of ``block_size`` bytes can be expected."""
        pace = self.pace
        due = len(self.held) * block_size
        if (backlog := self.told - pace.received) > due:
            due = backlog
        return pace.latency + (due + block_size) / (pace.rate or PRIOR_RATE)

    # -- standing -------------------------------------------------------------------------------

    def doubt_until_later(self, now: float) -> None:
        """It has promised blocks and sends none: ask it last for a while, longer each time."""
        seconds = min(LIAR_SECONDS * 2**self.doubts, MAX_LIAR_SECONDS)
        self.doubts = min(self.doubts + 1, 10)
        self.doubt = now + seconds

    def let_off(self, key: bytes) -> None:
        """Remember a want that is taken back since nobody wants the block any more."""
        self.cancelled[key] = None
        if len(self.cancelled) > MAX_OWED:
            del self.cancelled[next(iter(self.cancelled))]

    def owe(self, want: Want) -> None:
        """Remember a want-block that is taken back since another peer was quicker."""
        self.owed[want.key] = tuple(session.session_id for session in want.sessions)
        if len(self.owed) > MAX_OWED:
            del self.owed[next(iter(self.owed))]
