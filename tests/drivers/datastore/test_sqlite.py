"""The SQLite file: what survives, what is set aside, what is refused."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
import trio

from libp2p.datastore import Change, Entry, SqliteDatastore, sqlite_file
from libp2p.datastore import sqlite as sqlite_module
from libp2p.datastore.base import Capacity
from libp2p.exceptions import DatastoreError

KILLS = 100 if os.environ.get("NIGHTLY") else 8
DAMAGES = 500 if os.environ.get("NIGHTLY") else 60


async def fill(path: Path, count: int = 300, size: int = 100) -> dict[bytes, bytes]:
    content = {b"%05d" % n: os.urandom(size) for n in range(count)}
    async with SqliteDatastore(path) as store:
        await store.write(Change("ns", key, value, 1e10) for key, value in content.items())
    return content


async def content_of(path: Path) -> dict[bytes, bytes]:
    async with SqliteDatastore(path) as store:
        return {e.key: e.value async for batch in store.scan("ns") for e in batch}


def start(program: str, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *args], stdout=subprocess.PIPE)


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


async def test_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    content = await fill(path)
    assert await content_of(path) == content
    assert path.stat().st_mode & 0o077 == 0


async def test_calls_of_one_moment_share_a_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = []
    write = sqlite_file.SqliteFile.write

    def counted(self: sqlite_file.SqliteFile, changes: list[Change], is_wanted: object) -> None:
        transactions.append(len(changes))
        write(self, changes, is_wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite_file.SqliteFile, "write", counted)
    monkeypatch.setattr(sqlite_module, "MAX_JOINED_CHANGES", 50)
    async with SqliteDatastore(tmp_path / "d") as store, trio.open_nursery() as nursery:
        for n in range(200):
            nursery.start_soon(store.write, [Change("ns", b"%d" % n, b"")])
    assert sum(transactions) == 200
    assert max(transactions) <= 50
    assert len(transactions) <= 6


async def test_a_thread_that_comes_too_late_writes_nothing(tmp_path: Path) -> None:
    async with SqliteDatastore(tmp_path / "d") as store:
        await store.write([Change("ns", b"k", b"first")])
        with store._file._lock:
            with trio.move_on_after(0.05):
                await store.write([Change("ns", b"k", b"late")])
        await store.write([Change("ns", b"k", b"newest")])
        for _ in range(20):  # whenever the late thread gets its turn
            await trio.sleep(0.005)
            assert await store.get("ns", b"k") == Entry(b"k", b"newest", None)


WRITER = """
import sys, trio
from libp2p.datastore import Change, SqliteDatastore

async def work(store, worker):
    n = 0
    while True:
        key = b"%d/%d" % (worker, n)
        await store.write([Change("ns", key + b"/a", key), Change("ns", key + b"/b", key)])
        sys.stdout.write(key.decode() + "\\n")
        sys.stdout.flush()
        n += 1

async def main():
    store = SqliteDatastore(sys.argv[1])
    async with trio.open_nursery() as nursery:
        for worker in range(4):
            nursery.start_soon(work, store, worker)

trio.run(main)
"""


@pytest.mark.slow
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    chance = random.Random(7)
    for _ in range(KILLS):
        path.unlink(missing_ok=True)
        child = start(WRITER, str(path))
        assert child.stdout is not None
        acknowledged = [child.stdout.readline()]
        await trio.sleep(chance.random() * 0.2)
        child.send_signal(signal.SIGKILL)
        acknowledged += [
            line for line in child.stdout.read().splitlines(True) if line[-1:] == b"\n"
        ]
        child.stdout.close()
        child.wait()
        found = await content_of(path)
        for line in acknowledged:
            key = line.strip()
            assert found[key + b"/a"] == found[key + b"/b"] == key
        halves = {key[:-2] for key in found}
        assert len(found) == 2 * len(halves), "half of a write"
        assert not path.with_name("d.sqlite.damaged").exists()


@pytest.mark.slow
async def test_any_damage_is_survived_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "d.sqlite"
    content = await fill(path)
    whole = path.read_bytes()
    chance = random.Random(3)
    set_aside = 0
    for _ in range(DAMAGES):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 1, 3, 50))):
            at = chance.choice((chance.randrange(len(whole)), chance.randrange(128)))
            damaged[at] = chance.randrange(256)
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        caplog.clear()
        found = await content_of(path)
        assert found.items() <= content.items()
        async with SqliteDatastore(path) as store:
            await store.write([Change("ns", b"new", b"value")])
            await store.delete_expired(5.0)
            assert await store.get("ns", b"new") == Entry(b"new", b"value", None)
        warnings = [record.message for record in caplog.records]
        assert len([text for text in warnings if "a new one is begun" in text]) <= 2
        # A key or a namespace may have become another one in its place, which nothing shows.
        assert warnings or len(found) >= len(content) - 3
        set_aside += path.with_name("d.sqlite.damaged").exists()
        empty(tmp_path)
    assert set_aside > DAMAGES // 20


async def test_no_database_at_all_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "d.sqlite"
    path.write_bytes(b"not a database, but long enough to look at, " * 50)
    assert await content_of(path) == {}
    assert path.with_name("d.sqlite.damaged").read_bytes().startswith(b"not a database")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "a new one is begun" in record.message


async def test_damage_under_an_open_store_costs_no_more_than_the_entries(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    await fill(path, 2000)
    async with SqliteDatastore(path) as store:
        assert await store.get("ns", b"00000") is not None
        path.write_bytes(b"x" * path.stat().st_size)
        async for _ in store.scan("ns"):
            pass
        await store.write([Change("ns", b"new", b"value")])
        assert await store.get("ns", b"new") == Entry(b"new", b"value", None)
    assert (await content_of(path)).items() <= {b"new": b"value"}.items()
    assert await fill(path) == await content_of(path)


async def test_two_stores_of_one_file_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    limits = {"small": 32}
    async with (
        SqliteDatastore(path, limits=limits) as one,
        SqliteDatastore(path, limits=limits) as two,
    ):
        for n in range(100):
            for store, other in ((one, two), (two, one)):
                key = b"%d" % n
                await store.write([Change("small", key, b"%d" % id(store), float(n))])
                entry = await other.get("small", key)
                assert entry is not None
                assert entry.value == b"%d" % id(store)
            assert sum([len(batch) async for batch in one.scan("small")]) <= 32


@pytest.mark.slow
async def test_several_processes_write_to_one_file(tmp_path: Path) -> None:
    program = dedent(
        """
        import sys, trio
        from libp2p.datastore import Change, SqliteDatastore

        async def main():
            async with SqliteDatastore(sys.argv[1]) as store:
                for n in range(50):
                    await store.write([Change("ns", b"%s/%d" % (sys.argv[2].encode(), n), b"v")])

        trio.run(main)
        """
    )
    path = tmp_path / "d.sqlite"
    children = [start(program, str(path), str(n)) for n in range(4)]
    for child in children:
        child.communicate(timeout=50)
        assert child.returncode == 0
    assert len(await content_of(path)) == 4 * 50


@pytest.mark.parametrize(
    "moment", ["application_id", "user_version", "sqlite_master", "journal_mode", "CREATE TABLE"]
)
async def test_a_file_that_another_process_is_making_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """While one process looks whether the file is there, another one makes it."""
    path = tmp_path / "d.sqlite"
    capacity = Capacity(100, {})
    others = [sqlite_file.SqliteFile(path, capacity, busy_timeout=0.05)]
    written = []
    connect = sqlite_file.SqliteFile._connect

    def connect_watched(file: sqlite_file.SqliteFile) -> sqlite3.Connection:
        connection = connect(file)
        if file not in made:
            connection.set_trace_callback(interfere)
        return connection

    def interfere(statement: str) -> None:
        if moment in statement and others:
            other = others.pop()
            made.append(other)
            with suppress(DatastoreError):  # it may have to wait
                other.write([Change("ns", b"theirs", b"v")], lambda: True)
                written.append(b"theirs")

    made: list[sqlite_file.SqliteFile] = []
    monkeypatch.setattr(sqlite_file.SqliteFile, "_connect", connect_watched)
    ours = sqlite_file.SqliteFile(path, capacity)
    ours.write([Change("ns", b"ours", b"v")], lambda: True)
    assert made
    for file in (ours, *made):
        file.close()
    assert set(await content_of(path)) == {b"ours", *written}
    assert not path.with_name("d.sqlite.damaged").exists()


async def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE passwords (secret)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    async with SqliteDatastore(path) as store:
        for _ in range(2):
            with pytest.raises(DatastoreError, match="another program"):
                await store.write([Change("ns", b"k", b"v")])
    assert path.read_bytes() == before


async def test_the_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    await fill(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {2 * sqlite_file._VERSION_UNIT}")
    connection.close()
    async with SqliteDatastore(path) as store:
        for _ in range(2):
            with pytest.raises(DatastoreError, match="later version"):
                await store.get("ns", b"k")
    assert not path.with_name("d.sqlite.damaged").exists()


async def test_a_path_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "d"):
        async with SqliteDatastore(path) as store:
            with pytest.raises(DatastoreError, match=str(path)) as raised:
                await store.get("ns", b"k")
            assert raised.value.__cause__ is not None


async def test_a_locked_file_is_waited_for_and_then_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.sqlite"
    await fill(path, 1)
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT", 0.1)
    async with SqliteDatastore(path) as store:
        assert await store.get("ns", b"00000")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatastoreError, match="locked"):
            await store.write([Change("ns", b"k", b"v")])
        assert await store.get("ns", b"00000")
        connection.execute("ROLLBACK")
        connection.close()
        await store.write([Change("ns", b"k", b"v")])
    assert not path.with_name("d.sqlite.damaged").exists()


async def test_a_full_disk_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    content = await fill(path, 10)
    async with SqliteDatastore(path) as store:
        assert await store.get("ns", b"00000")
        connection = store._file._connection
        assert connection is not None
        connection.execute("PRAGMA max_page_count = 10")
        with pytest.raises(DatastoreError, match="full"):
            await store.write([Change("ns", b"large%d" % n, bytes(100_000)) for n in range(9)])
        connection.execute("PRAGMA max_page_count = 100000")
        await store.write([Change("ns", b"k", b"v")])
    assert await content_of(path) == {**content, b"k": b"v"}


async def test_space_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    async with SqliteDatastore(path) as store:
        for part in range(10):
            await store.write(
                [Change("ns", b"%d/%d" % (part, n), bytes(8000), 1.0) for n in range(500)]
            )
        assert await store.delete_expired(2.0) == 5000
        for _ in range(10):
            await store.delete_expired(2.0)
    assert path.stat().st_size < 5000 * 8000 // 2


def test_nothing_is_opened_and_sqlite_not_loaded_before_the_first_use(tmp_path: Path) -> None:
    code = (
        "import sys; from libp2p.datastore import SqliteDatastore;"
        f"SqliteDatastore({str(tmp_path / 'd')!r}); assert 'sqlite3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list(tmp_path.iterdir()) == []
