"""What single stores promise beyond the conformance suite: processes, faults, flushes, layers."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import fsspec
import lmdb
import pytest
import trio
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.memory import MemoryFileSystem

from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.blockstore.cached import CachedBlockStore
from libp2p.blockstore.copying import copy_blocks
from libp2p.blockstore.fsspec import FsspecBlockStore
from libp2p.blockstore.kubo import FlatfsReader, KuboBlockStore
from libp2p.blockstore.layered import LayeredBlockStore
from libp2p.blockstore.layout import FlatLayout
from libp2p.blockstore.lmdb import LmdbBlockStore
from libp2p.blockstore.sqlite import SqliteBlockStore
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID, CIDInput

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

ROOT = Path(__file__).resolve().parents[3]

DATABASES: dict[str, Callable[[Path], BlockStore]] = {
    "sqlite": lambda folder: SqliteBlockStore(folder / "blocks.sqlite"),
    "lmdb": lambda folder: LmdbBlockStore(folder / "lmdb"),
}
SHARED: dict[str, Callable[[Path], BlockStore]] = {
    **DATABASES,
    "fsspec file": lambda folder: FsspecBlockStore(f"file://{folder}/blocks"),
    "files": lambda folder: FilesystemBlockStore(folder / "blocks"),
}


def blocks(start: int, count: int, size: int = 100) -> list[tuple[CID, bytes]]:
    contents = [n.to_bytes(8, "big") * (size // 8) for n in range(start, start + count)]
    return [(CID.for_block(data), data) for data in contents]


# -- processes -----------------------------------------------------------------------------------


def damage(folder: Path, cid: CID) -> str:
    """Write other bytes into the file of a block; return its name."""
    path = FlatLayout(str(folder), (folder / "SHARDING").read_text().strip()).path(cid.multihash)
    Path(path).write_bytes(b"damaged")
    return path


def write_in_process(kind: str, folder: Path, number: int) -> None:
    async def main() -> None:
        store = SHARED[kind](folder)
        for start in range(0, 400, 100):
            await store.put_blocks(blocks(number * 1000 + start, 100, 20_000))
            await store.put_blocks(blocks(0, 50, 20_000))  # the same ones as everybody
        await store.close()

    trio.run(main)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("kind", SHARED)
def test_several_processes_write_into_one(kind: str, method: str, tmp_path: Path) -> None:
    store = SHARED[kind](tmp_path)
    trio.run(store.put_blocks, blocks(9_000_000, 3))  # what is open is inherited by a fork
    context: Any = multiprocessing.get_context(method)
    processes = [
        context.Process(target=write_in_process, args=(kind, tmp_path, number))
        for number in range(1, 5)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0

    async def read() -> None:
        for number in range(1, 5):
            for start in range(0, 400, 100):
                expected = blocks(number * 1000 + start, 100, 20_000)
                found = await store.get_blocks([cid for cid, _ in expected])
                assert found == [data for _, data in expected]
        await store.close()

    trio.run(read)


@pytest.mark.parametrize("kind", SHARED)
def test_a_store_works_in_a_forked_child(kind: str, tmp_path: Path) -> None:
    store = SHARED[kind](tmp_path)
    [(cid, data), (other, more)] = blocks(1, 2)
    trio.run(store.put_block, cid, data)

    async def in_child() -> None:
        assert await store.get_block(cid) == data
        await store.put_block(other, more)
        await store.close()

    process = multiprocessing.get_context("fork").Process(target=trio.run, args=(in_child,))
    process.start()
    process.join()
    assert process.exitcode == 0

    async def after() -> None:
        assert await store.get_block(other) == more
        await store.put_block(CID.for_block(b"after"), b"after")
        assert await store.get_block(cid) == data
        await store.close()

    trio.run(after)


KILLED = """
import sys, trio, pathlib
sys.path.insert(0, {root!r})
from tests.drivers.blockstore.test_stores import SHARED, blocks

async def main():
    store = SHARED[{kind!r}](pathlib.Path({folder!r}))
    n = 0
    while True:
        await store.put_blocks(blocks(n, 20, 10_000))
        n += 20
        print(n, flush=True)

trio.run(main)
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", SHARED)
def test_what_was_acknowledged_survives_a_kill(kind: str, tmp_path: Path) -> None:
    program = KILLED.format(root=str(ROOT), kind=kind, folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.kill()
        lines += process.stdout.readlines()
    whole = [line for line in lines if line.endswith(b"\n")]
    stored = blocks(0, int(whole[-1]), 10_000)

    async def read() -> None:
        store = SHARED[kind](tmp_path)
        assert await store.get_blocks([cid for cid, _ in stored]) == [data for _, data in stored]
        await store.put_block(CID.for_block(b"goes on"), b"goes on")
        await store.close()

    trio.run(read)


async def test_the_map_of_lmdb_grows_and_follows_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "lmdb"
    store = LmdbBlockStore(folder)
    big = blocks(0, 40, 4 * 1024 * 1024)  # 160 MiB into a map of 64
    async with trio.open_nursery() as nursery:
        for start in range(0, 40, 4):
            nursery.start_soon(store.put_blocks, big[start : start + 4])
            nursery.start_soon(store.get_blocks, [cid for cid, _ in big])
    assert await store.get_sizes([cid for cid, _ in big]) == [len(data) for _, data in big]
    program = f"""
import lmdb
env = lmdb.open({str(folder)!r}, max_dbs=2, map_size=1 << 30)
with env.begin(write=True) as txn:
    txn.put(b"k", bytes(1 << 29), db=env.open_db(b"contents", txn=txn))
"""
    await trio.run_process([sys.executable, "-c", program])
    assert await store.get_block(big[0][0]) == big[0][1]
    await store.put_blocks(blocks(100, 10))
    again = LmdbBlockStore(folder)  # the same environment: LMDB allows one in a process
    assert await again.get_block(big[1][0]) == big[1][1]
    await store.close()
    assert await again.get_block(big[2][0]) == big[2][1]
    await again.close()


# -- flushes -------------------------------------------------------------------------------------

SYNCED = """
import sys, trio, pathlib
sys.path.insert(0, {root!r})
from libp2p.blockstore import FilesystemBlockStore
from libp2p.blockstore.sqlite import SqliteBlockStore
from libp2p.blockstore.lmdb import LmdbBlockStore
from tests.drivers.blockstore.test_stores import blocks

async def main():
    store = {store}({path!r}, sync={sync})
    await store.put_blocks(blocks(0, 1))
    print("BEGIN", file=sys.stderr, flush=True)
    for n in range(1, 6):
        await store.put_blocks(blocks(10 * n, 10))
        print("STORED", file=sys.stderr, flush=True)

trio.run(main)
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(shutil.which("strace") is None, reason="counts system calls with strace")
@pytest.mark.parametrize(
    ("store", "sync", "least", "most"),
    [
        ("FilesystemBlockStore", True, 20, 40),  # each file, and each folder
        ("FilesystemBlockStore", False, 0, 0),
        ("SqliteBlockStore", True, 1, 3),  # the log, once for a transaction
        ("SqliteBlockStore", False, 0, 0),
        ("LmdbBlockStore", True, 1, 2),  # data and its meta page
        ("LmdbBlockStore", False, 1, 1),
    ],
)
def test_what_is_flushed_before_blocks_count_as_stored(
    store: str, sync: bool, least: int, most: int, tmp_path: Path
) -> None:
    program = SYNCED.format(root=str(ROOT), store=store, path=str(tmp_path / "store"), sync=sync)
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=fsync,fdatasync,msync,write,openat,pwrite64,pwritev",
         sys.executable, "-c", program],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    trace = done.stderr.split('"BEGIN')[-1]
    parts = trace.split('"STORED')[:-1]
    assert len(parts) == 5
    for part in parts:
        flushes = sum(part.count(f"{call}(") for call in ("fsync", "fdatasync", "msync"))
        # LMDB with metasync writes its meta page through a descriptor opened with O_DSYNC.
        assert least <= flushes <= most, part


# -- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DATABASES)
async def test_damage_is_told_once_missing_and_healed(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = DATABASES[kind](tmp_path)
    [(cid, data)] = blocks(1, 1)
    await store.put_block(cid, data)
    await store.close()
    if kind == "sqlite":
        with sqlite3.connect(tmp_path / "blocks.sqlite") as connection:
            connection.execute("UPDATE contents SET data = zeroblob(50)")
        connection.close()
    else:
        with lmdb.open(str(tmp_path / "lmdb"), max_dbs=2) as env:
            contents = env.open_db(b"contents")
            with env.begin(write=True) as transaction:
                transaction.put(cid.multihash, bytes(50), db=contents)
    store = DATABASES[kind](tmp_path)
    for _ in range(2):
        assert await store.get_block(cid) is None
        assert not await store.has_block(cid)
    assert str(tmp_path) in str(store.damage_of(cid))
    assert len([r for r in caplog.records if "is damaged" in r.message]) == 1
    assert (await copy_blocks(store, MemoryBlockStore())).damaged == 1
    with pytest.raises(BlockStoreError, match="are not block"):
        await store.put_block(cid, b"wrong as well")
    await store.put_block(cid, data)
    assert await store.get_block(cid) == data
    assert store.damage_of(cid) is None
    await store.close()


async def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BlockStoreError, match="another program"):
        SqliteBlockStore(path)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(BlockStoreError, match=r"other\.sqlite"):
        SqliteBlockStore(path)
    for make in (SqliteBlockStore, LmdbBlockStore):
        with pytest.raises(BlockStoreError):
            make(path / "below a file")
    late = tmp_path / "late.sqlite"
    await SqliteBlockStore(late).close()
    with sqlite3.connect(late) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(BlockStoreError, match="later version"):
        SqliteBlockStore(late)


@pytest.mark.parametrize("kind", SHARED)
async def test_a_closed_store_says_so(kind: str, tmp_path: Path) -> None:
    if kind == "files":
        pytest.skip("it reads on: see its own tests")
    store = SHARED[kind](tmp_path)
    [(cid, data)] = blocks(1, 1)
    await store.put_block(cid, data)
    await store.close()
    for call in (store.get_block(cid), store.has_block(cid), store.put_block(cid, data)):
        with pytest.raises(BlockStoreError, match="closed"):
            await call


@pytest.mark.parametrize("kind", DATABASES)
async def test_a_full_disk_is_an_error_and_nothing_is_half_there(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "sqlite":
        store: BlockStore = SqliteBlockStore(tmp_path / "b.sqlite")
        await store.put_blocks(blocks(0, 10))
        table: Any = store._table  # type: ignore[attr-defined]
        with table._own.writer() as connection:
            connection.execute("PRAGMA max_page_count = 1")  # cut to what there is
    else:
        monkeypatch.setattr("libp2p.blockstore.lmdb.MAX_MAP_BYTES", 64 * 1024 * 1024)
        store = LmdbBlockStore(tmp_path / "lmdb")
        await store.put_blocks(blocks(0, 10))
    more = blocks(1000, 100, 1024 * 1024)
    with pytest.raises(BlockStoreError) as caught:
        await store.put_blocks(more)
    assert isinstance(caught.value.__cause__, sqlite3.Error | lmdb.Error)
    assert await store.get_sizes([cid for cid, _ in more]) == [None] * 100
    assert await store.get_blocks([c for c, _ in blocks(0, 10)]) == [d for _, d in blocks(0, 10)]
    await store.close()


# -- file systems --------------------------------------------------------------------------------


class SlowFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A bucket: each call takes 50 ms, and may fail."""

    protocol = "slowtest"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    failure: Exception | None = None
    calls = 0
    most = 0
    under_way = 0

    def _slow(self) -> None:
        kind = type(self)
        kind.calls += 1
        kind.under_way += 1
        kind.most = max(kind.most, kind.under_way)
        time.sleep(0.05)  # time: what it stands for
        kind.under_way -= 1
        if kind.failure is not None:
            raise kind.failure

    def cat_file(self, path: str, *args: Any, **options: Any) -> Any:
        self._slow()
        return super().cat_file(path, *args, **options)

    def pipe_file(self, path: str, value: Any, *args: Any, **options: Any) -> Any:
        self._slow()
        return super().pipe_file(path, value, *args, **options)

    def info(self, path: str, **options: Any) -> Any:
        self._slow()
        return super().info(path, **options)


@pytest.fixture
def bucket() -> SlowFileSystem:
    SlowFileSystem.store = {}
    SlowFileSystem.failure = None
    SlowFileSystem.calls = SlowFileSystem.most = SlowFileSystem.under_way = 0
    return SlowFileSystem(skip_instance_cache=True)


async def test_slow_calls_go_on_in_parallel_and_within_their_number(bucket: SlowFileSystem) -> None:
    store = FsspecBlockStore(bucket, "/blocks", parallel=16)
    batch = blocks(0, 320)
    await store.put_blocks(batch)
    assert await store.get_blocks([cid for cid, _ in batch]) == [data for _, data in batch]
    assert None not in await store.get_sizes([cid for cid, _ in batch])
    assert 8 <= SlowFileSystem.most <= 16


async def test_the_loop_runs_while_calls_are_under_way(bucket: SlowFileSystem) -> None:
    store = FsspecBlockStore(bucket, "/blocks")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await trio.sleep(0.001)
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn)
        await store.put_blocks(blocks(0, 64))
        nursery.cancel_scope.cancel()
    assert turns > 3


@pytest.mark.parametrize("error", [OSError(5, "refused"), ValueError("odd"), PermissionError()])
async def test_a_failure_of_the_file_system_is_not_a_missing_block(
    bucket: SlowFileSystem, error: Exception
) -> None:
    store = FsspecBlockStore(bucket, "/blocks")
    [(cid, data)] = blocks(1, 1)
    await store.put_block(cid, data)
    SlowFileSystem.failure = error
    for call in (store.get_block(cid), store.has_block(cid), store.put_block(cid, data)):
        with pytest.raises(BlockStoreError) as caught:
            await call
        assert caught.value.__cause__ is error
    SlowFileSystem.failure = None
    assert await store.get_block(cid) == data


async def test_a_place_that_is_no_store_is_an_error_and_not_empty(tmp_path: Path) -> None:
    [(cid, _)] = blocks(1, 1)
    store = FsspecBlockStore(f"file://{tmp_path}/nothing", read_only=True)
    with pytest.raises(BlockStoreError):
        await store.get_block(cid)
    with pytest.raises(BlockStoreError):
        await store.has_block(cid)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(BlockStoreError, match="no place"):
        FsspecBlockStore("nosuchscheme://x/y")


async def test_a_call_that_takes_too_long_is_given_up(bucket: SlowFileSystem) -> None:
    store = FsspecBlockStore(bucket, "/blocks", timeout=0.01)
    with pytest.raises(BlockStoreError, match="did not answer"):
        await store.get_block(blocks(1, 1)[0][0])


async def test_a_copied_folder_of_files_is_a_store_there(tmp_path: Path) -> None:
    batch = blocks(0, 100)
    files = FilesystemBlockStore(tmp_path / "blocks")
    await files.put_blocks(batch)
    store = FsspecBlockStore(f"file://{tmp_path}/blocks", read_only=True)
    assert await store.get_blocks([cid for cid, _ in batch]) == [data for _, data in batch]
    with pytest.raises(BlockStoreError, match="read only"):
        await store.put_blocks(batch)
    with pytest.raises(BlockStoreError, match="read only"):
        await store.delete_block(batch[0][0])
    path = damage(tmp_path / "blocks", batch[0][0])
    assert await store.get_block(batch[0][0]) is None
    assert path in str(store.damage_of(batch[0][0]))
    assert not await store.has_block(batch[0][0])


def test_a_file_system_for_coroutines_is_refused() -> None:
    with pytest.raises(ValueError, match="asynchronous"):
        FsspecBlockStore(AsyncFileSystemWrapper(fsspec.filesystem("memory"), asynchronous=True))


# -- layers and caches ---------------------------------------------------------------------------


class Counting(MemoryBlockStore):
    """Counts the calls for lists, and can fail or lie."""

    verifies = False

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []
        self.error: Exception | None = None

    def note(self, name: str, count: int) -> None:
        self.calls.append((name, count))
        if self.error is not None:
            raise self.error

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        self.note("get", len(cids))
        return [await self.get_block(cid) for cid in cids]

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        self.note("size", len(cids))
        return [await self.get_size(cid) for cid in cids]

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        self.note("put", len(blocks))
        await super().put_blocks(blocks)


async def test_what_is_read_through_is_asked_once_and_kept() -> None:
    local, remote = Counting(), Counting()
    store = LayeredBlockStore(local, remote)
    batch = blocks(0, 50)
    await remote.put_blocks(batch)
    cids = [cid for cid, _ in batch]
    remote.calls.clear()
    assert await store.get_sizes([*cids, CID.for_block(b"missing")]) == [*[96] * 50, None]
    assert await store.get_blocks([*cids, cids[0]]) == [*[data for _, data in batch], batch[0][1]]
    assert remote.calls == [("size", 51), ("get", 50)]
    assert await store.get_blocks(cids) == [data for _, data in batch]
    assert remote.calls == [("size", 51), ("get", 50)]
    assert local.size() == 50


async def test_lies_of_a_remote_are_not_kept() -> None:
    local, remote = Counting(), Counting()
    store = LayeredBlockStore(local, remote)
    [(cid, _)] = blocks(1, 1)
    await remote.put_block(cid, b"a lie")
    assert await store.get_block(cid) is None
    assert local.size() == 0


@pytest.mark.parametrize(
    ("write_to", "local_has", "remote_has"),
    [("local", True, False), ("remote", False, True), ("both", True, True)],
)
async def test_writes_and_deletes_go_where_they_should(
    write_to: str, local_has: bool, remote_has: bool
) -> None:
    local, remote = Counting(), Counting()
    store = LayeredBlockStore(local, remote, write_to=write_to)
    [(cid, data)] = blocks(1, 1)
    await store.put_block(cid, data)
    assert (await local.has_block(cid), await remote.has_block(cid)) == (local_has, remote_has)
    assert await store.get_block(cid) == data
    assert await store.delete_blocks([cid]) == [cid]
    assert not await store.has_block(cid)
    with pytest.raises(ValueError, match="write_to"):
        LayeredBlockStore(local, remote, write_to="nowhere")


async def test_a_full_local_store_fails_no_read(caplog: pytest.LogCaptureFixture) -> None:
    local, remote = Counting(), Counting()
    store = LayeredBlockStore(local, remote)
    batch = blocks(0, 2)
    await remote.put_blocks(batch)

    async def full(_: object) -> None:
        raise BlockStoreError("disk full")

    local.put_blocks = full  # type: ignore[assignment,method-assign]
    for cid, data in batch:
        assert await store.get_block(cid) == data
    assert len([r for r in caplog.records if "does not keep" in r.message]) == 1
    remote.error = BlockStoreError("unreachable")
    with pytest.raises(BlockStoreError, match="unreachable"):
        await store.get_block(CID.for_block(b"where?"))


async def test_a_cache_spares_the_store_and_is_never_wrong_about_what_is_here() -> None:
    inner = Counting()
    store = CachedBlockStore(inner)
    batch = blocks(0, 10)
    await store.put_blocks(batch)
    cids = [cid for cid, _ in batch]
    inner.calls.clear()
    assert await store.get_blocks(cids) == [data for _, data in batch]
    assert inner.calls == []
    assert store.statistics.hits == 10
    other = CID.for_block(b"of another process")
    assert not await store.has_block(other)
    await inner.put_block(other, b"of another process")
    assert await store.has_block(other)
    assert await store.get_block(other) == b"of another process"
    await inner.delete_block(other)
    assert not await store.has_block(other)
    with pytest.raises(ValueError, match="exclusive"):
        await store.build_filter()


async def test_a_filter_answers_for_what_is_not_here_and_for_nothing_else() -> None:
    inner = Counting()
    await inner.put_blocks(blocks(0, 2000))
    store = CachedBlockStore(inner, exclusive=True, capacity=0, expected_blocks=4000)
    await store.build_filter()
    new = blocks(5000, 2000)
    await store.put_blocks(new)
    here = [cid for cid, _ in blocks(0, 2000) + new]
    assert None not in await store.get_blocks(here)
    assert None not in await store.get_sizes(here)
    await store.delete_blocks(here[:1000])
    assert await store.get_sizes(here[:1000]) == [None] * 1000
    await store.put_blocks(blocks(0, 1000))
    assert None not in await store.get_sizes(here)
    inner.calls.clear()
    missing = [cid for cid, _ in blocks(100_000, 2000)]
    assert await store.get_sizes(missing) == [None] * 2000
    assert sum(count for _, count in inner.calls) < 200  # one in a hundred, with room
    assert store.statistics.known_absent > 1800


async def test_blocks_that_come_while_a_filter_is_made_are_in_it() -> None:
    inner = Counting()
    await inner.put_blocks(blocks(0, 3000))
    store = CachedBlockStore(inner, exclusive=True)
    new = blocks(50_000, 500)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.build_filter)
        for block in new:
            nursery.start_soon(store.put_blocks, [block])
    assert None not in await store.get_sizes([cid for cid, _ in new + blocks(0, 3000)])


# -- copying -------------------------------------------------------------------------------------


async def test_a_copy_that_was_interrupted_goes_on() -> None:
    source, target = Counting(), Counting()
    await source.put_blocks(blocks(0, 3000))
    done = 0

    async def fails_later(some: Sequence[tuple[CIDInput, Buffer]]) -> None:
        nonlocal done
        done += 1
        if done > 2:
            raise BlockStoreError("disk full")
        await Counting.put_blocks(target, some)

    target.put_blocks = fails_later  # type: ignore[assignment,method-assign]
    with pytest.raises(BlockStoreError, match="disk full"):
        await copy_blocks(source, target)
    copied = target.size()
    assert 0 < copied < 3000
    del target.put_blocks
    seen: list[int] = []
    result = await copy_blocks(source, target, progress=lambda so_far: seen.append(so_far.copied))
    assert (result.there, result.copied) == (copied, 3000 - copied)
    assert seen == sorted(seen)
    assert seen[-1] == result.copied


async def test_copies_are_bounded_in_bytes() -> None:
    source, target = Counting(), Counting()
    await source.put_blocks(blocks(0, 40, 1024 * 1024))
    source.calls.clear()
    await copy_blocks(source, target)
    assert [count for name, count in source.calls if name == "get"] == [16, 16, 8]


# -- Kubo ----------------------------------------------------------------------------------------


def kubo_repo(folder: Path, spec: object) -> Path:
    (folder / "datastore_spec").write_text(json.dumps(spec))
    return folder


def flatfs_spec(**changes: str) -> dict[str, Any]:
    mount = {
        "mountpoint": "/blocks", "path": "blocks", "type": "flatfs",
        "shardFunc": "/repo/flatfs/shard/v1/next-to-last/2", **changes,
    }  # fmt: skip
    other = {"mountpoint": "/", "path": "datastore", "type": "levelds"}
    return {"mounts": [mount, other], "type": "mount"}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.mark.parametrize("function", ["next-to-last/2", "prefix/3", "suffix/2"])
async def test_a_kubo_repo_is_read_and_not_touched(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharding = f"/repo/flatfs/shard/v1/{function}"
    batch = blocks(0, 100)
    files = FilesystemBlockStore(tmp_path / "blocks", sharding=sharding)
    await files.put_blocks(batch)
    shutil.rmtree(tmp_path / "blocks/.temp")
    kubo_repo(tmp_path, flatfs_spec(shardFunc=sharding))
    monkeypatch.setenv("IPFS_PATH", str(tmp_path))
    broken = damage(tmp_path / "blocks", batch[0][0])
    before = tree(tmp_path)
    store = KuboBlockStore()
    cids = [cid for cid, _ in batch]
    assert await store.get_blocks(cids) == [None, *(data for _, data in batch[1:])]
    assert store.damage_of(cids[0]) == broken
    assert (await store.get_sizes(cids))[:2] == [None, 96]
    assert len(store.get_all_cids()) == 100
    target = MemoryBlockStore()
    result = await copy_blocks(store, target)
    assert (result.copied, result.damaged) == (99, 1)
    for call in (
        store.put_block(*batch[0]),
        store.put_blocks(batch),
        store.delete_block(cids[0]),
        store.delete_blocks(cids),
    ):
        with pytest.raises(BlockStoreError, match="nothing is written"):
            await call
    await store.close()
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "badgerds", "path": "badgerds"}, "in Badger"),
        ({"type": "pebbleds", "path": "pebbleds"}, "in Pebble"),
        (flatfs_spec(type="levelds"), "in LevelDB"),
        ({"type": "mount", "mounts": []}, "damaged"),
        ([], "damaged"),
        ({"type": "mount", "mounts": [1]}, "damaged"),
    ],
)
def test_other_repos_of_kubo_are_refused_with_a_reason(
    spec: object, message: str, tmp_path: Path
) -> None:
    kubo_repo(tmp_path, spec)
    with pytest.raises(BlockStoreError, match=message):
        KuboBlockStore(tmp_path)


def test_what_is_no_repo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BlockStoreError, match="no Kubo repo"):
        KuboBlockStore(tmp_path)
    with pytest.raises(BlockStoreError, match="no folder of blocks"):
        FlatfsReader(tmp_path)
