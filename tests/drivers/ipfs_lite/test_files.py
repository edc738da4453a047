"""``peer.files``: what it keeps, what others may do meanwhile, and what it refuses."""

from __future__ import annotations

import random
import sqlite3
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import NameNotInDirectory, NotAFile, PathExists
from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite import files as files_module
from libp2p.ipfs_lite.errors import FilesConflictError, RepoError
from libp2p.ipfs_lite.files_root import MemoryFilesRoot, SqliteFilesRoot
from libp2p.ipld.cid import CID
from libp2p.ipld.unixfs import Mtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from libp2p.ipfs_lite.files_root import FilesRoot


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


async def test_changes_at_once_are_all_made() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(peer.files.mkdir, f"/{number}")
        assert len(await peer.files.names()) == 20


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
        monkeypatch.setattr(peer._files_root, "swap", lambda old, new: False)
        with pytest.raises(FilesConflictError):
            await peer.files.mkdir("/a")


async def test_large_writes_are_stored_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "SPILL_BYTES", 100_000)
    data = random.Random(2).randbytes(9_000_000)
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        await peer.files.write("/f", data, create=True)
        assert await content(peer, "/f") == data


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_root_is_replaced_only_by_who_knows_it(tmp_path: Path, kind: str) -> None:
    root: FilesRoot = MemoryFilesRoot()
    if kind == "sqlite":
        root = SqliteFilesRoot(tmp_path / "state.sqlite")
        assert "state.sqlite" in repr(root)
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
        SqliteFilesRoot(path).read()
    assert path.read_bytes() == b"no database" * 100
    path.unlink()
    SqliteFilesRoot(path).swap(None, CID.for_block(b"1"))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE files_root SET cid = x'00'")
    with pytest.raises(RepoError):
        SqliteFilesRoot(path).read()
