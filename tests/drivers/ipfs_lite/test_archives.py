"""Folders as tar archives: what is in them, that they are reproducible, what is refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import NotAFile
from libp2p.ipfs_lite import OutputError, Peer
from libp2p.ipfs_lite.archive import Packing
from libp2p.ipfs_lite.output import save
from libp2p.ipfs_lite.tree_saver import MAX_DEPTH
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter, symlink_block
from libp2p.ipld.profiles import ImportOptions
from libp2p.ipld.unixfs import DataType, UnixFSData

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LARGE = bytes(range(256)) * 20_000


@asynccontextmanager
async def offline() -> AsyncIterator[Peer]:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        yield peer


async def bytes_of(
    peer: Peer, cid: CID, packing: Packing | None = None, *, unsafe_links: bool = False
) -> bytes:
    archive = peer.open_archive(cid, "root", packing=packing, unsafe_links=unsafe_links)
    data = b""
    try:
        while buffers := await archive.receive():
            data += b"".join(buffers)
            assert archive.tell() == len(data)
    finally:
        await archive.aclose()
    return data


def write_tree(folder: Path) -> Path:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "empty folder").mkdir()
    (folder / "a" / "small").write_bytes(b"small")
    (folder / "a" / "b" / "large").write_bytes(LARGE)
    (folder / "empty").write_bytes(b"")
    (folder / ("n" * 200)).write_bytes(b"a long name")
    (folder / "ünï\ncödé").write_bytes(b"1")
    (folder / "a" / "up").symlink_to("../empty")
    return folder


async def test_a_tree_comes_out_as_it_went_in(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "a" / "small").chmod(0o640)
    async with offline() as peer:
        root = (await peer.add_tree(tree, keep_mode=True, keep_mtime=True)).cid
        data = await bytes_of(peer, root)
        assert data == await bytes_of(peer, root)
        assert len(data) % tarfile.RECORDSIZE == 0
        packed = await bytes_of(peer, root, Packing(level=9))
        assert gzip.decompress(packed) == data
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getmember("root/a/small").mode == 0o640
        assert tar.getmember("root/a/up").mode == 0o777
        assert tar.getmember("root/a").mtime == int((tree / "a").stat().st_mtime)
        tar.extractall(tmp_path / "out", filter="data")
    for path in (tmp_path / "out" / "root").rglob("*"):
        other = tree / path.relative_to(tmp_path / "out" / "root")
        assert path.is_symlink() == other.is_symlink()
        if path.is_file():
            assert path.read_bytes() == other.read_bytes()
    assert len(list((tmp_path / "out" / "root").rglob("*"))) == len(list(tree.rglob("*")))


async def test_a_sharded_folder_and_equal_files(tmp_path: Path) -> None:
    async with offline() as peer:
        one = (await peer.add_file(b"1")).cid
        entries = [(f"{number:04}", one, 1) for number in range(300)]
        root = (await peer.add_folder(entries, max_directory_links=10, hamt_fanout=8)).cid
        with tarfile.open(fileobj=io.BytesIO(await bytes_of(peer, root))) as tar:
            names = {member.name for member in tar if member.isfile() and member.size == 1}
    assert names == {f"root/{name}" for name, _, _ in entries}


async def test_a_file_alone(tmp_path: Path) -> None:
    async with offline() as peer:
        cid = (await peer.add_file(LARGE)).cid
        assert gzip.decompress(await bytes_of(peer, cid, Packing(False, 1))) == LARGE
        with tarfile.open(fileobj=io.BytesIO(await bytes_of(peer, cid))) as tar:
            [member] = tar.getmembers()
            assert (member.name, member.size) == ("root", len(LARGE))
        folder = (await peer.add_folder([])).cid
        with pytest.raises(NotAFile):
            await bytes_of(peer, folder, Packing(False, 1))
        with pytest.raises(ValueError, match="level"):
            peer.open_archive(cid, packing=Packing(True, 10))
        archive = peer.open_archive(cid)
        with pytest.raises(ValueError, match="start"):
            archive.seek(5)
        await save(archive, tmp_path / "x.tar")
        await archive.aclose()
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert tar.getnames() == [str(cid)]


async def store_folder(peer: Peer, *links: PBLink) -> CID:
    data = dag_pb.encode(links, unixfs.encode(UnixFSData(DataType.DIRECTORY)))
    cid = CID.for_block(data, "dag-pb")
    await peer.store.put_block(cid.buffer, data)
    return cid


@pytest.mark.parametrize("name", ["..", ".", "", "/etc/passwd", "../x", "a/b", "a\0b"])
async def test_names_that_lead_out_are_refused(name: str) -> None:
    async with offline() as peer:
        file = (await peer.add_file(b"1")).cid
        root = await store_folder(peer, PBLink(file, name))
        with pytest.raises(OutputError, match="no file can be called"):
            await bytes_of(peer, root)


@pytest.mark.parametrize("target", ["..", "../x", "/etc", "a/../../x"])
async def test_links_that_lead_out_are_refused(target: str) -> None:
    async with offline() as peer:
        link = symlink_block(target, ImportOptions())
        await peer.store.put_block(link.cid.buffer, link.data)
        root = await store_folder(peer, PBLink(link.cid, "link"))
        with pytest.raises(OutputError, match="may be outside"):
            await bytes_of(peer, root)
        with pytest.raises(OutputError, match="may be outside"):
            await bytes_of(peer, link.cid)
        with tarfile.open(fileobj=io.BytesIO(await bytes_of(peer, root, unsafe_links=True))) as tar:
            assert tar.getmember("root/link").linkname == target


@pytest.mark.parametrize("target", ["", "x\0y"])
async def test_links_that_no_disk_has_are_refused(target: str) -> None:
    async with offline() as peer:
        link = symlink_block(target, ImportOptions())
        await peer.store.put_block(*link)
        with pytest.raises(OutputError, match="to which no link can lead"):
            await bytes_of(peer, link.cid, unsafe_links=True)


async def test_folders_inside_one_another_have_an_end() -> None:
    async with offline() as peer:
        cid = (await peer.add_folder([])).cid
        for _ in range(MAX_DEPTH):
            importer = DirectoryImporter(ImportOptions())
            importer.add(DirectoryEntry("d", cid, 1))
            for block in importer.finish():
                await peer.store.put_block(block.cid.buffer, block.data)
            cid = importer.root
        with pytest.raises(OutputError, match="folders deep"):
            await bytes_of(peer, cid)


def test_what_an_archive_is_called() -> None:
    assert Packing().file_name("x") == "x.tar"
    assert Packing(level=1).file_name("x") == "x.tar.gz"
    assert Packing(level=1).file_name("x.tar.gz") == "x.tar.gz"
    assert Packing(False, 1).file_name("x") == "x.gz"
