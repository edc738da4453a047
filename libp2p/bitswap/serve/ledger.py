"""
The server's core (sans-I/O): what each peer wants, and the next reply to it.

A want is a subscription. It stays until its block or, for a want-have, a HAVE has been written, the
peer cancels it, or the peer is gone; DONT_HAVE does not end it. The driver looks blocks up
(`look_ups`, `resolve`), takes replies (`next_reply`), reads their blocks at the last moment
(`Reply.fill`) and says how it went; only then is a want removed, so that a lost stream loses
nothing.

    NEW ──look up──> SOUGHT ──here──> QUEUED ──next_reply──> SENDING ──sent──> (gone)
                       └────not here──> IDLE <──(vanished)─────┘ └─failed──> QUEUED
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import (
    HAVE_REPLACE_SIZE,
    MAX_BLOCK_SIZE,
    MAX_LEDGER_ENTRIES,
    MAX_LEDGER_TOTAL,
    MAX_OUTSTANDING_BYTES,
    MAX_REPLY_PRESENCES,
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
from libp2p.bitswap.want.chores import Chores, each
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.resources import Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

__all__ = ["Ledger", "PeerWant", "Reply", "Task", "TaskComparator"]

#: `MAX_BLOCK_SIZE` is for the four bytes of prefix of a common CID; a longer one, of at most four
#: varints, takes room from the block.
_COMMON_PREFIX_BYTES: Final = 4
_ALWAYS_FITS: Final = MAX_BLOCK_SIZE - 40


def _fits(cid: CID, size: int) -> bool:
    """Tell whether a block can be sent at all, alone in a message."""
    return size + len(cid.prefix) <= MAX_BLOCK_SIZE + _COMMON_PREFIX_BYTES


class Ledger:
    """
    Everything that peers want from us.

    :param max_entries: wants remembered per peer. A new one takes the place of the oldest whose
        block is not here; if there is none, it is denied and forgotten.
    :param have_replace_size: a want-have is answered by a block of up to so many bytes.
    :param max_outstanding: bytes of blocks taken for a peer and not yet sent; 0 for no limit.
    :param comparator: orders the blocks of a peer, instead of priority and age.
    :param chores: where the rest of what is long is left.
    :param scope: where the wants are counted, for others to read.
    """

    def __init__(
        self,
        *,
        max_entries: int = MAX_LEDGER_ENTRIES,
        have_replace_size: int = HAVE_REPLACE_SIZE,
        max_outstanding: int = MAX_OUTSTANDING_BYTES,
        comparator: TaskComparator | None = None,
        chores: Chores | None = None,
        scope: Scope | None = None,
    ) -> None:
        self._chores = Chores() if chores is None else chores
        self._scope = Scope("wants") if scope is None else scope.open("wants")
        self._max_entries = max_entries
        self._min_entries = min(max_entries, MIN_LEDGER_ENTRIES)
        self._have_replace_size = have_replace_size
        self._max_outstanding = max_outstanding
        self._rank = by_priority if comparator is None else by_comparator(comparator)
        self._peers: dict[ID, PeerWants] = {}
        self._by_key: dict[bytes, dict[PeerWant, None]] = {}
        self.count = 0
        """Wants of all peers."""
        self.sending_bytes = 0
        """Bytes of all blocks that were taken and not yet sent."""

    # -- what peers say -------------------------------------------------------------------------

    def receive(
        self,
        peer_id: ID,
        entries: Iterable[Entry],
        full: bool = False,
        denied: Collection[CID] = frozenset(),
    ) -> None:
        """
        Take in a wantlist: all of the peer's wants if ``full``, else changes to them.

        :param denied: what this peer must not get: it is answered as if it were not here.
        """
        peer = self._peers.get(peer_id)
        if peer is None:
            peer = self._peers[peer_id] = PeerWants(peer_id, self._rank)
        entries = list(entries)
        if full:
            for _ in self.retaining(peer_id, {entry.cid: entry for entry in entries}):
                pass
        # Cancels first: they make room.
        for entry in entries:
            if entry.cancel and entry.cid in peer.wants:
                self._remove(peer.wants[entry.cid])
        any_denied = bool(denied)
        for entry in entries:
            if not entry.cancel:
                self._add(peer, entry, any_denied and entry.cid in denied)
        self._scope.hold(self.count - self._scope.held)

    def retaining(self, peer_id: ID, entries: Mapping[CID, Entry]) -> Iterator[None]:
        """Drop the wants of a peer that are not among ``entries``, in steps."""
        peer = self._peers.get(peer_id)
        wants = {} if peer is None else peer.wants

        def drop(cid: CID) -> None:
            entry = entries.get(cid)
            if (entry is None or entry.cancel) and cid in wants:
                self._remove(wants[cid])

        return each(list(wants), drop)

    def _add(self, peer: PeerWants, entry: Entry, denied: bool) -> None:
        want = peer.wants.get(entry.cid)
        if want is not None:
            if want.denied is not denied:
                self._set_denied(want, denied)
            self._ask_again(want, entry)
        elif entry.cid.is_identity:
            return  # whoever asks has the block already; boxo says nothing either
        elif self._has_room(peer):
            want = peer.wants[entry.cid] = PeerWant(peer, entry, denied)
            self.count += 1
            if not denied:
                self._by_key.setdefault(want.key, {})[want] = None
            peer.new[want] = None
        elif entry.send_dont_have and len(peer.presences) < MAX_UNREMEMBERED_ANSWERS:
            # No room to remember it: it is answered and forgotten. Who floods us with more before
            # reading an answer gets none.
            peer.queue(PeerWant(peer, entry), Answer.DONT_HAVE)

    def _has_room(self, peer: PeerWants) -> bool:
        """Tell whether one more want is kept, for which one that waits in vain may have to go."""
        limit = self._max_entries if self.count < MAX_LEDGER_TOTAL else self._min_entries
        if len(peer.wants) < limit:
            return True
        if not peer.idle:
            return False
        self._remove(next(iter(peer.idle)))  # Helia never cancels: the old ones are the dead ones
        return True

    def _ask_again(self, want: PeerWant, entry: Entry) -> None:
        """Merge a repeated want: never from a block down to a HAVE, and answer it anew."""
        more = entry.want_type is WantType.Block and want.want_type is WantType.Have
        if more:
            want.want_type = WantType.Block
        moved = want.priority != entry.priority
        want.priority = entry.priority
        want.send_dont_have = want.send_dont_have or entry.send_dont_have
        if want.state is State.IDLE:
            self._look_up_again(want)
        elif want.state is State.SENDING:
            want.asked_again = want.asked_again or more
        elif want.state is State.QUEUED and (more or moved):
            want.peer.withdraw(want)
            self._resolve(want, None if want.answer is Answer.DONT_HAVE else want.size)

    def deny(self, peer_id: ID, cids: Iterable[CID]) -> None:
        """Take away what a peer was allowed to get; what is being sent is sent."""
        peer = self._peers.get(peer_id)
        for cid in cids:
            want = None if peer is None else peer.wants.get(cid)
            if want is not None and not want.denied:
                self._set_denied(want, True)

    def _set_denied(self, want: PeerWant, denied: bool) -> None:
        want.denied = denied
        if denied:
            self._unsubscribe(want)
        else:
            self._by_key.setdefault(want.key, {})[want] = None
        if want.state is State.SENDING:
            want.asked_again = True
        else:
            self._look_up_again(want)

    def forget(self, peer_id: ID) -> None:
        """Drop all that is known of a peer that is gone."""
        peer = self._peers.pop(peer_id, None)
        if peer is not None:
            peer.heap.clear()
            peer.new.clear()
            peer.presences.clear()
            peer.idle.clear()
            self._chores.begin(each(list(peer.wants.values()), self._leave))

    def _leave(self, want: PeerWant) -> None:
        """Drop a want of a peer that is gone, and with it all that the want waits in."""
        want.state = State.GONE
        self._count_out(want)
        self._scope.hold(self.count - self._scope.held)

    # -- what we have ---------------------------------------------------------------------------

    def look_ups(self, peer_id: ID, limit: int) -> list[PeerWant]:
        """Take up to ``limit`` wants whose blocks have not been looked for; `resolve` them."""
        peer = self._peers.get(peer_id)
        if peer is None or not peer.new:
            return []
        taken = list(islice(peer.new, limit))
        for want in taken:
            del peer.new[want]
            want.state = State.SOUGHT
        return taken

    def look_up_later(self, wants: Iterable[PeerWant]) -> None:
        """Put wants of `look_ups` back."""
        for want in wants:
            if want.state is State.SOUGHT:
                self._look_up_again(want)

    def put_aside(self, want: PeerWant) -> None:
        """The store could not tell whether a block is here: say nothing until `look_again`."""
        if want.state is State.SOUGHT or want.state is State.SENDING:
            want.peer.rest(want)

    def look_again(self, want: PeerWant) -> None:
        """Look up a want that was put aside, if it still waits."""
        if want.state is State.IDLE:
            self._look_up_again(want)

    def resolve(self, want: PeerWant, size: int | None) -> None:
        """Say how long the block is, None if it is not here."""
        if want.state is State.SOUGHT:  # else cancelled, or the block came meanwhile
            self._resolve(want, size)

    def _resolve(self, want: PeerWant, size: int | None) -> None:
        if size is None or want.denied or (size > _ALWAYS_FITS and not _fits(want.cid, size)):
            if want.send_dont_have:
                want.peer.queue(want, Answer.DONT_HAVE)
            else:
                want.peer.rest(want)
            return
        want.size = size
        small = size <= self._have_replace_size
        with_block = small or want.want_type is WantType.Block
        want.peer.queue(want, Answer.BLOCK if with_block else Answer.HAVE)

    def new_block(self, cid: CID, size: int) -> list[ID]:
        """Queue a block that has just been stored for those who want it; return who they are."""
        woken: dict[ID, None] = {}
        for want in self._by_key.get(cid.multihash, ()):
            if self._peers.get(want.peer.peer_id) is not want.peer:
                continue  # it is gone
            if want.state is State.SENDING:
                # It is told that the block is not here, or that it is: in both cases look again.
                want.asked_again = True
            elif want.state is not State.QUEUED or want.answer is Answer.DONT_HAVE:
                want.peer.withdraw(want)
                self._resolve(want, size)
                woken[want.peer.peer_id] = None
        return list(woken)

    # -- answers --------------------------------------------------------------------------------

    def has_work(self, peer_id: ID) -> bool:
        """Tell whether there is anything to look up or to send for a peer."""
        peer = self._peers.get(peer_id)
        return peer is not None and bool(peer.new or peer.blocks or peer.presences)

    def has_look_ups(self, peer_id: ID) -> bool:
        """Tell whether `look_ups` has anything for a peer."""
        peer = self._peers.get(peer_id)
        return peer is not None and bool(peer.new)

    def has_blocks(self, peer_id: ID) -> bool:
        """Tell whether a reply with blocks can be taken for a peer now."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.blocks > 0 and self._may_send(peer)

    def pending(self, peer_id: ID) -> int:
        """Count what is to be looked up or sent for a peer."""
        peer = self._peers.get(peer_id)
        return 0 if peer is None else len(peer.new) + peer.blocks + len(peer.presences)

    def first_task(self, peer_id: ID) -> Task | None:
        """Give the block that a peer is sent next, if any is queued."""
        peer = self._peers.get(peer_id)
        want = None if peer is None else peer.first_block()
        return None if want is None else want.task

    def next_reply(
        self, peer_id: ID, target: int = REPLY_TARGET_BYTES, *, with_blocks: bool = True
    ) -> Reply | None:
        """
        Take the next answers for a peer: what can be said in a few bytes, and the first blocks.

        Blocks are collected until they reach ``target`` bytes; one that is larger goes alone. None
        if nothing is queued, or as much as allowed is on its way: `sent` or `failed` come first.
        """
        peer = self._peers.get(peer_id)
        if peer is None:
            return None
        with_blocks = with_blocks and peer.blocks > 0 and self._may_send(peer)
        if not with_blocks and not peer.presences:
            return None
        reply = peer.take(target, with_blocks)
        self.sending_bytes += reply.size
        return reply

    def early_haves(self, peer_id: ID, reply: Reply | None = None) -> Message | None:
        """
        Say HAVE for the blocks that wait and those of ``reply``, once each.

        Who hears nothing asks elsewhere. But only who asked to be told DONT_HAVE waits for an
        answer, so only he is told.
        """
        peer = self._peers.get(peer_id)
        if peer is None or not peer.untold:
            return None
        message = Message()
        for want in (*(reply.wants if reply else ()), *peer.waiting_blocks()):
            if want.send_dont_have and not want.told:
                if len(message.presences) == MAX_REPLY_PRESENCES:
                    return message
                want.told = True
                message.add_presence(want.cid, BlockPresenceType.Have)
        peer.untold = False
        return message or None

    def sent(self, reply: Reply) -> None:
        """Settle a reply that has been written: blocks and HAVEs end their wants."""
        for want in self._settle(reply):
            over = want.answer is Answer.BLOCK or (
                want.answer is Answer.HAVE and want.want_type is WantType.Have
            )
            if over:
                self._remove(want)
            else:
                want.peer.rest(want)
                if want.asked_again:
                    self._look_up_again(want)

    def failed(self, reply: Reply) -> None:
        """Queue a reply again that could not be written; its blocks are looked for anew."""
        for want in self._settle(reply):
            self._look_up_again(want)

    def _settle(self, reply: Reply) -> list[PeerWant]:
        """Return the wants of a reply that are still wanted."""
        self.sending_bytes -= reply.size
        reply.peer.sending_bytes -= reply.size
        wants = reply.peer.wants
        return [w for w in (*reply.wants, *reply.presences) if wants.get(w.cid) is w]

    # -- looking --------------------------------------------------------------------------------

    def count_of(self, peer_id: ID) -> int:
        """Count the wants of a peer."""
        peer = self._peers.get(peer_id)
        return 0 if peer is None else len(peer.wants)

    @property
    def peer_ids(self) -> list[ID]:
        """Who has asked for anything since it is connected."""
        return list(self._peers)

    def wantlist(self, peer_id: ID) -> list[Entry]:
        """List what a peer wants and may get."""
        peer = self._peers.get(peer_id)
        return [] if peer is None else [w.entry for w in peer.wants.values() if not w.denied]

    def is_wanted(self, cid: CID) -> bool:
        """Tell whether any peer wants a block."""
        return cid.multihash in self._by_key

    # -- changes of one want --------------------------------------------------------------------

    def _may_send(self, peer: PeerWants) -> bool:
        return not self._max_outstanding or peer.sending_bytes < self._max_outstanding

    def _look_up_again(self, want: PeerWant) -> None:
        want.peer.withdraw(want)
        want.state = State.NEW
        want.asked_again = False
        want.peer.new[want] = None

    def _remove(self, want: PeerWant) -> None:
        want.peer.withdraw(want)
        want.state = State.GONE
        self._count_out(want)

    def _count_out(self, want: PeerWant) -> None:
        del want.peer.wants[want.cid]
        self.count -= 1
        if not want.denied:
            self._unsubscribe(want)

    def _unsubscribe(self, want: PeerWant) -> None:
        subscribers = self._by_key[want.key]
        del subscribers[want]
        if not subscribers:
            del self._by_key[want.key]
