"""Records for others are written soon, read at the start, and deleted when they have expired."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
import trio.lowlevel

from libp2p.datastore import Change, DatastoreError, Entry, MemoryDatastore
from libp2p.kad_dht.journal import StoredChange
from libp2p.kad_dht.persistence import EXPIRE_SECONDS, RecordKeeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import pytest
    from trio.testing import MockClock


class FakeStore:
    """A store of records that does what it is told."""

    namespace = "fake"

    def __init__(self) -> None:
        self.loaded: list[Entry] = []
        self.changes: list[StoredChange] = []
        self.expired_at: list[float] = []

    def load(self, entries: Iterable[tuple[bytes, bytes, float | None]]) -> None:
        self.loaded += [Entry(*entry) for entry in entries]

    def take_changes(self) -> list[StoredChange]:
        changes, self.changes = self.changes, []
        return changes

    def expire(self, now: float) -> int:
        self.expired_at.append(now)
        return 0


class BrokenDatastore(MemoryDatastore):
    """A disk that fails."""

    async def write(self, changes: Iterable[Change]) -> None:
        raise DatastoreError("the disk is full")

    async def delete_expired(self, now: float) -> int:
        raise DatastoreError("the disk is full")

    def scan(self, namespace: str, prefix: bytes = b"") -> AsyncIterator[list[Entry]]:
        raise DatastoreError("the disk is gone")


def put(store: FakeStore, key: bytes, expiry: float = 1e10) -> None:
    store.changes.append(StoredChange("fake", key, b"value", expiry))


@asynccontextmanager
async def running(keeper: RecordKeeper) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        yield
        nursery.cancel_scope.cancel()


async def test_changes_are_written_together_and_the_last_ones_at_the_end(
    autojump_clock: MockClock,
) -> None:
    store, datastore = FakeStore(), MemoryDatastore()
    keeper = RecordKeeper([store], lambda: 0.0)
    await keeper.load(datastore)
    async with running(keeper):
        await trio.lowlevel.checkpoint()
        for key in (b"1", b"2"):
            put(store, key)
            keeper.changed()
        assert await datastore.get("fake", b"1") is None
        await trio.sleep(1.5)
        assert await datastore.get("fake", b"1") is not None
        assert await datastore.get("fake", b"2") is not None
        put(store, b"3")
        keeper.changed()
    assert await datastore.get("fake", b"3") is not None
    again = FakeStore()
    await RecordKeeper([again], lambda: 0.0).load(datastore)
    assert [entry.key for entry in again.loaded] == [b"1", b"2", b"3"]


async def test_what_has_expired_is_deleted_each_hour(autojump_clock: MockClock) -> None:
    store, datastore = FakeStore(), MemoryDatastore()
    keeper = RecordKeeper([store], trio.current_time)
    await keeper.load(datastore)
    put(store, b"1", trio.current_time() + 10)
    async with running(keeper):
        await trio.sleep(EXPIRE_SECONDS + 1)
        await trio.sleep(EXPIRE_SECONDS)
    assert len(store.expired_at) == 2
    assert await datastore.get("fake", b"1") is None


async def test_without_a_datastore_only_time_passes(autojump_clock: MockClock) -> None:
    store = FakeStore()
    keeper = RecordKeeper([store], lambda: 0.0)
    await keeper.load(None)
    put(store, b"1")
    async with running(keeper):
        await trio.sleep(EXPIRE_SECONDS + 1)
    assert store.expired_at == [0.0]
    assert store.changes == []


async def test_a_disk_that_fails_is_logged_and_ends_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = FakeStore()
    keeper = RecordKeeper([store], lambda: 0.0)
    await keeper.load(BrokenDatastore())
    async with running(keeper):
        await trio.lowlevel.checkpoint()
        for _ in range(3):
            put(store, b"1")
            keeper.changed()
            await trio.sleep(2)
        await trio.sleep(EXPIRE_SECONDS)
    for what in ("reading", "writing", "deleting expired"):
        assert sum(what in record.getMessage() for record in caplog.records) == 1
