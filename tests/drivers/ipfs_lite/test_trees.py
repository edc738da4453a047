"""Folders in and out of peers: what goes in comes out, and nothing goes anywhere else."""

from __future__ import annotations

import os
import random
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p.bitswap.errors import BlockUnavailableError
from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import (
    InvalidImportOptions,
    InvalidUnixFS,
    NameNotInDirectory,
    NotADirectory,
    NotAFile,
)
from libp2p.ipfs_lite import OutputError, Peer, SourceError, tree_adder, tree_saver
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter, symlink_block
from libp2p.ipld.profiles import ImportOptions
from libp2p.ipld.unixfs import DataType, UnixFSData
from libp2p.utils import file_locks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libp2p.ipfs_lite.adder import AddResult

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
LARGE = random.Random(1).randbytes(5_000_000)
MEDIUM = LARGE[:300_000]


def write_tree(folder: Path) -> Path:
    for name, data in {
        "empty": b"",
        "a/small": b"small",
        "a/b/c/deep": b"deep",
        "a/medium": MEDIUM,
        "large": LARGE,
        "ünï cödé": b"1",
        ".hidden": b"not added",
        "odd\nname": b"2",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "no files").mkdir()
    (folder / "link").symlink_to("a/small")
    (folder / "a" / "up").symlink_to("../large")
    (folder / "dangling").symlink_to("nowhere")
    return folder


def contents(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def noted(names: dict[str, AddResult]) -> Callable[[str, AddResult], Awaitable[None]]:
    async def note(name: str, added: AddResult) -> None:
        names[name] = added

    return note


@pytest.fixture
async def peer() -> Any:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        yield peer


async def test_what_goes_in_comes_out(peer: Peer, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "in")
    read: list[int] = []
    names: dict[str, AddResult] = {}
    result = await peer.add_tree(
        folder, added=noted(names), progress=lambda done, _: read.append(done)
    )
    size = len(LARGE) + len(MEDIUM) + 5 + 4 + 2
    assert result.size == read[-1] == size
    assert names[""] == result
    assert names["a/b/c/deep"].cid == CID.for_block(b"deep")
    assert (await peer.add_tree(folder)).cid == result.cid
    saved = await peer.get_tree(result.cid, tmp_path / "out")
    (folder / ".hidden").unlink()
    assert contents(tmp_path / "out") == contents(folder)
    assert saved == tree_saver.TreeResult(len(names), size)
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


@pytest.mark.parametrize("threshold", [1, 262144])
async def test_a_folder_is_fetched_from_a_peer(tmp_path: Path, threshold: int) -> None:
    folder = write_tree(tmp_path / "in")
    for number in range(100):
        (folder / f"file {number}").write_text(str(number))
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=LOOPBACK) as provider,
        Peer.open(block_store=MemoryBlockStore()) as peer,
    ):
        root = (await provider.add_tree(folder, hidden=True, hamt_threshold=threshold)).cid
        await peer.connect(provider.addrs[0])
        listed = {entry.name: entry async for entry in peer.ls(root)}
        assert sorted(listed) == sorted(os.listdir(folder))
        assert await peer.resolve(root, "/a/b/c/") == await provider.resolve(root, "a/b/c")
        assert await peer.resolve(root, "a/small") == CID.for_block(b"small")
        await peer.get_tree(root, tmp_path / "out", peers=[provider.peer_id])
    assert contents(tmp_path / "out") == contents(folder)


async def test_paths_that_lead_nowhere(peer: Peer, tmp_path: Path) -> None:
    root = (await peer.add_tree(write_tree(tmp_path / "in"))).cid
    with pytest.raises(NameNotInDirectory):
        await peer.resolve(root, "a/missing")
    with pytest.raises(NotADirectory):
        await peer.resolve(root, "empty/below")
    with pytest.raises(NotADirectory):
        [_ async for _ in peer.ls(await peer.resolve(root, "large"))]
    with pytest.raises(NotADirectory):
        await peer.get_tree(await peer.resolve(root, "large"), tmp_path / "out")
    assert await peer.resolve(root, "") == root


async def test_modes_and_times_are_kept(peer: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"x")
    (folder / "sub" / "large").write_bytes(LARGE)
    modes = {"sub/file": 0o640, "sub/large": 0o600, "sub": 0o750, "": 0o700}
    for name, mode in modes.items():
        (folder / name).chmod(mode)
        os.utime(folder / name, ns=(5, 1_600_000_000_123_456_789))
    (folder / "link").symlink_to("sub/file")
    os.utime(folder / "link", ns=(5, 1_500_000_000_987_654_321), follow_symlinks=False)
    os.utime(folder, ns=(5, 1_600_000_000_123_456_789))
    result = await peer.add_tree(folder, keep_mode=True, keep_mtime=True)
    assert result.cid != (await peer.add_tree(folder)).cid
    await peer.get_tree(result.cid, tmp_path / "out")
    for name, mode in modes.items():
        status = (tmp_path / "out" / name).stat()
        assert stat.S_IMODE(status.st_mode) == mode
        assert status.st_mtime_ns == 1_600_000_000_123_456_789
    assert (tmp_path / "out" / "link").lstat().st_mtime_ns == 1_500_000_000_987_654_321
    with pytest.raises(InvalidImportOptions):
        await peer.add_tree(folder, keep_mode=True, raw_leaves=True)


async def test_what_is_left_out(peer: Peer, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "in")
    names: dict[str, AddResult] = {}
    (folder / "dangling").unlink()
    (folder / "a" / "up").unlink()
    result = await peer.add_tree(
        folder,
        ignored=lambda name, is_folder: name == "large" or (is_folder and name == "b"),
        follow_links=True,
        only_hash=True,
        added=noted(names),
    )
    assert "large" not in names
    assert "a/b" not in names
    assert names["link"].cid == names["a/small"].cid
    assert not await peer.has_block(result.cid)


async def test_what_cannot_be_added(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        await peer.add_tree(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="no file, folder or symbolic link"):
        await peer.add_tree(tmp_path)
    (tmp_path / "pipe").unlink()
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(SourceError):
        await peer.add_tree(tmp_path, follow_links=True)


async def test_a_folder_that_is_too_deep(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1/2/3").mkdir(parents=True)
    root = (await peer.add_tree(tmp_path / "1")).cid
    monkeypatch.setattr(tree_adder, "MAX_DEPTH", 2)
    monkeypatch.setattr(tree_saver, "MAX_DEPTH", 2)
    with pytest.raises(SourceError, match="2 folders deep"):
        await peer.add_tree(tmp_path / "1")
    with pytest.raises(OutputError, match="2 folders deep"):
        await peer.get_tree(root, tmp_path / "out")
    monkeypatch.setattr(tree_saver, "MAX_DEPTH", 9)
    monkeypatch.setattr(tree_saver, "MAX_ENTRIES", 2)
    with pytest.raises(OutputError, match="more than 2 entries"):
        await peer.get_tree(root, tmp_path / "out")
    assert os.listdir(tmp_path) == ["1"]


# -- folders that a stranger has made -------------------------------------------------------------


async def stored(peer: Peer, *links: dag_pb.PBLink) -> CID:
    data = dag_pb.encode(links, unixfs.encode(UnixFSData(DataType.DIRECTORY)))
    cid = CID.for_block(data, "dag-pb")
    await peer.store.put_block(cid, data)
    return cid


async def linked(peer: Peer, name: str, target: str) -> dag_pb.PBLink:
    block = symlink_block(target, ImportOptions())
    await peer.store.put_block(*block)
    return dag_pb.PBLink(block.cid, name)


async def file(peer: Peer, name: str) -> dag_pb.PBLink:
    cid = CID.for_block(b"x")
    await peer.store.put_block(cid, b"x")
    return dag_pb.PBLink(cid, name)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\0b"])
async def test_names_that_no_file_has_are_refused(peer: Peer, tmp_path: Path, name: str) -> None:
    root = await stored(peer, await file(peer, "fine"), await file(peer, name))
    with pytest.raises(OutputError, match="which no file can be called"):
        await peer.get_tree(root, tmp_path / "out")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "..", "../x", "a/..", "a/../../x", "a/../../../x", "", "x\0"]
)
async def test_links_that_lead_out_are_refused(peer: Peer, tmp_path: Path, target: str) -> None:
    root = await stored(peer, await linked(peer, "link", target))
    with pytest.raises(OutputError, match="outside the folder"):
        await peer.get_tree(root, tmp_path / "out")
    assert os.listdir(tmp_path) == []


async def test_links_that_lead_out_are_made_if_asked_for(peer: Peer, tmp_path: Path) -> None:
    root = await stored(peer, await linked(peer, "link", "/etc/passwd"))
    await peer.get_tree(root, tmp_path / "out", unsafe_links=True)
    assert os.readlink(tmp_path / "out" / "link") == "/etc/passwd"


@pytest.mark.parametrize("target", ["", "x\0y"])
async def test_links_that_no_disk_has_are_refused(peer: Peer, tmp_path: Path, target: str) -> None:
    root = await stored(peer, await linked(peer, "link", target))
    with pytest.raises(OutputError, match="to which no link can lead"):
        await peer.get_tree(root, tmp_path / "out", unsafe_links=True)
    assert os.listdir(tmp_path) == []


async def test_nothing_is_written_through_a_link(peer: Peer, tmp_path: Path) -> None:
    below = await stored(peer, await file(peer, "file"))
    both = await stored(peer, await linked(peer, "a", str(tmp_path)), dag_pb.PBLink(below, "a", 0))
    await peer.get_tree(both, tmp_path / "out", unsafe_links=True)
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out" / "a").is_symlink()


async def test_names_that_are_one_on_the_disk(peer: Peer, tmp_path: Path) -> None:
    # As on a disk that does not tell A from a.
    root = await stored(peer, await file(peer, "a"), await file(peer, "b"))
    saver = tree_saver.TreeSaver(peer._work.source(None, 5), lambda cid, _: peer.get_file(cid))
    saver._checked = lambda folder, name: "same"  # type: ignore[method-assign]
    with pytest.raises(OutputError, match="two names may be one"):
        await saver.save(root, tmp_path / "out")
    assert os.listdir(tmp_path) == []


async def test_the_target_must_not_be_there(peer: Peer, tmp_path: Path) -> None:
    root = await stored(peer, await file(peer, "a"))
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="there already"):
        await peer.get_tree(root, tmp_path / "out")
    with pytest.raises(OutputError, match="No such file"):
        await peer.get_tree(root, tmp_path / "missing" / "out")
    assert os.listdir(tmp_path) == ["out"]


async def test_a_folder_that_is_not_whole_leaves_nothing(peer: Peer, tmp_path: Path) -> None:
    root = await stored(peer, await file(peer, "a"), dag_pb.PBLink(CID.for_block(b"missing"), "b"))
    with pytest.raises(BlockUnavailableError):
        await peer.get_tree(root, tmp_path / "out")
    odd = await stored(peer, dag_pb.PBLink(await _empty_node(peer), "b"))
    with pytest.raises((NotAFile, InvalidUnixFS)):
        await peer.get_tree(odd, tmp_path / "out")
    assert os.listdir(tmp_path) == []


async def _empty_node(peer: Peer) -> CID:
    cid = CID.for_block(b"", "dag-pb")
    await peer.store.put_block(cid, b"")
    return cid


async def test_a_cancelled_fetch_leaves_nothing(peer: Peer, tmp_path: Path) -> None:
    importer = DirectoryImporter(ImportOptions())
    for number in range(200):
        await peer.store.put_block(CID.for_block(bytes([number])), bytes([number]))
        importer.add(DirectoryEntry(str(number), CID.for_block(bytes([number])), 1))
    for block in importer.finish():
        await peer.store.put_block(*block)
    with trio.CancelScope() as scope:

        def progress(done: int, _: int | None) -> None:
            scope.cancel()

        await peer.get_tree(importer.root, tmp_path / "out", progress=progress)
    assert scope.cancelled_caught
    assert os.listdir(tmp_path) == []


# -- what is left when a process is killed ---------------------------------------------------------


async def test_a_folder_that_a_killed_process_left_is_removed(peer: Peer, tmp_path: Path) -> None:
    added = await peer.add_tree(write_tree(tmp_path / "in"))
    target = tmp_path / "place" / "out"
    target.parent.mkdir()
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from libp2p.ipfs_lite import tree_saver\n"
        "part, lock = tree_saver._begin(Path(sys.argv[1])); (part / 'half').write_bytes(b'x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    await trio.run_process([sys.executable, "-c", script, str(target)], check=False)
    assert len(list(target.parent.iterdir())) == 1
    await peer.get_tree(added.cid, target)
    assert [path.name for path in target.parent.iterdir()] == ["out"]


async def test_a_folder_that_another_is_writing_is_left(peer: Peer, tmp_path: Path) -> None:
    added = await peer.add_tree(write_tree(tmp_path / "in"))
    target = tmp_path / "place" / "out"
    target.parent.mkdir()
    (target.parent / ".other.0123abcd.part").mkdir()
    (target.parent / ".out.0123abcd.part").symlink_to(".other.0123abcd.part")
    other, lock = tree_saver._begin(target)
    before = {path.name for path in target.parent.iterdir()}
    await peer.get_tree(added.cid, target)
    assert {path.name for path in target.parent.iterdir()} == {"out", *before}
    tree_saver._remove(other, lock)


def test_a_folder_that_is_swept_before_its_lock_is_taken_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, turns = file_locks.lock, []

    def lock(descriptor: int) -> None:
        turns.append(descriptor)
        if len(turns) == 1:
            next(tmp_path.iterdir()).rmdir()
        real(descriptor)

    monkeypatch.setattr(file_locks, "lock", lock)
    part, number = tree_saver._begin(tmp_path / "out")
    assert list(tmp_path.iterdir()) == [part]
    assert len(turns) == 2
    tree_saver._remove(part, number)
    assert not list(tmp_path.iterdir())
