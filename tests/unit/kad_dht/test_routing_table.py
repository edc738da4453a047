"""The routing table: its buckets, who enters, who stays, and what is due when."""

from __future__ import annotations

import math
from collections import Counter
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from multiaddr import Multiaddr

from libp2p.exceptions import InvalidArgument
from libp2p.kad_dht.keyspace import common_prefix_length, key_of, key_of_peer, preimage
from libp2p.kad_dht.messages import Connection
from libp2p.kad_dht.routing_table import (
    BUCKET_SIZE,
    CHECK_ANSWERS_FROM,
    FREEZE_SECONDS,
    LOW_PEERS,
    MAX_CANDIDATES,
    MAX_FROZEN,
    MAX_PEERS_PER_GROUP,
    MAX_PEERS_PER_GROUP_IN_BUCKET,
    MAX_REFRESH_PREFIX,
    REFRESH_SECONDS,
    STALE_SECONDS,
    CheckPeer,
    Considered,
    PeerAdded,
    PeerRemoved,
    RoutingTable,
    RoutingTableConfig,
)
from libp2p.peer.id import ID

OWN = ID(b"\x12\x20" + bytes(32))
OWN_KEY = key_of_peer(OWN)
LOCAL = (Multiaddr("/ip4/10.0.0.1/tcp/4001").to_bytes(),)


def a_peer(number: int) -> ID:
    return ID(b"\x12\x20" + sha256(number.to_bytes(4, "big")).digest())


def near(length: int, number: int = 0) -> ID:
    """A peer that shares exactly ``length`` bits with `OWN`."""
    prefix = (OWN_KEY >> (255 - length)) ^ 1
    return ID(preimage(prefix, length + 1, number.to_bytes(4, "big")))


def at(ip: str) -> tuple[bytes]:
    return (bytes(Multiaddr(f"/ip4/{ip}/tcp/4001").to_bytes()),)


def filled(count: int, **config: Any) -> RoutingTable:
    table = RoutingTable(OWN, RoutingTableConfig(**config))
    for number in range(count):
        table.consider(a_peer(number), LOCAL, 0.0, verified=True)
    table.take_events()
    return table


def sizes(table: RoutingTable) -> list[int]:
    return [len(rows) for rows in table.buckets]


class TestBuckets:
    def test_a_table_of_few_is_one_bucket(self) -> None:
        table = filled(BUCKET_SIZE)
        assert sizes(table) == [BUCKET_SIZE]
        assert len(table) == BUCKET_SIZE
        assert sorted(table) == sorted(map(a_peer, range(BUCKET_SIZE)))
        assert {entry.peer_id for entry in table.entries} == set(table)

    def test_it_splits_and_keeps_many_near_ones(self) -> None:
        table = filled(2000)
        assert max(sizes(table)) == BUCKET_SIZE
        assert sizes(table)[:5] == [BUCKET_SIZE] * 5
        assert len(table) < 200
        nearest = sorted(map(a_peer, range(2000)), key=lambda peer: peer.xor_id ^ OWN_KEY)
        assert table.closest(OWN_KEY) == nearest[:BUCKET_SIZE]

    @pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 300])
    @pytest.mark.parametrize("wanted", [1, 20, 60])
    def test_closest_are_the_closest_of_the_table(self, count: int, wanted: int) -> None:
        table = filled(count)
        for number in range(50):
            key = key_of(number.to_bytes(3, "big")) if number else OWN_KEY
            best = sorted(table, key=lambda peer: peer.xor_id ^ key)[:wanted]
            assert table.closest(key, wanted) == best
            entries = table.closest_entries(key, wanted)
            assert [entry.peer_id for entry in entries] == best

    def test_closest_of_a_large_bucket(self) -> None:
        table = filled(300, bucket_size=500)
        assert sizes(table) == [300]
        best = sorted(table, key=lambda peer: peer.xor_id ^ OWN_KEY)[:BUCKET_SIZE]
        assert table.closest(OWN_KEY) == best

    def test_peers_of_one_prefix_have_one_bucket(self) -> None:
        # The last bucket is full of peers of one prefix: splitting it would give no room.
        table = RoutingTable(OWN, RoutingTableConfig(bucket_size=3))
        for number in range(3):
            table.consider(near(4, number), LOCAL, 0.0, verified=True)
        assert table.consider(near(4, 3), LOCAL, 0.0, verified=True) is Considered.NO_ROOM
        assert sizes(table) == [3]
        for length in (6, 2):
            assert table.consider(near(length), LOCAL, 0.0, verified=True) is Considered.ADDED
        assert sizes(table) == [0, 0, 1, 0, 3, 1]

    def test_empty_buckets_at_the_end_go(self) -> None:
        table = RoutingTable(OWN, RoutingTableConfig(bucket_size=1))
        for length in (0, 1, 2):
            table.consider(near(length), LOCAL, 0.0, verified=True)
        assert sizes(table) == [1, 1, 1]
        assert table.remove(near(1))
        assert sizes(table) == [1, 1]
        assert table.remove(near(2))
        assert sizes(table) == [1]
        assert table.remove(near(0))
        assert sizes(table) == [0]
        assert not table.remove(near(0))
        assert table.closest(0) == []


class TestEntering:
    def test_a_candidate_is_checked_first(self) -> None:
        table = RoutingTable(OWN)
        assert table.consider(a_peer(1), LOCAL, 0.0) is Considered.CHECKING
        assert table.consider(a_peer(1), LOCAL, 1.0) is Considered.CHECKING
        assert table.take_events() == [CheckPeer(a_peer(1), LOCAL, 0)]
        assert a_peer(1) not in table
        assert table.candidates == [a_peer(1)]
        assert table.checked(a_peer(1), True, 2.0)
        assert table.take_events() == [
            PeerAdded(a_peer(1), common_prefix_length(a_peer(1).xor_id, OWN_KEY))
        ]
        assert a_peer(1) in table
        assert table.candidates == []
        assert table.checked(a_peer(1), False, 2.0), "an old answer changes nothing"

    def test_in_a_table_of_some_size_it_has_to_know_another_peer(self) -> None:
        table = filled(CHECK_ANSWERS_FROM)
        table.consider(a_peer(1000), LOCAL, 0.0)
        assert table.take_events() == [CheckPeer(a_peer(1000), LOCAL, 1)]

    def test_one_that_fails_is_not_considered_for_a_while(self) -> None:
        table = RoutingTable(OWN)
        table.consider(a_peer(1), LOCAL, 0.0)
        assert not table.checked(a_peer(1), False, 1.0)
        assert table.consider(a_peer(1), LOCAL, FREEZE_SECONDS) is Considered.FAILED_LATELY
        assert table.consider(a_peer(1), LOCAL, FREEZE_SECONDS + 1) is Considered.CHECKING

    def test_one_that_has_answered_enters_at_once(self) -> None:
        table = RoutingTable(OWN)
        table.consider(a_peer(1), LOCAL, 0.0)
        assert table.consider(a_peer(1), LOCAL, 0.0, verified=True) is Considered.ADDED
        assert table.candidates == []

    def test_this_peer_and_those_without_addresses_do_not_enter(self) -> None:
        table = RoutingTable(OWN)
        assert table.consider(OWN, LOCAL, 0.0, verified=True) is Considered.OWN
        assert table.consider(a_peer(1), (), 0.0, verified=True) is Considered.NO_ADDRESS

    def test_a_public_table_wants_public_addresses(self) -> None:
        table = RoutingTable(OWN, RoutingTableConfig(public_only=True))
        assert table.consider(a_peer(1), LOCAL, 0.0, verified=True) is Considered.NO_ADDRESS
        both = (*LOCAL, *at("8.8.8.8"))
        assert table.consider(a_peer(1), both, 0.0, verified=True) is Considered.ADDED
        assert [entry.addrs for entry in table.entries] == [at("8.8.8.8")]
        assert table.consider(a_peer(1), LOCAL, 0.0) is Considered.KNOWN
        assert [entry.addrs for entry in table.entries] == [at("8.8.8.8")]

    def test_one_that_is_removed_while_it_is_checked_does_not_enter(self) -> None:
        table = RoutingTable(OWN)
        table.consider(a_peer(1), LOCAL, 0.0)
        assert not table.remove(a_peer(1))
        assert not table.checked(a_peer(1), True, 1.0)

    def test_there_may_be_no_room_any_more_after_the_check(self) -> None:
        table = RoutingTable(OWN, RoutingTableConfig(bucket_size=1))
        for number in (1, 2):
            assert table.consider(near(0, number), LOCAL, 0.0) is Considered.CHECKING
        assert table.checked(near(0, 1), True, 1.0)
        assert not table.checked(near(0, 2), True, 1.0)

    def test_addresses_of_a_peer_are_kept_up_to_date(self) -> None:
        table = filled(1)
        row = table.row(a_peer(0))
        assert row is not None
        entry = row.entry
        assert table.consider(a_peer(0), LOCAL, 1.0) is Considered.KNOWN
        assert table.consider(a_peer(0), (), 1.0) is Considered.KNOWN
        assert row.entry is entry, "it was encoded for nothing"
        table.consider(a_peer(0), at("10.0.0.2"), 1.0)
        assert row.entry.addrs == at("10.0.0.2")
        assert row.connected_entry.addrs == at("10.0.0.2")
        assert row.connected_entry.connection is Connection.CONNECTED
        assert table.row(a_peer(1)) is None


class TestStaying:
    def test_a_peer_that_answers_keeps_its_place(self) -> None:
        table = RoutingTable(OWN, RoutingTableConfig(bucket_size=2))
        for number in range(2):
            table.consider(near(0, number), LOCAL, 0.0, verified=True)
        later = STALE_SECONDS + 1
        table.touch(near(0, 0), later, useful=True)
        table.touch(near(0, 1), later - 2)
        table.touch(near(0, 2), later)
        assert table.stale(later) == []
        assert table.consider(near(0, 2), LOCAL, later) is Considered.NO_ROOM
        row = table.row(near(0, 0))
        assert row is not None
        assert (row.last_seen, row.last_useful, row.added_at) == (later, later, 0.0)

    def test_the_one_that_is_silent_for_longest_makes_room(self) -> None:
        table = RoutingTable(OWN, RoutingTableConfig(bucket_size=3))
        for number in range(3):
            table.consider(near(0, number), LOCAL, float(number % 2), verified=True)
        table.touch(near(0, 0), 2.0)
        later = STALE_SECONDS + 10
        table.take_events()
        assert table.stale(later) == [near(0, 0), near(0, 1), near(0, 2)]
        assert table.consider(near(0, 3), LOCAL, later, verified=True) is Considered.ADDED
        assert table.take_events() == [PeerAdded(near(0, 3), 0), PeerRemoved(near(0, 2))]

    def test_a_bucket_of_one_peer_changes_it(self) -> None:
        table = RoutingTable(OWN, RoutingTableConfig(bucket_size=1))
        for length in (0, 1):
            table.consider(near(length), LOCAL, 0.0, verified=True)
        later = STALE_SECONDS + 1
        assert table.consider(near(1, 7), LOCAL, later, verified=True) is Considered.ADDED
        assert sorted(table) == sorted([near(0), near(1, 7)])
        assert sizes(table) == [1, 1]

    def test_low(self) -> None:
        assert filled(LOW_PEERS).is_low
        assert not filled(LOW_PEERS + 1).is_low


class TestDiversity:
    def test_peers_of_one_network_get_a_small_share(self) -> None:
        table = RoutingTable(OWN)
        results = Counter(
            table.consider(a_peer(number), at(f"8.8.8.{number % 250}"), 0.0, verified=True)
            for number in range(5000)
        )
        assert results[Considered.ADDED] == len(table) == MAX_PEERS_PER_GROUP
        assert results[Considered.TOO_MANY_OF_GROUP] == 5000 - MAX_PEERS_PER_GROUP

    def test_and_a_smaller_one_of_a_bucket(self) -> None:
        table = RoutingTable(OWN)
        for number in range(100):
            table.consider(near(3, number), at("8.8.8.8"), 0.0, verified=True)
        assert len(table) == MAX_PEERS_PER_GROUP_IN_BUCKET

    def test_a_connections_address_counts_and_not_the_announced_one(self) -> None:
        table = RoutingTable(OWN)
        for number in range(100):
            announced = at(f"{number + 20}.8.8.8")
            table.consider(a_peer(number), announced, 0.0, observed=at("8.8.8.8"), verified=True)
        assert len(table) == MAX_PEERS_PER_GROUP

    def test_a_peer_that_moves_into_a_full_group_keeps_its_old_addresses(self) -> None:
        table = RoutingTable(OWN)
        for number in range(4):
            table.consider(near(number), at("8.8.8.8"), 0.0, verified=True)
        table.consider(near(5), at("9.9.9.9"), 0.0, verified=True)
        table.consider(near(5), at("8.8.1.1"), 0.0)
        row = table.row(near(5))
        assert row is not None
        assert row.entry.addrs == at("9.9.9.9")
        table.remove(near(0))
        table.consider(near(5), at("8.8.1.1"), 0.0)
        assert row.entry.addrs == at("8.8.1.1")
        assert table.consider(near(0), at("8.8.8.8"), 0.0) is Considered.TOO_MANY_OF_GROUP

    def test_a_group_has_room_again_when_a_peer_goes(self) -> None:
        table = RoutingTable(OWN)
        for number in range(3):
            table.consider(near(number), at("8.8.8.8"), 0.0, verified=True)
        table.consider(near(4), at("8.8.8.9"), 0.0)
        table.remove(near(1))
        assert table.consider(near(4), at("8.8.8.9"), 0.0, verified=True) is Considered.ADDED

    def test_without_a_limit(self) -> None:
        table = RoutingTable(
            OWN, RoutingTableConfig(max_per_group=0, max_per_group_in_bucket=0, public_only=True)
        )
        for number in range(BUCKET_SIZE):
            table.consider(a_peer(number), at("8.8.8.8"), 0.0, verified=True)
        assert len(table) == BUCKET_SIZE


class TestBounds:
    def test_candidates_that_are_checked_at_once(self) -> None:
        table = RoutingTable(OWN)
        for number in range(10_000):
            table.consider(a_peer(number), LOCAL, 0.0)
        assert len(table.take_events()) == len(table.candidates) == MAX_CANDIDATES
        assert table.consider(a_peer(10_000), LOCAL, 0.0) is Considered.NO_ROOM

    def test_candidates_that_have_failed(self) -> None:
        table = RoutingTable(OWN)
        for number in range(MAX_FROZEN + 10):
            table.consider(a_peer(number), LOCAL, 0.0)
            table.checked(a_peer(number), False, 0.0)
        assert len(table._frozen) == MAX_FROZEN
        assert table.consider(a_peer(0), LOCAL, 1.0) is Considered.CHECKING
        assert table.consider(a_peer(11), LOCAL, 1.0) is Considered.FAILED_LATELY

    @pytest.mark.parametrize(
        "wrong",
        [
            {"bucket_size": 0},
            {"max_per_group": -1},
            {"stale_seconds": -1},
            {"refresh_seconds": math.nan},
        ],
    )
    def test_numbers_are_checked(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            RoutingTableConfig(**wrong)


class TestRefreshing:
    def test_each_prefix_is_due_at_first_and_then_again(self) -> None:
        table = RoutingTable(OWN)
        assert table.due_refreshes(0.0) == [0]
        assert table.next_refresh() == -math.inf
        table.consider(near(3), LOCAL, 0.0, verified=True)
        assert table.due_refreshes(0.0) == [0, 1, 2, 3]
        for length in (0, 1, 2, 3):
            table.refreshed(near(length).xor_id, float(length))
        assert table.due_refreshes(5.0) == []
        assert table.next_refresh() == REFRESH_SECONDS
        assert table.due_refreshes(REFRESH_SECONDS + 1) == [0, 1]

    def test_very_near_keys_are_not_refreshed_on_their_own(self) -> None:
        table = RoutingTable(OWN)
        table.consider(near(MAX_REFRESH_PREFIX + 1), LOCAL, 0.0, verified=True)
        assert table.due_refreshes(0.0) == list(range(MAX_REFRESH_PREFIX + 1))
        table.refreshed(OWN_KEY, 0.0)
        assert len(table.due_refreshes(0.0)) == MAX_REFRESH_PREFIX + 1


class AnyTable(RuleBasedStateMachine):
    """Whatever happens, the rules of the table hold."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RoutingTable(OWN, RoutingTableConfig(bucket_size=3, max_per_group=4))
        self.now = 0.0
        self.members: set[ID] = set()

    peers = st.integers(0, 60).map(a_peer)
    ips = st.sampled_from(["8.8.8.8", "9.9.9.9", "17.2.3.4", "10.0.0.1", "10.0.0.2"])

    @rule(peer=peers, ip=ips, verified=st.booleans())
    def consider(self, peer: ID, ip: str, verified: bool) -> None:
        was_there = peer in self.table
        result = self.table.consider(peer, at(ip), self.now, verified=verified)
        assert (result is Considered.KNOWN) == was_there
        assert (result is Considered.ADDED) <= verified

    @rule(passed=st.booleans())
    def checked(self, passed: bool) -> None:
        for peer in self.table.candidates[:1]:
            entered = self.table.checked(peer, passed, self.now)
            assert entered == (peer in self.table)

    @rule(peer=peers)
    def remove(self, peer: ID) -> None:
        was_there = peer in self.table
        assert self.table.remove(peer) == was_there

    @rule(peer=peers, seconds=st.sampled_from([1.0, STALE_SECONDS]))
    def time_passes(self, peer: ID, seconds: float) -> None:
        self.now += seconds
        self.table.touch(peer, self.now)

    @invariant()
    def events_tell_who_is_there(self) -> None:
        for event in self.table.take_events():
            match event:
                case PeerAdded(peer):
                    assert peer not in self.members
                    self.members.add(peer)
                case PeerRemoved(peer):
                    self.members.remove(peer)
        assert self.members == set(self.table)

    @invariant()
    def buckets_hold_what_they_should(self) -> None:
        buckets = self.table._buckets
        assert sum(sizes(self.table)) == len(self.table)
        assert max(sizes(self.table)) <= 3
        for index, bucket in enumerate(buckets):
            for peer, row in bucket.items():
                length = common_prefix_length(peer.xor_id, OWN_KEY)
                assert min(length, len(buckets) - 1) == index
                assert row.prefix_length == length
        assert len(buckets) == 1 or (buckets[-1] and buckets[-2])

    @invariant()
    def groups_are_within_their_limits(self) -> None:
        rows = [row for bucket in self.table._buckets for row in bucket.values()]
        groups = Counter(group for row in rows for group in row.groups)
        assert groups == self.table._groups._in_table
        assert max(groups.values(), default=0) <= 4
        inside = Counter((row.prefix_length, group) for row in rows for group in row.groups)
        assert inside == self.table._groups._in_bucket
        assert max(inside.values(), default=0) <= MAX_PEERS_PER_GROUP_IN_BUCKET

    @invariant()
    def the_closest_are_found(self) -> None:
        key = key_of(b"%f" % self.now)
        best = sorted(self.table, key=lambda peer: peer.xor_id ^ key)[:5]
        assert self.table.closest(key, 5) == best


TestAnyTable = AnyTable.TestCase
