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

from enum import Enum
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.config import (
    HAVE_REPLACE_SIZE,
    MAX_BLOCK_SIZE,
    MAX_LEDGER_ENTRIES,
    MAX_OUTSTANDING_BYTES,
    MAX_REPLY_BLOCKS,
    MAX_REPLY_PRESENCES,
    REPLY_TARGET_BYTES,
)
from libp2p.bitswap.messages import Message
from libp2p.bitswap.wantlist import BlockPresenceType, Entry, WantType, block_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

#: Cancelled wants stay in the heap of answers until they come up; it is rebuilt when they are more
#: than the live ones and than this.
_HEAP_SLACK: Final = 64

#: `MAX_BLOCK_SIZE` is for the four bytes of prefix of a common CID; a longer one, of at most four
#: varints, takes room from the block.
_COMMON_PREFIX_BYTES: Final = 4
_ALWAYS_FITS: Final = MAX_BLOCK_SIZE - 40


def _fits(cid: CID, size: int) -> bool:
    """Tell whether a block can be sent at all, alone in a message."""
    return size + len(cid.prefix) <= MAX_BLOCK_SIZE + _COMMON_PREFIX_BYTES


class _State(Enum):
    NEW = "to be looked up"
    SOUGHT = "being looked up"
    IDLE = "not here; waits for the block"
    QUEUED = "an answer waits to be sent"
    SENDING = "an answer is being sent"
    GONE = "cancelled, satisfied or replaced"


class _Answer(Enum):
    BLOCK = "the block"
    HAVE = "HAVE"
    DONT_HAVE = "DONT_HAVE"


class PeerWant:
    """One want of one peer; to the driver no more than its CID."""

    __slots__ = (
        "answer", "asked_again", "cid", "key", "order", "peer", "priority", "send_dont_have",
        "size", "state", "want_type",
    )  # fmt: skip

    def __init__(self, peer: _Peer, entry: Entry) -> None:
        self.peer = peer
        self.cid = entry.cid
        self.key = block_key(entry.cid)
        self.priority = entry.priority
        self.want_type = entry.want_type
        self.send_dont_have = entry.send_dont_have
        self.state = _State.NEW
        self.answer = _Answer.DONT_HAVE
        self.order = 0  # of its answer in the heap; an item with another one is out of date
        self.size = 0  # of the block, once it is known to be here
        self.asked_again = False  # for more than the answer that is being sent


class _Peer:
    __slots__ = ("heap", "new", "peer_id", "queued_bytes", "queued_count", "sending_bytes", "wants")

    def __init__(self, peer_id: ID) -> None:
        self.peer_id = peer_id
        self.wants: dict[CID, PeerWant] = {}
        self.new: dict[PeerWant, None] = {}
        self.heap: list[tuple[int, int, PeerWant]] = []  # highest priority first, then oldest
        self.queued_count = 0
        self.queued_bytes = 0
        self.sending_bytes = 0


class Reply:
    """What goes into one message: wants to be answered by blocks, and presences."""

    __slots__ = ("_peer", "pending_bytes", "presences", "wants")

    def __init__(self, peer: _Peer) -> None:
        self._peer = peer
        self.wants: list[PeerWant] = []
        self.presences: list[PeerWant] = []
        self.pending_bytes = 0

    @property
    def peer_id(self) -> ID:
        return self._peer.peer_id

    def fill(self, blocks: Sequence[bytes | None]) -> Message:
        """
        Make the message out of the blocks of ``wants``, in their order.

        For a block that has vanished meanwhile the peer is told so if it asked to be; then its
        want goes on waiting. The message may turn out empty.
        """
        message = Message(pending_bytes=self.pending_bytes)
        for want, data in zip(self.wants, blocks, strict=True):
            if data is None:
                want.answer = _Answer.DONT_HAVE
            else:
                message.add_block(want.cid, data)
        for want in (*self.presences, *self.wants):
            if want.answer is _Answer.HAVE:
                message.add_presence(want.cid, BlockPresenceType.Have)
            elif want.answer is _Answer.DONT_HAVE and want.send_dont_have:
                message.add_presence(want.cid, BlockPresenceType.DontHave)
        return message


class Ledger:
    """Everything that peers want from us."""

    def __init__(
        self,
        *,
        max_entries: int = MAX_LEDGER_ENTRIES,
        have_replace_size: int = HAVE_REPLACE_SIZE,
        max_outstanding: int = MAX_OUTSTANDING_BYTES,
    ) -> None:
        self._max_entries = max_entries
        self._have_replace_size = have_replace_size
        self._max_outstanding = max_outstanding
        self._peers: dict[ID, _Peer] = {}
        self._by_key: dict[bytes, dict[PeerWant, None]] = {}
        self._order = 0  # counts answers, so that those of one priority keep their order

    # -- what peers say -------------------------------------------------------------------------

    def receive(self, peer_id: ID, entries: Iterable[Entry], full: bool = False) -> None:
        """Take in a wantlist: all of the peer's wants if ``full``, else changes to them."""
        peer = self._peers.get(peer_id)
        if peer is None:
            peer = self._peers[peer_id] = _Peer(peer_id)
        entries = list(entries)
        if full:
            wanted = {entry.cid for entry in entries if not entry.cancel}
            for want in [want for cid, want in peer.wants.items() if cid not in wanted]:
                self._remove(want)
        # Cancels first: they make room.
        for entry in entries:
            if entry.cancel and entry.cid in peer.wants:
                self._remove(peer.wants[entry.cid])
        for entry in entries:
            if not entry.cancel:
                self._add(peer, entry)

    def _add(self, peer: _Peer, entry: Entry) -> None:
        want = peer.wants.get(entry.cid)
        if want is not None:
            self._ask_again(want, entry)
        elif entry.cid.is_identity:
            return  # whoever asks has the block already; boxo says nothing either
        elif len(peer.wants) < self._max_entries:
            want = peer.wants[entry.cid] = PeerWant(peer, entry)
            self._by_key.setdefault(want.key, {})[want] = None
            peer.new[want] = None
        elif entry.send_dont_have and peer.queued_count < 2 * self._max_entries:
            # No room to remember it: it is answered and forgotten. Who floods us with more than
            # twice the limit before reading an answer gets none.
            self._queue(PeerWant(peer, entry), _Answer.DONT_HAVE)

    def _ask_again(self, want: PeerWant, entry: Entry) -> None:
        """Merge a repeated want: never from a block down to a HAVE, and answer it anew."""
        more = entry.want_type is WantType.Block and want.want_type is WantType.Have
        if more:
            want.want_type = WantType.Block
        moved = want.priority != entry.priority
        want.priority = entry.priority
        want.send_dont_have = want.send_dont_have or entry.send_dont_have
        if want.state is _State.IDLE:
            self._look_up_again(want)
        elif want.state is _State.SENDING:
            want.asked_again = want.asked_again or more
        elif want.state is _State.QUEUED and (more or moved):
            self._withdraw(want)
            self._resolve(want, None if want.answer is _Answer.DONT_HAVE else want.size)

    def forget(self, peer_id: ID) -> None:
        """Drop all that is known of a peer that is gone."""
        peer = self._peers.pop(peer_id, None)
        if peer is not None:
            for want in list(peer.wants.values()):
                self._remove(want)
            peer.heap.clear()

    # -- what we have ---------------------------------------------------------------------------

    def look_ups(self, peer_id: ID, limit: int) -> list[PeerWant]:
        """Take up to ``limit`` wants whose blocks have not been looked for; `resolve` them."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return []
        taken = list(islice(peer.new, limit))
        for want in taken:
            del peer.new[want]
            want.state = _State.SOUGHT
        return taken

    def resolve(self, want: PeerWant, size: int | None) -> None:
        """Say how long the block is, None if it is not here."""
        if want.state is _State.SOUGHT:  # else cancelled, or the block came meanwhile
            self._resolve(want, size)

    def _resolve(self, want: PeerWant, size: int | None) -> None:
        if size is None or (size > _ALWAYS_FITS and not _fits(want.cid, size)):
            want.state = _State.IDLE
            if want.send_dont_have:
                self._queue(want, _Answer.DONT_HAVE)
            return
        want.size = size
        small = size <= self._have_replace_size
        with_block = small or want.want_type is WantType.Block
        self._queue(want, _Answer.BLOCK if with_block else _Answer.HAVE)

    def new_block(self, cid: CID, size: int) -> list[ID]:
        """Queue a block that has just been stored for those who want it; return who they are."""
        woken: dict[ID, None] = {}
        for want in self._by_key.get(block_key(cid), ()):
            if want.state is _State.SENDING:
                # It is told that the block is not here, or that it is: in both cases look again.
                want.asked_again = True
            elif want.state is not _State.QUEUED or want.answer is _Answer.DONT_HAVE:
                self._withdraw(want)
                self._resolve(want, size)
                woken[want.peer.peer_id] = None
        return list(woken)

    # -- answers --------------------------------------------------------------------------------

    def has_work(self, peer_id: ID) -> bool:
        """Tell whether there is anything to look up or to send for a peer."""
        peer = self._peers.get(peer_id)
        return peer is not None and bool(peer.new or peer.queued_count)

    def next_reply(self, peer_id: ID, target: int = REPLY_TARGET_BYTES) -> Reply | None:
        """
        Take the next answers for a peer, highest priority first.

        Blocks are collected until they reach ``target`` bytes; one that is larger goes alone. None
        if nothing is queued, or as much as allowed is on its way: `sent` or `failed` come first.
        """
        peer = self._peers.get(peer_id)
        if peer is None or not peer.queued_count or peer.sending_bytes >= self._max_outstanding:
            return None
        reply = Reply(peer)
        size = 0
        while peer.queued_count:
            _, order, want = peer.heap[0]
            if order != want.order:
                heappop(peer.heap)
                continue
            if want.answer is _Answer.BLOCK:
                full = len(reply.wants) >= MAX_REPLY_BLOCKS
                if full or (reply.wants and size + want.size > target):
                    break
                reply.wants.append(want)
                size += want.size
            elif len(reply.presences) >= MAX_REPLY_PRESENCES:
                break
            else:
                reply.presences.append(want)
            heappop(peer.heap)
            self._leave_queue(want)
            want.state = _State.SENDING
        peer.sending_bytes += size
        reply.pending_bytes = peer.queued_bytes
        return reply

    def sent(self, reply: Reply) -> None:
        """Settle a reply that has been written: blocks and HAVEs end their wants."""
        for want in self._settle(reply):
            over = want.answer is _Answer.BLOCK or (
                want.answer is _Answer.HAVE and want.want_type is WantType.Have
            )
            if over:
                self._remove(want)
            else:
                want.state = _State.IDLE
                if want.asked_again:
                    self._look_up_again(want)

    def failed(self, reply: Reply) -> None:
        """Queue a reply again that could not be written; its blocks are looked for anew."""
        for want in self._settle(reply):
            self._look_up_again(want)

    def _settle(self, reply: Reply) -> list[PeerWant]:
        """Return the wants of a reply that are still wanted."""
        peer = reply._peer
        peer.sending_bytes -= sum(want.size for want in reply.wants)
        wants = [*reply.wants, *reply.presences]
        return [want for want in wants if want.peer.wants.get(want.cid) is want]

    # -- looking --------------------------------------------------------------------------------

    def wantlist(self, peer_id: ID) -> list[Entry]:
        """List what a peer wants."""
        peer = self._peers.get(peer_id)
        return [
            Entry(want.cid, want.priority, False, want.want_type, want.send_dont_have)
            for want in (peer.wants.values() if peer else ())
        ]

    def is_wanted(self, cid: CID) -> bool:
        """Tell whether any peer wants a block."""
        return block_key(cid) in self._by_key

    @property
    def count(self) -> int:
        """Wants of all peers."""
        return sum(len(peer.wants) for peer in self._peers.values())

    # -- the queue of answers -------------------------------------------------------------------

    def _queue(self, want: PeerWant, answer: _Answer) -> None:
        want.state = _State.QUEUED
        want.answer = answer
        want.asked_again = False
        peer = want.peer
        self._order += 1
        want.order = self._order
        heappush(peer.heap, (-want.priority, self._order, want))
        peer.queued_count += 1
        if answer is _Answer.BLOCK:
            peer.queued_bytes += want.size

    def _leave_queue(self, want: PeerWant) -> None:
        peer = want.peer
        want.order = 0
        peer.queued_count -= 1
        if want.answer is _Answer.BLOCK:
            peer.queued_bytes -= want.size

    def _look_up_again(self, want: PeerWant) -> None:
        self._withdraw(want)
        want.state = _State.NEW
        want.asked_again = False
        want.peer.new[want] = None

    def _withdraw(self, want: PeerWant) -> None:
        """Take a want out of whatever it waits in."""
        peer = want.peer
        if want.state is _State.QUEUED:
            self._leave_queue(want)
            if len(peer.heap) > 2 * peer.queued_count + _HEAP_SLACK:
                peer.heap = [item for item in peer.heap if item[1] == item[2].order]
                heapify(peer.heap)
        elif want.state is _State.NEW:
            peer.new.pop(want, None)

    def _remove(self, want: PeerWant) -> None:
        self._withdraw(want)
        want.state = _State.GONE
        want.peer.wants.pop(want.cid, None)
        subscribers = self._by_key[want.key]
        del subscribers[want]
        if not subscribers:
            del self._by_key[want.key]
