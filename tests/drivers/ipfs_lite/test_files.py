"""``peer.files``: what it keeps, what others may do meanwhile, and what it refuses."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import NameNotInDirectory, NotAFile, PathExists
from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite import files as files_module
from libp2p.ipfs_lite.errors import FilesConflictError, RepoError
from libp2p.ipfs_lite.file_fetch import BlockSource
from libp2p.ipfs_lite.files_root import FilesRoot
from libp2p.ipfs_lite.state import State
from libp2p.ipld.cid import CID
from libp2p.ipld.unixfs import Mtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def content(peer: Peer, path: str) -> bytes:
    cid, _ = await peer.files.cid_of_file(path)
    async with await peer.get_file(cid) as file:
        return await file.read()


async def test_the_tree_is_there_again(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(5_000_000)
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        await peer.files.write("/a/b/f", data, create=True, parents=True)
        await peer.files.write("/a/b/f", b"HERE", offset=2_000_000)
        await peer.files.chmod("/a", 0o755)
        await peer.files.touch("/a", Mtime(7))
        root = await peer.files.mkdir("/v0", cid_version=0)
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        assert await peer.files.root() == root
        assert await content(peer, "/a/b/f") == data[:2_000_000] + b"HERE" + data[2_000_004:]
        assert await peer.files.names() == ["a", "v0"]
        assert [entry.name for entry in await peer.files.ls("/a/b/f")] == ["f"]
        stat = await peer.files.stat("/a")
        assert (stat.kind, stat.mode, stat.mtime, stat.size) == ("directory", 0o755, Mtime(7), 0)
        await peer.files.mv("/a/b/f", "/v0/")
        await peer.files.cp("/v0/f", "/copy")
        with pytest.raises(PathExists):
            await peer.files.cp("/v0/f", "/copy")
        await peer.files.cp(CID.of((await peer.add_file(b"new")).cid), "/copy", force=True)
        assert await content(peer, "/copy") == b"new"
        with pytest.raises(NotAFile):
            await peer.files.cp("/copy", "/v0", force=True)
        await peer.files.cp("/copy", "/deep/er/copy", parents=True)
        await peer.files.chcid("/deep", cid_version=0)
        assert (await peer.files.stat("/deep")).cid.version == 0
        assert await peer.files.chcid("/deep") == await peer.files.root()
        await peer.files.rm("/deep", force=True)
        await peer.files.rm("/deep", force=True)
        with pytest.raises(NameNotInDirectory):
            await peer.files.rm("/deep", recursive=True)
        for path, create in (("/a", True), ("/none", False)):
            with pytest.raises((NotAFile, NameNotInDirectory)):
                await peer.files.write(path, b"", create=create)
        with pytest.raises(NotAFile):
            await peer.files.cid_of_file("/a")
        with pytest.raises(ValueError, match="negative"):
            await peer.files.write("/copy", b"", offset=-1)
        await peer.files.write("/copy", b"abcdef", count=3, truncate=True)
        assert await content(peer, "/copy") == b"abc"


async def test_a_tree_that_was_never_changed_is_an_empty_directory(tmp_path: Path) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        assert await peer.files.ls() == []
        root = (await peer.files.stat()).cid
        assert [entry async for entry in peer.ls(root)] == []
        await collect(peer)
        assert [entry async for entry in peer.ls(root)] == []
        assert await peer.files.root() == root


async def test_changes_at_once_are_made_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        attempts, swap = [], peer._parts.files_root.swap

        def counted(old: CID | None, new: CID) -> bool:
            attempts.append(new)
            return swap(old, new)

        monkeypatch.setattr(peer._parts.files_root, "swap", counted)
        async with trio.open_nursery() as nursery:
            for number in range(50):
                write = partial(peer.files.write, f"/{number}", b"%d" % number, create=True)
                nursery.start_soon(write)
        assert len(attempts) == 50
        assert len(await peer.files.names()) == 50


async def test_a_change_that_waits_for_a_peer_keeps_no_other_from_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answered = trio.Event(), trio.Event()

    async def fetch(_: BlockSource, cids: list[CID]) -> list[bytes]:
        asked.set()
        await answered.wait()
        return [b"far away" for _ in cids]

    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        monkeypatch.setattr(BlockSource, "fetch", fetch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.files.cp, CID.for_block(b"far away"), "/copied")
            await asked.wait()
            await peer.files.mkdir("/meanwhile")
            answered.set()
        monkeypatch.undo()
        assert await peer.files.names() == ["copied", "meanwhile"]


async def test_a_file_that_another_changes_meanwhile_is_not_overwritten() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        await peer.files.write("/f", b"first", create=True)

        async def slow() -> AsyncIterator[bytes]:
            yield b"mine"
            await peer.files.write("/f", b"other", truncate=True)

        with pytest.raises(FilesConflictError):
            await peer.files.write("/f", slow())
        assert await content(peer, "/f") == b"other"


async def test_a_change_is_given_up_if_others_never_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MAX_ATTEMPTS", 2)
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        monkeypatch.setattr(peer._parts.files_root, "swap", lambda old, new: False)
        with pytest.raises(FilesConflictError):
            await peer.files.mkdir("/a")


async def test_large_writes_are_stored_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "SPILL_BYTES", 100_000)
    data = random.Random(2).randbytes(9_000_000)
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        await peer.files.write("/f", data, create=True)
        assert await content(peer, "/f") == data


async def blocks_of(peer: Peer) -> set[bytes]:
    return {block async for batch in peer.store.multihash_batches() for block in batch}


async def collect(peer: Peer) -> None:
    await trio.sleep(0.1)  # time: a block must be older than the margin
    async for _ in peer.gc():
        pass


async def test_a_collection_leaves_the_tree_and_takes_what_was_in_it(tmp_path: Path) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        await peer.files.write("/a/f", bytes(3_000_000), create=True, parents=True)
        await collect(peer)
        first = await blocks_of(peer)
        await peer.pins.add(await peer.files.root())  # all of it is here
        await peer.pins.rm(await peer.files.root())
        await peer.files.write("/a/g", b"other", create=True)
        assert first < await blocks_of(peer)
        await peer.files.rm("/a", recursive=True)
        await collect(peer)
        assert await blocks_of(peer) == {(await peer.files.root()).multihash}


async def test_a_collection_takes_nothing_of_a_file_that_is_being_written(tmp_path: Path) -> None:
    """Neither what was in it before, of which some stays, nor what is new."""
    data = random.Random(3).randbytes(3_000_000)
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        await peer.files.write("/f", data, create=True)

        async def slow() -> AsyncIterator[bytes]:
            yield bytes(1_500_000)
            await peer.files.write("/other", b"meanwhile", create=True)
            await collect(peer)
            yield bytes(10)
            await collect(peer)

        await peer.files.write("/f", slow())
        assert await content(peer, "/f") == bytes(1_500_010) + data[1_500_010:]
        assert await content(peer, "/other") == b"meanwhile"


@pytest.mark.parametrize("moment", [0, 1, 2, 3, 4, 5])
async def test_the_root_that_is_read_stays_for_the_reader(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replaces it, and a collection takes the old one, at any moment of a reader."""
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        await peer.files.write("/a/f", b"old", create=True, parents=True)
        left, read = [moment], peer._parts.files_root.read

        def reads() -> CID | None:
            root = read()
            left[0] -= 1
            if left[0] == -1:
                trio.from_thread.run(change)
            return root

        async def change() -> None:
            await peer.files.write("/a/f", b"new", truncate=True)
            await collect(peer)

        monkeypatch.setattr(peer._parts.files_root, "read", reads)
        for _ in range(3):
            assert [entry.name for entry in await peer.files.ls("/a")] == ["f"]
        assert left[0] < -1
        assert await content(peer, "/a/f") == b"new"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_root_is_replaced_only_by_who_knows_it(tmp_path: Path, kind: str) -> None:
    State.create(tmp_path / "state.sqlite")
    with closing(State(tmp_path / "state.sqlite" if kind == "sqlite" else None)) as state:
        root = FilesRoot(state)
        one, two = (CID.for_block(data) for data in (b"1", b"2"))
        assert root.read() is None
        assert root.swap(None, one)
        assert not root.swap(None, two)
        assert not root.swap(two, two)
        assert root.read() == one
        assert root.swap(one, two)
        assert root.read() == two


def test_a_damaged_state_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(RepoError):
        FilesRoot(State(path)).read()
    assert path.read_bytes() == b"no database" * 100
    path.unlink()
    State.create(path)
    with closing(State(path)) as state:
        FilesRoot(state).swap(None, CID.for_block(b"1"))
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE files_root SET cid = x'00'")
        with pytest.raises(RepoError):
            FilesRoot(state).read()
