"""Regions: nested prefixes of the key space, and their form on disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.kad_dht.keyspace import KEY_BITS
from libp2p.provide.region import WHOLE, Region

keys = st.integers(0, (1 << KEY_BITS) - 1)
lengths = st.integers(0, 32)


@given(keys, lengths)
def test_a_region_holds_its_key_and_ends_where_the_next_begins(key: int, length: int) -> None:
    region = Region.of(key, length)
    assert region.holds(key)
    assert region.start <= key < region.end
    assert not region.holds(region.end) or region == WHOLE
    assert region.holds(region.end - 1)


@given(keys, st.integers(1, 32))
def test_halves_and_parents_are_inverse(key: int, length: int) -> None:
    region = Region.of(key, length)
    left, right = region.parent.halves
    assert region in (left, right)
    assert left.end == right.start
    assert (region.parent.start, region.parent.end) == (left.start, right.end)


@given(keys, lengths)
def test_the_form_on_disk_is_read_again(key: int, length: int) -> None:
    region = Region.of(key, length)
    assert Region.decode(region.encode()) == region


@pytest.mark.parametrize("data", [b"", b"\x01\x02", b"\x08", b"\x00\x00", b"\x08\x01\x01", b"\xff"])
def test_other_bytes_are_no_region(data: bytes) -> None:
    with pytest.raises(ValueError, match="no region"):
        Region.decode(data)


def test_a_region_is_shown_by_its_bits() -> None:
    assert str(WHOLE) == "*"
    assert str(Region(0b011, 3)) == "011*"
