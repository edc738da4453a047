"""Distances in the key space, and bytes that hash into a region of it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidArgument
from libp2p.kad_dht.keyspace import (
    KEY_BITS,
    MAX_PREIMAGE_BITS,
    common_prefix_length,
    key_of,
    key_of_peer,
    prefix_of_length,
    preimage,
)
from libp2p.peer.id import ID
from tests.support.identities import peer_id_of

keys = st.integers(0, 2**256 - 1)


def test_a_peer_is_where_its_id_is_hashed_to() -> None:
    peer = peer_id_of("peer")
    assert key_of_peer(peer) == key_of(peer.to_bytes())
    assert key_of(b"abc") == int(sha256(b"abc").hexdigest(), 16)


@given(keys, keys)
def test_the_common_prefix_is_that_of_the_bits(a: int, b: int) -> None:
    length = common_prefix_length(a, b)
    one, two = f"{a:0256b}", f"{b:0256b}"
    assert one[:length] == two[:length]
    assert length == KEY_BITS if a == b else one[length] != two[length]


@given(keys, st.integers(0, 255), keys)
def test_prefixes_share_as_many_bits_as_they_say(own: int, length: int, tail: int) -> None:
    bits = length + 1
    key = prefix_of_length(own, length) << (KEY_BITS - bits) | tail >> bits
    assert common_prefix_length(own, key) == length


@pytest.mark.parametrize("bits", [0, 1, 5, 10])
def test_preimages_are_peer_ids_of_the_region(bits: int) -> None:
    found = set()
    for seed in (b"one", b"two", b"three"):
        prefix = key_of(seed) >> (KEY_BITS - bits)
        peer = ID(preimage(prefix, bits, seed))
        assert key_of_peer(peer) >> (KEY_BITS - bits) == prefix
        assert preimage(prefix, bits, seed) == peer.to_bytes()
        found.add(peer)
    assert len(found) == 3


@pytest.mark.parametrize("bits", [-1, MAX_PREIMAGE_BITS + 1])
def test_regions_that_are_too_small_are_refused(bits: int) -> None:
    with pytest.raises(InvalidArgument, match="bits must be 0 to 24"):
        preimage(0, bits, b"")
