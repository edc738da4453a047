"""
The wants of one peer, the answers that wait to be sent to it, and a reply (sans-I/O).

What moves a want from one state to the next is `ledger`; here it is entered into what it waits in,
and taken out of it.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from functools import cmp_to_key
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from libp2p.bitswap.config import MAX_REPLY_BLOCKS, MAX_REPLY_PRESENCES
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

#: Cancelled wants stay in the heap of answers until they come up; it is rebuilt when they are more
#: than the live ones and than this.
_HEAP_SLACK: Final = 64


class State(Enum):
    """Where a want is on its way."""

    NEW = "to be looked up"
    SOUGHT = "being looked up"
    IDLE = "not here; waits for the block"
    QUEUED = "an answer waits to be sent"
    SENDING = "an answer is being sent"
    GONE = "cancelled, satisfied or replaced"


class Answer(Enum):
    """What is said to a want."""

    BLOCK = "the block"
    HAVE = "HAVE"
    DONT_HAVE = "DONT_HAVE"


class Task(NamedTuple):
    """A block that waits to be sent, as a `TaskComparator` sees it."""

    peer_id: ID
    cid: CID
    priority: int
    want_type: WantType
    size: int


TaskComparator: TypeAlias = "Callable[[Task, Task], bool]"
"""Tells whether the first is to be sent before the second."""

Rank: TypeAlias = "Callable[[PeerWant], object]"
"""Gives what blocks of one peer are sorted by; equal ones keep their order."""


def by_priority(want: PeerWant) -> object:
    return -want.priority


def by_comparator(before: TaskComparator) -> Rank:
    """Sort as a user's function says."""

    def difference(one: Task, other: Task) -> int:
        return -1 if before(one, other) else int(before(other, one))

    key = cmp_to_key(difference)
    return lambda want: key(want.task)


class PeerWant:
    """One want of one peer; to the driver no more than its CID."""

    __slots__ = (
        "answer", "asked_again", "cid", "denied", "failures", "key", "order", "peer",
        "priority", "send_dont_have", "size", "state", "told", "want_type",
    )  # fmt: skip

    def __init__(self, peer: PeerWants, entry: Entry, denied: bool = False) -> None:
        self.peer = peer
        self.cid = entry.cid
        self.key = entry.cid.multihash
        self.priority = entry.priority
        self.want_type = entry.want_type
        self.send_dont_have = entry.send_dont_have
        self.denied = denied  # by the filter: for this peer the block is not here
        self.state = State.NEW
        self.answer = Answer.DONT_HAVE
        self.order = 0  # of its block in the heap; an item with another one is out of date
        self.size = 0  # of the block, once it is known to be here
        self.asked_again = False  # for more than the answer that is being sent
        self.told = False  # HAVE, since the block takes its time
        self.failures = 0  # of the store at it

    @property
    def waits_for_block(self) -> bool:
        """True if its block waits to be sent."""
        return self.state is State.QUEUED and self.answer is Answer.BLOCK

    @property
    def entry(self) -> Entry:
        return Entry(self.cid, self.priority, False, self.want_type, self.send_dont_have)

    @property
    def task(self) -> Task:
        return Task(self.peer.peer_id, self.cid, self.priority, self.want_type, self.size)


class PeerWants:
    """All wants of a peer, and those of them that wait: to be looked up, or for their answer."""

    __slots__ = (
        "blocks", "counter", "heap", "idle", "new", "peer_id", "presences", "queued_bytes",
        "rank", "sending_bytes", "untold", "wants",
    )  # fmt: skip

    def __init__(self, peer_id: ID, rank: Rank = by_priority) -> None:
        self.peer_id = peer_id
        self.rank = rank
        self.wants: dict[CID, PeerWant] = {}
        self.new: dict[PeerWant, None] = {}
        self.idle: OrderedDict[PeerWant, None] = OrderedDict()  # not here; the oldest one first
        self.presences: dict[PeerWant, None] = {}
        self.heap: list[tuple[Any, int, PeerWant]] = []  # highest priority first, then oldest
        self.counter = 0  # counts blocks queued, so that those of one priority keep their order
        self.blocks = 0  # in the heap
        self.queued_bytes = 0
        self.sending_bytes = 0
        self.untold = False  # blocks may wait whose receiver has heard nothing of them

    def queue(self, want: PeerWant, answer: Answer) -> None:
        """Let an answer wait to be sent."""
        want.state = State.QUEUED
        want.answer = answer
        want.asked_again = False
        if answer is not Answer.BLOCK:
            self.presences[want] = None
            return
        self.counter += 1
        want.order = self.counter
        heappush(self.heap, (self.rank(want), self.counter, want))
        self.blocks += 1
        self.queued_bytes += want.size
        self.untold = True

    def rest(self, want: PeerWant) -> None:
        """Let a want wait for its block to come."""
        want.state = State.IDLE
        self.idle[want] = None

    def withdraw(self, want: PeerWant) -> None:
        """Take a want out of whatever it waits in."""
        if want.state is State.NEW:
            del self.new[want]
        elif want.state is State.IDLE:
            del self.idle[want]
        elif want.state is State.QUEUED:
            if want.answer is not Answer.BLOCK:
                del self.presences[want]
                return
            self._leave_heap(want)
            if len(self.heap) > 2 * self.blocks + _HEAP_SLACK:
                self.heap = [item for item in self.heap if item[1] == item[2].order]
                heapify(self.heap)

    def first_block(self) -> PeerWant | None:
        """Give the block that is sent next."""
        while self.blocks:
            _, order, want = self.heap[0]
            if order == want.order:
                return want
            heappop(self.heap)
        return None

    def take(self, target: int, with_blocks: bool) -> Reply:
        """Take the next reply off the queues."""
        reply = Reply(self)
        wants = reply.wants
        size = 0
        while with_blocks and self.blocks:
            _, order, want = self.heap[0]
            if order == want.order:
                if wants and (size + want.size > target or len(wants) >= MAX_REPLY_BLOCKS):
                    break
                self._leave_heap(want)
                want.state = State.SENDING
                wants.append(want)
                size += want.size
            heappop(self.heap)
        reply.presences = list(islice(self.presences, MAX_REPLY_PRESENCES))
        for want in reply.presences:
            del self.presences[want]
            want.state = State.SENDING
        reply.size = size
        self.sending_bytes += size
        return reply

    def waiting_blocks(self) -> Iterator[PeerWant]:
        """Go over the blocks that wait, in no order."""
        return (want for _, order, want in self.heap if order == want.order)

    def _leave_heap(self, want: PeerWant) -> None:
        want.order = 0
        self.blocks -= 1
        self.queued_bytes -= want.size


class Reply:
    """What goes into one message: wants to be answered by blocks, and presences."""

    __slots__ = ("peer", "presences", "size", "wants")

    def __init__(self, peer: PeerWants) -> None:
        self.peer = peer
        self.wants: list[PeerWant] = []
        self.presences: list[PeerWant] = []
        self.size = 0
        """Bytes of the blocks, as far as is known before they are read."""

    @property
    def peer_id(self) -> ID:
        return self.peer.peer_id

    def leave_out(self, wants: Collection[PeerWant]) -> None:
        """Take wants out that cannot be answered now."""
        self.wants = [want for want in self.wants if want not in wants]

    def fill(self, blocks: Sequence[bytes | None]) -> Message:
        """
        Make the message out of the blocks of ``wants``, in their order.

        What was cancelled meanwhile is left out. For a block that has vanished the peer is told so
        if it asked to be; then its want goes on waiting. The message may turn out empty.
        """
        peer = self.peer
        message = Message(pending_bytes=peer.queued_bytes + peer.sending_bytes - self.size)
        for want, data in zip(self.wants, blocks, strict=True):
            if data is None:
                want.answer = Answer.DONT_HAVE
            elif want.state is State.SENDING:
                message.add_block(want.cid, data)
        for want in (*self.presences, *self.wants):
            if want.state is not State.SENDING:
                continue
            if want.answer is Answer.HAVE:
                message.add_presence(want.cid, BlockPresenceType.Have)
            elif want.answer is Answer.DONT_HAVE and want.send_dont_have:
                message.add_presence(want.cid, BlockPresenceType.DontHave)
        return message
