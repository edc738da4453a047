"""Bytes written once: a file's leaves are slices of the file, and an interrupted fetch goes on."""

# ruff: noqa: ASYNC240 - the files are small

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import trio

from libp2p.bitswap.errors import BlockUnavailableError
from libp2p.blockstore import MemoryBlockStore
from libp2p.blockstore.slice_table import Slice, Stamp
from libp2p.blockstore.sliced import Taker, sliced
from libp2p.blockstore.slices import SliceBlockStore
from libp2p.exceptions import BlockStoreError, InvalidImportOptions, NotAFile
from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.errors import OutputError, SourceError
from libp2p.ipfs_lite.state import State
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.unixfs import DataType, Mtime, UnixFSData

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from libp2p.blockstore.slice_table import Place

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
CHUNK = 100_000
DATA = random.Random(14).randbytes(40 * CHUNK + 1)
CHUNKER = f"size-{CHUNK}"
MIB = 2**20
LARGE_MIB = 4096 if os.environ.get("NIGHTLY") else 48


def copies(repo: Path) -> int:
    """Return how many bytes are in the files of the repo's blocks."""
    return sum(path.stat().st_size for path in (repo / "blocks").rglob("*.data"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Peer]:
    async with Peer.open(tmp_path / "provider", listen=[LOOPBACK]) as peer:
        yield peer


# -- adding ----------------------------------------------------------------------------------------


async def test_an_added_file_is_read_from_where_it_is(tmp_path: Path, source: Path) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        hashed = await peer.add_file(source, chunker=CHUNKER, only_hash=True)
        added = await peer.add_file(source, chunker=CHUNKER, nocopy=True)
        assert added == hashed
        assert copies(tmp_path / "repo") < CHUNK
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        async with await peer.get_file(added.cid) as reader:
            assert await reader.read() == DATA
        infos = [info async for batch in peer.store.block_infos() for info in batch]
        assert sum(size for _, size, _ in infos) == added.dag_size


@pytest.mark.parametrize("change", ["bytes", "shorter", "gone", "a folder"])
async def test_a_slice_of_a_changed_file_is_damaged(
    tmp_path: Path, source: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    what = "has changed" if change in ("bytes", "shorter") else "is gone"
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        added = await peer.add_file(source, chunker=CHUNKER, nocopy=True)
        last = CID.for_block(DATA[-1:])
        assert await peer.store.get_size(last) == 1
        if change == "bytes":
            source.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
        elif change == "shorter":
            os.truncate(source, len(DATA) - 1)
        else:
            source.unlink()
            if change == "a folder":
                source.mkdir()
        async with await peer.get_file(added.cid) as reader:
            with pytest.raises(BlockUnavailableError, match=f"the file {source}, which {what}"):
                await reader.read()
        assert await peer.store.get_size(last) is None
        assert caplog.text.count(f"were slices of {source}: it {what}") == 1
        keys = [info[0] async for batch in peer.store.block_infos() for info in batch]
        assert (last.multihash in keys) is (what == "is gone")
        # Stored again, by whatever way, it is there again.
        await peer.add_file(DATA, chunker=CHUNKER)
        async with await peer.get_file(added.cid) as reader:
            assert await reader.read() == DATA


async def test_a_file_that_is_put_back_is_found_again(tmp_path: Path, source: Path) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        added = await peer.add_file(source, chunker=CHUNKER, nocopy=True)
        source.rename(tmp_path / "aside")
        assert await peer.store.get_block(CID.for_block(DATA[:CHUNK])) is None
        (tmp_path / "aside").rename(source)
        async with await peer.get_file(added.cid) as reader:
            assert await reader.read() == DATA


async def test_a_folder_is_added_without_copies(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "large").write_bytes(DATA * 2)
    for number in range(300):
        (folder / f"f{number}").write_bytes(DATA[number : number * 100])
    (folder / "link").symlink_to("f1")
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        hashed = await peer.add_tree(folder, only_hash=True)
        added = await peer.add_tree(folder, nocopy=True)
        assert added == hashed
        assert copies(tmp_path / "repo") < 100_000
        await peer.get_tree(added.cid, tmp_path / "out")
    assert (tmp_path / "out" / "below" / "large").read_bytes() == DATA * 2
    assert (tmp_path / "out" / "f299").read_bytes() == DATA[299:29900]


async def test_slices_can_be_deleted_and_the_files_stay(tmp_path: Path, source: Path) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        added = await peer.add_file(source, chunker=CHUNKER, nocopy=True)
        cids = [cid for cid in peer.store.get_all_cids() if CID.of(cid) != added.cid]
        assert await peer.store.delete_blocks(cids, older_than=1.0) == []
        await peer.store.delete_blocks(cids)
        assert peer.store.get_all_cids() == []
    assert source.read_bytes() == DATA


async def test_what_cannot_be_added_without_a_copy(tmp_path: Path, source: Path) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        with pytest.raises(InvalidImportOptions, match="must be raw"):
            await peer.add_file(source, nocopy=True, raw_leaves=False)
        with pytest.raises(InvalidImportOptions, match="must be raw"):
            await peer.add_tree(tmp_path, nocopy=True, keep_mode=True)
        with pytest.raises(SourceError, match="named by their paths"):
            await peer.add_file(DATA, nocopy=True)
        (tmp_path / "empty").touch()
        await peer.add_file(tmp_path / "empty", nocopy=True)
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        with pytest.raises(BlockStoreError, match="use a repo"):
            await peer.add_file(source, nocopy=True)


# -- fetching --------------------------------------------------------------------------------------


async def test_a_fetched_file_is_written_once_and_served(tmp_path: Path, provider: Peer) -> None:
    added = await provider.add_file(DATA * 2, chunker=CHUNKER, raw_leaves=True)
    target = tmp_path / "out"
    target.write_bytes(b"what was there")
    async with Peer.open(tmp_path / "repo", listen=[LOOPBACK]) as peer:
        await peer.connect(provider.addrs[0])
        assert await peer.save_file(added.cid, target, nocopy=True) == added.size
        assert target.read_bytes() == DATA * 2
        assert copies(tmp_path / "repo") < CHUNK
        assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
        async with Peer.open(block_store=MemoryBlockStore()) as third:
            await third.connect(peer.addrs[0])
            async with await third.get_file(added.cid, peers=[peer.peer_id]) as reader:
                assert await reader.read() == DATA * 2


async def test_a_fetched_file_has_the_mode_and_the_time_that_were_kept(
    tmp_path: Path, provider: Peer
) -> None:
    mtime, sizes = Mtime(1_000_000_000, 5), (CHUNK, CHUNK)
    small = await provider.add_file(DATA[:10], raw_leaves=False, mode=0o640, mtime=mtime)
    leaves = [await provider.dag.put(DATA[at : at + CHUNK]) for at in (0, CHUNK)]
    message = UnixFSData(DataType.FILE, None, 2 * CHUNK, sizes, mode=0o640, mtime=mtime)
    node = dag_pb.encode(map(PBLink, leaves), unixfs.encode(message))
    large = CID.for_block(node, "dag-pb")
    await provider.store.put_block(large, node)
    for cid, data in ((small.cid, DATA[:10]), (large, DATA[: 2 * CHUNK])):
        target = tmp_path / str(cid)
        async with Peer.open(tmp_path / "repo") as peer:
            await peer.connect(provider.addrs[0])
            await peer.save_file(cid, target, nocopy=True)
        found = target.stat()
        assert (found.st_mode & 0o777, found.st_mtime_ns) == (0o640, 1_000_000_000_000_000_005)
        # The time is no change of the file: its slices can be read still.
        async with (
            Peer.open(tmp_path / "repo", online=False) as peer,
            await peer.get_file(cid) as reader,
        ):
            assert await reader.read() == data
            [place] = sliced(peer.store).slices._table.find([leaves[0].multihash])
    assert place is not None
    assert place.stamp == Stamp.of(found)


async def test_leaves_that_are_not_raw_are_copied(tmp_path: Path, provider: Peer) -> None:
    added = await provider.add_file(DATA, chunker=CHUNKER, raw_leaves=False)
    async with Peer.open(tmp_path / "repo") as peer:
        await peer.connect(provider.addrs[0])
        await peer.save_file(added.cid, tmp_path / "out", nocopy=True)
    assert (tmp_path / "out").read_bytes() == DATA
    assert copies(tmp_path / "repo") > len(DATA)


def make_folder(folder: Path) -> None:
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "large").write_bytes(DATA * 2)
    for number in range(100):
        (folder / f"f{number}").write_bytes(DATA[number : number * 100])
    (folder / "same").write_bytes(DATA[7:700])
    (folder / "link").symlink_to("f1")
    with suppress(OSError):  # not on every disk
        (folder / os.fsdecode(b"not utf-8 \xff")).write_bytes(b"odd")


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


async def test_a_fetched_folder_is_written_once_and_served(tmp_path: Path, provider: Peer) -> None:
    make_folder(tmp_path / "source")
    added = await provider.add_tree(tmp_path / "source", chunker=CHUNKER)
    target = tmp_path / "link to" / "out"
    (tmp_path / "real").mkdir()
    target.parent.symlink_to("real")
    done: list[int] = []
    async with Peer.open(tmp_path / "repo", listen=[LOOPBACK]) as peer:
        await peer.connect(provider.addrs[0])
        saved = await peer.get_tree(
            added.cid, target, nocopy=True, progress=lambda count, _: done.append(count)
        )
        assert done[-1] == saved.size == added.size
        assert copies(tmp_path / "repo") < CHUNK
        assert contents(target) == contents(tmp_path / "source")
        assert [path.name for path in target.parent.iterdir()] == ["out"]
        async with Peer.open(block_store=MemoryBlockStore()) as third:
            await third.connect(peer.addrs[0])
            await third.get_tree(added.cid, tmp_path / "third", peers=[peer.peer_id])
    # A file that is moved in its turn, and one that is changed.
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        [place] = sliced(peer.store).slices._table.find([CID.for_block(DATA[99:9900]).multihash])
        assert place is not None
        assert place.paths == (os.fsencode(tmp_path / "real" / "out" / "f99"),)
        assert place.stamp == Stamp.of((target / "f99").stat())
        (target / "f99").write_bytes(b"changed")
        with pytest.raises(BlockUnavailableError, match="out/f99, which has changed"):
            await peer.get_tree(added.cid, tmp_path / "fourth")


async def test_an_interrupted_folder_leaves_nothing(
    tmp_path: Path, provider: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    make_folder(tmp_path / "source")
    added = await provider.add_tree(tmp_path / "source", chunker=CHUNKER)
    target = tmp_path / "target" / "out"
    target.parent.mkdir()
    async with Peer.open(tmp_path / "repo") as peer:
        await peer.connect(provider.addrs[0])
        with trio.CancelScope() as scope:
            await peer.get_tree(
                added.cid, target, nocopy=True, progress=lambda done, _: scope.cancel()
            )
        assert scope.cancelled_caught
        assert list(target.parent.iterdir()) == []
        assert [file for file in psutil.Process().open_files() if ".part" in file.path] == []
        assert sliced(peer.store)._takers == []
        await peer.get_tree(added.cid, target, nocopy=True)
        assert (target / "below" / "large").read_bytes() == DATA * 2
    assert copies(tmp_path / "repo") < CHUNK
    assert "slices" not in caplog.text


async def test_a_folder_without_copies_needs_a_repo(tmp_path: Path) -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        (tmp_path / "source").mkdir()
        added = await peer.add_tree(tmp_path / "source")
        with pytest.raises(BlockStoreError, match="use a repo"):
            await peer.get_tree(added.cid, tmp_path / "out", nocopy=True)


async def test_a_folder_is_no_file_and_leaves_nothing(tmp_path: Path, provider: Peer) -> None:
    (tmp_path / "folder").mkdir()
    added = await provider.add_tree(tmp_path / "folder")
    with pytest.raises(NotAFile):
        await provider.save_file(added.cid, tmp_path / "out", nocopy=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "provider"]


async def test_a_file_with_two_names_is_not_replaced(tmp_path: Path, provider: Peer) -> None:
    added = await provider.add_file(DATA)
    (tmp_path / "one").write_bytes(b"one")
    os.link(tmp_path / "one", tmp_path / "two")
    with pytest.raises(OutputError, match="cannot be replaced"):
        await provider.save_file(added.cid, tmp_path / "one", nocopy=True)
    assert (tmp_path / "two").read_bytes() == b"one"


@pytest.mark.parametrize("how", ["nocopy", "copy"])
async def test_a_killed_fetch_goes_on(tmp_path: Path, provider: Peer, how: str) -> None:
    path = tmp_path / "large"
    source = random.Random(LARGE_MIB)
    with path.open("wb") as file:
        for _ in range(LARGE_MIB):
            file.write(source.randbytes(MIB))
    size = LARGE_MIB * MIB
    added = await provider.add_file(path, nocopy=True)
    folder = tmp_path / "target"
    folder.mkdir()
    command = [
        sys.executable, "-m", "tests.support.fetch_process", str(tmp_path / "repo"),
        str(provider.addrs[0]), str(added.cid), str(folder / "out"), how,
    ]  # fmt: skip
    before = provider.bitswap.stat().data_sent

    def killed() -> int:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            done = next(int(line) for line in process.stdout if int(line) > size // 2)
            process.kill()
            return done

    done = await trio.to_thread.run_sync(killed)
    assert done < size
    assert not (folder / "out").exists()
    sent = provider.bitswap.stat().data_sent - before
    finished = await trio.run_process(command, capture_stdout=True, cwd=ROOT)
    received = int(finished.stdout.split()[-1])
    # What had come is not asked for again; a read-ahead's length may have been under way.
    assert received <= size - done + 2 * MIB
    assert received >= added.dag_size - sent
    assert [path.name for path in folder.iterdir()] == ["out"]
    with (folder / "out").open("rb") as one, path.open("rb") as other:
        while piece := one.read(MIB):
            assert piece == other.read(MIB)
        assert not other.read(1)
    if how == "nocopy":
        assert copies(tmp_path / "repo") < 2 * MIB


async def test_what_is_left_of_a_fetch_is_forgotten_by_another_way_to_fetch(
    tmp_path: Path, provider: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    added = await provider.add_file(DATA * 40, chunker=CHUNKER)
    folder = tmp_path / "target"
    folder.mkdir()
    async with Peer.open(tmp_path / "repo") as peer:
        await peer.connect(provider.addrs[0])
        with trio.CancelScope() as scope:
            await peer.save_file(
                added.cid, folder / "out", nocopy=True, progress=lambda done, _: scope.cancel()
            )
        assert scope.cancelled_caught
        [part] = folder.iterdir()
        assert part.suffix == ".part"
        await peer.save_file(added.cid, folder / "out")
        assert [path.name for path in folder.iterdir()] == ["out"]
        infos = [batch async for batch in sliced(peer.store).slices.block_infos()]
        assert infos == []
    assert (folder / "out").read_bytes() == DATA * 40
    assert "slices" not in caplog.text


# -- the slices of a file that moves -------------------------------------------------------------


def test_slices_are_found_whenever_a_rename_is_interrupted(tmp_path: Path) -> None:
    part, target = tmp_path / "part", tmp_path / "target"
    part.write_bytes(DATA)
    key = CID.for_block(DATA[:CHUNK]).multihash
    State.create(tmp_path / "state.sqlite")

    def read() -> bytes | None:
        store = SliceBlockStore(State(tmp_path / "state.sqlite"), tmp_path / "slices")
        return trio.run(store.get_block, b"\x01\x55" + key)

    store = SliceBlockStore(State(tmp_path / "state.sqlite"), tmp_path / "slices")
    store.add([(str(part), None, [Slice(key, 0, CHUNK)])])
    with pytest.raises(OSError, match="before"):
        store.rename(str(part), str(target), lambda: fail(None, OSError("before")))
    assert read() == DATA[:CHUNK]
    with pytest.raises(OSError, match="after"):
        store.rename(str(part), str(target), lambda: fail(part.rename(target), OSError("after")))
    assert read() == DATA[:CHUNK]
    target.rename(part)
    store.rename(str(part), str(target), lambda: part.rename(target))
    assert read() == DATA[:CHUNK]
    part.write_bytes(bytes(len(DATA)))
    assert read() == DATA[:CHUNK]


@pytest.mark.parametrize("when", ["looked up", "read"])
def test_a_rename_of_another_process_does_not_lose_a_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It comes after the place of the slice was looked up, or after the file was not found."""
    part, target = tmp_path / "part", tmp_path / "target"
    part.write_bytes(DATA)
    key = CID.for_block(DATA[:CHUNK]).multihash
    State.create(tmp_path / "state.sqlite")
    renaming, reading = (
        SliceBlockStore(State(tmp_path / "state.sqlite"), tmp_path / "slices") for _ in range(2)
    )
    renaming.add([(str(part), None, [Slice(key, 0, CHUNK)])])

    def rename() -> None:
        if part.exists():
            renaming.rename(str(part), str(target), lambda: part.rename(target))

    table = reading._table
    real_find, real_drop = table.find, table.drop

    def find(multihashes: Sequence[bytes]) -> list[Place | None]:
        found = real_find(multihashes)
        rename()
        return found

    def drop(slices: Iterable[tuple[bytes, Place]]) -> None:
        aside.rename(part)
        rename()
        real_drop(slices)

    aside = tmp_path / "aside"
    if when == "looked up":
        monkeypatch.setattr(table, "find", find)
        assert trio.run(reading.get_block, b"\x01\x55" + key) == DATA[:CHUNK]
    else:
        part.rename(aside)
        monkeypatch.setattr(table, "drop", drop)
        assert trio.run(reading.get_block, b"\x01\x55" + key) is None
    monkeypatch.undo()
    assert trio.run(reading.get_block, b"\x01\x55" + key) == DATA[:CHUNK]


def fail(_: object, error: OSError) -> None:
    raise error


def test_a_taker_writes_blocks_to_all_their_places(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        taker = Taker(str(tmp_path / "file"), file.fileno(), sync=True)
        one, two = CID.for_block(b"one"), CID.for_block(b"two")
        taker.expect(one, 0, 3)
        taker.expect(one, 6, 3)
        taker.expect(two, 3, 4)  # a node that lies about the length of its leaf
        taken = taker.take([(one.multihash, b"one"), (two.multihash, b"two")])
        assert sorted(taken) == [Slice(one.multihash, 0, 3), Slice(one.multihash, 6, 3)]
        taker.fill(0, [b"on", b"etw"])
        taker.fill(5, [b"oone"])
        taker.expect(two, 3, 3)
        taker.close()
        assert taker.take([(two.multihash, b"two")]) == []
    assert (tmp_path / "file").read_bytes() == b"onetwoone"


def test_only_a_repo_has_slices() -> None:
    with pytest.raises(BlockStoreError, match="use a repo"):
        sliced(MemoryBlockStore())
