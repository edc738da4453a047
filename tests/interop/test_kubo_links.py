"""Symbolic links by themselves, beside Kubo: ``get`` makes them, ``cat`` says where they lead."""

from __future__ import annotations

import gzip
import os
import tarfile
from typing import TYPE_CHECKING, TypeAlias

import pytest

from .kubo import Kubo, KuboError
from .need import need
from .our_command import OurCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Both: TypeAlias = tuple[Kubo, OurCommand]
WHEN = 1_000_000_000_000_000_005


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    need("kubo")
    with Kubo(daemon=False, profile="unixfs-v1-2025") as kubo:
        yield kubo, OurCommand(tmp_path_factory.mktemp("ours") / "repo")


@pytest.fixture(scope="module")
def folder(both: Both, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a file and links, in both repositories, and its CID."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "file").write_bytes(b"content")
    (folder / "inside").symlink_to("a/target")
    (folder / "outside").symlink_to("../../target")
    os.utime(folder / "inside", ns=(0, WHEN), follow_symlinks=False)
    kept = ["--preserve-mtime", "--raw-leaves=false"]
    [cid] = {peer.text("add", "-rQ", *kept, folder) for peer in both}
    return folder, cid


def link_of(both: Both, folder: tuple[Path, str]) -> str:
    return both[0].text("resolve", "-r", f"/ipfs/{folder[1]}/inside").removeprefix("/ipfs/")


def test_get_makes_the_link(both: Both, folder: tuple[Path, str], tmp_path: Path) -> None:
    cids = [link_of(both, folder), f"{folder[1]}/inside"]
    for peer in both:
        out = tmp_path / type(peer).__name__
        (out / "into").mkdir(parents=True)
        (out / "file").write_bytes(b"it is replaced")
        (out / "link").symlink_to("into")
        (out / "dangling").symlink_to("nowhere")
        for cid in cids:
            for name in ("new", "new", "into", "file", "link", "dangling"):
                peer.run("get", "-o", out / name, cid)
    found = [
        {
            str(path.relative_to(out)): (os.readlink(path), path.lstat().st_mtime_ns)
            for path in out.rglob("*")
            if path.is_symlink()
        }
        for out in (tmp_path / type(peer).__name__ for peer in both)
    ]
    assert found[1] == found[0]
    assert found[1]["new"] == ("a/target", WHEN)


def test_get_writes_the_link_into_archives(
    both: Both, folder: tuple[Path, str], tmp_path: Path
) -> None:
    found = []
    for peer in both:
        out = tmp_path / type(peer).__name__
        out.mkdir()
        cid = link_of(both, folder)
        peer.run("get", "-a", "-o", out / "x.tar", cid)
        with tarfile.open(out / "x.tar") as archive:
            [member] = archive
            tarred = member.name, member.type, member.linkname, member.mtime
        peer.run("get", "-C", "-o", out / "x.gz", cid)
        found.append((tarred, gzip.decompress((out / "x.gz").read_bytes())))
    assert found[1] == found[0]
    assert found[0] == ((cid, tarfile.SYMTYPE, "a/target", WHEN // 10**9), b"a/target")


@pytest.mark.parametrize("flags", ["", "-o 2", "-o 3 -l 4", "-o 10", "-l 9", "-o 20", "-o 15 -l 6"])
def test_cat_tells_where_it_leads(both: Both, folder: tuple[Path, str], flags: str) -> None:
    names = [f"{folder[1]}/{name}" for name in ("outside", "file", "inside")]
    theirs = both[0].run("cat", *flags.split(), *names).stdout
    assert both[1].run("cat", *flags.split(), *names) == theirs
    whole = b"../../targetcontenta/target"
    assert theirs
    assert theirs in whole


def test_get_makes_the_folders_above_a_folder(
    both: Both, folder: tuple[Path, str], tmp_path: Path
) -> None:
    """Those above a file it does not make."""
    cid = both[0].text("add", "-Qr", folder[0], "--ignore=outside")
    assert both[1].text("add", "-Qr", folder[0], "--ignore=outside") == cid
    for peer in both:
        out = tmp_path / type(peer).__name__
        out.mkdir()
        peer.run("get", "-o", out / "a" / "b", cid)
        assert (out / "a" / "b" / "file").read_bytes() == b"content"
        for below in ("file", "inside"):
            with pytest.raises(KuboError):
                peer.text("get", "-o", out / "c" / "d", f"{cid}/{below}")
        assert os.listdir(out) == ["a"]
