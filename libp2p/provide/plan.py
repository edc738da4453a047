"""
What to announce next: the regular work, what was asked for, and the peers there are (sans-I/O).

The driver asks for jobs, does them and tells what has come of them. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from math import inf
from typing import TYPE_CHECKING, Final

from libp2p.kad_dht.keyspace import key_of
from libp2p.provide import journal
from libp2p.provide.config import (
    GROWTH,
    MAX_MEASURE_SECONDS,
    MAX_PROBE_SECONDS,
    MEASURE_SECONDS,
    PROBE_SECONDS,
)
from libp2p.provide.density import Density
from libp2p.provide.key_table import KeyTable
from libp2p.provide.on_demand import Batch, OnDemandQueue
from libp2p.provide.region import Region
from libp2p.provide.schedule import Schedule
from libp2p.provide.statistics import Counters, ProvideStats
from libp2p.provide.work import Job, Outcome

if TYPE_CHECKING:
    from libp2p.datastore.base import Change, Entry
    from libp2p.provide.config import ProvideConfig

#: Steps in which the keys that a program asked for are gone over; other tasks run between them.
PARTS: Final = 256
#: The share of the newest job in the average duration of a job.
_NEWEST_SHARE: Final = 0.1


class ProvidePlan:
    """
    Decides; does nothing itself.

    :param own: this peer's place in the key space.
    """

    def __init__(self, config: ProvideConfig, own: int) -> None:
        self._config = config
        self.keys = KeyTable(config.max_keys)
        self._asked_for = KeyTable(config.max_keys)  # the keys that a program named
        self._incoming: KeyTable | None = None  # becomes `keys` when all are read
        self._left_out = 0
        self._keys_read: float | None = None
        self._schedule = Schedule(own, config.interval_seconds or 1.0, config.slack_seconds)
        self._queue = OnDemandQueue(config.max_queued)
        self._density = Density()
        self._at_work = {True: 0, False: 0}  # by `Job.is_periodic`
        self._seconds_per_job: float | None = None
        self._offline_since: float | None = None
        self._probe_at = -inf
        self._probe_pause = PROBE_SECONDS
        self._is_probing = False
        self._measure_at = inf  # as long as nothing is known
        self._measure_pause = MEASURE_SECONDS
        self._key_changes: dict[bytes, bool] = {}
        self._counters = Counters()

    # -- state in the datastore --------------------------------------------------------------------

    def load(
        self, regions: Iterable[tuple[Region, float]], peers: float | None, now: float
    ) -> None:
        """Take over when regions were announced in an earlier run, and how large the network is."""
        self._schedule.load(regions, now)
        self._density = Density(peers)
        self._measure_at = now + self._measure_pause

    def load_keys(self, entries: Iterable[Entry]) -> None:
        """Take over what a program asked for in an earlier run."""
        for entry in entries:
            self._asked_for.add(entry.key)
            self.keys.add(entry.key)

    def load_queue(self, entries: Iterable[Entry]) -> None:
        """Take over what an earlier run has left."""
        self._queue.load(entry.key for entry in entries)

    def take_changes(self) -> list[Change]:
        """Return what is to be written to the datastore since the last call."""
        keys, self._key_changes = self._key_changes, {}
        regions = self._schedule.take_changes()
        changes = [
            *journal.region_changes(regions, 2 * self._config.interval_seconds),
            *journal.multihash_changes(journal.KEYS, keys.items()),
            *journal.multihash_changes(journal.QUEUE, self._queue.take_changes()),
        ]
        if regions and (peers := self._density.peers) is not None:
            changes.append(journal.peers_change(peers))
        return changes

    # -- keys --------------------------------------------------------------------------------------

    def begin_keys(self) -> None:
        """The source of keys is read from its beginning."""
        self._incoming = KeyTable(self._config.max_keys)
        self._left_out = 0

    def add_keys(self, multihashes: Sequence[bytes]) -> None:
        """
        These are in the source. Those that are new since it was read before are announced now.

        At the first time none are new: the schedule knows when their regions were announced.
        """
        incoming = self._incoming
        if incoming is None:
            return
        is_first = self._keys_read is None
        for multihash in multihashes:
            if incoming.add(multihash):
                if not is_first and self.keys.add(multihash):
                    self._announce_soon(multihash)
            elif incoming.is_full and multihash not in incoming:
                self._left_out += 1

    def add_asked_for(self, part: int) -> None:
        """Add what a program asked for, one of `PARTS` parts of it, to what the source has."""
        if self._incoming is not None:
            region = Region(part, PARTS.bit_length() - 1)
            for _, multihash in self._asked_for.entries(region):
                self._incoming.add(multihash)

    def end_keys(self, now: float) -> None:
        """The source has no more keys."""
        if self._incoming is not None:
            self.keys, self._incoming = self._incoming, None
            self._keys_read = now

    def drop_keys(self) -> None:
        """The source could not be read: what is known of it stays."""
        self._incoming = None

    def start_providing(self, multihashes: Iterable[bytes]) -> int:
        """Announce these now and regularly from now on; return how many are too many."""
        refused = 0
        for multihash in multihashes:
            if self._incoming is not None:
                self._incoming.add(multihash)
            is_new = self.keys.add(multihash)
            if not is_new and multihash not in self.keys:
                refused += self.keys.is_full
                continue
            if self._asked_for.add(multihash):
                self._key_changes[multihash] = True
            if is_new:
                self._announce_soon(multihash)
        return refused

    def stop_providing(self, multihashes: Iterable[bytes]) -> None:
        """Announce these no more."""
        for multihash in multihashes:
            if self._incoming is not None:
                self._incoming.discard(multihash)
            self.keys.discard(multihash)
            if self._asked_for.discard(multihash):
                self._key_changes[multihash] = False
            self._queue.done([multihash])

    def provide_once(self, multihashes: Iterable[bytes]) -> list[bytes]:
        """Announce these now; return those that there is no room for yet."""
        return self._queue.add(multihashes)

    @property
    def queued(self) -> OnDemandQueue:
        """What is to be announced once and is not yet; not to be changed."""
        return self._queue

    def clear_queue(self) -> int:
        """Drop what is to be announced once; return how much that was."""
        return self._queue.clear()

    def renew(self) -> None:
        """Announce everything now."""
        self._schedule.renew_all()

    def _announce_soon(self, multihash: bytes) -> None:
        if self._queue.add([multihash]):
            self._schedule.renew(key_of(multihash))

    # -- work --------------------------------------------------------------------------------------

    def must_measure(self, now: float) -> bool:
        """
        Tell whether the size of the network is to be looked at now.

        It is before the first work, and again after a minute, two, four …: a host that has begun
        with the peers of its LAN may know those of the world by then.
        """
        if self._offline_since is not None and (self._is_probing or now < self._probe_at):
            return False
        if self._density.peers is None:
            return self._work_at() <= now
        return self._has_regular_work and self._measure_at <= now

    def begin_measuring(self) -> None:
        """Lookups are made to see how large the network is."""
        self._is_probing = self._offline_since is not None

    def end_measuring(self, seen: Sequence[tuple[int, float]], now: float) -> None:
        """
        These lookups have been made.

        :param seen: peers, and the share of the key space that they were seen in; nothing if nobody
            could be asked.
        """
        self._measure_at = now + self._measure_pause
        self._measure_pause = min(2 * self._measure_pause, MAX_MEASURE_SECONDS)
        if not seen:
            self._go_offline(now)
            return
        self._go_online()
        before = self._density.peers
        if before is not None:
            middle = sorted(peers / share for peers, share in seen)[len(seen) // 2]
            if middle >= GROWTH * before:
                # What was announced was announced elsewhere.
                self._density = Density(middle)
                self._schedule.renew_all()
        for peers, share in seen:
            self._density.observe(peers, share)

    def wake_at(self) -> float:
        """Return when `next_job` may have a job again, if nothing is told before; inf is never."""
        wanted = self._work_at()
        if self._has_regular_work:
            wanted = min(wanted, self._measure_at)
        if self._offline_since is None or wanted == inf:
            return wanted
        return inf if self._is_probing else max(wanted, self._probe_at)

    def _work_at(self) -> float:
        return min(self._first_due(), self._queue.next_at())

    def next_job(self, now: float) -> Job | None:
        """Return something to do, for `finish`; None if there is nothing now, or no worker left."""
        if self._offline_since is not None and (self._is_probing or now < self._probe_at):
            return None
        job = self._on_demand_job(now) or self._periodic_job(now)
        if job is not None:
            self._at_work[job.is_periodic] += 1
            self._is_probing = self._offline_since is not None
        return job

    def finish(self, job: Job, outcome: Outcome, now: float, seconds: float) -> None:
        """A job has ended, after so many seconds."""
        self._at_work[job.is_periodic] -= 1
        self._count(outcome)
        if outcome.is_offline:
            self._give_back(job)
            self._go_offline(now)
            return
        if outcome.is_unheard:
            # Other jobs would reach nobody either. This one is tried later, so that another job is
            # tried next.
            self._go_offline(now)
        else:
            self._go_online()
        self._density.observe(outcome.peers, outcome.share)
        average = self._seconds_per_job
        self._seconds_per_job = (
            seconds if average is None else average + (seconds - average) * _NEWEST_SHARE
        )
        self._queue.done(outcome.announced)
        if job.region is not None:
            self._finish_region(job.region, outcome, now)
        else:
            self._counters.keys_given_up += self._queue.failed(outcome.missed, job.attempts, now)

    def abandon(self, job: Job) -> None:
        """A job was not done, because the program ends."""
        self._at_work[job.is_periodic] -= 1
        self._give_back(job)

    def note_online(self, now: float) -> None:
        """A peer has come: if nobody could be asked before, try again now."""
        if self._offline_since is not None:
            self._probe_at = min(self._probe_at, now)
            # Many peers may come that are of no use for this: that does not make the pauses long.
            self._probe_pause = PROBE_SECONDS / 2

    def _on_demand_job(self, now: float) -> Job | None:
        if not self._has_worker(is_periodic=False):
            return None
        batch = self._queue.take(now, self._density.region_bits)
        return None if batch is None else Job(batch.multihashes, attempts=batch.attempts)

    def _periodic_job(self, now: float) -> Job | None:
        if not self._has_worker(is_periodic=True) or self._first_due() > now:
            return None
        region = self._schedule.take(now, self._density.region_bits, self.keys.count)
        if region is None:
            return None
        keys = self.keys.entries(region)
        return Job(tuple(multihash for _, multihash in keys), region=region)

    def _first_due(self) -> float:
        return self._schedule.first_due() if self._has_regular_work else inf

    @property
    def _has_regular_work(self) -> bool:
        """False before the keys are known."""
        return bool(self._keys_read is not None and self._config.interval_seconds and self.keys)

    def _has_worker(self, *, is_periodic: bool) -> bool:
        config, others = self._config, self._at_work[not is_periodic]
        mine = self._at_work[is_periodic]
        kept = config.on_demand_workers if is_periodic else config.periodic_workers
        return mine + max(others, kept) < config.max_workers

    def _finish_region(self, region: Region, outcome: Outcome, now: float) -> None:
        if outcome.announced and self._queue.add_failed(outcome.missed, now):
            self._counters.regions_announced += 1
            self._schedule.done(region, now)
        else:
            self._counters.regions_failed += 1
            self._schedule.failed(region, now)

    def _give_back(self, job: Job) -> None:
        if job.region is not None:
            self._schedule.give_back(job.region)
        else:
            self._queue.give_back(Batch(job.multihashes, job.attempts))

    def _go_offline(self, now: float) -> None:
        if self._offline_since is None:
            self._offline_since, self._probe_pause = now, PROBE_SECONDS
        elif self._is_probing:
            self._probe_pause = min(2 * self._probe_pause, MAX_PROBE_SECONDS)
        else:
            return  # one of the jobs that were under way already
        self._is_probing = False
        self._probe_at = now + self._probe_pause

    def _go_online(self) -> None:
        self._offline_since, self._is_probing, self._probe_pause = None, False, PROBE_SECONDS

    def _count(self, outcome: Outcome) -> None:
        counters = self._counters
        counters.keys_announced += len(outcome.announced)
        counters.keys_missed += len(outcome.missed)
        counters.lookups += outcome.lookups
        counters.sends += outcome.sends
        counters.sends_failed += outcome.failed_sends
        counters.records_sent += outcome.records

    # -- what is shown -----------------------------------------------------------------------------

    def stats(self, now: float) -> ProvideStats:
        """Return the numbers of this moment."""
        first = self._first_due()
        late = [state for state in self._schedule if self._schedule.due_at(state) <= now]
        if not self._has_regular_work:
            late = []
        share = sum(2.0**-state.region.length for state in late)
        overdue = [now - due for state in late if (due := self._schedule.due_at(state)) > -inf]
        at_work = sum(self._at_work.values())
        peers = self._density.peers
        pace = self._seconds_per_job
        workers = max(1, self._config.max_workers - self._config.on_demand_workers)
        return ProvideStats(
            keys=len(self.keys),
            keys_left_out=self._left_out,
            queued=len(self._queue),
            regions=len(self._schedule),
            regions_left=len(late),
            keys_left=round(len(self.keys) * share),
            regions_at_work=at_work,
            next_due=max(first, now) if first < inf else None,
            lag=max(overdue, default=0.0),
            seconds_left=None if pace is None else len(late) * pace / workers,
            peers=None if peers is None else round(peers),
            region_bits=self._density.region_bits,
            offline_since=self._offline_since,
            keys_read=self._keys_read,
            **asdict(self._counters),
        )
