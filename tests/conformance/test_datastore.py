"""What every datastore promises; a new one only adds a line to `STORES`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from math import inf, nan
from pathlib import Path

import pytest
import trio

from libp2p.datastore import Change, Datastore, Entry, MemoryDatastore, SqliteDatastore
from libp2p.datastore.base import MAX_KEY_BYTES, MAX_VALUE_BYTES, SCAN_BYTES, SCAN_ENTRIES
from libp2p.exceptions import DatastoreError

LIMIT = 64

STORES: dict[str, Callable[[Path], Datastore]] = {
    "memory": lambda _: MemoryDatastore(limits={"small": LIMIT}),
    "sqlite": lambda folder: SqliteDatastore(folder / "new" / "d.sqlite", limits={"small": LIMIT}),
    "sqlite, synced": lambda folder: SqliteDatastore(
        folder / "d.sqlite", sync=True, limits={"small": LIMIT}
    ),
}


@pytest.fixture(params=list(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Datastore]:
    opened = STORES[request.param](tmp_path)
    yield opened
    await opened.close()


def put(key: bytes, value: bytes = b"", expiry: float | None = None, ns: str = "ns") -> Change:
    return Change(ns, key, value, expiry)


async def scanned(store: Datastore, namespace: str = "ns", prefix: bytes = b"") -> list[Entry]:
    return [entry async for batch in store.scan(namespace, prefix) for entry in batch]


async def test_is_a_datastore(store: Datastore) -> None:
    assert isinstance(store, Datastore)


async def test_gives_back_what_was_written(store: Datastore) -> None:
    for key, value, expiry in [(b"", b"", None), (b"\0\xff", b"\0", 12.5), (b"k", bytes(9999), 0)]:
        assert await store.get("ns", key) is None
        await store.write([put(key, value, expiry)])
        assert await store.get("ns", key) == Entry(key, value, expiry)
    await store.write([put(b"for ever", b"v", inf)])
    assert await store.get("ns", b"for ever") == Entry(b"for ever", b"v", None)


async def test_namespaces_are_apart(store: Datastore) -> None:
    await store.write([put(b"k", b"1", ns="a"), put(b"k", b"2", ns="b")])
    await store.write([Change("a", b"k", None)])
    assert await store.get("a", b"k") is None
    assert await store.get("b", b"k") == Entry(b"k", b"2", None)
    assert await scanned(store, "a") == []


async def test_the_last_change_of_a_key_counts(store: Datastore) -> None:
    await store.write([put(b"a", b"1"), Change("ns", b"a", None), put(b"a", b"2", 5.0)])
    await store.write([put(b"b", b"1"), put(b"b", b"2"), Change("ns", b"b", None)])
    await store.write([Change("ns", b"never there", None)])
    await store.write([])
    assert await scanned(store) == [Entry(b"a", b"2", 5.0)]


async def test_scans_by_prefix_in_the_order_of_keys(store: Datastore) -> None:
    keys = [b"", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff\x01"]
    await store.write([put(key) for key in reversed(keys)])
    for prefix in [*keys, b"c", b"a\xfe"]:
        expected = sorted(key for key in keys if key.startswith(prefix))
        assert [entry.key for entry in await scanned(store, "ns", prefix)] == expected


async def test_scans_in_batches_of_few_entries_and_few_bytes(store: Datastore) -> None:
    await store.write([put(b"%05d" % n) for n in range(2 * SCAN_ENTRIES + 1)])
    sizes = [len(batch) async for batch in store.scan("ns")]
    assert sum(sizes) == 2 * SCAN_ENTRIES + 1
    assert max(sizes) == SCAN_ENTRIES
    count = SCAN_BYTES // MAX_VALUE_BYTES + 2
    await store.write([put(b"%d" % n, bytes(MAX_VALUE_BYTES), ns="large") for n in range(count)])
    sizes = [len(batch) async for batch in store.scan("large")]
    assert sum(sizes) == count
    assert max(sizes) <= SCAN_BYTES // MAX_VALUE_BYTES


async def test_a_scan_goes_on_while_others_write(store: Datastore) -> None:
    keys = [b"%05d" % n for n in range(3 * SCAN_ENTRIES)]
    await store.write([put(key) for key in keys])
    seen = []
    async for batch in store.scan("ns"):
        seen += [entry.key for entry in batch]
        await store.write([Change("ns", key, None) for key in (keys[0], keys[-1])])
    assert seen == keys[:-1]


async def test_expired_entries_are_there_until_they_are_deleted(store: Datastore) -> None:
    entries = [
        put(b"1", expiry=1.0),
        put(b"2", expiry=2.0),
        put(b"3", expiry=3.0),
        put(b"for ever"),
    ]
    await store.write([*entries, put(b"1", expiry=1.0, ns="other")])
    assert len(await scanned(store)) == 4
    assert await store.delete_expired(2.0) == 3
    assert [entry.key for entry in await scanned(store)] == [b"3", b"for ever"]
    assert await store.delete_expired(2.0) == 0


async def test_a_full_namespace_drops_what_expires_first(store: Datastore) -> None:
    await store.write([put(b"for ever", ns="small"), put(b"other", ns="ns")])
    for n in range(2 * LIMIT):
        await store.write([put(b"%03d" % n, expiry=1000.0 - n, ns="small")])
        await store.write([put(b"%03d" % n, expiry=1000.0 - n, ns="small")])
        assert len(await scanned(store, "small")) <= LIMIT
    await store.write([put(b"last", expiry=5000.0, ns="small")])
    left = [entry.key for entry in await scanned(store, "small")]
    assert {b"for ever", b"last", b"000", b"001"} <= set(left)
    assert len(left) > LIMIT * 7 // 8
    assert len(await scanned(store, "ns")) == 1


async def test_a_full_namespace_keeps_what_is_replaced(store: Datastore) -> None:
    keys = [b"%03d" % n for n in range(LIMIT)]
    for _ in range(5):
        await store.write([put(key, ns="small") for key in keys])
    assert [entry.key for entry in await scanned(store, "small")] == keys


async def test_more_than_fits_at_once_is_cut(store: Datastore) -> None:
    await store.write([put(b"%05d" % n, expiry=float(n), ns="small") for n in range(10 * LIMIT)])
    left = [entry.key for entry in await scanned(store, "small")]
    assert LIMIT * 7 // 8 < len(left) <= LIMIT
    assert left[-1] == b"%05d" % (10 * LIMIT - 1)


async def test_many_tasks_write_and_read(store: Datastore) -> None:
    async def work(name: bytes) -> None:
        for n in range(20):
            await store.write([put(name + b"%d" % n, b"%d" % n), put(name, b"%d" % n)])
            assert await store.get("ns", name) == Entry(name, b"%d" % n, None)

    async with trio.open_nursery() as nursery:
        for worker in range(20):
            nursery.start_soon(work, b"%02d/" % worker)
    assert len(await scanned(store)) == 20 * 21


async def test_a_cancelled_write_does_no_harm(store: Datastore) -> None:
    for n in range(30):
        with trio.move_on_after(0.0001 * (n % 5)):
            await store.write([put(b"k", b"cancelled")])
        await store.write([put(b"k", b"%d" % n)])
        entry = await store.get("ns", b"k")
        assert entry is not None
        assert entry.value == b"%d" % n


@pytest.mark.parametrize(
    "change",
    [
        Change("", b"k", b"v"),
        Change("n" * 65, b"k", b"v"),
        Change("a\nb", b"k", b"v"),
        Change("ns", bytes(MAX_KEY_BYTES + 1), b"v"),
        Change("ns", b"k", bytes(MAX_VALUE_BYTES + 1)),
        Change("ns", b"k", b"v", nan),
        Change("ns", b"k", b"v", -1.0),
    ],
)
async def test_refuses_what_cannot_be_stored(store: Datastore, change: Change) -> None:
    with pytest.raises(ValueError, match="must be"):
        await store.write([put(b"before"), change])
    assert await scanned(store) == []


async def test_refuses_what_is_no_change(store: Datastore) -> None:
    for wrong in (None, [None], [("ns", b"k", b"v", None)], [Change("ns", "k", b"v")]):  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await store.write(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await store.get(b"ns", b"k")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await store.get("ns", "k")  # type: ignore[arg-type]


async def test_a_closed_store_says_so(store: Datastore) -> None:
    await store.write([put(b"k")])
    await store.close()
    await store.close()
    for call in (
        lambda: store.get("ns", b"k"),
        lambda: store.write([put(b"k")]),
        lambda: store.delete_expired(1.0),
        lambda: scanned(store),
    ):
        with pytest.raises(DatastoreError, match="closed"):
            await call()


def test_limits_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_entries"):
        MemoryDatastore(max_entries=0)
    with pytest.raises(ValueError, match="small"):
        SqliteDatastore(tmp_path / "d", limits={"small": 0})
