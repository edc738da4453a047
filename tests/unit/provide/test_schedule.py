"""When regions are due: evenly, never later than promised, whatever the network and crashes do."""

from __future__ import annotations

import random
from collections import Counter
from math import inf

import pytest

from libp2p.kad_dht.keyspace import KEY_BITS, key_of
from libp2p.provide import schedule as schedule_module
from libp2p.provide.config import MAX_REGION_KEYS, MAX_RETRY_SECONDS, RETRY_SECONDS
from libp2p.provide.key_table import KeyTable
from libp2p.provide.region import WHOLE, Region
from libp2p.provide.schedule import Schedule
from tests.support.model_network import multihash_number

HOUR = 3600.0
INTERVAL = 22 * HOUR
SLACK = HOUR
OWN = key_of(b"this peer")
START = 1_800_000_000.0


def new_schedule() -> Schedule:
    return Schedule(OWN, INTERVAL, SLACK)


def ten_in_each(region: Region) -> int:
    """Count keys as if there were ten in each 1/256 of the key space."""
    return 10 * 256 >> region.length if region.length <= 8 else 10 >> (region.length - 8)


def take_all(schedule: Schedule, now: float, bits: int) -> list[Region]:
    """Take and do all that is due."""
    regions: list[Region] = []
    while (region := schedule.take(now, bits, ten_in_each)) is not None:
        regions.append(region)
        schedule.done(region, now)
    return regions


def is_whole(regions: list[Region]) -> bool:
    """Tell whether regions are the key space, each key once."""
    places = sorted((region.start, region.end) for region in regions)
    ends = [0, *(end for _, end in places)]
    return [start for start, _ in places] == ends[:-1] and ends[-1] == 1 << KEY_BITS


def test_everything_is_due_at_first_and_once() -> None:
    schedule = new_schedule()
    assert schedule.first_due() == -inf
    regions = take_all(schedule, START, 4)
    assert is_whole(regions)
    assert {region.length for region in regions} == {4}
    assert regions[0].holds(OWN)  # the order is that of the time of the day
    assert regions == sorted(regions, key=schedule.time_of)
    assert take_all(schedule, START + 1, 4) == []


def test_work_is_spread_evenly_over_the_interval() -> None:
    schedule = new_schedule()
    take_all(schedule, START, 6)
    by_hour: Counter[int] = Counter()
    now = START
    while (now := schedule.first_due()) <= START + 2 * INTERVAL:
        by_hour[int((now - START) / HOUR)] += len(take_all(schedule, now, 6))
    assert max(by_hour.values()) <= 4  # 64 regions in 22 hours
    assert sum(by_hour.values()) == pytest.approx(128, abs=5)


def test_peers_have_their_regions_at_different_times() -> None:
    one, other = Schedule(0, INTERVAL, SLACK), Schedule(1 << (KEY_BITS - 1), INTERVAL, SLACK)
    region = Region(0, 4)
    assert one.time_of(region) == 0
    assert other.time_of(region) == INTERVAL / 2


@pytest.mark.parametrize("seed", range(10))
def test_no_key_waits_longer_than_an_interval_and_the_slack(seed: int) -> None:
    """Networks grow and shrink, jobs take time and fail, the process is killed now and then."""
    rng = random.Random(seed)
    schedule, stored = new_schedule(), dict[Region, float]()
    announced = dict.fromkeys(range(256), START)  # by the first 8 bits of keys
    now, under_way = START, list[tuple[float, Region]]()
    worst = 0.0

    def write() -> None:
        for region, at in schedule.take_changes():
            if at is None:
                stored.pop(region, None)
            else:
                stored[region] = at

    while now < START + 4 * INTERVAL:
        bits = rng.choice((3, 4, 5, 6))
        for ends, region in [job for job in under_way if job[0] <= now]:
            under_way.remove((ends, region))
            if rng.random() < 0.1:
                schedule.failed(region, now)
                continue
            schedule.done(region, now)
            for place in range(256):
                if region.holds(place << (KEY_BITS - 8)):
                    worst = max(worst, now - announced[place])
                    announced[place] = now
            write()
        if rng.random() < 0.01:  # killed
            schedule, under_way = new_schedule(), []
            schedule.load(stored.items(), now)
        while len(under_way) < 4:
            region_taken = schedule.take(now, bits, ten_in_each)
            if region_taken is None:
                break
            under_way.append((now + rng.uniform(10, 200), region_taken))
        coming = [ends for ends, _ in under_way]
        if len(under_way) < 4:
            coming.append(max(schedule.first_due(), now + 1))
        now = min(coming)
    assert is_whole([state.region for state in schedule])
    for last in announced.values():
        worst = max(worst, now - last)
    # Two hours for jobs that fail and regions that wait for one of four workers.
    assert worst <= INTERVAL + SLACK + 2 * HOUR


def test_a_region_is_not_announced_again_soon_after_it_was_late() -> None:
    schedule = new_schedule()
    take_all(schedule, START, 2)
    first = schedule.first_due()
    regions = take_all(schedule, first + HOUR / 2, 2)
    assert len(regions) == 1
    assert schedule.first_due() > first + HOUR
    state = next(state for state in schedule if state.region == regions[0])
    assert schedule.due_at(state) == first + INTERVAL


def test_a_killed_process_repeats_what_was_under_way_only() -> None:
    schedule = new_schedule()
    done: list[Region] = []
    while len(done) < 20:
        region = schedule.take(START, 5, ten_in_each)
        assert region is not None
        if len(done) < 19:
            schedule.done(region, START)
        done.append(region)
    stored = [(region, at) for region, at in schedule.take_changes() if at is not None]
    again = new_schedule()
    again.load(stored, START + 60)
    left = take_all(again, START + 60, 5)
    assert done[-1] in left
    assert not set(done[:-1]) & set(left)
    assert is_whole([*done[:-1], *left])


def test_the_latest_of_overlapping_records_counts() -> None:
    schedule = new_schedule()
    left, right = WHOLE.halves
    schedule.load(
        [(left, START + 5), (WHOLE, START + 9), (right.halves[0], START + 20)], START + 30
    )
    times = {state.region: state.announced for state in schedule}
    assert times[right.halves[0]] == START + 20
    assert {at for region, at in times.items() if region != right.halves[0]} == {START + 9}
    assert is_whole(list(times))


def test_a_record_of_the_future_counts_as_now() -> None:
    schedule = new_schedule()
    schedule.load([(WHOLE, START + 10 * INTERVAL)], START)
    assert schedule.first_due() <= START + INTERVAL + SLACK


def test_a_region_that_failed_is_tried_later_and_later() -> None:
    schedule = new_schedule()
    now, pauses = START, list[float]()
    for _ in range(8):
        assert schedule.take(now - 1, 0, lambda _: 1) is None or not pauses
        if pauses:
            assert schedule.take(now, 0, lambda _: 1) == WHOLE
        schedule.failed(WHOLE, now)
        pauses.append(schedule.first_due() - now)
        now = schedule.first_due()
    assert pauses == sorted(pauses)
    assert pauses[0] >= RETRY_SECONDS * 0.75
    assert pauses[-1] <= MAX_RETRY_SECONDS * 1.25
    assert schedule.take(now, 0, lambda _: 1) == WHOLE
    schedule.done(WHOLE, now)
    assert next(iter(schedule)).failures == 0


def test_regions_that_failed_together_are_tried_at_different_times() -> None:
    schedule = new_schedule()
    regions = [schedule.take(START, 3, ten_in_each) for _ in range(8)]
    for region in regions:
        assert region is not None
        schedule.failed(region, START)
    assert len({schedule.due_at(state) for state in schedule}) == 8


def test_what_was_given_back_is_due_still() -> None:
    schedule = new_schedule()
    region = schedule.take(START, 3, ten_in_each)
    assert region is not None
    schedule.give_back(region)
    assert schedule.take(START, 3, ten_in_each) == region
    assert schedule.take_changes() == []


def test_something_new_makes_its_region_due() -> None:
    schedule = new_schedule()
    take_all(schedule, START, 3)
    schedule.take_changes()
    schedule.renew(OWN)
    schedule.renew(OWN)
    region = schedule.take(START + 1, 3, ten_in_each)
    assert region == Region.of(OWN, 3)
    assert schedule.take_changes() == [(region, None)]
    schedule.renew(OWN)  # while it is under way
    schedule.done(region, START + 2)
    assert schedule.take_changes() == []
    assert schedule.take(START + 3, 3, ten_in_each) == region
    schedule.done(region, START + 4)
    assert schedule.take(START + 5, 3, ten_in_each) is None
    schedule.renew_all()
    assert is_whole(take_all(schedule, START + 6, 3))


def test_regions_grow_when_the_network_shrinks_but_not_what_is_not_due() -> None:
    schedule = new_schedule()
    take_all(schedule, START, 5)
    now = START + INTERVAL + SLACK
    late = take_all(schedule, now, 2)
    assert is_whole(late)
    assert {region.length for region in late} == {2}
    changes = dict(schedule.take_changes())
    assert [changes[region] for region in late] == [now] * 4
    assert {at for region, at in changes.items() if region.length == 5} == {None}
    # One region under way keeps its neighbours from growing over it.
    schedule = new_schedule()
    take_all(schedule, START, 5)
    first = schedule.take(schedule.first_due(), 5, ten_in_each)
    second = schedule.take(now, 2, ten_in_each)
    assert first is not None
    assert second is not None
    assert not second.start <= first.start < second.end
    assert is_whole([state.region for state in schedule])


def test_a_joined_region_that_is_given_back_is_as_old_as_its_oldest_part() -> None:
    schedule = new_schedule()
    left, right = WHOLE.halves
    schedule.load([(left, START), (right, START + 7)], START + 7)
    now = START + 2 * INTERVAL
    assert schedule.take(now, 0, lambda _: 1) == WHOLE
    assert dict(schedule.take_changes()) == {left: None, right: None, WHOLE: START}
    schedule.give_back(WHOLE)
    assert next(iter(schedule)).announced == START
    schedule = new_schedule()
    schedule.load([(left, START)], START)
    assert schedule.take(now, 0, lambda _: 1) == WHOLE
    assert next(iter(schedule)).announced is None


def test_a_region_with_many_keys_is_divided_and_one_without_is_done_at_once() -> None:
    schedule, table = new_schedule(), KeyTable(100_000)
    table.update(map(multihash_number, range(3 * MAX_REGION_KEYS)))
    regions: list[Region] = []
    while (region := schedule.take(START, 0, table.count)) is not None:
        regions.append(region)
        schedule.done(region, START)
    assert is_whole(regions)
    assert all(0 < table.count(region) <= MAX_REGION_KEYS for region in regions)
    schedule = new_schedule()
    few = KeyTable(10)
    few.add(multihash_number(0))
    region = schedule.take(START, 12, few.count)
    assert region == Region.of(key_of(multihash_number(0)), 12)
    schedule.done(region, START)
    assert schedule.take(START, 12, few.count) is None
    assert len(schedule) == 13


def test_a_key_that_is_alone_ends_the_division() -> None:
    schedule = new_schedule()
    many = MAX_REGION_KEYS + 1
    region = schedule.take(START, 0, lambda region: many if region.holds(OWN) else 0)
    assert region is not None
    assert region.length == KEY_BITS - 1


def test_regions_have_a_number_that_is_not_exceeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_module, "MAX_REGIONS", 40)
    schedule = new_schedule()
    assert is_whole(take_all(schedule, START, 8))
    assert len(schedule) <= 41
