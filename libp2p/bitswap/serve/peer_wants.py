"""
The wants of one peer, the queues that they stand in, and a reply (sans-I/O).

`Ledger` decides the answer to a want. `PeerWant` enters and leaves the queues of its peer. No other
module writes fields of the classes here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cmp_to_key
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from libp2p.bitswap.config import MAX_REPLY_BLOCKS, MAX_REPLY_PRESENCES
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.utils.lazy_heap import LazyHeap

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID


class State(Enum):
    """The step that a want has reached on the way to its answer."""

    NEW = "to be looked up"
    SOUGHT = "being looked up"
    IDLE = "not here; kept until the block is stored"
    QUEUED = "its answer is queued"
    SENDING = "its answer is being sent"
    GONE = "cancelled, satisfied or replaced"


class Answer(Enum):
    """The kinds of answer to a want."""

    BLOCK = "the block"
    HAVE = "HAVE"
    DONT_HAVE = "DONT_HAVE"


class Task(NamedTuple):
    """A block that is queued for a peer, as a `TaskComparator` sees it."""

    peer_id: ID
    cid: CID
    priority: int
    want_type: WantType
    size: int


TaskComparator: TypeAlias = "Callable[[Task, Task], bool]"
"""Returns True if the first block is to be sent before the second one."""

Rank: TypeAlias = "Callable[[PeerWant], object]"
"""Returns the key by which the blocks of one peer are sorted; equal ones keep their order."""


def by_priority(want: PeerWant) -> int:
    """Return a sort key that puts the highest priority first."""
    return -want.priority


def by_comparator(before: TaskComparator) -> Rank:
    """Return a sort key that follows a user's comparator."""

    def difference(one: Task, other: Task) -> int:
        return -1 if before(one, other) else int(before(other, one))

    key = cmp_to_key(difference)
    return lambda want: key(want.task)


class PeerWant:
    """
    One want of one peer. Outside the cores only its CID and its type are used.

    Owner: libp2p.bitswap.serve.peer_wants
    """

    __slots__ = (
        "answer", "asked_again", "cid", "denied", "failures", "key", "peer", "priority",
        "send_dont_have", "size", "state", "told", "want_type",
    )  # fmt: skip

    def __init__(self, peer: PeerWants, entry: Entry, denied: bool = False) -> None:
        self.peer = peer
        self.cid = entry.cid
        self.key = entry.cid.multihash
        self.priority = entry.priority
        self.want_type = entry.want_type
        self.send_dont_have = entry.send_dont_have
        self.denied = denied  # by the request filter: answered as if the block were not here
        self.state = State.NEW
        self.answer = Answer.DONT_HAVE
        self.size = 0  # of the block, once it is known to be here
        self.asked_again = False  # while the answer is sent: look the block up again after that
        self.told = False  # the peer was sent HAVE before the block
        self.failures = 0  # how often the store has failed at the block

    @property
    def waits_for_block(self) -> bool:
        """True if the block is queued."""
        return self.state is State.QUEUED and self.answer is Answer.BLOCK

    @property
    def lacks_block(self) -> bool:
        """True unless the block, or HAVE, is queued or being sent."""
        is_answered = self.state in (State.QUEUED, State.SENDING)
        return not is_answered or self.answer is Answer.DONT_HAVE

    @property
    def entry(self) -> Entry:
        """The want as an entry of the peer's wantlist."""
        return Entry(self.cid, self.priority, False, self.want_type, self.send_dont_have)

    @property
    def task(self) -> Task:
        """The block as a `TaskComparator` sees it."""
        return Task(self.peer.peer_id, self.cid, self.priority, self.want_type, self.size)

    # -- what the peer asks ---------------------------------------------------------------------

    def merge(self, entry: Entry) -> bool:
        """
        Merge a repeated want into this one: a want for a block never becomes one for a HAVE.

        :return: whether a queued answer has to be queued anew.
        """
        more = entry.want_type is WantType.Block and self.want_type is WantType.Have
        if more:
            self.want_type = WantType.Block
            self.asked_again = self.asked_again or self.state is State.SENDING
        moved = self.priority != entry.priority
        self.priority = entry.priority
        self.send_dont_have = self.send_dont_have or entry.send_dont_have
        return more or moved

    def deny(self, denied: bool) -> None:
        """Note the decision of the request filter."""
        self.denied = denied

    # -- the way to the answer ------------------------------------------------------------------

    def seek(self) -> None:
        """Note that the store is being asked for the block."""
        del self.peer.new[self]
        self.state = State.SOUGHT

    def look_up(self) -> None:
        """Queue the want for a look-up of its block, after its answer if one is being sent."""
        if self.state is State.SENDING:
            self.asked_again = True
            return
        self.withdraw()
        self.state = State.NEW
        self.asked_again = False
        self.peer.new[self] = None

    def queue(self, answer: Answer, size: int = 0) -> None:
        """Queue an answer; ``size`` is the length of the block, if the block is here."""
        self.state = State.QUEUED
        self.answer = answer
        self.size = size
        self.asked_again = False
        if answer is Answer.BLOCK:
            self.peer.queue_block(self)
        else:
            self.peer.presences[self] = None

    def rest(self) -> None:
        """Keep the want until its block is stored."""
        self.state = State.IDLE
        self.peer.idle[self] = None

    def fail(self) -> int:
        """Keep the want until the store is asked again; return its failures before this one."""
        self.rest()
        self.failures += 1
        return self.failures - 1

    def end(self) -> None:
        """End the want and take it out of its queue."""
        if self.state is not State.SENDING:
            self.withdraw()
        self.state = State.GONE

    def withdraw(self) -> None:
        """Take the want out of its queue."""
        state, peer = self.state, self.peer
        if state is State.NEW:
            peer.new.pop(self, None)
        elif state is State.IDLE:
            peer.idle.pop(self, None)
        elif state is State.QUEUED:
            if self.answer is Answer.BLOCK:
                peer.drop_block(self)
            else:
                peer.presences.pop(self, None)

    def tell_have(self) -> bool:
        """
        Return True if HAVE is to be sent before the block: at most once for a want.

        A peer that did not ask for DONT_HAVE does not wait for an answer.
        """
        if self.told or not self.send_dont_have:
            return False
        self.told = True
        return True


class PeerWants:
    """All wants of a peer, and the queues that they stand in."""

    __slots__ = (
        "_rank", "_untold", "blocks", "idle", "new", "peer_id", "presences", "queued_bytes",
        "sending_bytes", "wants",
    )  # fmt: skip

    def __init__(self, peer_id: ID, rank: Rank) -> None:
        self.peer_id = peer_id
        self._rank = rank
        self.wants: dict[CID, PeerWant] = {}
        self.new: dict[PeerWant, None] = {}
        self.idle: OrderedDict[PeerWant, None] = OrderedDict()  # the oldest one first
        self.presences: dict[PeerWant, None] = {}
        self.blocks: LazyHeap[PeerWant] = LazyHeap()  # highest priority first, then oldest
        self.queued_bytes = 0
        self.sending_bytes = 0
        self._untold = False  # blocks may be queued for which no HAVE was sent

    def queue_block(self, want: PeerWant) -> None:
        """Queue the block of a want."""
        self.blocks.push(want, self._rank(want))
        self.queued_bytes += want.size
        self._untold = True

    def drop_block(self, want: PeerWant) -> None:
        """Take the block of a want out of the queue."""
        self.blocks.discard(want)
        self.queued_bytes -= want.size

    def take(self, target: int, with_blocks: bool) -> Reply:
        """Take the next reply off the queues: presences, and blocks of up to ``target`` bytes."""
        wants: list[PeerWant] = []
        size = 0
        blocks = self.blocks
        while with_blocks and (first := blocks.first()) is not None:
            want = first[1]
            if wants and (size + want.size > target or len(wants) >= MAX_REPLY_BLOCKS):
                break
            blocks.pop()
            want.state = State.SENDING
            wants.append(want)
            size += want.size
        presences = list(islice(self.presences, MAX_REPLY_PRESENCES))
        for want in presences:
            del self.presences[want]
            want.state = State.SENDING
        self.queued_bytes -= size
        self.sending_bytes += size
        return Reply(self, wants, presences, size)

    def finish(self, reply: Reply) -> list[PeerWant]:
        """Note that a reply was sent or has failed; return those of its wants that still exist."""
        self.sending_bytes -= reply.size
        kept = [want for want in reply.wants if want.state is State.SENDING]
        # A presence may answer a want that was not kept.
        kept += [want for want in reply.presences if self.wants.get(want.cid) is want]
        return kept

    def early_haves(self, reply: Reply | None) -> Message | None:
        """Return HAVEs for the blocks of ``reply`` and the queued blocks; None if all were sent."""
        if not self._untold:
            return None
        message = Message()
        for want in (*(reply.wants if reply else ()), *self.blocks):
            if len(message.presences) == MAX_REPLY_PRESENCES:
                return message
            if want.tell_have():
                message.add_presence(want.cid, BlockPresenceType.Have)
        self._untold = False
        return message or None

    def clear_queues(self) -> None:
        """Take all wants out of their queues."""
        self.blocks.clear()
        self.new.clear()
        self.presences.clear()
        self.idle.clear()


@dataclass(slots=True, eq=False)
class Reply:
    """The wants that one message answers: those with blocks, and those with presences."""

    peer: PeerWants
    wants: list[PeerWant]
    presences: list[PeerWant]
    size: int
    """Bytes of the blocks, by the sizes that were looked up."""

    def leave_out(self, wants: Collection[PeerWant]) -> None:
        """Take wants out of the reply that cannot be answered now."""
        self.wants = [want for want in self.wants if want not in wants]

    def fill(self, blocks: Sequence[bytes | None]) -> Message:
        """
        Make the message out of the blocks of ``wants``, in their order; None for a missing block.

        Wants that were cancelled meanwhile are left out. A block that is not here any more is
        answered by DONT_HAVE, if the peer asked for it, and its want stays. The message may be
        empty.
        """
        peer, sending = self.peer, State.SENDING
        message = Message(pending_bytes=peer.queued_bytes + peer.sending_bytes - self.size)
        gone: list[PeerWant] = []
        for want, data in zip(self.wants, blocks, strict=True):
            if data is None:
                want.answer = Answer.DONT_HAVE
                gone.append(want)
            elif want.state is sending:
                message.blocks[want.cid] = data
        for want in (*self.presences, *gone):
            if want.state is not sending:
                continue
            if want.answer is Answer.HAVE:
                message.add_presence(want.cid, BlockPresenceType.Have)
            elif want.send_dont_have:
                message.add_presence(want.cid, BlockPresenceType.DontHave)
        return message
