"""Few lookups find the closest peers of many keys, and exactly these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libp2p.kad_dht.keyspace import key_of
from libp2p.provide.exploration import (
    DIRECT_LOOKUPS,
    MAX_FAILED_LOOKUPS,
    MAX_LOOKUPS_PER_REGION,
    Exploration,
)
from libp2p.provide.region import Region
from tests.support.model_network import ModelNetwork, multihash_number, peer_number

if TYPE_CHECKING:
    from libp2p.peer.id import ID


def some_keys(count: int, length: int) -> list[bytes]:
    """Return multihashes that are in one region."""
    region = Region.of(key_of(multihash_number(0)), length)
    numbers = range(count << length << 1)
    return [m for m in map(multihash_number, numbers) if region.holds(key_of(m))][:count]


def exploration_of(multihashes: Sequence[bytes]) -> Exploration:
    return Exploration(((key_of(one), one) for one in multihashes), 20)


def explore(exploration: Exploration, network: ModelNetwork) -> None:
    """Make the lookups."""
    while not exploration.is_done:
        target = exploration.next_target()
        if target is not None:
            exploration.on_closest(key_of(target), network.lookup(target))


def holders(exploration: Exploration) -> dict[bytes, set[ID]]:
    """Return who gets each key."""
    found: dict[bytes, set[ID]] = {}
    for peer, assigned in exploration.assignments().items():
        for multihash in assigned:
            found.setdefault(multihash, set()).add(peer)
    return found


@settings(max_examples=30)
@given(st.integers(1, 400), st.integers(1, 300), st.integers(0, 3))
def test_every_key_goes_to_its_closest_peers(peers: int, count: int, length: int) -> None:
    network = ModelNetwork(peers)
    keys = some_keys(count, length)
    exploration = exploration_of(keys)
    explore(exploration, network)
    assert holders(exploration) == {key: set(network.closest(key)) for key in keys}
    assert exploration.lookups <= len(keys) + peers / 5 + 10


@pytest.mark.parametrize(("peers", "most"), [(1, 2), (19, 2), (25, 8), (100, 14), (400, 48)])
def test_the_peers_decide_how_many_lookups_there_are(peers: int, most: int) -> None:
    network = ModelNetwork(peers)
    exploration = exploration_of([*map(multihash_number, range(2000))])
    explore(exploration, network)
    assert network.lookups == exploration.lookups <= most
    seen, share = exploration.measured()
    assert seen / share == pytest.approx(peers, rel=0.1)


def test_a_lonely_key_takes_one_lookup() -> None:
    network = ModelNetwork(1000)
    exploration = exploration_of([multihash_number(1)])
    explore(exploration, network)
    assert network.lookups == 1
    exploration.on_failure()  # of a lookup that nobody waits for any more
    assert exploration.next_target() is None


def test_a_gap_that_is_in_the_way_of_many_keys_is_looked_at_itself() -> None:
    network = ModelNetwork(25)
    keys = some_keys(500, 3)
    exploration = exploration_of(keys)
    targets: list[bytes] = []
    while not exploration.is_done:
        if (target := exploration.next_target()) is not None:
            targets.append(target)
            exploration.on_closest(key_of(target), network.lookup(target))
    assert [target in keys for target in targets].count(False) >= 1
    assert len(targets) <= DIRECT_LOOKUPS + 6
    assert holders(exploration) == {key: set(network.closest(key)) for key in keys}


def test_lookups_that_fail_are_made_again_for_other_keys_first() -> None:
    network = ModelNetwork(1000)
    keys = [*map(multihash_number, range(3))]
    exploration = exploration_of(keys)
    first = exploration.next_target()
    exploration.on_failure()
    second = exploration.next_target()
    assert first != second
    explore(exploration, network)
    assert exploration.lookups == 4
    assert holders(exploration) == {key: set(network.closest(key)) for key in keys}


def test_a_lookup_near_a_gap_may_fail_too() -> None:
    network = ModelNetwork(25)
    keys = some_keys(400, 4)
    exploration = exploration_of(keys)
    failed = 0
    while not exploration.is_done:
        if (target := exploration.next_target()) is None:
            continue
        if exploration.lookups % 2:
            failed += 1
            exploration.on_failure()
        else:
            exploration.on_closest(key_of(target), network.lookup(target))
    assert failed == 2
    assert holders(exploration) == {key: set(network.closest(key)) for key in keys}


def test_a_region_is_given_up_when_lookups_fail_in_a_row() -> None:
    exploration = exploration_of([*map(multihash_number, range(9))])
    for _ in range(MAX_FAILED_LOOKUPS):
        assert not exploration.is_given_up
        assert exploration.next_target() is not None
        exploration.on_failure()
    assert exploration.is_given_up
    assert exploration.is_done
    assert exploration.next_target() is None
    assert exploration.assignments() == {}
    assert exploration.farthest(key_of(multihash_number(0))) is None
    assert exploration.measured() == (0, 0.0)


def test_peers_that_answer_differently_each_time_do_not_make_it_go_on_for_each_key() -> None:
    exploration = exploration_of([*map(multihash_number, range(2000))])
    number = 0
    while not exploration.is_done:
        target = exploration.next_target()
        if target is not None:
            number += 5
            exploration.on_closest(key_of(target), [*map(peer_number, range(number, number + 5))])
    assert exploration.lookups == MAX_LOOKUPS_PER_REGION
    assert {len(peers) for peers in holders(exploration).values()} <= {5, 20}


def test_one_lookup_that_finds_few_peers_is_not_believed() -> None:
    network = ModelNetwork(200)
    keys = [*map(multihash_number, range(100))]
    exploration = exploration_of(keys)
    target = exploration.next_target()
    assert target is not None
    exploration.on_closest(key_of(target), network.closest(target)[:5])
    explore(exploration, network)
    right = holders(exploration)
    assert right.pop(target) == set(network.closest(target)[:5])
    assert right == {key: set(network.closest(key)) for key in keys if key != target}


def test_the_farthest_holder_says_whether_a_peer_is_one_of_the_closest() -> None:
    network = ModelNetwork(200)
    key = multihash_number(3)
    exploration = exploration_of([key])
    explore(exploration, network)
    closest = network.closest(key)
    assert exploration.farthest(key_of(key)) == key_of(bytes(closest[-1].to_bytes())) ^ key_of(key)
