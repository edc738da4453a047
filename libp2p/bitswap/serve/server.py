"""
The serving half of bitswap: takes wantlists in, and has a `ReplySender` answer each peer.

What is decided is decided in cores: `ledger` (what is answered, in which order), `turns` (who is
next at the block store), `bandwidth` (when blocks may be sent), `accounts` (who owes whom).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import (
    HAVE_REPLACE_SIZE,
    LEDGER_BATCH,
    MAX_DOUBLINGS,
    MAX_LEDGER_ENTRIES,
    MAX_LEDGER_TOTAL,
    MAX_OUTGOING_REPLY_BYTES,
    MAX_STORE_RETRY_SECONDS,
    STORE_RETRY_SECONDS,
)
from libp2p.bitswap.serve.bandwidth import BandwidthLimits, Uplink
from libp2p.bitswap.serve.ledger import Ledger
from libp2p.bitswap.serve.reply_sender import ReplySender
from libp2p.bitswap.serve.scheduler import StoreScheduler
from libp2p.bitswap.serve.served import ServedLog
from libp2p.bitswap.serve.store_reader import StoreReader
from libp2p.bitswap.want.chores import each
from libp2p.bitswap.want.timers import Timers
from libp2p.utils import arguments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from libp2p.abc import IHost
    from libp2p.base_types import TProtocol
    from libp2p.bitswap.net.faults import FaultLog
    from libp2p.bitswap.serve.accounts import Accounts
    from libp2p.bitswap.serve.filters import RequestFilter
    from libp2p.bitswap.serve.ledger import PeerWant, TaskComparator
    from libp2p.bitswap.stats import BitswapStat
    from libp2p.bitswap.tracer import Tracing
    from libp2p.bitswap.want.chores import Chores
    from libp2p.bitswap.wire.entry import Entry
    from libp2p.bitswap.wire.message import Message
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID
    from libp2p.resources import Resources


@dataclass(frozen=True)
class ServerOptions:
    """
    How blocks are served; `BitswapClient` has the same as parameters.

    :param enabled: if not, every want is answered as if nothing were here, and none is kept. (boxo
        says nothing at all then, and who asked waits for its timeout.)
    :param request_filter: asked for each want of a peer whether it may get the block.
    :param bandwidth: limits for the blocks sent, to each peer and to all.
    :param task_comparator: tells which of two blocks is sent first, instead of priority and age
        and, between peers, the rules of `turns`.
    :param want_have_replace_size: a want-have is answered by a block of up to so many bytes.
    """

    enabled: bool = True
    request_filter: RequestFilter | None = None
    bandwidth: BandwidthLimits | None = None
    task_comparator: TaskComparator | None = None
    want_have_replace_size: int = HAVE_REPLACE_SIZE

    def __post_init__(self) -> None:
        arguments.count(self.want_have_replace_size, "want_have_replace_size")
        for name in ("request_filter", "task_comparator"):
            if (given := getattr(self, name)) is not None:
                arguments.function(given, name)


class ServerOwner(Protocol):
    """What a server uses of its client."""

    host: IHost
    block_store: BlockStore
    accounts: Accounts
    stats: BitswapStat
    tracing: Tracing
    faults: FaultLog
    supported_protocols: list[TProtocol]
    resources: Resources
    chores: Chores

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task in the client's nursery."""

    def peer_unreachable(self, peer_id: ID) -> None:
        """A peer turned out not to be connected, or cannot be dealt with."""


class Server:
    """Answers the wants of all peers."""

    def __init__(self, owner: ServerOwner, options: ServerOptions) -> None:
        self.owner = owner
        self.ledger = Ledger(
            max_entries=MAX_LEDGER_ENTRIES if options.enabled else 0,
            have_replace_size=options.want_have_replace_size,
            comparator=options.task_comparator,
            chores=owner.chores,
            scope=owner.resources.scope("bitswap ledger entries", MAX_LEDGER_TOTAL),
        )
        self.accounts = owner.accounts
        self._served = ServedLog(owner.start_task)
        self.uplink = Uplink(options.bandwidth)
        self._comparator = options.task_comparator
        order = None if self._comparator is None else self._is_before
        self._turns = StoreScheduler(
            self,
            salt=secrets.token_bytes(16),
            order=order,
            one_sender=self.uplink.limits_total,
        )
        self._filter = options.request_filter
        self._senders: dict[ID, ReplySender] = {}
        self._timer_runs = False
        self.store = StoreReader(owner)
        self.outgoing = owner.resources.scope(
            "bitswap replies that are written", MAX_OUTGOING_REPLY_BYTES
        )
        self._aside: Timers[PeerWant] = Timers()
        self._retry_scope = trio.CancelScope()  # ends when the next one of them is due
        self._retry_runs = False

    # -- peers ----------------------------------------------------------------------------------

    def add_peer(self, peer_id: ID) -> None:
        """Begin to serve a peer."""
        self._senders[peer_id] = ReplySender(self, peer_id)

    def forget(self, peer_id: ID) -> None:
        """Drop a peer that is gone; its account stays."""
        sender = self._senders.pop(peer_id, None)
        if sender is not None:
            sender.close()
        self._served.forget(peer_id)
        self.ledger.forget(peer_id)
        self._turns.forget(peer_id)
        self._give_turns()

    # -- what comes in --------------------------------------------------------------------------

    def heard(self, peer_id: ID) -> None:
        """Note that a peer has said something."""
        sender = self._senders.get(peer_id)
        if sender is not None:
            sender.heard()

    def receive_now(self, peer_id: ID, messages: Sequence[Message]) -> bool:
        """Take in the wantlists of a peer's messages, or return False if that may take time."""
        entries = 0
        for message in messages:
            entries += len(message.entries)
            if message.full:
                entries += self.ledger.count_of(peer_id)  # each of them is looked at
        if self._filter is not None or entries > LEDGER_BATCH:
            return False
        sender = self._senders.get(peer_id)
        if sender is not None:
            for message in messages:
                self.ledger.receive(peer_id, message.entries.values(), message.full)
            sender.answer()
        return True

    async def receive(self, peer_id: ID, messages: Iterable[Message]) -> None:
        """Do the same, however long it takes."""
        sender = self._senders.get(peer_id)
        for message in messages:
            if sender is None:
                return
            if message.entries or message.full:
                await self._take_in(peer_id, message)
                sender = self._senders.get(peer_id)  # it may be gone, or come back
                if sender is not None and self.ledger.has_work(peer_id):
                    sender.wake()

    async def _take_in(self, peer_id: ID, message: Message) -> None:
        entries = message.entries
        if message.full:
            for _ in self.ledger.retaining(peer_id, entries):
                await trio.lowlevel.checkpoint()
        # Cancels first: they make room.
        ordered = [entry for entry in entries.values() if entry.cancel]
        ordered += [entry for entry in entries.values() if not entry.cancel]
        for start in range(0, len(ordered) or 1, LEDGER_BATCH):
            if start:  # a long list goes in by steps, so that it does not hold up everybody else
                await trio.lowlevel.checkpoint()
            batch = ordered[start : start + LEDGER_BATCH]
            denied = () if self._filter is None else await self._denied(peer_id, batch)
            if peer_id not in self._senders:
                return  # it has left meanwhile
            self.ledger.receive(peer_id, batch, denied=denied)

    async def _denied(self, peer_id: ID, entries: Iterable[Entry]) -> set[CID]:
        """Ask the filter for each want."""
        return {
            entry.cid
            for entry in entries
            if not entry.cancel and not await self._is_allowed(peer_id, entry)
        }

    async def _is_allowed(self, peer_id: ID, entry: Entry) -> bool:
        assert self._filter is not None
        try:
            allowed = self._filter(peer_id, entry.cid, entry.want_type)
            return bool(await allowed if isawaitable(allowed) else allowed)
        except Exception as error:  # noqa: BLE001 - task's edge: a filter of the user's may raise anything
            self.owner.faults.note("the request filter (what it cannot decide is denied)", error)
            return False

    async def refilter(self) -> None:
        """Ask the filter again for the wants that wait: a list that it has may have changed."""
        if self._filter is None:
            return
        for peer_id in self.ledger.peer_ids:
            self.ledger.deny(peer_id, await self._denied(peer_id, self.ledger.wantlist(peer_id)))
            if (sender := self._senders.get(peer_id)) is not None:
                sender.wake()

    def new_block(self, cid: CID, size: int) -> None:
        """Send a block that has just been stored to those who want it."""
        if self.ledger.is_wanted(cid):
            for peer_id in self.ledger.new_block(cid, size):
                if (sender := self._senders.get(peer_id)) is not None:
                    sender.wake()

    def count_sent(self, peer_id: ID, blocks: Mapping[CID, bytes], size: int, now: float) -> None:
        """Enter blocks that have been written."""
        count = len(blocks)
        stats = self.owner.stats
        stats.blocks_sent += count
        stats.data_sent += size
        self.accounts.sent(peer_id, count, size, now)
        self._served.note(peer_id, next(iter(blocks)), count, size, now)

    # -- turns at the store ---------------------------------------------------------------------

    def pending(self, peer_id: ID) -> int:
        return self.ledger.pending(peer_id)

    def score(self, peer_id: ID, now: float) -> int:
        return self.accounts.score(peer_id, now)

    def _is_before(self, one: ID, other: ID) -> bool:
        assert self._comparator is not None
        first, second = self.ledger.first_task(one), self.ledger.first_task(other)
        if first is None or second is None:
            return second is not None  # who has to be looked up first
        return self._comparator(first, second)

    def begin(self, peer_id: ID, now: float, *, for_blocks: bool) -> bool:
        """Begin a turn, or wait for it: the sender is woken when it is there."""
        can_send = self._can_send(now)
        if self._turns.ask(peer_id, now, for_blocks=for_blocks, can_send=can_send):
            return True
        self._give_turns()
        return self._turns.ask(peer_id, now, for_blocks=for_blocks, can_send=can_send)

    @property
    def is_contested(self) -> bool:
        """True if somebody waits for a turn, or might have to because of what is sent."""
        return self.uplink.limits_any or self._turns.is_contested

    def begin_at_once(self, peer_id: ID) -> bool:
        """Begin a turn that is of use at once and that nobody waits for, or none."""
        now = trio.current_time()
        if self.ready_at(peer_id, now) > now or not self._can_send(now):
            return False
        return self._turns.ask_at_once(peer_id)

    def end(self, peer_id: ID, size: int = 0) -> None:
        """End a turn in which blocks of ``size`` bytes were read."""
        self._turns.end(peer_id, size)
        self._give_turns()

    def withdraw(self, peer_id: ID) -> None:
        """Stop waiting for a turn."""
        if self._turns.withdraw(peer_id):
            self._give_turns()

    def ready_at(self, peer_id: ID, now: float) -> float:
        """Return when the peer's own limit lets blocks pass: ``now`` or later."""
        return self.uplink.peer_ready_at(peer_id, now) if self.uplink.limits_any else now

    def may_send(self, peer_id: ID) -> bool:
        """
        Tell whether blocks may be sent in a turn, as far as the limit for all is concerned.

        Who came to look blocks up does not overtake those who wait to send.
        """
        if not self.uplink.limits_total or self._turns.sender == peer_id:
            return True
        is_next = self._turns.sender is None and not self._turns.blocks_wait
        return is_next and self._can_send(trio.current_time())

    def _can_send(self, now: float) -> bool:
        return not self.uplink.limits_total or self.uplink.total_ready_at(now) <= now

    def _give_turns(self) -> None:
        if not self._turns.is_contested:
            return
        now = trio.current_time()
        can_send = self._can_send(now)
        for peer_id in self._turns.give(now, can_send=can_send):
            self._senders[peer_id].wake()
        if not can_send and not self._timer_runs and self._turns.blocks_wait:
            self._timer_runs = True
            self.owner.start_task(self._give_at, self.uplink.total_ready_at(now))

    async def _give_at(self, when: float) -> None:
        try:
            await trio.sleep_until(when)
        finally:
            self._timer_runs = False
        self._give_turns()

    # -- the store ------------------------------------------------------------------------------

    def put_aside(self, wants: Iterable[PeerWant]) -> None:
        """The store has failed at wants: ask it for them again after a while."""
        now = trio.current_time()
        for want in wants:
            self.ledger.put_aside(want)
            seconds = STORE_RETRY_SECONDS * 2.0 ** min(want.failures, MAX_DOUBLINGS)
            want.failures += 1
            when = now + min(seconds, MAX_STORE_RETRY_SECONDS)
            self._aside.set(want, when)
            self._retry_scope.deadline = min(self._retry_scope.deadline, when)
        if not self._retry_runs:
            self._retry_runs = True
            self.owner.start_task(self._retry)

    async def _retry(self) -> None:
        try:
            while (when := self._aside.next) is not None:
                with trio.CancelScope(deadline=when) as self._retry_scope:
                    await trio.sleep_forever()
                due = []
                while (item := self._aside.take(trio.current_time())) is not None:
                    due.append(item[1])
                for _ in each(due, self._look_again):
                    await trio.lowlevel.checkpoint()
        finally:
            self._retry_runs = False

    def _look_again(self, want: PeerWant) -> None:
        self.ledger.look_again(want)
        if (sender := self._senders.get(want.peer.peer_id)) is not None:
            sender.wake()
