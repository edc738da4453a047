"""Values of others: which one is kept, for how long, and how many there may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidArgument, InvalidRecord
from libp2p.kad_dht.messages import Message, MessageType, PeerEntry, Record, encode
from libp2p.kad_dht.value_store import (
    VALUE_SECONDS,
    ValueStore,
    ValueStoreConfig,
)
from libp2p.peer.id import ID

NOW = 1_700_000_000.0


def a_peer(number: int) -> ID:
    return ID(b"\x12\x20" + sha256(b"%d" % number).digest())


class Longest:
    """The longest value is the best, the first of several that are."""

    def validate(self, key: bytes, value: bytes) -> None:
        if value == b"bad":
            raise InvalidRecord("it is bad")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return max(range(len(values)), key=lambda index: len(values[index]))


def a_store(**config: Any) -> ValueStore:
    return ValueStore(Longest, ValueStoreConfig(**config))


def put(store: ValueStore, key: bytes, value: bytes, number: int = 0, now: float = NOW) -> None:
    store.put(Record(key, value), a_peer(number), now)


class TestKeeping:
    def test_a_record_is_kept_with_its_time(self) -> None:
        store = a_store()
        assert store.get(b"key", NOW) is None
        kept = store.put(Record(b"key", b"value", "then"), a_peer(0), NOW)
        assert kept == Record(b"key", b"value", "2023-11-14T22:13:20Z")
        assert store.get(b"key", NOW) == kept
        assert store.records(NOW) == [kept]
        assert len(store) == 1

    def test_times_are_written_as_go_reads_them(self) -> None:
        kept = a_store().put(Record(b"key", b"value"), a_peer(0), NOW + 0.25)
        assert kept.time_received == "2023-11-14T22:13:20.25Z"

    def test_the_better_one_stays(self) -> None:
        store = a_store()
        put(store, b"key", b"long value")
        with pytest.raises(InvalidRecord, match="a better record"):
            put(store, b"key", b"short", 1)
        put(store, b"key", b"a longer value", 1)
        found = store.get(b"key", NOW)
        assert found is not None
        assert found.value == b"a longer value"

    def test_the_same_again_lasts_longer(self) -> None:
        store = a_store()
        put(store, b"key", b"value")
        put(store, b"key", b"value", now=NOW + 100)
        assert store.get(b"key", NOW + VALUE_SECONDS + 99) is not None

    def test_records_end(self) -> None:
        store = a_store()
        put(store, b"one", b"value")
        put(store, b"two", b"value", now=NOW + 1)
        end = NOW + VALUE_SECONDS
        assert store.get(b"one", end) is None
        assert [record.key for record in store.records(end)] == [b"two"]
        put(store, b"one", b"v", now=end)  # worse than the one that has ended
        assert store.expire(end + 1) == 1
        assert [record.key for record in store.records(0)] == [b"one"]

    def test_removing(self) -> None:
        store = a_store()
        put(store, b"key", b"value")
        assert store.remove(b"key")
        assert not store.remove(b"key")
        assert len(store) == store.weight == 0


class TestBounds:
    def test_a_peers_oldest_make_room_for_its_newest(self) -> None:
        store = a_store(max_values_per_sender=3)
        put(store, b"other", b"value", 1)
        for number in range(10):
            put(store, b"%d" % number, b"value")
        assert {record.key for record in store.records(NOW)} == {b"other", b"7", b"8", b"9"}

    def test_the_bytes_of_a_peer(self) -> None:
        store = a_store(max_bytes_per_sender=10_000)
        put(store, b"other", b"value", 1)
        for number in range(10):
            put(store, b"%d" % number, bytes(4000))
        assert {record.key for record in store.records(NOW)} == {b"other", b"8", b"9"}
        put(store, b"huge", bytes(10_000))
        assert {record.key for record in store.records(NOW)} == {b"other"}

    def test_those_that_hold_the_most_lose_first(self) -> None:
        store = a_store(max_values=160)
        for number in range(20):
            put(store, b"small %d" % number, b"value", 1 + number)
        for number in range(1000):
            put(store, b"large %d" % number, b"value", 0)
        assert 150 <= len(store) <= 160
        for number in range(20):
            assert store.get(b"small %d" % number, NOW) is not None
        assert store.get(b"large 999", NOW) is not None

    def test_many_peers_with_one_record_each(self) -> None:
        store = a_store(max_bytes=100_000)
        for number in range(1000):
            put(store, b"%d" % number, bytes(500), number)
        assert 90_000 < store.weight <= 100_000
        assert store.get(b"999", NOW) is not None

    def test_storing_the_records_of_others_again_does_not_help_to_drop_them(self) -> None:
        store = a_store(max_values_per_sender=5)
        put(store, b"honest", b"value", 1)
        put(store, b"honest", b"value", 2)
        for number in range(100):
            put(store, b"%d" % number, b"value", 2)
        assert store.get(b"honest", NOW) is not None

    @given(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 400)), max_size=60)
    )
    def test_everything_is_counted(self, puts: list[tuple[int, int, int]]) -> None:
        store = a_store(
            max_values=20, max_bytes=14_000, max_values_per_sender=10, max_bytes_per_sender=7000
        )
        for sender, key, size in puts:
            if store.get(b"%d" % key, NOW) is None:
                put(store, b"%d" % key, bytes(size), sender)
        assert len(store) <= 20
        assert store.weight <= 14_000
        assert store.weight == sum(value.weight for value in store._values.values())
        assert store.weight == sum(sender.weight for sender in store._senders.values())
        keys = [key for each in store._senders.values() for key in each.keys]
        assert sorted(keys) == sorted(store._values)
        for held in store._senders.values():
            assert 0 < len(held.keys) <= 10
            assert held.weight <= 7000

    @pytest.mark.parametrize("wrong", [{"max_values": 0}, {"value_seconds": math.nan}])
    def test_numbers_are_checked(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            ValueStoreConfig(**wrong)


class TestJournal:
    def test_what_is_loaded_is_what_was_kept(self) -> None:
        store = a_store()
        for number in range(5):
            put(store, b"%d" % number, b"value", number, NOW + 5 - number)
        store.remove(b"4")
        changes = store.take_changes()
        assert store.take_changes() == []
        assert [change.value for change in changes if change.key == b"4"] == [None]
        copied = a_store()
        copied.load((c.key, c.value, c.expiry) for c in changes if c.value is not None)
        assert copied.take_changes() == []
        by_key = {record.key: record for record in store.records(NOW)}
        assert {record.key: record for record in copied.records(NOW)} == by_key
        assert copied.weight == store.weight
        assert copied._senders.keys() == store._senders.keys()
        end = NOW + VALUE_SECONDS + 3
        assert copied.expire(end) == store.expire(end) == 2

    @pytest.mark.parametrize(
        ("message", "expiry"),
        [
            (Message(MessageType.PUT_VALUE), 1e10),
            (Message(MessageType.PUT_VALUE, record=Record(b"other", b"v")), 1e10),
            (Message(MessageType.PUT_VALUE, record=Record(b"key", b"v")), 1e10),
            (
                Message(
                    MessageType.PUT_VALUE,
                    record=Record(b"key", b"v"),
                    providers=(PeerEntry(a_peer(1)),),
                ),
                None,
            ),
        ],
    )
    def test_what_cannot_be_read_is_left_out(self, message: Message, expiry: float | None) -> None:
        store = a_store()
        store.load([(b"key", encode(message), expiry), (b"key", b"\xff\xff", 1e10)])
        assert len(store) == 0
