"""Peer stores that last: what is there after a restart, a kill, or a damaged disk."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest
import trio
import trio.testing
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.crypto import ed25519, rsa
from libp2p.datastore import Change, Datastore, Entry, MemoryDatastore, SqliteDatastore
from libp2p.datastore.base import MAX_VALUE_BYTES
from libp2p.exceptions import DatastoreError
from libp2p.peer.envelope import seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord
from libp2p.peer.peerstore import PeerStore, PeerStoreError
from libp2p.peer.persistent import (
    AsyncPersistentPeerStore,
    PersistentPeerStore,
    create_async_memory_peerstore,
    create_async_peerstore,
    create_async_rocksdb_peerstore,
    create_async_sqlite_peerstore,
    create_sync_leveldb_peerstore,
    create_sync_memory_peerstore,
    create_sync_peerstore,
    create_sync_sqlite_peerstore,
    recorded,
)
from libp2p.peer.persistent import peerstore as driver

KILLS = 200 if os.environ.get("NIGHTLY") else 20
HERE = Multiaddr("/ip4/127.0.0.1/tcp/0")


def peer(number: int) -> ID:
    return ID(b"\x12\x20" + number.to_bytes(32, "big"))


def addr(port: int) -> Multiaddr:
    return Multiaddr(f"/ip4/192.0.2.1/tcp/{port}")


class Clocks:
    """Both clocks of a peer store; the monotonic one begins anew in each process."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.started_at = self.wall

    def restart(self, pause: float) -> None:
        self.wall += pause
        self.started_at = self.wall - 7.0

    def monotonic(self) -> float:
        return self.wall - self.started_at

    def now(self) -> float:
        return self.wall


async def restarted(
    store: PersistentPeerStore, clocks: Clocks, pause: float
) -> PersistentPeerStore:
    await store.flush()
    clocks.restart(pause)
    new = PersistentPeerStore(store.datastore, clock=clocks.monotonic, wall_clock=clocks.now)
    await new.load()
    return new


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(clocks: Clocks) -> PersistentPeerStore:
    return PersistentPeerStore(MemoryDatastore(), clock=clocks.monotonic, wall_clock=clocks.now)


async def test_addresses_keep_what_is_left_of_their_time(
    store: PersistentPeerStore, clocks: Clocks
) -> None:
    store.add_addrs(peer(1), [addr(1)], 100)
    store.add_addrs(peer(1), [addr(2)], 300)
    store.add_addrs(peer(1), [addr(3)])
    store.replace_announced_addrs(peer(2), [addr(4)], 150)
    store.add_addrs(peer(3), [addr(5)], 50)
    new = await restarted(store, clocks, 120.0)
    assert set(new.addrs(peer(1))) == {addr(2), addr(3)}
    assert new.addrs(peer(2)) == [addr(4)]
    assert not new.has_peer(peer(3))
    clocks.wall += 29.0
    assert new.addrs(peer(2)) == [addr(4)]
    new.replace_announced_addrs(peer(2), [addr(6)], 150)
    assert new.addrs(peer(2)) == [addr(6)], "the stored one was announced too"
    clocks.wall += 200.0
    assert new.addrs(peer(1)) == [addr(3)]


async def test_everything_that_is_known_is_restored(
    store: PersistentPeerStore, clocks: Clocks
) -> None:
    pairs = [ed25519.create_new_key_pair(), rsa.create_new_key_pair()]
    for pair in pairs:
        peer_id = ID.from_pubkey(pair.public_key)
        store.add_pubkey(peer_id, pair.public_key)
        store.set_protocols(peer_id, ["/a", "/b"])
        store.put(peer_id, "AgentVersion", "x/1")
        store.put(peer_id, "n", 5)
        record = seal_record(PeerRecord(peer_id, [addr(1)]), pair.private_key)
        assert store.consume_peer_record(record, 1000)
    new = await restarted(store, clocks, 10.0)
    for pair in pairs:
        peer_id = ID.from_pubkey(pair.public_key)
        assert new.pubkey(peer_id) == pair.public_key
        assert new.get_protocols(peer_id) == ["/a", "/b"]
        assert (new.get(peer_id, "AgentVersion"), new.get(peer_id, "n")) == ("x/1", 5)
        assert new.addrs(peer_id) == [addr(1)]
        assert new.get_peer_record(peer_id) == store.get_peer_record(peer_id)


async def test_what_was_removed_stays_removed(store: PersistentPeerStore, clocks: Clocks) -> None:
    for number in range(1, 8):
        store.add_addrs(peer(number), [addr(number)])
        store.add_protocols(peer(number), ["/a", "/b"])
        store.put(peer(number), "k", "v")
    await store.flush()
    store.clear_peerdata(peer(1))
    store.clear_addrs(peer(2))
    store.remove_protocols(peer(3), ["/a"])
    store.clear_protocol_data(peer(4))
    store.clear_metadata(peer(5))
    new = await restarted(store, clocks, 10.0)
    assert not new.has_peer(peer(1))
    assert new.peer_info(peer(2)).addrs == []
    assert new.get_protocols(peer(3)) == ["/b"]
    assert new.get_protocols(peer(4)) == []
    with pytest.raises(PeerStoreError):
        new.get(peer(5), "k")
    assert new.get(peer(6), "k") == "v"


async def test_what_was_learnt_before_loading_stays(
    store: PersistentPeerStore, clocks: Clocks
) -> None:
    store.add_addrs(peer(1), [addr(1)], 1000)
    store.set_protocols(peer(1), ["/old"])
    await store.flush()
    new = PersistentPeerStore(store.datastore, clock=clocks.monotonic, wall_clock=clocks.now)
    new.add_addrs(peer(1), [addr(2)], 1000)
    new.set_protocols(peer(1), ["/new"])
    await new.load()
    assert set(new.addrs(peer(1))) == {addr(1), addr(2)}
    assert new.get_protocols(peer(1)) == ["/new"]


async def test_keys_that_are_secret_are_not_written(tmp_path: Path) -> None:
    pair = ed25519.create_new_key_pair()
    own = ID.from_pubkey(pair.public_key)
    path = tmp_path / "d"
    async with SqliteDatastore(path) as datastore:
        store = PersistentPeerStore(datastore)
        store.add_addrs(own, [addr(1)])
        store.add_key_pair(own, pair)
        store.add_addrs(peer(1), [addr(1)])
        await store.flush()
        keys = [entry.key async for batch in datastore.scan("peers") for entry in batch]
    assert keys == [peer(1).to_bytes()]
    assert pair.private_key.to_bytes()[:32] not in b"".join(f.read_bytes() for f in [path])


async def test_seen_peers_outlive_their_addresses(
    store: PersistentPeerStore, clocks: Clocks
) -> None:
    for number in range(1, 4):
        store.add_addrs(peer(number), [addr(99)], 60)
        store.note_connection(peer(number), [addr(number)])
        clocks.wall += 1
    store.note_connection(peer(1))
    new = await restarted(store, clocks, 24 * 3600.0)
    assert [info.peer_id for info in new.seen_peers()] == [peer(1), peer(3), peer(2)]
    assert new.seen_peers()[0].addrs == [addr(1)]
    assert not new.valid_peer_ids()
    later = await restarted(new, clocks, 31 * 24 * 3600.0)
    assert later.seen_peers() == []
    assert [batch async for batch in later.datastore.scan("peers/seen")] == []


async def test_entries_that_cannot_be_read_are_left_out(
    store: PersistentPeerStore, clocks: Clocks
) -> None:
    store.add_addrs(peer(1), [addr(1)])
    store.note_connection(peer(1), [addr(1)])
    await store.flush()
    other = ed25519.create_new_key_pair().public_key
    foreign = PersistentPeerStore(MemoryDatastore())
    foreign.add_pubkey(ID.from_pubkey(other), other)
    (change,) = foreign.take_changes()
    await store.datastore.write(
        [
            Change("peers", b"no peer id", b"no JSON"),
            Change("peers", peer(2).to_bytes(), b"no JSON"),
            Change("peers", peer(3).to_bytes(), change.value),
            Change("peers/seen", b"no peer id", b"{}"),
            Change("peers/seen", peer(4).to_bytes(), b"no JSON"),
        ]
    )
    new = await restarted(store, clocks, 1.0)
    assert new.peer_ids() == [peer(1)]
    assert [info.peer_id for info in new.seen_peers()] == [peer(1)]


async def test_evicted_peers_leave_the_datastore() -> None:
    datastore = MemoryDatastore()
    store = PersistentPeerStore(datastore, max_peers=50)
    for number in range(500):
        store.add_addrs(peer(number), [addr(1)], 1000)
        if number % 100 == 0:
            await store.flush()
    await store.flush()
    stored = {entry.key async for batch in datastore.scan("peers") for entry in batch}
    assert stored == {peer_id.to_bytes() for peer_id in store.peer_ids()}


async def test_a_store_with_more_than_fits_in_memory_is_loaded() -> None:
    datastore = MemoryDatastore()
    store = PersistentPeerStore(datastore, max_peers=200)
    for number in range(200):
        store.add_addrs(peer(number), [addr(1)], 1000)
    await store.flush()
    small = PersistentPeerStore(datastore, max_peers=20)
    await small.load()
    assert 0 < len(small.peer_ids()) <= 20


async def test_a_peer_that_is_too_large_is_stored_without_its_protocols() -> None:
    store = PersistentPeerStore(MemoryDatastore())
    store.add_addrs(peer(1), [addr(1)])
    store.add_protocols(
        peer(1), ["/" + "x" * (MAX_VALUE_BYTES // 500) + str(n) for n in range(600)]
    )
    await store.flush()
    new = PersistentPeerStore(store.datastore)
    await new.load()
    assert new.addrs(peer(1)) == [addr(1)]
    assert new.get_protocols(peer(1)) == []


async def test_unwritten_changes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_UNWRITTEN", 100)
    store = PersistentPeerStore(MemoryDatastore(), max_peers=50)
    for number in range(1000):
        store.add_addrs(peer(number), [addr(1)])
    assert len(store.take_changes()) <= 100


class FailingDatastore(MemoryDatastore):
    """A datastore whose disk is full, or whose file cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = True
        self.attempts = 0

    async def write(self, changes: Iterable[Change]) -> None:
        self.attempts += 1
        if self.fails:
            raise DatastoreError("the disk is full")
        await super().write(changes)

    async def scan(self, namespace: str, prefix: bytes = b"") -> AsyncIterator[list[Entry]]:
        if self.fails:
            raise DatastoreError("the file cannot be read")
        async for batch in super().scan(namespace, prefix):
            yield batch


async def test_a_datastore_that_fails_ends_nothing(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    datastore = FailingDatastore()
    store = PersistentPeerStore(datastore)
    async with store.lasting():
        store.add_addrs(peer(1), [addr(1)])
        await trio.sleep(10 * driver.RETRY_SECONDS)
        assert store.addrs(peer(1)) == [addr(1)]
        assert 3 < datastore.attempts < 15
        with pytest.raises(DatastoreError):
            await store.flush()
        datastore.fails = False
        await trio.sleep(2 * driver.RETRY_SECONDS)
        assert await datastore.get("peers", peer(1).to_bytes()) is not None
    texts = [record.message for record in caplog.records]
    assert len([text for text in texts if "no peers of earlier runs" in text]) == 1
    assert len([text for text in texts if "writing the peer store failed" in text]) == 1


async def test_changes_of_a_moment_are_written_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    datastore = FailingDatastore()
    datastore.fails = False
    store = PersistentPeerStore(datastore)
    async with store.lasting():
        for number in range(100):
            store.add_addrs(peer(number), [addr(1)])
            store.add_protocols(peer(number), ["/a"])
        await trio.sleep(5)
        assert datastore.attempts == 1
        await trio.sleep(1000)
        assert datastore.attempts == 1, "nothing changed"
        store.add_addrs(peer(1), [addr(2)])
    assert datastore.attempts == 2, "the end writes what is left"


async def test_many_changes_are_written_in_pieces(autojump_clock: trio.testing.MockClock) -> None:
    datastore = FailingDatastore()
    datastore.fails = False
    store = PersistentPeerStore(datastore)
    for number in range(900):
        store.add_addrs(peer(number), [addr(1)])
        store.note_connection(peer(number), [addr(1)])
    await store.flush()
    assert datastore.attempts == 4
    assert not store.has_changes
    assert len([e async for batch in datastore.scan("peers") for e in batch]) == 900


async def test_a_flush_does_not_wait_for_what_comes_later() -> None:
    class Busy(MemoryDatastore):
        async def write(self, changes: Iterable[Change]) -> None:
            busy.add_addrs(peer(1), [addr(1)])
            await super().write(changes)

    busy = PersistentPeerStore(Busy())
    busy.add_addrs(peer(2), [addr(1)])
    with trio.fail_after(5):
        await busy.flush()
    assert busy.has_changes


async def test_a_flush_does_not_stop_the_writing(autojump_clock: trio.testing.MockClock) -> None:
    store = PersistentPeerStore(MemoryDatastore())
    async with store.lasting():
        await trio.testing.wait_all_tasks_blocked()
        await store.flush()
        store.add_addrs(peer(1), [addr(1)])
        await store.flush()
        store.add_addrs(peer(2), [addr(1)])
        await trio.sleep(5)
        assert await store.datastore.get("peers", peer(2).to_bytes()) is not None


async def test_errors_of_the_block_come_out_as_they_are() -> None:
    store = PersistentPeerStore(MemoryDatastore())

    async def fail() -> None:
        async with store.lasting():
            store.add_addrs(peer(1), [addr(1)])
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await store.datastore.get("peers", peer(1).to_bytes()) is not None
    async with store.lasting():
        with pytest.raises(PeerStoreError, match="in use"):
            await store.lasting().__aenter__()


async def test_a_host_remembers_its_peers(tmp_path: Path) -> None:
    pair = ed25519.create_new_key_pair()
    async with SqliteDatastore(tmp_path / "d.sqlite") as datastore:
        other = new_host()
        async with other.run([HERE]):
            first = new_host(key_pair=pair, peerstore_opt=PersistentPeerStore(datastore))
            async with first.run([HERE]):
                await first.connect(other.get_addrs()[0])
            second = new_host(key_pair=pair, peerstore_opt=PersistentPeerStore(datastore))
            async with second.run([HERE]):
                (seen,) = second.get_peerstore().seen_peers()
                assert seen.peer_id == other.get_id()
                assert seen.addrs[0] in other.get_transport_addrs()
                assert "/ipfs/ping/1.0.0" in second.get_peerstore().get_protocols(seen.peer_id)
                await second.new_stream(seen.peer_id, ["/ipfs/ping/1.0.0"])  # type: ignore[list-item]


WRITER = """
import sys, trio
from multiaddr import Multiaddr
from libp2p.datastore import SqliteDatastore
from libp2p.peer.id import ID
from libp2p.peer.persistent import PersistentPeerStore

async def main():
    store = PersistentPeerStore(SqliteDatastore(sys.argv[1]), max_peers=100_000)
    async with store.lasting():
        for n in range(int(sys.argv[2]), 10**9):
            peer_id = ID(b"\\x12\\x20" + n.to_bytes(32, "big"))
            store.add_addrs(peer_id, [Multiaddr(f"/ip4/192.0.2.1/tcp/{n % 65536}")], 3600)
            store.set_protocols(peer_id, [f"/n/{n}"])
            store.note_connection(peer_id, [Multiaddr("/ip4/192.0.2.1/tcp/4001")])
            if n % 3 == 0:
                await store.flush()
                sys.stdout.write(f"{n}\\n")
                sys.stdout.flush()
            elif n % 100 == 1:
                await trio.sleep(0.01)

trio.run(main)
"""


def killed_writer(path: Path, start: int, wait: float) -> int:
    """Let a process write peers and kill it; return the last one that it acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    with child.stdout as output:
        lines = [output.readline()]
        trio.run(trio.sleep, wait)
        child.send_signal(signal.SIGKILL)
        lines += output.read().splitlines(keepends=True)
    child.wait()
    return max(int(line) for line in lines if line.endswith(b"\n"))


async def peers_of(path: Path) -> PersistentPeerStore:
    async with SqliteDatastore(path) as datastore:
        store = PersistentPeerStore(datastore, max_peers=100_000)
        await store.load()
        return store


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_acknowledged_peer_is_lost_by_kill_9(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "d.sqlite"
    chance = random.Random(13)
    total = 0
    last = 0
    for number in range(KILLS):
        if number % 20 == 0:  # the next ones find what the earlier ones have written
            path.unlink(missing_ok=True)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            first = last
        last = killed_writer(path, last + 1, chance.random() * 0.15)
        store = trio.run(peers_of, path)
        for n in range(first + 1, last + 1):
            assert store.addrs(peer(n)) == [addr(n % 65536)]
            assert store.get_protocols(peer(n)) == [f"/n/{n}"]
        assert store.seen_peers()
        total += last - first
    assert total > KILLS
    assert not caplog.records
    assert not path.with_name("d.sqlite.damaged").exists()


# -- py-libp2p's names --------------------------------------------------------------------------


def test_the_synchronous_store_writes_before_it_returns(tmp_path: Path) -> None:
    path = tmp_path / "peers.db"
    pair = ed25519.create_new_key_pair()
    known = ID.from_pubkey(pair.public_key)
    with create_sync_sqlite_peerstore(path) as store:
        store.add_addrs(known, [addr(1)], 1000)
        store.add_protocols(known, ["/a"])
        store.add_pubkey(known, pair.public_key)
        store.put(known, "k", "v")
        store.note_connection(known, [addr(1)])
        store.add_addrs(peer(1), [addr(1)])
        store.clear_peerdata(peer(1))
        with create_sync_sqlite_peerstore(str(path)) as other:  # before the first is closed
            assert other.addrs(known) == [addr(1)]
            assert other.get_protocols(known) == ["/a"]
            assert other.pubkey(known) == pair.public_key
            assert other.get(known, "k") == "v"
            assert other.peer_ids() == [known]
            assert [info.peer_id for info in other.seen_peers()] == [known]


def test_without_auto_sync_closing_writes(tmp_path: Path) -> None:
    path = tmp_path / "peers.db"
    with create_sync_peerstore(db_path=path, auto_sync=False) as store:
        store.add_addrs(peer(1), [addr(1)])
        with create_sync_peerstore(db_path=path) as other:
            assert other.peer_ids() == []
    with create_sync_peerstore(db_path=path) as other:
        assert other.addrs(peer(1)) == [addr(1)]


async def test_the_async_store_writes_before_it_returns(tmp_path: Path) -> None:
    path = tmp_path / "peers.db"
    async with create_async_sqlite_peerstore(path) as store:
        await store.add_addrs_async(peer(1), [addr(1)], 1000)
        await store.put_async(peer(1), "k", "v")
        async with create_async_sqlite_peerstore(path) as other:
            assert await other.peer_ids_async() == [peer(1)]
            assert await other.addrs_async(peer(1)) == [addr(1)]
            assert await other.get_async(peer(1), "k") == "v"
            assert await other.addrs_async(peer(2)) == []
        await store.clear_peerdata_async(peer(1))
    async with create_async_peerstore(db_path=path, auto_sync=False) as last:
        assert await last.peer_ids_async() == []
        await last.add_protocols_async(peer(2), ["/a"])
    async with create_async_sqlite_peerstore(path) as other:
        assert await other.get_protocols_async(peer(2)) == ["/a"]


async def test_stores_in_memory_work_alike() -> None:
    with create_sync_memory_peerstore() as store:
        store.add_addr(peer(1), addr(1))
        assert store.addrs(peer(1)) == [addr(1)]
        assert store.datastore.has(b"peer/" + peer(1).to_bytes())
    async with create_async_memory_peerstore() as other:
        await other.add_addr_async(peer(1), addr(1))
        assert isinstance(other, AsyncPersistentPeerStore)
        assert isinstance(other.datastore, Datastore)


def test_a_file_of_py_libp2p_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "peers.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE datastore (key BLOB PRIMARY KEY, value BLOB)")
    connection.close()
    with create_sync_sqlite_peerstore(path) as store:
        store.add_addr(peer(1), addr(1))
    assert path.with_name("peers.db.damaged").exists()
    assert len(caplog.records) == 1


def test_other_backends_are_refused_by_name() -> None:
    calls: list[Callable[[], object]] = [
        create_sync_leveldb_peerstore,
        create_async_rocksdb_peerstore,
        lambda: create_sync_peerstore(backend="leveldb"),
        lambda: create_async_peerstore(backend="x"),
        lambda: create_sync_peerstore(backend="sqlite"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="backend"):
            call()


def test_the_factories_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="max_records"):
        create_sync_memory_peerstore(0)
    with pytest.raises(TypeError, match="datastore"):
        PersistentPeerStore(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="datastore"):
        create_sync_peerstore(object())  # type: ignore[arg-type]


def test_a_plain_store_knows_whom_it_has_seen_and_keeps_nothing() -> None:
    store = PeerStore()
    store.note_connection(peer(1), [addr(1)], [addr(2)])
    (seen,) = store.seen_peers()
    assert seen.addrs == [addr(1), addr(2)]
