"""The table of multihashes behaves as a set, and knows what is in a region."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count as count_from
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidMultihash
from libp2p.ipld import multihash
from libp2p.kad_dht.keyspace import key_of
from libp2p.provide.key_table import BUCKET_BITS, MAX_MULTIHASH_BYTES, KeyTable
from libp2p.provide.region import WHOLE, Region
from tests.support.model_network import multihash_number

BLAKE2B_256 = 0xB220


def other_number(number: int) -> bytes:
    """Return a multihash of another kind, with a head of four bytes."""
    return multihash.wrap(BLAKE2B_256, multihash_number(number)[2:])


some = st.one_of(
    st.integers(0, 30).map(multihash_number),
    st.integers(0, 10).map(other_number),
    st.integers(0, 10).map(lambda n: multihash.wrap(0x12, multihash_number(n)[2:22])),
)


@given(st.lists(st.tuples(st.booleans(), some)), st.integers(0, 14))
def test_it_behaves_as_a_set(steps: list[tuple[bool, bytes]], length: int) -> None:
    table, model = KeyTable(1000), set[bytes]()
    for is_added, one in steps:
        if is_added:
            assert table.add(one) is (one not in model)
            model.add(one)
        else:
            assert table.discard(one) is (one in model)
            model.discard(one)
        assert (one in table) is (one in model)
        assert len(table) == len(model)
    assert set(table.entries()) == {(key_of(one), one) for one in model}
    region = Region.of(key_of(multihash_number(0)), length)
    inside = {one for one in model if region.holds(key_of(one))}
    assert {one for _, one in table.entries(region)} == inside
    assert table.count(region) == len(inside)
    assert table.count() == len(model)
    assert table.count(WHOLE) == len(model)


def same_bucket(count: int, start: Callable[[int], bytes] = multihash_number) -> list[bytes]:
    """Return multihashes whose places begin with the same twelve bits as that of number 0."""
    place = Region.of(key_of(multihash_number(0)), BUCKET_BITS)
    found = (start(n) for n in count_from(0))
    return [*islice((one for one in found if place.holds(key_of(one))), count)]


def test_kinds_share_a_bucket_and_go_one_after_the_other() -> None:
    table = KeyTable(10)
    some = [*same_bucket(3), *same_bucket(2, other_number)]
    assert all(map(table.add, some))
    narrow = Region.of(key_of(some[0]), BUCKET_BITS + 6)
    assert table.count(narrow) == sum(narrow.holds(key_of(one)) for one in some) < 5
    for at, one in enumerate(some):
        assert table.discard(one)
        assert {left for _, left in table.entries()} == set(some[at + 1 :])


def test_a_crossing_digest_of_the_same_bucket_is_passed_over() -> None:
    table = KeyTable(10)
    zeros = b"\x12\x20" + bytes(32)
    table.add(zeros)
    packed = next(iter(next(iter(table._buckets.values())).values()))
    packed[:0] = b"\x01" + bytes(31)  # the digest of zeros is found at 1, and is at 32
    assert zeros in table
    assert table.discard(zeros)
    assert bytes(packed) == b"\x01" + bytes(31)


def test_what_cannot_be_announced_is_not_added() -> None:
    table = KeyTable(10)
    assert not table.add(multihash.wrap(0, b"the block itself"))
    assert not table.add(multihash.wrap(0x12, b""))
    assert not table.add(multihash.wrap(BLAKE2B_256, bytes(MAX_MULTIHASH_BYTES)))
    assert not len(table)
    with pytest.raises(InvalidMultihash):
        table.add(b"\x12\x20short")


def test_a_full_table_refuses() -> None:
    table = KeyTable(2)
    added = [table.add(multihash_number(number)) for number in range(4)]
    assert added == [True, True, False, False]
    assert table.is_full
    assert not table.add(multihash_number(2))
    table.discard(multihash_number(0))
    assert table.add(multihash_number(2))


@pytest.mark.slow
def test_a_key_takes_little_more_than_its_digest() -> None:
    table, count = KeyTable(1_000_000), 100_000
    for number in range(count):
        table.add(multihash_number(number))
    size = sum(
        sys.getsizeof(bucket) + sum(map(sys.getsizeof, bucket.values()))
        for bucket in table._buckets.values()
    )
    assert size / count < 64  # 4,096 dicts and bytearrays included; 41 at a million
