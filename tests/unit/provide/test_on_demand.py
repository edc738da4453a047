"""The queue of what is to be announced once."""

from __future__ import annotations

from math import inf

from libp2p.ipld import multihash
from libp2p.kad_dht.keyspace import key_of
from libp2p.provide.config import MAX_ATTEMPTS, MAX_REGION_KEYS, MAX_RETRY_SECONDS, RETRY_SECONDS
from libp2p.provide.on_demand import Batch, OnDemandQueue
from libp2p.provide.region import Region
from tests.support.model_network import multihash_number

KEYS = [*map(multihash_number, range(40))]


def queue_of(count: int, most: int = 10_000) -> OnDemandQueue:
    queue = OnDemandQueue(most)
    queue.add(KEYS[:count])
    return queue


def test_keys_of_one_region_go_together_the_oldest_first() -> None:
    queue = queue_of(40)
    left, batches = list(KEYS), 0
    while (batch := queue.take(0.0, 2)) is not None:
        assert batch.multihashes[0] == left[0]
        region = Region.of(key_of(left[0]), 2)
        assert set(batch.multihashes) == {key for key in left if region.holds(key_of(key))}
        left = [key for key in left if key not in batch.multihashes]
        batches += 1
        queue.done(batch.multihashes)
    assert batches == 4
    assert not left
    assert not len(queue)
    assert queue.next_at() == inf


def test_a_batch_has_a_size() -> None:
    queue = OnDemandQueue(100_000)
    queue.add(multihash_number(n) for n in range(MAX_REGION_KEYS + 5))
    sizes = []
    while (batch := queue.take(0.0, 0)) is not None:
        sizes.append(len(batch.multihashes))
    assert sizes == [MAX_REGION_KEYS, 5]


def test_the_queue_is_bounded_and_keys_are_in_it_once() -> None:
    queue = queue_of(5, most=5)
    assert queue.add(KEYS[:7]) == KEYS[5:7]
    assert queue.room == 0
    batch = queue.take(0.0, 0)
    assert batch is not None
    assert queue.add(KEYS[5:6]) == KEYS[5:6]  # those under way count
    assert queue.add(KEYS[:1]) == []
    assert queue.take(0.0, 0) is None
    queue.done(batch.multihashes[:1])
    assert queue.room == 1
    assert batch.multihashes[0] not in queue
    assert batch.multihashes[1] in queue
    assert queue.add([multihash.wrap(0, b"inline")]) == []
    assert len(queue) == 4


def test_changes_are_what_the_datastore_is_told() -> None:
    queue = queue_of(3)
    assert queue.take_changes() == [(key, True) for key in KEYS[:3]]
    queue.done([KEYS[0], KEYS[5]])
    queue.add([KEYS[3]])
    queue.done([KEYS[3]])
    assert queue.take_changes() == [(KEYS[0], False), (KEYS[3], False)]
    again = OnDemandQueue(10)
    again.load(KEYS[1:3])
    assert again.take_changes() == []
    assert len(again) == 2


def test_failures_are_tried_later_and_later_and_given_up() -> None:
    queue = queue_of(2)
    now, pauses = 0.0, []
    for attempt in range(MAX_ATTEMPTS):
        batch = queue.take(now, 0)
        assert batch is not None
        assert batch.attempts == attempt
        given_up = queue.failed(batch.multihashes, batch.attempts, now)
        assert given_up == (2 if attempt == MAX_ATTEMPTS - 1 else 0)
        if not given_up:
            assert queue.take(now, 0) is None
            pauses.append(queue.next_at() - now)
            now = queue.next_at()
    assert pauses[:3] == [RETRY_SECONDS, 2 * RETRY_SECONDS, 4 * RETRY_SECONDS]
    assert pauses[-1] == MAX_RETRY_SECONDS
    assert not len(queue)


def test_what_is_dropped_meanwhile_is_not_tried_again() -> None:
    queue = queue_of(4)
    batch = queue.take(0.0, 0)
    assert batch is not None
    queue.done(KEYS[:1])
    queue.failed(batch.multihashes, 0, 0.0)
    queue.done(KEYS[1:2])
    again = queue.take(RETRY_SECONDS, 0)
    assert again == Batch(tuple(sorted(KEYS[2:4], key=batch.multihashes.index)), 1)
    queue.give_back(again)
    assert queue.next_at() == -inf
    queue.done(KEYS[2:4])
    assert queue.take(RETRY_SECONDS, 0) is None


def test_what_failed_elsewhere_is_taken_in_as_a_whole_or_not() -> None:
    queue = queue_of(2, most=4)
    assert not queue.add_failed(KEYS[1:5], 10.0)
    assert len(queue) == 2
    assert queue.add_failed(KEYS[1:4], 10.0)
    assert len(queue) == 4
    fresh = queue.take(10.0, 0)
    assert fresh is not None
    assert set(fresh.multihashes) == set(KEYS[:2])
    assert queue.take(10.0, 0) is None
    later = queue.take(10.0 + RETRY_SECONDS, 0)
    assert later == Batch((KEYS[2], KEYS[3]), 1)
    assert queue.add_failed([], 10.0)
    assert queue.next_at() == inf


def test_it_can_be_cleared() -> None:
    queue = queue_of(6)
    batch = queue.take(0.0, 1)
    assert batch is not None
    queue.failed(batch.multihashes, 0, 0.0)
    assert queue.clear() == 6
    assert not len(queue)
    assert queue.take(RETRY_SECONDS, 0) is None
    assert queue.next_at() == inf
