"""The cache's policy and the filter: what stays, what is counted, what is never denied."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from libp2p.blockstore.policy import BloomFilter, TwoQueues

KEYS = [bytes([n]) * 34 for n in range(30)]


@given(
    st.integers(0, 100),
    st.lists(st.tuples(st.sampled_from("gpf"), st.sampled_from(KEYS)), max_size=200),
)
def test_a_cache_is_bounded_and_gives_back_what_it_was_given(
    capacity: int, steps: list[tuple[str, bytes]]
) -> None:
    cache = TwoQueues(capacity)
    content = {key: key[:1] * (key[0] % 12) for key in KEYS}
    for step, key in steps:
        if step == "p":
            cache.put(key, content[key])
        elif step == "f":
            cache.forget(key)
            assert cache.get(key) is None
        else:
            assert cache.get(key) in (None, content[key])
        held = [content[key] for key in KEYS if cache.get(key) is not None]
        assert len(cache) == len(held)
        assert cache.size == sum(map(len, held)) <= capacity


def test_a_block_that_fills_half_the_cache_is_left_out() -> None:
    cache = TwoQueues(100)
    cache.put(b"a", bytes(51))
    assert len(cache) == 0


def hits(scan: int, cache: TwoQueues) -> int:
    """Ask for ten roots again and again while one large file after another is read."""
    count = 0
    for round_number in range(50):
        for root in range(10):
            key = b"root %d" % root
            found = cache.get(key)
            count += found is not None
            if found is None:
                cache.put(key, bytes(10))
        for leaf in range(scan):
            cache.put(b"leaf %d %d" % (round_number, leaf), bytes(10))
    return count


def test_reading_large_files_once_does_not_drive_out_what_is_asked_for_often() -> None:
    # 100 blocks fit. With an LRU, 150 leaves between two rounds would leave no hit at all.
    assert hits(150, TwoQueues(1000)) > 400


def test_what_is_forgotten_leaves_each_of_its_queues() -> None:
    cache = TwoQueues(100)
    for n in range(40):
        cache.put(b"%d" % n, bytes(10))
    cache.put(b"0" if cache.get(b"0") is None else b"x", bytes(10))
    for n in range(20, 31):
        cache.put(b"%d" % n, bytes(10))  # from among the ghosts to those that stay
    for n in range(40):
        cache.forget(b"%d" % n)
    cache.forget(b"x")
    assert (len(cache), cache.size) == (0, 0)


@given(st.sets(st.binary(min_size=34, max_size=34), max_size=300), st.integers(1, 100))
def test_a_filter_never_denies_what_was_added(keys: set[bytes], expected: int) -> None:
    bloom = BloomFilter(expected)
    for key in keys:
        bloom.add(key)
    assert all(key in bloom for key in keys)


def test_a_filter_denies_nearly_everything_else() -> None:
    chance = random.Random(1)
    bloom = BloomFilter(10_000)
    for _ in range(10_000):
        bloom.add(chance.randbytes(34))
    wrong = sum(chance.randbytes(34) in bloom for _ in range(10_000))
    assert wrong < 250
