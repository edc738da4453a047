"""Peers on each kind of store: add, read, serve over bitswap; and the verbs that choose a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.blockstore.cached import CachedBlockStore
from libp2p.blockstore.fsspec import FsspecBlockStore
from libp2p.blockstore.kubo import KuboBlockStore
from libp2p.blockstore.layered import LayeredBlockStore
from libp2p.blockstore.lmdb import LmdbBlockStore
from libp2p.blockstore.sqlite import SqliteBlockStore
from libp2p.ipfs_lite import Config, Peer
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipfs_lite.stores import open_place
from tests.integration.test_cli import Terminal, terminal

__all__ = ["terminal"]

CONTENT = bytes(range(256)) * 20_000
LOOPBACK = "/ip4/127.0.0.1/tcp/0"

STORES: dict[str, Callable[[Path], BlockStore]] = {
    "memory": lambda _: MemoryBlockStore(),
    "flatfs": lambda folder: FilesystemBlockStore(folder / "blocks"),
    "sqlite": lambda folder: SqliteBlockStore(folder / "blocks.sqlite"),
    "lmdb": lambda folder: LmdbBlockStore(folder / "lmdb"),
    "fsspec": lambda folder: FsspecBlockStore(f"memory://{folder}"),
    "layered": lambda folder: LayeredBlockStore(
        FilesystemBlockStore(folder / "near"), FsspecBlockStore(f"file://{folder}/far")
    ),
    "cached": lambda folder: CachedBlockStore(SqliteBlockStore(folder / "blocks.sqlite")),
}


@pytest.mark.parametrize("kind", STORES)
async def test_a_peer_adds_reads_and_serves_from_it(kind: str, tmp_path: Path) -> None:
    store, other_store = STORES[kind](tmp_path / "a"), STORES[kind](tmp_path / "b")
    async with Peer.open(block_store=store, listen=LOOPBACK) as peer:
        added = await peer.add_file(CONTENT)
        async with Peer.open(block_store=other_store) as other:
            await other.connect(peer.addrs[0])
            async with await other.get_file(added.cid) as file:
                assert await file.read() == CONTENT
    async with (
        Peer.open(block_store=other_store, online=False) as other,
        await other.get_file(added.cid) as file,
    ):
        assert await file.read() == CONTENT
    await store.close()
    await other_store.close()


async def test_the_blocks_of_kubo_are_served(tmp_path: Path) -> None:
    files = FilesystemBlockStore(tmp_path / "kubo/blocks")
    async with Peer.open(block_store=files, online=False) as peer:
        added = await peer.add_file(CONTENT)
    mount = {"mountpoint": "/blocks", "path": "blocks", "type": "flatfs"}
    spec = trio.Path(tmp_path / "kubo/datastore_spec")
    await spec.write_text(json.dumps({"type": "mount", "mounts": [mount]}))
    own = FilesystemBlockStore(tmp_path / "own")
    async with (
        Peer.open(
            block_store=LayeredBlockStore(own, KuboBlockStore(tmp_path / "kubo")), listen=LOOPBACK
        ) as peer,
        Peer.open(block_store=MemoryBlockStore()) as other,
    ):
        await other.connect(peer.addrs[0])
        async with await other.get_file(added.cid) as file:
            assert await file.read() == CONTENT


@pytest.mark.parametrize("blocks", ["flatfs", "sqlite", "lmdb", "url"])
async def test_a_repo_keeps_its_blocks_where_it_was_told(blocks: str, tmp_path: Path) -> None:
    config = Config(blocks=f"file://{tmp_path}/bucket" if blocks == "url" else blocks)
    repo = tmp_path / "repo"
    async with Peer.open(repo, online=False, config=config) as peer:
        added = await peer.add_file(CONTENT)
    async with (
        Peer.open(repo, online=False) as peer,  # it remembers
        await peer.get_file(added.cid) as file,
    ):
        assert await file.read() == CONTENT
    source = open_place(repo)
    async with Peer.open(tmp_path / "other", online=False) as other:
        result = await other.import_blocks(source)
        assert result.copied == len(list(source.get_all_cids()))
        async with await other.get_file(added.cid) as file:
            assert await file.read() == CONTENT
    await source.close()


def test_a_setting_that_names_no_store_is_refused() -> None:
    for wrong in ("", "leveldb", "s3:/x", "://", "s3://"):
        with pytest.raises(RepoError, match="unknown blocks"):
            Config(blocks=wrong)


def test_repo_import_copies_what_is_not_here(
    terminal: Terminal, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert terminal("init", "--blocks", "sqlite") == 0
    assert terminal("add", "-Q", terminal.file()) == 0
    assert not (terminal.repo / "blocks").exists()
    cid = terminal.out.strip()
    (tmp_path / "other").mkdir()
    other = Terminal(tmp_path / "other", capfd)
    assert other("repo", "import", terminal.repo) == 0
    assert other.out == "imported 1 blocks (11 bytes), 0 were here\n"
    assert other("cat", cid) == 0
    assert other.out == "hello world"
    assert other("repo", "import", terminal.repo / "blocks.sqlite", "--json") == 0
    assert json.loads(other.out) == {"copied": 0, "bytes": 0, "there": 1, "damaged": 0}
    assert other("repo", "import", tmp_path) == 1
    assert "holds no blocks" in other.error


def test_a_damaged_block_is_left_out_and_told(
    terminal: Terminal, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert terminal("add", "-Q", terminal.file()) == 0
    [path] = (terminal.repo / "blocks").glob("??/*.data")
    path.write_bytes(b"hello_world")
    (tmp_path / "other").mkdir()
    other = Terminal(tmp_path / "other", capfd)
    assert other("repo", "import", terminal.repo) == 1
    assert other.out.startswith("imported 0 blocks")
    assert "1 damaged block" in other.error or "1 blocks" in other.error
    assert path.read_bytes() == b"hello_world"  # nothing is moved there


def test_init_refuses_a_store_that_there_is_not(terminal: Terminal) -> None:
    assert terminal("init", "--blocks", "nowhere") != 0
    assert "unknown blocks" in terminal.error
