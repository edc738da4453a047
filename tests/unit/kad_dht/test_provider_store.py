"""Provider records: who has a block, for how long, and how many records there may be."""

from __future__ import annotations

import math
import tracemalloc
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from libp2p.exceptions import InvalidArgument
from libp2p.kad_dht.journal import StoredChange
from libp2p.kad_dht.messages import PeerEntry
from libp2p.kad_dht.provider_store import (
    ADDRESS_SECONDS,
    MAX_KEPT_ADDRESS_BYTES,
    MAX_PROVIDERS_OF_KEY,
    PROVIDER_SECONDS,
    ProviderStore,
    ProviderStoreConfig,
)
from libp2p.peer.id import ID

NOW = 1_700_000_000.0
KEY, OTHER_KEY = b"\x12\x20" + bytes(32), b"\x12\x20" + bytes([1]) * 32
ADDRESS = b"\x04\x01\x02\x03\x04\x06\x0f\xa1"


def a_peer(number: int) -> ID:
    return ID(b"\x12\x20" + sha256(b"%d" % number).digest())


def entry(number: int, *addrs: bytes) -> PeerEntry:
    return PeerEntry(a_peer(number), addrs or (ADDRESS,))


def add(store: ProviderStore, key: bytes, number: int, now: float = NOW, *addrs: bytes) -> bool:
    return store.add(key, entry(number, *addrs), a_peer(number), now)


def peers_of(store: ProviderStore, key: bytes = KEY, now: float = NOW) -> set[ID]:
    return {found.peer_id for found in store.providers(key, now)}


def copy_of(store: ProviderStore, changes: list[StoredChange], **config: Any) -> ProviderStore:
    """A store that has loaded what a datastore would have kept of another one."""
    kept: dict[bytes, tuple[bytes, float | None]] = {}
    for change in changes:
        assert change.namespace == store.namespace
        if change.value is None:
            kept.pop(change.key, None)
        else:
            kept[change.key] = (change.value, change.expiry)
    copied = ProviderStore(ProviderStoreConfig(**config))
    copied.load((key, *kept[key]) for key in sorted(kept))
    return copied


class TestRecords:
    def test_providers_of_a_block(self) -> None:
        store = ProviderStore()
        assert store.providers(KEY, NOW) == []
        for number in range(3):
            assert add(store, KEY, number)
        assert add(store, OTHER_KEY, 0)
        assert peers_of(store) == set(map(a_peer, range(3)))
        assert store.providers(OTHER_KEY, NOW) == [entry(0)]
        assert (len(store), store.providers_known) == (4, 3)
        assert set(store.keys()) == {KEY, OTHER_KEY}

    def test_what_a_peer_says_of_another_one_is_not_kept(self) -> None:
        store = ProviderStore()
        assert not store.add(KEY, entry(1), a_peer(2), NOW)
        assert len(store) == store.providers_known == store.weight == 0

    def test_each_asker_is_given_another_one_first(self) -> None:
        store = ProviderStore()
        for number in range(5):
            add(store, KEY, number)
        firsts = [store.providers(KEY, NOW, 2)[0].peer_id for _ in range(5)]
        assert set(firsts) == set(map(a_peer, range(5)))
        assert len(store.providers(KEY, NOW, 2)) == 2

    def test_the_newest_addresses_count_for_all_records(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1, NOW, b"one")
        assert store.has_addresses(entry(1, b"one"))
        add(store, OTHER_KEY, 1, NOW, b"two")
        assert store.providers(KEY, NOW) == [entry(1, b"two")]
        assert not store.has_addresses(entry(1, b"one"))
        assert not store.has_addresses(entry(2, b"one"))

    def test_addresses_of_a_provider_are_limited(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1, NOW, *(bytes([n]) * 100 for n in range(100)))
        (found,) = store.providers(KEY, NOW)
        assert MAX_KEPT_ADDRESS_BYTES - 100 < sum(map(len, found.addrs)) <= MAX_KEPT_ADDRESS_BYTES


class TestTime:
    def test_records_end(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1)
        add(store, KEY, 2, NOW + 100)
        end = NOW + PROVIDER_SECONDS
        assert peers_of(store, now=end - 1) == {a_peer(1), a_peer(2)}
        assert peers_of(store, now=end) == {a_peer(2)}
        assert peers_of(store, now=end + 100) == set()
        assert store.expire(end - 1) == 0
        assert store.expire(end + 1200) == 2
        assert store.expire(end + 1200) == len(store) == store.weight == 0
        assert not store._slots

    def test_one_that_is_announced_again_lasts_longer(self) -> None:
        store = ProviderStore()
        again = NOW + 22 * 3600
        for now in (NOW, again):
            add(store, KEY, 1, now)
        add(store, KEY, 2, NOW)
        assert len(store) == 2
        store.expire(NOW + PROVIDER_SECONDS + 600)
        assert peers_of(store, now=again + PROVIDER_SECONDS - 1) == {a_peer(1)}

    def test_addresses_are_given_out_for_a_shorter_time(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1)
        assert store.providers(KEY, NOW + ADDRESS_SECONDS) == [entry(1)]
        assert store.providers(KEY, NOW + ADDRESS_SECONDS + 1) == [PeerEntry(a_peer(1))]

    def test_announcing_again_and_again_costs_nothing(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1)
        store.take_changes()
        for second in range(10_000):
            add(store, KEY, 1, NOW + second)
        assert sum(map(len, store._slots.values())) == 1
        assert [change.key[:1] for change in store.take_changes()] == [b"p"]


class TestBounds:
    def test_of_a_provider(self) -> None:
        store = ProviderStore(ProviderStoreConfig(max_records_per_provider=10))
        results = [add(store, b"key %d" % number, 1) for number in range(50)]
        assert results == [True] * 10 + [False] * 40
        assert len(store) == 10
        assert add(store, b"key 0", 1), "one that it has already"
        assert add(store, b"key 49", 2), "another peer's"

    def test_of_a_block(self) -> None:
        store = ProviderStore()
        for number in range(MAX_PROVIDERS_OF_KEY + 5):
            add(store, KEY, number, NOW + number)
        assert len(store) == store.providers_known == MAX_PROVIDERS_OF_KEY
        assert a_peer(4) not in peers_of(store)
        assert a_peer(5) in peers_of(store)
        assert len(store.take_changes()) == 2 * (MAX_PROVIDERS_OF_KEY + 5)

    def test_of_all(self) -> None:
        store = ProviderStore(ProviderStoreConfig(max_records=100))
        for number in range(1000):
            add(store, b"key %d" % number, number % 7, NOW + 100 * number)
        assert len(store) == 100
        assert set(store.keys()) == {b"key %d" % number for number in range(900, 1000)}

    def test_one_that_was_announced_again_is_not_the_first_to_go(self) -> None:
        store = ProviderStore(ProviderStoreConfig(max_records=3))
        for number in range(3):
            add(store, b"key %d" % number, number, NOW + 3600 * number)
        add(store, b"key 0", 0, NOW + 20 * 3600)
        add(store, b"key 3", 3, NOW + 21 * 3600)
        assert set(store.keys()) == {b"key 0", b"key 2", b"key 3"}

    def test_of_the_bytes(self) -> None:
        store = ProviderStore(ProviderStoreConfig(max_bytes=100_000))
        for number in range(1000):
            add(store, b"key %d" % number, number, NOW + 100 * number, bytes(2000))
        assert 30 < len(store) < 40
        assert 95_000 < store.weight <= 100_000

    def test_a_record_takes_little_memory(self) -> None:
        keys = [b"\x12\x20" + sha256(b"%d" % number).digest() for number in range(20_000)]
        peers = [entry(number) for number in range(20)]
        tracemalloc.start()
        try:
            store = ProviderStore()
            for number, key in enumerate(keys):
                peer = peers[number % 20]
                store.add(bytes(bytearray(key)), peer, peer.peer_id, NOW)
            store.take_changes()
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert used / len(store) < 280
        assert used < 1.3 * store.weight

    @pytest.mark.parametrize("wrong", [{"max_records": 0}, {"record_seconds": math.nan}])
    def test_numbers_are_checked(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            ProviderStoreConfig(**wrong)


class TestJournal:
    def test_what_is_loaded_is_what_was_kept(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1)
        changes = store.take_changes()
        add(store, KEY, 2, NOW + 3600)
        add(store, OTHER_KEY, 1, NOW + PROVIDER_SECONDS - 10)
        store.expire(NOW + PROVIDER_SECONDS + 600)
        changes += store.take_changes()
        assert store.take_changes() == []
        copied = copy_of(store, changes)
        now = NOW + PROVIDER_SECONDS + 600
        assert copied.take_changes() == []
        for key in (KEY, OTHER_KEY):
            assert copied.providers(key, now) == store.providers(key, now) != []
        assert (len(copied), copied.weight) == (len(store), store.weight)

    def test_a_provider_whose_records_have_ended_is_forgotten(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1)
        changes = store.take_changes()
        copied = copy_of(store, [change for change in changes if change.key[:1] == b"p"])
        assert copied.providers_known == 1
        copied.expire(NOW)
        assert copied.providers_known == copied.weight == 0
        assert copied.take_changes() == [
            StoredChange("dht providers", b"p" + a_peer(1).to_bytes(), None, None)
        ]

    def test_records_of_a_provider_without_addresses(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1)
        changes = [change for change in store.take_changes() if change.key[:1] == b"r"]
        assert copy_of(store, changes).providers(KEY, NOW) == [PeerEntry(a_peer(1))]

    @pytest.mark.parametrize(
        ("key", "value", "expiry"),
        [
            (b"", b"", 1e10),
            (b"p", b"", 1e10),
            (b"p" + a_peer(1).to_bytes(), b"\xff\xff", 1e10),
            (b"p" + a_peer(1).to_bytes(), b"", 1e10),
            (b"r", b"", 1e10),
            (b"r\x02ab", b"", 1e10),
            (b"r\x02ab" + a_peer(1).to_bytes(), b"", None),
        ],
    )
    def test_what_cannot_be_read_is_left_out(
        self, key: bytes, value: bytes, expiry: float | None
    ) -> None:
        store = ProviderStore()
        store.load([(key, value, expiry)])
        assert len(store) == store.providers_known == 0

    def test_times_and_peers_of_a_provider_must_fit(self) -> None:
        store = ProviderStore()
        add(store, KEY, 1)
        value = next(change.value for change in store.take_changes() if change.key[:1] == b"p")
        assert value is not None
        other = ProviderStore()
        other.load([(b"p" + a_peer(2).to_bytes(), value, 1e10)])
        other.load([(b"p" + a_peer(1).to_bytes(), value.replace(b"17000", b"soon!"), 1e10)])
        assert other.providers_known == 0


class AnyStore(RuleBasedStateMachine):
    """Whatever happens, the store holds what it should, and its journal restores it."""

    def __init__(self) -> None:
        super().__init__()
        config = ProviderStoreConfig(max_records=12, max_records_per_provider=5)
        self.store = ProviderStore(config)
        self.now = NOW
        self.changes: list[StoredChange] = []

    @rule(key=st.integers(0, 9), number=st.integers(0, 5), size=st.integers(1, 40))
    def add(self, key: int, number: int, size: int) -> None:
        add(self.store, b"key %d" % key, number, self.now, bytes(size))

    @rule(seconds=st.sampled_from([100, 4 * 3600, 24 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        self.store.expire(self.now)

    @rule()
    def restart(self) -> None:
        self.changes += self.store.take_changes()
        copied = copy_of(self.store, self.changes, max_records=12, max_records_per_provider=5)
        copied.expire(0)
        self.store.expire(0)
        for key in set(self.store.keys()) | set(copied.keys()):
            ours, theirs = (each.providers(key, self.now) for each in (self.store, copied))
            assert {found.peer_id for found in ours} == {found.peer_id for found in theirs}
        assert copied.weight == self.store.weight

    @invariant()
    def everything_is_counted(self) -> None:
        store = self.store
        assert len(store) == sum(len(packed) // 8 for packed in store._records.values()) <= 12
        for number, provider in store._providers.items():
            assert provider.records == sum(
                packed[at : at + 4] == number.to_bytes(4, "little")
                for packed in store._records.values()
                for at in range(0, len(packed), 8)
            )
            assert 0 < provider.records <= 5
        weight = sum(map(len, store._records)) + 160 * len(store)
        assert store.weight == weight + sum(p.weight for p in store._providers.values())
        assert sum(map(len, store._slots.values())) >= len(store)


TestAnyStore = AnyStore.TestCase
