"""`Provider`: tells the network what this peer has, regularly and on demand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from libp2p.ipld.cid import CID, cid_inputs
from libp2p.kad_dht.keyspace import key_of_peer
from libp2p.provide import journal
from libp2p.provide.abc import KeySource, Sweepable
from libp2p.provide.announcers import Announcer, PlainAnnouncer, SweepAnnouncer
from libp2p.provide.config import (
    CLOCK_SECONDS,
    DEFAULT_CONFIG,
    MAX_UNWRITTEN,
    RETRY_SECONDS,
    STEP_KEYS,
    ProvideConfig,
)
from libp2p.provide.errors import ProvideError
from libp2p.provide.plan import PARTS, ProvidePlan
from libp2p.provide.work import Outcome
from libp2p.routing.abc import ContentRouter
from libp2p.utils import arguments
from libp2p.utils.background import background_tasks
from libp2p.utils.closing import ending
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.datastore.base import Change, Datastore
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID
    from libp2p.provide.region import Region
    from libp2p.provide.statistics import ProvideStats
    from libp2p.provide.work import Job

_T = TypeVar("_T")

_ROUTER: Final = "a router with provide, or with get_closest_peers and send_provider_records"


class _Watch:
    """A caller that waits until multihashes have been announced."""

    def __init__(self, multihashes: Iterable[bytes]) -> None:
        self.pending = set(multihashes)
        self.announced = 0
        self.ended = trio.Event()

    def note(self, outcome: Outcome, queued: Callable[[bytes], bool]) -> None:
        """Take in the outcome of a job."""
        for multihash in outcome.announced:
            if multihash in self.pending:
                self.pending.discard(multihash)
                self.announced += 1
        self.pending = {one for one in self.pending if queued(one)}


class Provider:
    """
    Announces what this peer has.

    With a router that is `Sweepable`, the keys of a region of the key space are announced together:
    the cost follows from the number of peers in the network, not from the number of keys. What was
    announced when is kept in the datastore; a process that is killed goes on where it was.

    :param router: a `Sweepable`, or any `ContentRouter`.
    :param keys: what is announced regularly, besides what `start_providing` names; None if that is
        all.
    :param datastore: keeps the state.
    :param peer_id: of this host. It decides at what time of the interval each region has its turn,
        and which records the router keeps itself.
    :param clock: returns Unix seconds.
    """

    def __init__(
        self,
        router: Sweepable | ContentRouter,
        keys: KeySource | None,
        datastore: Datastore,
        config: ProvideConfig = DEFAULT_CONFIG,
        *,
        peer_id: ID | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if keys is not None:
            arguments.having(keys, ("multihashes",), "keys", "a KeySource")
        arguments.having(datastore, ("get", "write", "scan"), "datastore", "a Datastore")
        arguments.instance(config, ProvideConfig, "config")
        self.config = config
        self._source = keys
        self._datastore = datastore
        self._clock = clock
        self._faults = FaultLog()
        self._announcer = _announcer_for(router, config, self._faults, peer_id)
        self._plan = ProvidePlan(config, 0 if peer_id is None else key_of_peer(peer_id))
        self._was_run = self._is_running = False
        self._woken = trio.Event()
        self._refresh_asked = trio.Event()
        self._room = trio.Event()
        self._watches: set[_Watch] = set()
        self._writing = trio.Lock()
        self._unwritten: list[Change] = []

    def __repr__(self) -> str:
        return shown(self, lambda: f"{len(self._plan.keys)} keys")

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Provider]:
        """
        Announce for the length of the block. It can be entered once.

        :raises DatastoreError: if the state cannot be read.
        """
        if self._was_run:
            raise ProvideError("a Provider can be run once")
        self._was_run = True
        await self._load()
        self._is_running = True
        async with background_tasks() as nursery:
            nursery.start_soon(self._read_keys)
            nursery.start_soon(self._work, nursery)
            try:
                yield self
            finally:
                self._is_running = False
                self._room.set()
                for watch in self._watches:
                    watch.ended.set()

    # -- what users call ---------------------------------------------------------------------------

    async def provide_once(self, cids: Iterable[CIDInput] | CIDInput, *, wait: bool = False) -> int:
        """
        Announce blocks now, and not again.

        When this returns, the blocks have been announced, or are in the datastore's queue and will
        be announced even if the process is killed before. A datastore that fails is logged; then a
        killed process loses the queue. While `ProvideConfig.max_queued` blocks wait, this waits.

        :param wait: until they have been announced, or given up after some hours of attempts.
        :return: how many were taken; with ``wait`` how many have been announced.
        :raises ProvideError: unless the provider is running, all the while.
        """
        multihashes = list(dict.fromkeys(_multihashes(cids)))
        self._check_running()
        watch = _Watch(multihashes) if wait else None
        if watch is not None:
            self._watches.add(watch)
        try:
            left = multihashes
            while left:
                left = [*self._plan.provide_once(left[:STEP_KEYS]), *left[STEP_KEYS:]]
                self._wake()
                await self._write_state()
                if left and not self._plan.queued.room:
                    await self._room.wait()
                    self._check_running()
            if watch is None:
                return len(multihashes)
            watch.note(Outcome(), self._is_queued)
            if watch.pending:
                await watch.ended.wait()
            if watch.pending:
                self._check_running()
            return watch.announced
        finally:
            if watch is not None:
                self._watches.discard(watch)

    async def start_providing(self, keys: Iterable[CIDInput] | CIDInput) -> None:
        """
        Announce blocks now and regularly from now on, in later runs too.

        :raises ProvideError: if there are more keys than `ProvideConfig.max_keys`, or the provider
            is not running.
        """
        refused = 0
        for some in _slices(_multihashes(keys)):
            self._check_running()
            refused += self._plan.start_providing(some)
            self._wake()
            await self._write_state()
        if refused:
            raise ProvideError(
                f"{refused} keys are too many: {self.config.max_keys} are announced regularly"
            )

    async def stop_providing(self, keys: Iterable[CIDInput] | CIDInput) -> None:
        """
        Announce blocks no more. What others have noted expires there after 48 hours.

        A block that the source of keys still has is announced again when it is read next.

        :raises ProvideError: unless the provider is running.
        """
        for some in _slices(_multihashes(keys)):
            self._check_running()
            self._plan.stop_providing(some)
            self._note(Outcome())
            await self._write_state()
            self._tell()

    async def clear_queue(self) -> int:
        """Drop what was to be announced once and is not yet; return how many that were."""
        self._check_running()
        count = self._plan.clear_queue()
        self._note(Outcome())
        await self._write_state()
        self._tell()
        return count

    def refresh(self) -> None:
        """Read the source of keys again, now."""
        self._refresh_asked.set()

    async def reprovide(self) -> None:
        """Announce everything now, whenever it was announced last."""
        self._check_running()
        self._plan.renew()
        self._wake()
        await self._write_state()

    def note_online(self) -> None:
        """Take in that a peer has connected: if nobody could be asked before, try it now."""
        self._plan.note_online(self._clock())
        self._wake()

    def stats(self) -> ProvideStats:
        """Return how it goes; may be called from any thread."""
        return self._plan.stats(self._clock())

    # -- state -------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if not self._is_running:
            raise ProvideError("the Provider does not run: use `async with provider.run()`")

    async def _load(self) -> None:
        regions: list[tuple[Region, float]] = []
        peers: list[float] = []
        plan, store = self._plan, self._datastore

        await _each_batch(
            store.scan(journal.REGIONS), lambda batch: regions.extend(journal.read_regions(batch))
        )
        await _each_batch(
            store.scan(journal.NETWORK), lambda batch: peers.extend(journal.read_peers(batch))
        )
        plan.load(regions, peers[0] if peers else None, self._clock())
        await _each_batch(store.scan(journal.KEYS), plan.load_keys)
        await _each_batch(store.scan(journal.QUEUE), plan.load_queue)

    async def _write_state(self) -> None:
        """Write what has changed; what cannot be written is tried again with the next change."""
        async with self._writing:
            self._unwritten += self._plan.take_changes()
            if not self._unwritten:
                return
            try:
                await self._datastore.write(self._unwritten)
            except Exception as error:  # noqa: BLE001 - task's edge: announcing goes on without it
                self._faults.note("the datastore of the provider", error)
                del self._unwritten[:-MAX_UNWRITTEN]
            else:
                self._unwritten = []

    # -- tasks -------------------------------------------------------------------------------------

    async def _read_keys(self) -> None:
        """Read the source of keys at the start, regularly, and when it is asked for."""
        while True:
            self._refresh_asked = trio.Event()
            pause = self.config.refresh_seconds
            self._plan.begin_keys()
            try:
                await self._read_source()
            except Exception as error:  # noqa: BLE001 - task's edge: a source of the user's may raise anything
                self._faults.note("the source of keys", error)
                self._plan.drop_keys()
                pause = min(pause, RETRY_SECONDS)
            else:
                for part in range(PARTS):
                    self._plan.add_asked_for(part)
                    await trio.lowlevel.checkpoint()
                self._plan.end_keys(self._clock())
            self._wake()
            await self._write_state()
            with trio.move_on_after(pause):
                await self._refresh_asked.wait()

    async def _read_source(self) -> None:
        if self._source is not None:
            await _each_batch(self._source.multihashes(), self._plan.add_keys)

    async def _work(self, nursery: trio.Nursery) -> None:
        """Start jobs when they are due."""
        while True:
            self._woken = trio.Event()
            now = self._clock()
            if self._plan.must_measure(now):
                self._plan.begin_measuring()
                self._plan.end_measuring(await self._announcer.measure(), self._clock())
                continue
            while (job := self._plan.next_job(now)) is not None:
                nursery.start_soon(self._do, job)
            await self._write_state()
            wake_at = self._plan.wake_at()
            # What is due now already waits for a worker, not for a time.
            pause = inf if wake_at <= now else min(wake_at - now, CLOCK_SECONDS)
            with trio.move_on_after(pause if wake_at < inf else inf):
                await self._woken.wait()

    async def _do(self, job: Job) -> None:
        began = trio.current_time()
        outcome: Outcome | None = None
        try:
            outcome = await self._announcer.announce(job)
        finally:
            if outcome is None:
                self._plan.abandon(job)
        self._plan.finish(job, outcome, self._clock(), trio.current_time() - began)
        self._note(outcome)
        self._wake()
        await self._write_state()
        self._tell()

    def _wake(self) -> None:
        self._woken.set()

    def _note(self, outcome: Outcome) -> None:
        for watch in self._watches:
            watch.note(outcome, self._is_queued)

    def _tell(self) -> None:
        """Resume the callers that wait for multihashes that are now done, and written down."""
        for watch in self._watches:
            if not watch.pending:
                watch.ended.set()
        if self._plan.queued.room:
            self._room.set()
            self._room = trio.Event()

    def _is_queued(self, multihash: bytes) -> bool:
        return multihash in self._plan.queued


def _announcer_for(
    router: Sweepable | ContentRouter, config: ProvideConfig, faults: FaultLog, own: ID | None
) -> Announcer:
    if isinstance(router, Sweepable):
        return SweepAnnouncer(router, config, faults, own)
    if isinstance(router, ContentRouter):
        return PlainAnnouncer(router, config, faults)
    raise arguments.wrong_type("router", router, _ROUTER)


async def _each_batch(
    batches: AsyncIterator[Sequence[_T]], take: Callable[[Sequence[_T]], object]
) -> None:
    """Call ``take`` with slices of the batches; other tasks run after each slice."""
    async with ending(batches):
        async for batch in batches:
            for start in range(0, len(batch), STEP_KEYS):
                take(batch[start : start + STEP_KEYS])
                await trio.lowlevel.checkpoint()


def _multihashes(cids: Iterable[CIDInput] | CIDInput) -> Iterator[bytes]:
    return (CID.of(cid).multihash for cid in cid_inputs(cids))


def _slices(multihashes: Iterator[bytes]) -> Iterator[list[bytes]]:
    while some := list(islice(multihashes, STEP_KEYS)):
        yield some
