"""
The server: it enters wantlists into the ledger, and a `ReplySender` answers each peer.

The cores decide: `ledger` (the answers and their order), `scheduler` (which peer reads the block
store next), `rate_limit` (when blocks may be sent), `accounts` (what was exchanged).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.common.chores import each
from libp2p.bitswap.config import (
    EARLY_HAVE_SECONDS,
    HAVE_REPLACE_SIZE,
    LEDGER_BATCH,
    MAX_LEDGER_ENTRIES,
    MAX_LEDGER_TOTAL,
    MAX_OUTGOING_REPLY_BYTES,
    MAX_OUTSTANDING_BYTES,
    MIN_LEDGER_ENTRIES,
    STORE_READERS,
)
from libp2p.bitswap.serve.ledger import Ledger, LedgerLimits
from libp2p.bitswap.serve.rate_limit import BandwidthLimits, RateLimiter
from libp2p.bitswap.serve.reply_sender import ReplySender, SenderContext
from libp2p.bitswap.serve.scheduler import Priorities, StoreScheduler
from libp2p.bitswap.serve.served import ServedLog
from libp2p.bitswap.serve.store_reader import StoreReader
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.bitswap.common.chores import Chores
    from libp2p.bitswap.common.timers import Timed
    from libp2p.bitswap.serve.accounts import Accounts
    from libp2p.bitswap.serve.filters import RequestFilter
    from libp2p.bitswap.serve.ledger import PeerWant, TaskComparator
    from libp2p.bitswap.stats import BitswapStat
    from libp2p.bitswap.tracer import Tracing
    from libp2p.bitswap.wire.entry import Entry
    from libp2p.bitswap.wire.message import Message
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID
    from libp2p.resources import Resources
    from libp2p.utils.fault_log import FaultLog


@dataclass(frozen=True)
class ServerLimits:
    """
    Limits and times of a server; the constants of `config` are the defaults.

    :param max_wants: wants kept per peer.
    :param max_wants_total: wants of all peers, beyond which a peer keeps ``min_wants`` at most.
    :param max_outstanding: bytes of blocks read for one peer and not yet written; 0 for no limit.
    :param max_outgoing: the same for all peers; beyond, the writes that hold the most bytes for the
        longest time are given up.
    :param store_readers: peers for which the block store is read at the same time.
    :param early_have_seconds: a peer whose blocks are delayed for so long is sent HAVE.
    """

    max_wants: int = MAX_LEDGER_ENTRIES
    min_wants: int = MIN_LEDGER_ENTRIES
    max_wants_total: int = MAX_LEDGER_TOTAL
    max_outstanding: int = MAX_OUTSTANDING_BYTES
    max_outgoing: int = MAX_OUTGOING_REPLY_BYTES
    store_readers: int = STORE_READERS
    early_have_seconds: float = EARLY_HAVE_SECONDS

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least_of={"max_outgoing": 1, "store_readers": 1})


@dataclass(frozen=True)
class ServerOptions:
    """
    How blocks are served: the ``server_options`` of `BitswapClient`.

    :param enabled: if False, every want is answered as if its block were not here, and none is
        kept. (boxo gives no answer then, and the peer waits until its timeout.)
    :param request_filter: asked for each want of a peer whether it may get the block.
    :param bandwidth: limits of the bytes of blocks sent to each peer and to all.
    :param task_comparator: tells which of two blocks is sent first, instead of priority and age
        and, between peers, the rules of `scheduler`.
    :param want_have_replace_size: a want-have is answered by a block of up to so many bytes.
    :param limits: limits and times of the server.
    """

    enabled: bool = True
    request_filter: RequestFilter | None = None
    bandwidth: BandwidthLimits | None = None
    task_comparator: TaskComparator | None = None
    want_have_replace_size: int = HAVE_REPLACE_SIZE
    limits: ServerLimits = ServerLimits()

    def __post_init__(self) -> None:
        arguments.instance(self.limits, ServerLimits, "limits")
        arguments.count(self.want_have_replace_size, "want_have_replace_size")
        for name in ("request_filter", "task_comparator"):
            if (given := getattr(self, name)) is not None:
                arguments.function(given, name)


@dataclass(frozen=True)
class ServerContext:
    """
    The parts of a client that its server uses.

    :param store: returns the block store.
    :param open_stream: opens a stream to a connected peer; it never dials.
    :param start_task: runs a task for as long as the client works.
    :param set_timer: called with an object and a time at which its ``expire`` is to be called.
    :param on_unreachable: called with a peer whose sender has failed.
    """

    store: Callable[[], BlockStore]
    open_stream: Callable[[ID], Awaitable[INetStream]]
    start_task: Callable[..., object]
    set_timer: Callable[[Timed, float], None]
    on_unreachable: Callable[[ID], None]
    accounts: Accounts
    stats: BitswapStat
    tracing: Tracing
    faults: FaultLog
    resources: Resources
    chores: Chores


class _Timer:
    """Calls a function at a time that can be moved forward."""

    def __init__(self, act: Callable[[float], object], context: ServerContext) -> None:
        self._act = act
        self._set_timer = context.set_timer

    def set(self, when: float) -> None:
        """Call the function at ``when``, or earlier if it is set earlier."""
        self._set_timer(self, when)

    def expire(self) -> None:
        self._act(trio.current_time())


class Server:
    """Answers the wants of all peers."""

    def __init__(self, options: ServerOptions, context: ServerContext) -> None:
        self._context = context
        self._filter = options.request_filter
        self.accounts = context.accounts
        resources, most = context.resources, options.limits
        self.ledger = Ledger(
            LedgerLimits(
                max_entries=most.max_wants if options.enabled else 0,
                min_entries=most.min_wants,
                max_total=most.max_wants_total,
                have_replace_size=options.want_have_replace_size,
                max_outstanding=most.max_outstanding,
            ),
            comparator=options.task_comparator,
            chores=context.chores,
            scope=resources.scope("bitswap ledger entries", most.max_wants_total),
        )
        self._served = ServedLog(_Timer(lambda now: self._served.tell(now), context).set)
        limits = RateLimiter(options.bandwidth)
        self._scheduler = StoreScheduler(
            Priorities(
                self.ledger.pending,
                self.accounts.score,
                None if options.task_comparator is None else self.ledger.comes_before,
                secrets.token_bytes(16),
            ),
            wake=self._wake,
            call_at=_Timer(lambda now: self._scheduler.share_out(now), context).set,
            limits=limits,
            turns=most.store_readers,
        )
        self._store = StoreReader(
            context.store, self.ledger, context.faults, _Timer(self._retry, context).set
        )
        self._senders: dict[ID, ReplySender] = {}
        self._sender_context = SenderContext(
            ledger=self.ledger,
            scheduler=self._scheduler,
            store=self._store,
            limits=limits,
            early_have_seconds=most.early_have_seconds,
            outgoing=resources.scope("bitswap replies that are written", most.max_outgoing),
            open_stream=context.open_stream,
            start_task=context.start_task,
            on_written=self._on_written,
            on_failure=self._on_failure,
        )

    # -- peers ----------------------------------------------------------------------------------

    def add_peer(self, peer_id: ID) -> None:
        """Begin to serve a peer."""
        self._senders[peer_id] = ReplySender(self._sender_context, peer_id)

    def forget(self, peer_id: ID) -> None:
        """Drop a peer that has disconnected; its account stays."""
        sender = self._senders.pop(peer_id, None)
        if sender is not None:
            sender.close()
        self._served.forget(peer_id)
        self.ledger.forget(peer_id)
        self._scheduler.forget(peer_id, trio.current_time())

    def _wake(self, peer_id: ID) -> None:
        if (sender := self._senders.get(peer_id)) is not None:
            sender.wake()

    # -- wants ----------------------------------------------------------------------------------

    def heard(self, peer_id: ID) -> None:
        """Note that a peer has sent a message."""
        sender = self._senders.get(peer_id)
        if sender is not None:
            sender.heard()

    def receive_now(self, peer_id: ID, messages: Sequence[Message]) -> bool:
        """
        Enter the wantlists of a peer's messages, and answer the wants that need no wait.

        :return: False if there is a request filter or a long wantlist. Nothing was done then; call
            `receive`.
        """
        entries = 0
        for message in messages:
            entries += len(message.entries)
            if message.full:
                entries += self.ledger.count_of(peer_id)  # each want of the ledger is compared
        if self._filter is not None or entries > LEDGER_BATCH:
            return False
        for message in messages:
            self._enter(peer_id, message.entries.values(), message.full)
        self._answer(peer_id)
        return True

    async def receive(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Do as `receive_now` in steps, and ask the request filter for each want."""
        if self.receive_now(peer_id, messages):
            return
        for message in messages:
            if message.entries or message.full:
                await self._take_in(peer_id, message)
                self._answer(peer_id)

    async def _take_in(self, peer_id: ID, message: Message) -> None:
        entries = message.entries
        if message.full:
            for _ in self.ledger.retaining(peer_id, entries):
                await trio.lowlevel.checkpoint()
        # Cancels make room, so they come first.
        ordered = [entry for entry in entries.values() if entry.cancel]
        ordered += [entry for entry in entries.values() if not entry.cancel]
        for start in range(0, len(ordered) or 1, LEDGER_BATCH):
            if start:
                await trio.lowlevel.checkpoint()
            batch = ordered[start : start + LEDGER_BATCH]
            self._enter(peer_id, batch, denied=await self._denied(peer_id, batch))

    def _enter(
        self,
        peer_id: ID,
        entries: Iterable[Entry],
        full: bool = False,
        denied: Iterable[CID] = (),
    ) -> None:
        """Enter a wantlist into the ledger, unless the peer has disconnected meanwhile."""
        if peer_id in self._senders:
            self.ledger.receive(peer_id, entries, full, denied)

    def _answer(self, peer_id: ID) -> None:
        if (sender := self._senders.get(peer_id)) is not None:
            sender.answer()

    async def _denied(self, peer_id: ID, entries: Iterable[Entry]) -> set[CID]:
        """Return the CIDs of ``entries`` that the request filter denies to a peer."""
        if self._filter is None:
            return set()
        return {
            entry.cid
            for entry in entries
            if not entry.cancel and not await self._is_allowed(self._filter, peer_id, entry)
        }

    async def _is_allowed(self, allows: RequestFilter, peer_id: ID, entry: Entry) -> bool:
        try:
            allowed = allows(peer_id, entry.cid, entry.want_type)
            return bool(await allowed if isawaitable(allowed) else allowed)
        except Exception as error:  # noqa: BLE001 - task's edge: a filter of the user's may raise anything
            what = "the request filter (what it cannot decide is denied)"
            self._context.faults.note(what, error)
            return False

    async def refilter(self) -> None:
        """Ask the request filter again for the wants in the ledger: its rules may have changed."""
        if self._filter is None:
            return
        for peer_id in self.ledger.peer_ids:
            self.ledger.deny(peer_id, await self._denied(peer_id, self.ledger.wantlist(peer_id)))
            self._wake(peer_id)

    def new_block(self, cid: CID, size: int) -> None:
        """Send a block that was just stored to the peers that want it."""
        if self.ledger.is_wanted(cid):
            for peer_id in self.ledger.new_block(cid, size):
                self._wake(peer_id)

    # -- reports of the senders, and wants that are looked up again ------------------------------

    def _on_written(self, peer_id: ID, message: Message, now: float) -> None:
        context, blocks = self._context, message.blocks
        context.tracing.sent(peer_id, message)
        if blocks:
            size = sum(map(len, blocks.values()))
            context.stats.blocks_sent += len(blocks)
            context.stats.data_sent += size
            self.accounts.sent(peer_id, len(blocks), size, now)
            self._served.note(peer_id, next(iter(blocks)), len(blocks), size, now)

    def _on_failure(self, peer_id: ID, error: Exception) -> None:
        self._context.faults.note("what replies are sent with", error)
        self._context.on_unreachable(peer_id)

    def _retry(self, now: float) -> None:
        self._context.chores.begin(each(self._store.retry(now), self._look_again))

    def _look_again(self, want: PeerWant) -> None:
        self.ledger.look_again(want)
        self._wake(want.peer.peer_id)
