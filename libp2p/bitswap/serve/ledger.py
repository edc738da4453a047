"""
The ledger (sans-I/O): the wantlist of each peer, and the next reply to the peer.

A want is a subscription. It ends when its block has been written (or HAVE, for a want-have), when
the peer cancels it, or when the peer disconnects; DONT_HAVE does not end it. `ReplySender` looks
blocks up (`look_ups`, `resolve`), takes replies (`next_reply`), fills them with blocks
(`Reply.fill`) and reports whether they were written (`sent`, `failed`). A want ends only after the
write, so that a stream that fails loses no want.

    NEW ──look up──> SOUGHT ──here──> QUEUED ──next_reply──> SENDING ──sent──> (gone)
                       └────not here──> IDLE <──(vanished)─────┘ └─failed──> NEW
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.common.chores import Chores, each
from libp2p.bitswap.config import (
    HAVE_REPLACE_SIZE,
    MAX_BLOCK_SIZE,
    MAX_LEDGER_ENTRIES,
    MAX_LEDGER_TOTAL,
    MAX_OUTSTANDING_BYTES,
    MAX_UNREMEMBERED_ANSWERS,
    MIN_LEDGER_ENTRIES,
    REPLY_TARGET_BYTES,
)
from libp2p.bitswap.serve.peer_wants import (
    Answer,
    PeerWant,
    PeerWants,
    Reply,
    State,
    Task,
    TaskComparator,
    by_comparator,
    by_priority,
)
from libp2p.bitswap.wire.entry import Entry, WantType
from libp2p.resources import Scope

if TYPE_CHECKING:
    from libp2p.bitswap.wire.message import Message
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

__all__ = ["Ledger", "LedgerLimits", "PeerWant", "Reply", "Task", "TaskComparator"]

#: `MAX_BLOCK_SIZE` is for the four bytes of prefix of a common CID; a longer one, of at most four
#: varints, takes room from the block.
_COMMON_PREFIX_BYTES: Final = 4
_ALWAYS_FITS: Final = MAX_BLOCK_SIZE - 40


def _fits(cid: CID, size: int) -> bool:
    """Return whether a block can be sent at all, alone in a message."""
    return size + len(cid.prefix) <= MAX_BLOCK_SIZE + _COMMON_PREFIX_BYTES


@dataclass(frozen=True)
class LedgerLimits:
    """
    Limits of a ledger.

    :param max_entries: wants kept per peer. Beyond, a new want takes the place of the oldest one
        whose block is not here; if there is none, it is answered by DONT_HAVE and not kept.
    :param max_total: wants of all peers, beyond which a peer keeps no more than ``min_entries``.
    :param have_replace_size: a want-have is answered by a block of up to so many bytes.
    :param max_outstanding: bytes of blocks taken for a peer and not yet sent; 0 for no limit.
    """

    max_entries: int = MAX_LEDGER_ENTRIES
    min_entries: int = MIN_LEDGER_ENTRIES
    max_total: int = MAX_LEDGER_TOTAL
    have_replace_size: int = HAVE_REPLACE_SIZE
    max_outstanding: int = MAX_OUTSTANDING_BYTES


class Ledger:
    """
    The wants of all peers.

    :param comparator: orders the blocks of a peer, instead of priority and age.
    :param chores: does the rest of work that is too long for one step.
    :param scope: counts the wants, as a part of the host's budgets.
    """

    def __init__(
        self,
        limits: LedgerLimits | None = None,
        *,
        comparator: TaskComparator | None = None,
        chores: Chores | None = None,
        scope: Scope | None = None,
    ) -> None:
        self._limits = limits or LedgerLimits()
        self._chores = Chores() if chores is None else chores
        self._scope = Scope("wants") if scope is None else scope.open("wants")
        self._before = comparator
        self._rank = by_priority if comparator is None else by_comparator(comparator)
        self._peers: dict[ID, PeerWants] = {}
        self._by_key: dict[bytes, dict[PeerWant, None]] = {}
        self.count = 0
        """Wants of all peers."""
        self.sending_bytes = 0
        """Bytes of the blocks in all replies that were taken and not yet sent."""

    # -- what peers ask -------------------------------------------------------------------------

    def receive(
        self,
        peer_id: ID,
        entries: Iterable[Entry],
        full: bool = False,
        denied: Iterable[CID] = (),
    ) -> None:
        """
        Take in a wantlist: all of the peer's wants if ``full``, else changes to them.

        :param denied: CIDs that the peer must not get: answered as if the block were not here.
        """
        peer = self._peers.get(peer_id)
        if peer is None:
            peer = self._peers[peer_id] = PeerWants(peer_id, self._rank)
        entries = list(entries)
        if full:
            for _ in self.retaining(peer_id, {entry.cid: entry for entry in entries}):
                pass
        # Cancels make room, so they come first.
        for entry in entries:
            if entry.cancel and entry.cid in peer.wants:
                self._remove(peer.wants[entry.cid])
        refused = set(denied)
        for entry in entries:
            if not entry.cancel:
                self._add(peer, entry, bool(refused) and entry.cid in refused)
        self._count_scope()

    def retaining(self, peer_id: ID, entries: Mapping[CID, Entry]) -> Iterator[None]:
        """Remove the wants of a peer that are not among ``entries``, in steps."""
        peer = self._peers.get(peer_id)
        wants = {} if peer is None else peer.wants

        def drop(cid: CID) -> None:
            entry = entries.get(cid)
            if (entry is None or entry.cancel) and cid in wants:
                self._remove(wants[cid])

        return each(list(wants), drop)

    def _add(self, peer: PeerWants, entry: Entry, denied: bool) -> None:
        cid = entry.cid
        want = peer.wants.get(cid)
        if want is not None:
            if want.denied is not denied:
                self._set_denied(want, denied)
            self._ask_again(want, entry)
        elif cid.is_identity:
            return  # the CID holds the block; boxo does not answer either
        elif self._has_room(peer):
            want = peer.wants[cid] = PeerWant(peer, entry, denied)
            self.count += 1
            if not denied:
                self._by_key.setdefault(want.key, {})[want] = None
            peer.new[want] = None
        elif entry.send_dont_have and len(peer.presences) < MAX_UNREMEMBERED_ANSWERS:
            PeerWant(peer, entry).queue(Answer.DONT_HAVE)

    def _has_room(self, peer: PeerWants) -> bool:
        """Return whether one more want can be kept, removing an idle want if need be."""
        limits = self._limits
        limit = limits.max_entries
        if self.count >= limits.max_total:
            limit = min(limit, limits.min_entries)
        if len(peer.wants) < limit:
            return True
        if not peer.idle:
            return False
        # Helia sends no cancels: the longer a want has been idle, the likelier it was given up.
        self._remove(next(iter(peer.idle)))
        return True

    def _ask_again(self, want: PeerWant, entry: Entry) -> None:
        """Take in an entry for a want that is kept already, and answer the want anew."""
        changed = want.merge(entry)
        if want.state is State.IDLE:
            want.look_up()
        elif want.state is State.QUEUED and changed:
            want.withdraw()
            self._resolve(want, None if want.answer is Answer.DONT_HAVE else want.size)

    def deny(self, peer_id: ID, cids: Iterable[CID]) -> None:
        """Deny blocks to a peer from now on; replies that are being sent are not stopped."""
        peer = self._peers.get(peer_id)
        for cid in cids:
            want = None if peer is None else peer.wants.get(cid)
            if want is not None and not want.denied:
                self._set_denied(want, True)

    def _set_denied(self, want: PeerWant, denied: bool) -> None:
        want.deny(denied)
        if denied:
            self._unsubscribe(want)
        else:
            self._by_key.setdefault(want.key, {})[want] = None
        want.look_up()

    def forget(self, peer_id: ID) -> None:
        """Remove the wants of a peer that has disconnected, in steps."""
        peer = self._peers.pop(peer_id, None)
        if peer is not None:
            peer.clear_queues()
            self._chores.begin(each(list(peer.wants.values()), self._leave))

    def _leave(self, want: PeerWant) -> None:
        """Remove a want of a peer that has disconnected."""
        self._remove(want)
        self._count_scope()

    # -- which blocks are here ------------------------------------------------------------------

    def look_ups(self, peer_id: ID, limit: int) -> list[PeerWant]:
        """Take up to ``limit`` wants whose blocks have not been looked up; `resolve` them."""
        peer = self._peers.get(peer_id)
        if peer is None or not peer.new:
            return []
        taken = list(islice(peer.new, limit))
        for want in taken:
            want.seek()
        return taken

    def look_up_later(self, wants: Iterable[PeerWant]) -> None:
        """Put wants that `look_ups` returned back into the queue."""
        for want in wants:
            if want.state is State.SOUGHT:
                want.look_up()

    def put_aside(self, want: PeerWant) -> int | None:
        """
        Give a want no answer until `look_again`: the store has failed at its block.

        :return: how often the store had failed at it before; None if it is not wanted any more.
        """
        if want.state is State.SOUGHT or want.state is State.SENDING:
            return want.fail()
        return None

    def look_again(self, want: PeerWant) -> None:
        """Queue a want that was put aside for a look-up, unless it has changed since."""
        if want.state is State.IDLE:
            want.look_up()

    def resolve(self, want: PeerWant, size: int | None) -> None:
        """Answer a want by the length of its block; None if the block is not here."""
        if want.state is State.SOUGHT:  # else cancelled, or the block was stored meanwhile
            self._resolve(want, size)

    def _resolve(self, want: PeerWant, size: int | None) -> None:
        if size is None or want.denied or (size > _ALWAYS_FITS and not _fits(want.cid, size)):
            if want.send_dont_have:
                want.queue(Answer.DONT_HAVE)
            else:
                want.rest()
        elif want.want_type is WantType.Block or size <= self._limits.have_replace_size:
            want.queue(Answer.BLOCK, size)
        else:
            want.queue(Answer.HAVE, size)

    def new_block(self, cid: CID, size: int) -> list[ID]:
        """Queue a block that was just stored for the peers that want it; return those peers."""
        woken: dict[ID, None] = {}
        for want in self._by_key.get(cid.multihash, ()):
            peer_id = want.peer.peer_id
            if self._peers.get(peer_id) is not want.peer:
                continue  # the peer is gone
            if want.state is State.SENDING:
                want.look_up()  # the answer that is being sent may be DONT_HAVE
            elif want.state is not State.QUEUED or want.answer is Answer.DONT_HAVE:
                want.withdraw()
                self._resolve(want, size)
                woken[peer_id] = None
        return list(woken)

    # -- answers --------------------------------------------------------------------------------

    def has_look_ups(self, peer_id: ID) -> bool:
        """Return whether `look_ups` has anything for a peer."""
        peer = self._peers.get(peer_id)
        return peer is not None and bool(peer.new)

    def has_blocks(self, peer_id: ID) -> bool:
        """Return whether a reply with blocks can be taken for a peer now."""
        peer = self._peers.get(peer_id)
        return peer is not None and bool(peer.blocks) and self._may_send(peer)

    def pending(self, peer_id: ID) -> int:
        """Count the look-ups and answers that are queued for a peer."""
        peer = self._peers.get(peer_id)
        return 0 if peer is None else len(peer.new) + len(peer.blocks) + len(peer.presences)

    def comes_before(self, one: ID, other: ID) -> bool:
        """Return whether the comparator puts the next block of ``one`` before that of ``other``."""
        assert self._before is not None
        first, second = self.first_task(one), self.first_task(other)
        if first is None or second is None:
            return second is not None  # wants of the first peer have to be looked up
        return self._before(first, second)

    def first_task(self, peer_id: ID) -> Task | None:
        """Return the next block for a peer; None if no block is queued."""
        peer = self._peers.get(peer_id)
        first = None if peer is None else peer.blocks.first()
        return None if first is None else first[1].task

    def next_reply(
        self, peer_id: ID, target: int = REPLY_TARGET_BYTES, *, with_blocks: bool = True
    ) -> Reply | None:
        """
        Take the next answers for a peer: presences, and the first blocks of the queue.

        Blocks are collected up to ``target`` bytes; a larger block goes alone. None if nothing is
        queued, or if the peer has ``max_outstanding`` bytes in replies that are not sent yet. Call
        `sent` or `failed` with each reply.
        """
        peer = self._peers.get(peer_id)
        if peer is None:
            return None
        with_blocks = with_blocks and bool(peer.blocks) and self._may_send(peer)
        if not with_blocks and not peer.presences:
            return None
        reply = peer.take(target, with_blocks)
        self.sending_bytes += reply.size
        return reply

    def early_haves(self, peer_id: ID, reply: Reply | None = None) -> Message | None:
        """
        Return HAVEs for the queued blocks and those of ``reply``, once for each want.

        A client that hears nothing asks other peers.
        """
        peer = self._peers.get(peer_id)
        return None if peer is None else peer.early_haves(reply)

    def sent(self, reply: Reply) -> None:
        """Note that a reply was written: blocks and HAVEs end their wants."""
        for want in self._finish(reply):
            answer = want.answer
            if answer is Answer.BLOCK or (
                answer is Answer.HAVE and want.want_type is WantType.Have
            ):
                self._remove(want)
            else:
                want.rest()
                if want.asked_again:
                    want.look_up()

    def failed(self, reply: Reply) -> None:
        """Note that a reply was not written: its wants are looked up again."""
        for want in self._finish(reply):
            want.rest()
            want.look_up()

    def _finish(self, reply: Reply) -> list[PeerWant]:
        self.sending_bytes -= reply.size
        return reply.peer.finish(reply)

    # -- reading the ledger ---------------------------------------------------------------------

    def count_of(self, peer_id: ID) -> int:
        """Count the wants of a peer."""
        peer = self._peers.get(peer_id)
        return 0 if peer is None else len(peer.wants)

    @property
    def peer_ids(self) -> list[ID]:
        """The connected peers that have sent a wantlist."""
        return list(self._peers)

    def wantlist(self, peer_id: ID) -> list[Entry]:
        """List the wants of a peer that are not denied."""
        peer = self._peers.get(peer_id)
        return [] if peer is None else [w.entry for w in peer.wants.values() if not w.denied]

    def is_wanted(self, cid: CID) -> bool:
        """Return whether any peer wants a block."""
        return cid.multihash in self._by_key

    def missing(self) -> list[CID]:
        """Return the CIDs of wanted blocks that were not in the store when it was asked last."""
        return [
            want.cid
            for wants in self._by_key.values()
            if (want := next((one for one in wants if one.lacks_block), None)) is not None
        ]

    # -- inside ---------------------------------------------------------------------------------

    def _may_send(self, peer: PeerWants) -> bool:
        most = self._limits.max_outstanding
        return not most or peer.sending_bytes < most

    def _count_scope(self) -> None:
        self._scope.hold(self.count - self._scope.held)

    def _remove(self, want: PeerWant) -> None:
        want.end()
        del want.peer.wants[want.cid]
        self.count -= 1
        if not want.denied:
            self._unsubscribe(want)

    def _unsubscribe(self, want: PeerWant) -> None:
        subscribers = self._by_key[want.key]
        del subscribers[want]
        if not subscribers:
            del self._by_key[want.key]
