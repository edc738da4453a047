"""
The wants that one peer is asked for: those to be sent, and those that it owes (sans-I/O).

`strategy` and `timeouts` decide which peer is asked for a want. This module keeps the order in
which a peer's wants are sent, and how the peer answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import (
    DUPLICATE_SHARE,
    FREE_DUPLICATES,
    LIAR_SECONDS,
    MAX_CANCELS,
    MAX_LIAR_SECONDS,
    MAX_OWED,
    MAX_WANTS_PER_PEER,
    PRIOR_BLOCK_SIZE,
    PRIOR_RATE,
    REBROADCAST_AFTER,
    REBROADCAST_INTERVAL,
    RETRY_PEER_SECONDS,
)
from libp2p.bitswap.want.receive_rate import ReceiveRate
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry

if TYPE_CHECKING:
    from libp2p.bitswap.errors import PeerAnswer
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

_NEVER: Final = float("inf")
#: Added to a measured silence before it is compared with a timer: sums of floats are not exact.
_ROUNDING_SECONDS: Final = 1e-6
#: Bytes other than blocks that may come before the blocks of a message: presences, and the peer's
#: own wantlist.
_SLACK_BYTES: Final = 64 * 1024
#: Doublings of `LIAR_SECONDS` that are counted; `MAX_LIAR_SECONDS` is reached before.
_MAX_DISTRUSTED: Final = 10


class Peers:
    """
    The connected peers, and the facts that they share.

    `WantTracker` adds and removes peers, and counts the blocks that come. Each `RemotePeer` enters
    itself in ``ready`` and ``busy``.

    Owner: libp2p.bitswap.want.tracker
    """

    def __init__(self) -> None:
        self.max_wants = MAX_WANTS_PER_PEER
        """How many unanswered wants a peer may have been sent."""
        self.by_id: dict[ID, RemotePeer] = {}
        self.ready: dict[RemotePeer, None] = {}
        """Peers with wants or cancels to be sent."""
        self.busy: dict[RemotePeer, None] = {}
        """Peers that are to send a block; the one that has owed blocks for longest is first."""
        self.block_size = PRIOR_BLOCK_SIZE
        """The usual size of a block in bytes."""
        self.blocks_received = 0
        """Wanted blocks that peers have sent."""
        self.duplicates = 0
        """Blocks that came twice, since two peers were asked for them."""

    def among(self, peer_ids: Iterable[ID] | None) -> Iterable[RemotePeer]:
        """Return those of these peers that are connected; all peers for None."""
        if peer_ids is None:
            return self.by_id.values()
        return [self.by_id[peer_id] for peer_id in peer_ids if peer_id in self.by_id]

    @property
    def may_ask_twice(self) -> bool:
        """True if few blocks have come twice, so that a second peer may be asked for more."""
        return (self.duplicates - FREE_DUPLICATES) * DUPLICATE_SHARE <= self.blocks_received


@dataclass(slots=True, eq=False)
class Batch:
    """
    The want-blocks of one message to a peer.

    A peer answers messages in their order. So only the oldest batch with due blocks is watched. As
    long as its blocks come, or bytes that may precede them, the peer is at work, and the blocks of
    later batches are not late.

    Owner: libp2p.bitswap.want.remote_peer
    """

    measures_latency: bool
    """The peer owed nothing when it was asked, so its first answer measures the latency."""
    has_blocks: bool = False
    """The message has want-blocks, not only want-haves."""
    written_at: float = _NEVER
    """When the message was written, in seconds."""
    progress_at: float = 0.0
    """When one of its wants was last answered while blocks of an older batch were due."""
    progress_limit: int = 0
    """Until `ReceiveRate.received` reaches this, the bytes that come may precede its blocks."""


@dataclass(slots=True, eq=False)
class RemotePeer:
    """
    One connected peer: the wants to be sent to it, those sent, and the blocks that it owes.

    A want is named by its key, the multihash of its block.
    """

    peer_id: ID
    _peers: Peers
    is_local: bool
    """The peer is on this machine or in this network: asking it costs little."""
    receiving: ReceiveRate = field(default_factory=ReceiveRate)
    supports_have: bool = True
    """The protocol spoken with the peer has WANT_HAVE."""

    # wants and cancels to be sent
    pending: dict[bytes, Entry] = field(default_factory=dict)
    """Wants for the next messages, oldest first."""
    cancels: dict[bytes, CID] = field(default_factory=dict)
    """Cancels for the next message."""
    repeats: set[bytes] = field(default_factory=set)
    """The wants of ``pending`` that the peer has been sent before."""
    repeat_at: float | None = None
    """When unanswered wants are to be sent again, in seconds."""
    last_had_one_want: bool = True
    """The latest message had one want, so the next want is sent without waiting for others."""
    _in_flight: Batch | None = None
    """The batch of the message that was taken and is not written yet."""

    # wants that were sent
    known: dict[bytes, Entry] = field(default_factory=dict)
    """Wants that may be in the peer's ledger: a block or a cancel is to end each of them."""
    unanswered: dict[bytes, Batch] = field(default_factory=dict)
    """Wants that the peer was sent and has not answered; `Peers.max_wants` limits them."""
    withdrawn: dict[bytes, tuple[int, ...]] = field(default_factory=dict)
    """
    Wants that were taken back while their blocks may be on the way. The value is the sessions that
    get the block from a quicker peer; it is empty if no session wants the block any more.
    """

    # blocks that are due
    assigned: dict[bytes, Batch | None] = field(default_factory=dict)
    """
    Wants whose block this peer is to send, and the batch that each was sent with; None if the want
    has not been sent, or its batch was given up.
    """
    due: dict[Batch, int] = field(default_factory=dict)
    """
    How many blocks of each batch are due, the oldest batch first. The first batch has due blocks:
    the peer works on that batch.
    """
    unasked: int = 0
    """Blocks that were not asked for and came in place of blocks of the first batch."""
    _progress_at: float = 0.0
    """When blocks of the first batch, or bytes that may precede them, came last."""
    announced_until: int = 0
    """The value of `ReceiveRate.received` once all bytes that the peer has announced are here."""

    # how useful the peer is
    blocks_delivered: int = 0
    """Wanted blocks that the peer has sent."""
    delivered_at: float = 0.0
    """When the latest wanted block came, in seconds."""
    is_useful: bool = False
    """The peer has sent a wanted block, or HAVE."""
    distrusted_until: float = 0.0
    """The peer owed blocks and was silent: it is asked last until this time; 0 if trusted."""
    times_distrusted: int = 0
    """How often the peer was distrusted since its latest block."""
    retry_at: float = 0.0
    """All its blocks went to quicker peers: when its rate is forgotten, for a new try; or 0."""
    down: PeerAnswer | None = None
    """Why the peer cannot be asked; None if it can."""
    down_since: float = 0.0
    """When the peer went down, in seconds."""
    _resets: int = 0
    """Resets of our want stream since the peer's latest message."""

    # -- wants and cancels to be sent -----------------------------------------------------------

    @property
    def has_outgoing(self) -> bool:
        """True if `take` would return entries."""
        has_room = len(self.unanswered) < self._peers.max_wants
        return bool(self.cancels or (self.pending and (has_room or self.repeats)))

    def queue(self, key: bytes, entry: Entry) -> None:
        """Send a want with the next message."""
        self.pending[key] = entry
        self._peers.ready[self] = None

    def _note_outgoing(self) -> None:
        if self.pending or self.cancels:
            self._peers.ready[self] = None

    def take(self) -> list[Entry]:
        """
        Take the entries of the next message: cancels, then wants up to `Peers.max_wants`.

        If a CID has a cancel and a want, the want is left for a later message: Go would act on the
        cancel alone.
        """
        cancels, cancelled, entries = self.cancels, {}, []
        if cancels:
            cancelled = dict(islice(cancels.items(), MAX_CANCELS))
            for key in cancelled:
                del cancels[key]
            entries = [Entry(cid, 0, cancel=True) for cid in cancelled.values()]
        unanswered, pending, repeats = self.unanswered, self.pending, self.repeats
        batch = Batch(measures_latency=not self.due)
        room = self._peers.max_wants - len(unanswered)
        taken: list[bytes] = []
        blocks = 0
        for key, entry in pending.items():
            if key in cancelled or key in cancels:
                continue
            if repeats and key in repeats:
                repeats.discard(key)
            elif room > 0:
                if key not in unanswered:
                    room -= 1
                unanswered[key] = batch
                if key in self.assigned:
                    self.assigned[key] = batch
                    blocks += 1
            elif repeats:
                continue
            else:
                break
            taken.append(key)
            self.known[key] = entry
            entries.append(entry)
        for key in taken:
            del pending[key]
        if taken:
            if not self.due:
                self.unasked = 0
            self._in_flight = batch
            self.last_had_one_want = len(taken) == 1
        if blocks:
            batch.has_blocks = True
            self.due[batch] = blocks
        return entries

    def written(self, now: float, round_trip: float) -> None:
        """
        Note that the message with the taken entries was written.

        :param round_trip: of the connection in seconds, 0 if it is not known.
        """
        receiving = self.receiving
        if round_trip:
            receiving.measured_round_trip(round_trip)
        batch, self._in_flight = self._in_flight, None
        if batch is None:
            return
        batch.written_at = now
        if self.due.get(batch):
            receiving.begin(now)
            due = len(self.assigned) * self._peers.block_size
            ahead = max(due, self.announced_until - receiving.received)
            batch.progress_limit = receiving.received + 2 * ahead + _SLACK_BYTES
        if self.repeat_at is None:
            self.repeat_at = now + REBROADCAST_AFTER

    def send_again(self, entries: Iterable[Entry] = ()) -> None:
        """
        Queue all unanswered wants again, since the peer may have forgotten them.

        :param entries: of a message that could not be written.
        """
        for entry in entries:
            key = entry.cid.multihash
            if entry.cancel and key not in self.known:
                self.cancels[key] = entry.cid
        again = {key: self.known[key] for key in self.unanswered}
        self.pending = {**again, **self.pending}
        self._forget_sent()
        self._note_outgoing()

    def repeat(self, now: float) -> None:
        """Queue wants again that were not answered for long: the peer may have lost a message."""
        if self.repeat_at is not None and now >= self.repeat_at:
            self.repeat_at = now + REBROADCAST_INTERVAL if self.unanswered else None
            for key, batch in self.unanswered.items():
                if batch.written_at <= now - REBROADCAST_AFTER and key not in self.pending:
                    self.pending[key] = self.known[key]
                    self.repeats.add(key)
        self._note_outgoing()

    def _forget_sent(self) -> None:
        """Wait no longer for answers to the wants that were sent."""
        for key in self.assigned:
            self.assigned[key] = None
        self.unanswered.clear()
        self.repeats.clear()
        self.due.clear()
        self.unasked = 0
        self._in_flight = None

    # -- the end of a want: called by `Want` ----------------------------------------------------

    def forget(self, key: bytes) -> None:
        """Forget a want: the peer was not asked for it, or has lost its ledger."""
        self.pending.pop(key, None)
        self.repeats.discard(key)
        self.known.pop(key, None)
        self.unanswered.pop(key, None)

    def answered(self, key: bytes) -> None:
        """Note that a want was answered: it is not sent again, and another one may be sent."""
        self.pending.pop(key, None)
        self.unanswered.pop(key, None)
        self.repeats.discard(key)
        self._note_outgoing()

    def take_back(self, key: bytes) -> bool:
        """Take a want back, with a cancel if it was sent; return whether it was."""
        self.pending.pop(key, None)
        self.repeats.discard(key)
        self.unanswered.pop(key, None)
        sent = self.known.pop(key, None)
        if sent is not None:
            self.cancels[key] = sent.cid
        self._note_outgoing()
        return sent is not None

    def note_withdrawn(self, key: bytes, sessions: tuple[int, ...]) -> None:
        """Note in ``withdrawn`` that the block of a want that was taken back may still come."""
        self.withdrawn[key] = sessions
        if len(self.withdrawn) > MAX_OWED:
            del self.withdrawn[next(iter(self.withdrawn))]

    def take_withdrawn(self, key: bytes) -> tuple[int, ...] | None:
        """Remove and return the entry of ``withdrawn`` for a block that has come, if any."""
        sessions = self.withdrawn.pop(key, None)
        if sessions:
            # The block is late, but the peer does send blocks: trust it again.
            self.distrusted_until = 0.0
            self.times_distrusted = 0
        return sessions

    def abandon(self, reason: PeerAnswer, now: float) -> list[bytes]:
        """
        Note that the peer cannot be asked, for ``reason``, and forget all its wants.

        :return: the keys of the wants; `Want.abandon` is to be called for each.
        """
        self.down = reason
        self.down_since = now
        keys = list({**self.pending, **self.known})
        self._forget_sent()
        for table in (self.pending, self.known, self.cancels, self.withdrawn):
            table.clear()
        self.announced_until = 0
        return keys

    def revive(self) -> None:
        """Note that the peer can be asked again."""
        self.down = None

    # -- blocks that are due --------------------------------------------------------------------

    def assign(self, key: bytes, entry: Entry | None) -> None:
        """
        Let this peer send a block.

        :param entry: asks the peer for the block; None if the peer was asked already.
        """
        if not self.assigned:
            self._peers.busy[self] = None
        self.assigned[key] = None
        if entry is not None:
            self.pending[key] = entry
            self._peers.ready[self] = None

    def unassign(self, key: bytes) -> None:
        """Wait no longer for a block of this peer."""
        if (batch := self.assigned.pop(key)) is not None:
            self.due[batch] -= 1
            if not self.due[batch]:
                self._drop_finished()
        if not self.assigned:
            self._end_assigned()

    def _end_assigned(self) -> None:
        self.receiving.end()
        del self._peers.busy[self]

    def deliver(self, key: bytes, now: float) -> None:
        """Note that this peer has sent a wanted block, which ends the want in its ledger."""
        self.blocks_delivered += 1
        self.is_useful = True
        self.distrusted_until = 0.0
        self.times_distrusted = 0
        self.known.pop(key, None)
        self.pending.pop(key, None)
        self.repeats.discard(key)
        due = self.due
        is_assigned = key in self.assigned
        sent_with = self.assigned.pop(key, None)
        if (batch := self.unanswered.pop(key, None)) is not None:
            is_first, receiving = batch.measures_latency, self.receiving
            seconds = now - (
                batch.written_at if is_first else max(batch.written_at, self.delivered_at)
            )
            # A short time between two blocks is no measure of latency.
            if seconds >= 0 and (
                is_first or seconds > receiving.latency or not receiving.bytes_per_second
            ):
                receiving.waited(seconds, is_first)
            batch.measures_latency = False
            self.delivered_at = now
            if batch is next(iter(due), None):
                self._progress_at = now
            else:
                batch.progress_at = now
        if sent_with is not None:
            due[sent_with] -= 1
            if not due[sent_with]:
                self._progress_at = now
                self._drop_finished()
        if is_assigned and not self.assigned:
            self._end_assigned()
        if self.pending or self.cancels:
            self._peers.ready[self] = None

    def arrived(self, size: int, now: float) -> None:
        """Count ``size`` received bytes."""
        self.receiving.arrived(size, now)
        if self.due and self.receiving.received <= next(iter(self.due)).progress_limit:
            self._progress_at = now

    def heard(self, pending_bytes: int) -> None:
        """Note a message of the peer; it announces how many bytes are queued for us."""
        self._resets = 0
        self.announced_until = self.receiving.received + pending_bytes

    def heard_presence(self, key: bytes, kind: BlockPresenceType, now: float) -> None:
        """Note a presence for a want that the peer was sent."""
        if kind is BlockPresenceType.Have:
            self.is_useful = True
        batch = self.unanswered.get(key)
        if batch is None:
            return
        if batch.measures_latency and not batch.has_blocks and batch.written_at <= now:
            batch.measures_latency = False
            self.receiving.measured_round_trip(now - batch.written_at)
        if kind is BlockPresenceType.DontHave:
            if batch is next(iter(self.due), None):
                self._progress_at = now
            else:
                batch.progress_at = now

    def count_reset(self) -> int:
        """Count a reset of our want stream; return the resets since the peer's latest message."""
        self._resets += 1
        return self._resets

    def _drop_finished(self) -> None:
        """Drop batches from the front until the first one has due blocks."""
        while self.due and not self.due[batch := next(iter(self.due))]:
            self._end_first(batch.progress_at)

    def _end_first(self, progress_at: float) -> None:
        self._progress_at = max(self._progress_at, progress_at)
        self.unasked = 0
        del self.due[next(iter(self.due))]

    def silence(self, now: float) -> float:
        """Return the seconds since the last sign of a due block; below 0 if no block is due."""
        if self.due:
            batch = next(iter(self.due))
            since = max(batch.written_at, batch.progress_at, self._progress_at)
            return now - since + _ROUNDING_SECONDS
        return now - self._progress_at if self.assigned else -1.0

    def give_up_first(self) -> list[bytes]:
        """Wait no longer for the first batch; return its wants that were due."""
        batch = next(iter(self.due))
        self._end_first(max(batch.written_at, batch.progress_at))
        late = [key for key, sent_with in self.assigned.items() if sent_with is batch]
        for key in late:
            self.assigned[key] = None
        self._drop_finished()
        return late

    def seconds_to_next(self) -> float:
        """Return in how many seconds one more block of the usual size can be expected."""
        size, receiving = self._peers.block_size, self.receiving
        due = len(self.assigned) * size
        if (announced := self.announced_until - receiving.received) > due:
            due = announced
        return receiving.latency + (due + size) / (receiving.bytes_per_second or PRIOR_RATE)

    # -- how useful the peer is -----------------------------------------------------------------

    def set_supports_have(self, supported: bool) -> None:
        """Note whether the protocol spoken with the peer has WANT_HAVE."""
        self.supports_have = supported

    def distrust(self, now: float) -> None:
        """Have the peer asked last for a while, longer each time: it owes blocks and is silent."""
        seconds = min(LIAR_SECONDS * 2**self.times_distrusted, MAX_LIAR_SECONDS)
        self.times_distrusted = min(self.times_distrusted + 1, _MAX_DISTRUSTED)
        self.distrusted_until = now + seconds

    def retry_later(self, now: float) -> None:
        """Have the rate of a slow peer forgotten after `RETRY_PEER_SECONDS`, for a new try."""
        self.retry_at = now + RETRY_PEER_SECONDS

    def on_time(self, now: float) -> None:
        """End the distrust, and forget the rate, when their times have come."""
        if self.distrusted_until and now >= self.distrusted_until:
            self.distrusted_until = 0.0
        if self.retry_at and now >= self.retry_at:
            self.retry_at = 0.0
            self.receiving.forget_rate()

    def count_unasked(self, count: int) -> None:
        """
        Count blocks that the peer was never asked for and that came in place of due ones.

        Nobody can tell which due blocks they replace. As a peer answers in order, they are counted
        until the rest of the batch is here.
        """
        self.unasked += count

    def replaced(self) -> list[bytes]:
        """Return the due wants, if as many unasked blocks came: they will not be answered."""
        if self.due:
            batch, blocks = next(iter(self.due.items()))
            if self.unasked < blocks:
                return []
            return [key for key, sent_with in self.assigned.items() if sent_with is batch]
        if self.unasked < len(self.unanswered):
            return []
        return list(self.unanswered)
