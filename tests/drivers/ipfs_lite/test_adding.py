"""Adding: every kind of source gives the same CID, and errors come out as themselves."""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.blockstore import FilesystemBlockStore, MemoryBlockStore
from libp2p.exceptions import BlockStoreError
from libp2p.ipfs_lite import adder, source
from libp2p.ipfs_lite.adder import add_file
from libp2p.ipfs_lite.descriptors import SharedDescriptor
from libp2p.ipfs_lite.errors import SourceError, leaves_of, plain_errors
from libp2p.ipfs_lite.source import FileSource, SourceInput
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.profiles import ImportOptions, resolve_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CID

DATA = bytes(range(256)) * 4000  # 1 MB
OPTIONS = resolve_options(chunker="size-10000", max_file_links=4)


def expected_root(data: bytes, options: ImportOptions = OPTIONS) -> CID:
    importer = FileImporter(options)
    importer.feed([data])
    importer.finish()
    return importer.root


class AsyncReader:
    """Gives odd amounts, waiting for each."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def read(self, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._file.read(min(size, 7777))


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 9999):
        yield b""
        yield data[start : start + 9999]


class Sometimes(io.RawIOBase):
    """A raw file that is non-blocking: it has nothing in between, and gives None then."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self._turns = 0

    def read(self, size: int = -1) -> bytes | None:
        self._turns += 1
        return None if self._turns % 2 else self._file.read(size)


SOURCES: dict[str, Callable[[Path], SourceInput]] = {
    "path": lambda path: path,
    "path as text": str,
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "view": lambda path: memoryview(path.read_bytes()),
    "blocking reader": lambda path: io.BytesIO(path.read_bytes()),
    "waiting reader": lambda path: AsyncReader(path.read_bytes()),
    "iterator": lambda path: pieces(path.read_bytes()),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("size", [0, 1, 10_000, 10_001, len(DATA)])
async def test_every_source_gives_the_same(tmp_path: Path, kind: str, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA[:size])
    store = MemoryBlockStore()
    added = await add_file(SOURCES[kind](path), OPTIONS, store)
    assert added.cid == expected_root(DATA[:size])
    assert added.size == size
    assert await store.has_block(added.cid)
    assert added.dag_size >= size


async def test_reads_and_hashes_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH_BYTES", 100_000)
    monkeypatch.setattr(adder, "MIN_READ_BYTES", 10_000)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    told: list[tuple[int, int | None]] = []
    stored: list[int] = []

    async def note(cids: Sequence[CID]) -> None:
        stored.append(len(cids))

    added = await add_file(
        path,
        OPTIONS,
        MemoryBlockStore(),
        stored=note,
        progress=lambda done, total: told.append((done, total)),
    )
    assert added.cid == expected_root(DATA)
    assert len(told) > 5
    assert told == sorted(told)
    assert told[-1] == (len(DATA), len(DATA))
    assert sum(stored) > len(DATA) // 10_000


async def test_without_a_store_only_the_cid_is_found() -> None:
    assert (await add_file(DATA, OPTIONS, None)).cid == expected_root(DATA)


async def test_a_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as file:
            file.write(DATA)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, write)
        added = await add_file(FileSource(reading, "pipe"), OPTIONS, None)
    os.close(reading)
    assert added.cid == expected_root(DATA)


async def test_a_silent_pipe_can_be_left() -> None:
    reading, writing = os.pipe()
    with trio.move_on_after(0.01) as scope:
        await add_file(FileSource(reading, "pipe"), OPTIONS, None)
    assert scope.cancelled_caught
    os.close(writing)


async def test_a_reader_that_has_nothing_at_the_moment_has_not_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    added = await add_file(Sometimes(DATA), OPTIONS, None)
    assert (added.cid, added.size) == (expected_root(DATA), len(DATA))


@pytest.mark.parametrize("buffering", [0, -1])
async def test_a_non_blocking_pipe_is_waited_for(buffering: int) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write() -> None:
        with open(writing, "wb", buffering=0) as file:
            file.write(b"twelve bytes")
            threading.Event().wait(0.05)
            file.write(b"and eleven.")

    with os.fdopen(reading, "rb", buffering=buffering) as file:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, write)
            added = await add_file(file, OPTIONS, None)
    assert (added.cid, added.size) == (expected_root(b"twelve bytesand eleven."), 23)


async def test_a_pipe_that_others_made_non_blocking_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write() -> None:
        with open(writing, "wb", buffering=0) as file:
            for start in range(0, len(DATA), 50_000):
                file.write(DATA[start : start + 50_000])
                if start % 500_000 == 0:
                    threading.Event().wait(0.001)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, write)
        added = await add_file(FileSource(reading, "pipe"), OPTIONS, None)
    os.close(reading)
    assert added.cid == expected_root(DATA)


async def test_a_socket_by_the_name_of_its_descriptor() -> None:
    reading, writing = socket.socketpair()
    with reading, writing:
        writing.sendall(b"what comes")
        writing.shutdown(socket.SHUT_WR)
        added = await add_file(f"/dev/fd/{reading.fileno()}", OPTIONS, None)
    assert added.cid == expected_root(b"what comes")


async def test_a_fifo_that_nobody_opens_can_be_left(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with trio.move_on_after(0.05) as scope:
        await add_file(tmp_path / "fifo", OPTIONS, None)
    assert scope.cancelled_caught
    # Whoever opens it later finds that the other side has gone away again.
    writing = await trio.to_thread.run_sync(os.open, tmp_path / "fifo", os.O_WRONLY)
    reader = select.poll()
    reader.register(writing, 0)
    assert reader.poll(10_000) == [(writing, select.POLLERR)]
    os.close(writing)


async def test_a_pipe_that_is_left_is_not_read_on() -> None:
    reading, writing = os.pipe()
    source = SharedDescriptor(reading)
    with trio.move_on_after(0.05) as scope:
        await add_file(FileSource(source, "pipe"), OPTIONS, None)
    assert scope.cancelled_caught
    source.close()
    pair = os.pipe()
    assert reading not in pair  # its number is not given away while a thread is using it
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await source.use(os.fstat)
    for number in pair:
        os.close(number)


async def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such file: .*nowhere"):
        await add_file(tmp_path / "nowhere", OPTIONS, None)
    with pytest.raises(SourceError, match="is a directory"):
        await add_file(tmp_path, OPTIONS, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="Not a directory"):
        await add_file(tmp_path / "file" / "in a file", OPTIONS, None)


async def test_a_failing_read_is_named(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, pytest.raises(SourceError, match="the file"):
        await add_file(FileSource(file.fileno(), "the file"), OPTIONS, None)


async def test_a_full_disk_comes_out_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemBlockStore(tmp_path / "blocks")

    def full(descriptor: int, data: Buffer) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(BlockStoreError, match="No space left"):
        await add_file(DATA, OPTIONS, store)
    assert store.size() == 0
    await store.close()
    assert os.listdir(tmp_path / "blocks" / ".temp") == []


def test_a_lone_error_leaves_its_groups() -> None:
    with pytest.raises(ValueError, match="deep"), plain_errors():
        raise ExceptionGroup("", [ExceptionGroup("", [ValueError("deep")])])


def test_several_errors_stay_together() -> None:
    both = ExceptionGroup("", [ValueError("one"), KeyError("two")])
    with pytest.raises(ExceptionGroup) as caught, plain_errors():
        raise both
    assert list(leaves_of(caught.value)) == list(both.exceptions)


# -- files are read in any order ------------------------------------------------------------------


@pytest.mark.parametrize("raw_leaves", [True, False])
async def test_pieces_in_any_order_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw_leaves: bool
) -> None:
    monkeypatch.setattr(source, "BATCH_BYTES", 30_000)
    monkeypatch.setattr(adder, "WORKERS", 4)
    options = resolve_options(chunker="size-10000", max_file_links=4, raw_leaves=raw_leaves)
    (tmp_path / "file").write_bytes(DATA)
    waits = iter(range(1000))
    put = FilesystemBlockStore.thread_putter

    def slow(store: FilesystemBlockStore) -> Callable[[Sequence[tuple[CID, Buffer]]], None] | None:
        putter = put(store)
        assert putter is not None

        def later(blocks: Sequence[tuple[CID, Buffer]]) -> None:
            threading.Event().wait(next(waits) % 3 / 100)
            putter(blocks)

        return later

    monkeypatch.setattr(FilesystemBlockStore, "thread_putter", slow)
    store = FilesystemBlockStore(tmp_path / "blocks")
    stored: list[CID] = []

    async def note(cids: Sequence[CID]) -> None:
        assert await store.get_sizes(cids) == [len(await read(store, cid)) for cid in cids]
        stored.extend(cids)

    added = await add_file(tmp_path / "file", options, store, stored=note)
    assert (added.cid, added.size) == (expected_root(DATA, options), len(DATA))
    assert stored[-1] == added.cid
    importer = FileImporter(options)
    blocks = [*importer.feed([DATA]), *importer.finish()]
    assert {cid for cid, _ in blocks} == set(stored)
    for cid, data in blocks:
        assert await store.get_block(cid) == data


async def read(store: FilesystemBlockStore, cid: CID) -> bytes:
    data = await store.get_block(cid)
    assert data is not None
    return data


async def test_a_class_of_the_users_sees_every_block(tmp_path: Path) -> None:
    class Counting(FilesystemBlockStore):
        seen = 0

        async def put_blocks(self, blocks: Sequence[tuple[object, Buffer]]) -> None:
            self.seen += len(blocks)
            await super().put_blocks(blocks)  # type: ignore[arg-type]

    (tmp_path / "file").write_bytes(DATA)
    store = Counting(tmp_path / "blocks")
    await add_file(tmp_path / "file", OPTIONS, store)
    importer = FileImporter(OPTIONS)
    assert store.seen == len([*importer.feed([DATA]), *importer.finish()])


async def test_an_open_file_is_read_from_its_place_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with (tmp_path / "file").open("rb") as file:
        os.lseek(file.fileno(), 12_345, os.SEEK_SET)
        added = await add_file(FileSource(file.fileno(), "the file"), OPTIONS, None)
        assert os.read(file.fileno(), 1) == b""
    assert (added.cid, added.size) == (expected_root(DATA[12_345:]), len(DATA) - 12_345)


async def test_a_file_may_be_shorter_than_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BATCH_BYTES", 30_000)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        opened = FileSource(file.fileno(), "the file")
        os.truncate(path, 100_001)
        added = await add_file(opened, OPTIONS, None)
    assert (added.cid, added.size) == (expected_root(DATA[:100_001]), 100_001)


async def test_a_file_that_shrinks_and_grows_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "BATCH_BYTES", 30_000)
    monkeypatch.setattr(adder, "WORKERS", 1)
    path = tmp_path / "file"
    path.write_bytes(DATA[:100_000])
    preadv = os.preadv

    def growing(number: int, buffers: Sequence[memoryview], offset: int) -> int:
        count = preadv(number, buffers, offset)
        if offset >= 100_000:
            path.write_bytes(DATA)
        return count

    with path.open("rb") as file:
        os.truncate(path, len(DATA))
        opened = FileSource(file.fileno(), "the file")
        os.truncate(path, 100_000)
        monkeypatch.setattr(os, "preadv", growing)
        with pytest.raises(SourceError, match="the file was changed"):
            await add_file(opened, OPTIONS, None)


async def test_what_the_system_makes_up_has_no_size() -> None:
    text = await trio.Path("/proc/self/limits").read_bytes()
    assert (await add_file("/proc/self/limits", OPTIONS, None)).size == len(text)
