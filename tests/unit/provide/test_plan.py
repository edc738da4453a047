"""The plan: what comes first, what is left when things fail, what is written, what is shown."""

from __future__ import annotations

from dataclasses import asdict
from math import inf

import pytest

from libp2p.datastore.base import Change, Entry
from libp2p.kad_dht.keyspace import key_of
from libp2p.provide import journal
from libp2p.provide.config import (
    MAX_MEASURE_SECONDS,
    MAX_PROBE_SECONDS,
    MAX_REGION_KEYS,
    MEASURE_SECONDS,
    PROBE_SECONDS,
    RETRY_SECONDS,
    ProvideConfig,
)
from libp2p.provide.plan import PARTS, ProvidePlan
from libp2p.provide.region import Region
from libp2p.provide.work import Job, Outcome
from tests.support.model_network import multihash_number

OWN = key_of(b"this peer")
START = 1_800_000_000.0
HOUR = 3600.0
KEYS = [*map(multihash_number, range(200))]
SMALL = ProvideConfig(max_queued=50, max_keys=100)


def plan_of(
    keys: list[bytes] = KEYS, config: ProvideConfig | None = None, peers: float | None = 1000.0
) -> ProvidePlan:
    """Return a plan of a peer that has these keys, in a network of so many peers."""
    plan = ProvidePlan(config or ProvideConfig(), OWN)
    plan.load([], peers, START)
    read(plan, keys)
    return plan


def read(plan: ProvidePlan, keys: list[bytes], now: float = START) -> None:
    """Have the source of keys read."""
    plan.begin_keys()
    plan.add_keys(keys)
    for part in range(PARTS):
        plan.add_asked_for(part)
    plan.end_keys(now)


def done(job: Job, missed: tuple[bytes, ...] = ()) -> Outcome:
    announced = tuple(key for key in job.multihashes if key not in missed)
    return Outcome(announced, missed, lookups=2, records=20, sends=10, failed_sends=1)


def do_all(plan: ProvidePlan, now: float) -> list[Job]:
    """Do all that there is to do."""
    jobs: list[Job] = []
    if plan.must_measure(now):
        plan.end_measuring([(plan.stats(now).peers or 1, 1.0)], now)
    while (job := plan.next_job(now)) is not None:
        plan.finish(job, done(job), now, 30.0)
        jobs.append(job)
    return jobs


def stored(changes: list[Change]) -> dict[str, dict[bytes, Entry]]:
    """Return what a datastore would have after changes."""
    spaces: dict[str, dict[bytes, Entry]] = {}
    for change in changes:
        space = spaces.setdefault(change.namespace, {})
        space.pop(change.key, None)
        if change.value is not None:
            space[change.key] = Entry(change.key, change.value, change.expiry)
    return spaces


def test_everything_is_announced_at_first_and_again_after_the_interval() -> None:
    plan = plan_of()
    jobs = do_all(plan, START)
    assert sorted(key for job in jobs for key in job.multihashes) == sorted(KEYS)
    assert all(job.is_periodic for job in jobs)
    assert plan.next_job(START) is None
    assert plan.wake_at() == START + MEASURE_SECONDS
    again: list[bytes] = []
    now = START
    while (now := plan.wake_at()) <= START + 22 * 3600:
        again += [key for job in do_all(plan, now) for key in job.multihashes]
    assert sorted(again) == sorted(KEYS)


def test_nothing_is_regular_before_the_keys_are_read_nor_without_keys() -> None:
    plan = ProvidePlan(ProvideConfig(), OWN)
    assert plan.wake_at() == inf
    assert plan.next_job(START) is None
    plan.load_keys([Entry(KEYS[0], b"", None)])
    assert plan.wake_at() == inf
    read(plan, [])
    assert plan.wake_at() == -inf
    plan.stop_providing(KEYS[:1])
    assert plan.wake_at() == inf
    plan = plan_of(config=ProvideConfig(interval_seconds=0, slack_seconds=0))
    assert plan.wake_at() == inf
    assert plan.stats(START).next_due is None
    plan.provide_once(KEYS[:1])
    assert len(do_all(plan, START)) == 1


def test_each_kind_of_work_is_left_its_workers() -> None:
    config = ProvideConfig(max_workers=8, on_demand_workers=2, periodic_workers=3)
    plan = plan_of(config=config, peers=100_000.0)
    periodic = [plan.next_job(START) for _ in range(6)]
    assert all(job is not None and job.is_periodic for job in periodic)
    assert plan.next_job(START) is None
    plan.provide_once(map(multihash_number, range(1000, 1050)))
    more = [plan.next_job(START) for _ in range(2)]
    assert all(job is not None and not job.is_periodic for job in more)
    assert plan.next_job(START) is None
    assert plan.stats(START).regions_at_work == 8
    first = periodic[0]
    assert first is not None
    plan.finish(first, done(first), START, 1.0)
    freed = plan.next_job(START)
    assert freed is not None
    assert not freed.is_periodic  # it is what somebody waits for
    # And the other way round.
    plan = plan_of([], config=config, peers=100_000.0)
    plan.provide_once(KEYS)
    taken = 0
    while plan.next_job(START) is not None:
        taken += 1
    assert taken == 5


def test_missed_keys_are_tried_again_without_the_others() -> None:
    plan = plan_of(peers=10.0)
    job = plan.next_job(START)
    assert job is not None
    plan.finish(job, done(job, tuple(KEYS[:3])), START, 1.0)
    assert plan.next_job(START) is None
    again = plan.next_job(START + RETRY_SECONDS)
    assert again is not None
    assert again.multihashes == tuple(KEYS[:3])
    plan.finish(again, done(again), START + RETRY_SECONDS, 1.0)
    assert plan.stats(START).keys_missed == 3
    assert plan.next_job(START + 2 * RETRY_SECONDS) is None


@pytest.mark.parametrize("all_missed", [True, False])
def test_a_region_fails_if_no_key_or_too_few_for_the_queue_are_announced(all_missed: bool) -> None:
    config = ProvideConfig(max_queued=50)
    plan = plan_of(config=config, peers=10.0)
    job = plan.next_job(START)
    assert job is not None
    plan.finish(job, done(job, job.multihashes if all_missed else job.multihashes[:60]), START, 1.0)
    assert plan.stats(START).regions_failed == 1
    assert plan.next_job(START) is None
    assert START < plan.wake_at() < START + 2 * RETRY_SECONDS
    again = plan.next_job(plan.wake_at())
    assert again is not None
    assert again.multihashes == job.multihashes


def test_keys_that_are_asked_for_once_are_given_up_after_all_attempts() -> None:
    plan = plan_of([])
    plan.provide_once(KEYS[:2])
    now, attempts = START, 0
    while len(plan.queued):
        job = plan.next_job(now)
        assert job is not None
        attempts += 1
        plan.finish(job, done(job, job.multihashes), now, 1.0)
        now = min(max(now, plan.wake_at()), now + 86400)
    assert attempts >= 10
    assert plan.stats(now).keys_given_up == 2
    assert now - START < 86400 + 4 * 3600


def test_what_a_program_names_is_announced_now_and_kept() -> None:
    plan = plan_of(KEYS[:50])
    do_all(plan, START)
    plan.take_changes()
    assert plan.start_providing(KEYS[:60]) == 0
    jobs = do_all(plan, START + 1)
    assert sorted(key for job in jobs for key in job.multihashes) == sorted(KEYS[50:60])
    space = stored(plan.take_changes())
    assert set(space[journal.KEYS]) == set(KEYS[:60])
    assert plan.start_providing(KEYS[:60]) == 0
    assert plan.take_changes() == []
    assert space[journal.QUEUE] == {}
    read(plan, KEYS[:40], START + 2)  # those that were named stay
    assert len(plan.keys) == 60
    plan.stop_providing([*KEYS[:10], KEYS[150]])
    assert len(plan.keys) == 50
    changes = plan.take_changes()
    assert changes == [Change(journal.KEYS, key, None) for key in KEYS[:10]]
    again = ProvidePlan(ProvideConfig(), OWN)
    again.load_keys(space[journal.KEYS].values())
    read(again, [])
    assert len(again.keys) == 60


def test_keys_that_come_while_the_source_is_read_are_not_lost() -> None:
    plan = plan_of(KEYS[:10])
    plan.begin_keys()
    plan.add_keys(KEYS[:10])
    plan.start_providing(KEYS[10:12])
    plan.stop_providing(KEYS[:1])
    plan.end_keys(START + 5)
    assert set(KEYS[1:12]) == {key for _, key in plan.keys.entries()}
    assert plan.stats(START).keys_read == START + 5


def test_what_the_source_has_got_since_it_was_read_is_announced_now() -> None:
    plan = plan_of(KEYS[:50])
    do_all(plan, START)
    read(plan, KEYS[40:60], START + 10)
    assert len(plan.keys) == 20
    jobs = do_all(plan, START + 10)
    assert sorted(key for job in jobs for key in job.multihashes) == sorted(KEYS[50:60])


def test_a_source_that_fails_changes_nothing() -> None:
    plan = plan_of(KEYS[:50])
    plan.begin_keys()
    plan.add_keys(KEYS[:5])
    plan.drop_keys()
    plan.add_keys(KEYS[60:70])
    plan.add_asked_for(0)
    plan.end_keys(START)
    assert len(plan.keys) == 50


def test_many_new_keys_make_their_regions_due_instead_of_filling_the_queue() -> None:
    plan = plan_of(KEYS[:20], ProvideConfig(max_queued=10))
    do_all(plan, START)
    plan.start_providing(KEYS)
    assert len(plan.queued) == 10
    jobs = do_all(plan, START + 1)
    assert {key for job in jobs for key in job.multihashes} >= set(KEYS[20:])
    assert do_all(plan, START + 2) == []


def test_keys_beyond_the_limit_are_counted() -> None:
    plan = plan_of(KEYS, SMALL)
    assert len(plan.keys) == 100
    assert plan.stats(START).keys_left_out == 100
    plan.begin_keys()
    plan.add_keys(KEYS[:100] * 2)
    plan.end_keys(START)
    assert plan.stats(START).keys_left_out == 0
    assert plan.start_providing(KEYS[90:110]) == 10
    room = plan.queued.room
    assert 0 < room <= 50
    assert plan.provide_once(map(multihash_number, range(1000, 1060))) == [
        *map(multihash_number, range(1000 + room, 1060))
    ]


def test_offline_nothing_is_done_but_probing() -> None:
    plan = plan_of(peers=100_000.0)
    jobs = [plan.next_job(START) for _ in range(3)]
    for job in jobs:
        assert job is not None
        plan.finish(job, Outcome(is_offline=True), START + 1, 1.0)
    assert plan.stats(START).offline_since == START + 1
    assert plan.next_job(START + 2) is None
    assert plan.wake_at() == START + 1 + PROBE_SECONDS
    now, pauses = plan.wake_at(), []
    for _ in range(9):
        probe = plan.next_job(now)
        assert probe is not None
        assert plan.next_job(now) is None  # one at a time
        assert plan.wake_at() == inf
        plan.finish(probe, Outcome(is_offline=True), now + 5, 5.0)
        pauses.append(plan.wake_at() - now - 5)
        now = plan.wake_at()
    assert pauses[0] == 2 * PROBE_SECONDS
    assert pauses[-1] == MAX_PROBE_SECONDS
    plan.note_online(now - 100)
    probe = plan.next_job(now - 100)
    assert probe is not None
    plan.finish(probe, done(probe), now, 1.0)
    assert plan.stats(now).offline_since is None
    assert sum(len(job.multihashes) for job in do_all(plan, now)) + len(probe.multihashes) == 200
    plan.note_online(now)
    assert plan.stats(now).regions_failed == 0


def test_a_job_that_nobody_hears_is_tried_later_and_others_are_probes() -> None:
    plan = plan_of(peers=100_000.0)
    first = plan.next_job(START)
    assert first is not None
    plan.finish(first, Outcome(missed=first.multihashes, is_unheard=True), START, 1.0)
    assert plan.stats(START).regions_failed == 1
    assert plan.next_job(START) is None
    probe = plan.next_job(START + PROBE_SECONDS)
    assert probe is not None
    assert not set(probe.multihashes) & set(first.multihashes)
    plan.finish(probe, done(probe), START + PROBE_SECONDS, 1.0)
    assert plan.stats(START).offline_since is None


def test_the_size_of_the_network_is_looked_at_first() -> None:
    plan = plan_of(peers=None)
    assert plan.must_measure(START)
    plan.begin_measuring()
    plan.end_measuring([], START)
    assert not plan.must_measure(START + 1)
    assert plan.must_measure(START + PROBE_SECONDS)
    plan.begin_measuring()
    plan.end_measuring([], START + PROBE_SECONDS)
    assert plan.wake_at() == START + 3 * PROBE_SECONDS
    plan.begin_measuring()
    plan.end_measuring([(20, 0.002), (20, 0.002)], START)
    assert not plan.must_measure(START)
    assert plan.stats(START).offline_since is None
    assert plan.stats(START).peers == 10_000
    assert plan.stats(START).region_bits == 7
    assert not plan_of([], peers=None).must_measure(START)


def test_a_network_that_turns_out_to_be_another_one_is_told_everything() -> None:
    plan = plan_of(peers=None)
    plan.end_measuring([(5, 1.0)] * 4, START)
    do_all(plan, START)
    assert plan.wake_at() == START + MEASURE_SECONDS
    assert plan.must_measure(START + MEASURE_SECONDS)
    plan.end_measuring([(6, 1.0)] * 4, START + MEASURE_SECONDS)
    assert do_all(plan, START + MEASURE_SECONDS) == []
    second = START + 3 * MEASURE_SECONDS
    assert plan.wake_at() == second
    plan.end_measuring([(20, 0.002), (20, 0.0021), (20, 0.5)], second)
    assert plan.stats(second).peers == pytest.approx(5000, rel=0.5)
    assert sum(len(job.multihashes) for job in do_all(plan, second)) == 200
    # A look that nobody answers says that there is nobody, not that the network is small.
    plan.end_measuring([], second + HOUR)
    assert plan.stats(second).offline_since == second + HOUR
    assert plan.stats(second).peers == pytest.approx(5000, rel=0.5)
    pauses = []
    for _ in range(20):
        plan.end_measuring([(20, 0.002)], second)
        pauses.append(plan._measure_at - second)
    assert pauses[-1] == MAX_MEASURE_SECONDS


def test_peers_that_are_of_no_use_do_not_make_the_pauses_long() -> None:
    plan = plan_of()
    job = plan.next_job(START)
    assert job is not None
    plan.finish(job, Outcome(is_offline=True), START, 1.0)
    for second in range(1, 9):
        plan.note_online(START + second)
        probe = plan.next_job(START + second)
        assert probe is not None
        plan.finish(probe, Outcome(is_offline=True), START + second, 1.0)
    assert plan.wake_at() == START + 8 + PROBE_SECONDS


def test_a_job_that_is_abandoned_is_there_again() -> None:
    plan = plan_of(peers=10.0)
    plan.provide_once([multihash_number(1000)])
    for _ in range(2):
        jobs = [plan.next_job(START) for _ in range(2)]
        for job in jobs:
            assert job is not None
            plan.abandon(job)
    assert plan.stats(START).regions_at_work == 0
    assert plan.stats(START).queued == 1


def test_what_was_done_is_done_after_a_restart() -> None:
    plan = plan_of(peers=10_000.0)
    plan.provide_once(map(multihash_number, range(1000, 1003)))
    announced: set[bytes] = set()
    while len(announced) < 100:
        job = plan.next_job(START)
        assert job is not None
        if job.is_periodic:
            plan.finish(job, done(job), START, 1.0)
            announced.update(job.multihashes)
    space = stored(plan.take_changes())  # here it is killed
    again = ProvidePlan(ProvideConfig(), OWN)
    peers = next(journal.read_peers(space[journal.NETWORK].values()))
    again.load(journal.read_regions(space[journal.REGIONS].values()), peers, START + 60)
    again.load_queue(space[journal.QUEUE].values())
    assert len(again.queued) == 3
    read(again, KEYS, START + 60)
    assert not again.must_measure(START + 60)
    left = [job for job in do_all(again, START + 60) if job.is_periodic]
    assert {key for job in left for key in job.multihashes} == set(KEYS) - announced


def test_everything_can_be_announced_anew_and_the_queue_dropped() -> None:
    plan = plan_of()
    do_all(plan, START)
    plan.renew()
    assert sum(len(job.multihashes) for job in do_all(plan, START + 1)) == 200
    plan.provide_once(map(multihash_number, range(1000, 1005)))
    assert plan.clear_queue() == 5
    assert plan.next_job(START + 2) is None


def test_the_numbers_say_how_far_it_is() -> None:
    plan = plan_of(peers=10_000.0)
    stats = plan.stats(START)
    assert (stats.keys, stats.regions_left, stats.keys_left) == (200, 1, 200)
    assert stats.seconds_left is None
    assert stats.lag == 0
    do_all(plan, START)
    stats = plan.stats(START)
    assert (stats.regions_left, stats.keys_left, stats.seconds_left) == (0, 0, 0.0)
    assert stats.keys_announced == 200
    assert stats.lookups == 2 * stats.regions_announced
    assert stats.next_due is not None
    assert START < stats.next_due < START + 2 * HOUR
    later = START + 12 * 3600
    stats = plan.stats(later)
    assert 0.3 * stats.regions < stats.regions_left < 0.7 * stats.regions
    assert stats.keys_left == pytest.approx(200 * stats.regions_left / stats.regions, rel=0.3)
    assert stats.lag == pytest.approx(12 * 3600, abs=4000)
    assert stats.seconds_left == pytest.approx(stats.regions_left * 30 / 12)
    assert asdict(stats)["records_sent"] == 20 * stats.regions_announced


def test_a_region_has_no_more_keys_than_one_go_can_take() -> None:
    plan = plan_of([*map(multihash_number, range(2 * MAX_REGION_KEYS))], peers=10.0)
    jobs = do_all(plan, START)
    assert all(len(job.multihashes) <= MAX_REGION_KEYS for job in jobs)
    assert {Region(0, 1), Region(1, 1)} <= {
        Region.of(key_of(key), 1) for job in jobs for key in job.multihashes
    }
