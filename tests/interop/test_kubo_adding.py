"""``add`` of single files and links, and ``cat`` of parts, beside Kubo's: the same lines."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from .kubo import Kubo, KuboError
from .need import need
from .our_command import OurCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "one").write_bytes(b"one")
    (folder / "two").write_bytes(random.Random(2).randbytes(5000))
    (folder / "tree" / "inner").mkdir(parents=True)
    (folder / "tree" / "inner" / "a.log").write_bytes(b"a")
    (folder / "tree" / "b").write_bytes(b"b")
    (folder / "rules").write_text("*.log\n")
    for name, target in {"to-file": "one", "to-tree": "tree", "to-none": "none"}.items():
        (folder / name).symlink_to(target)
    (folder / "two").chmod(0o640)
    os.utime(folder / "two", ns=(0, 1_000_000_000_000_000_005))
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kubo, OurCommand]]:
    need("kubo")
    with Kubo(daemon=False, profile="unixfs-v1-2025") as kubo:
        yield kubo, OurCommand(tmp_path_factory.mktemp("ours") / "repo")


@pytest.mark.parametrize(
    "line",
    [
        "-q {}/one {}/two",
        "-Q {}/one {}/two",
        "-wQ {}/one {}/two",
        "-wq {}/one {}/two",
        "-w {0}/one {0}/one",
        "-w {0}/one {0}/./one",
        "-wrQ {0}/tree {0}/one {0}/tree/",
        "{0}/one {0}/one",
        "--silent {}/one",
        "{}/to-file",
        "{}/to-tree",
        "-r {}/to-tree",
        "{}/to-none",
        "-n {}/to-file",
        "--dereference-symlinks {}/to-file",
        "-w --dereference-symlinks {}/to-file",
        "--preserve-mode --raw-leaves=false {}/two",
        "--preserve-mtime --raw-leaves=false -s size-1000 {}/two",
        "-rQ --ignore-rules-path {}/rules {}/tree",
        "-rQ --max-directory-links=1 --max-hamt-fanout=8 {}/tree",
        "--only-hash=false -w=true {}/one",
        "--progress=false {}/one",
        "--stdin-name=name -w -",
        "",
    ],
)
def test_the_same_lines(both: tuple[Kubo, OurCommand], folder: Path, line: str) -> None:
    words = line.format(*[folder] * 2).split()
    theirs, ours = (peer.text("add", *words, input=b"input").strip() for peer in both)
    assert ours == theirs
    assert theirs or "--silent" in words


def test_files_go_into_the_mutable_tree(both: tuple[Kubo, OurCommand], folder: Path) -> None:
    for peer in both:
        peer.text("add", "--to-files=/", folder / "one", folder / "two", folder / "to-file")
        peer.text("add", "-r", "--to-files", "/copy", folder / "tree")
        refused: tuple[list[str | Path], ...] = (
            ["--to-files=/copy", folder / "one"],
            ["--to-files=/none/", folder / "one"],
            ["--to-files=/one/", folder / "one"],
            ["--to-files=/", "-w", folder / "one"],
            ["--to-files=/both", folder / "one", folder / "two"],
        )
        for words in refused:
            with pytest.raises(KuboError):
                peer.text("add", *words)
    theirs, ours = (peer.text("files", "stat", "--hash", "/copy") for peer in both)
    assert ours == theirs
    names = [set(peer.text("files", "ls", "/").split()) for peer in both]
    assert names[0] >= {"copy", "one", "to-file", "two"} <= names[1]


def test_a_fetched_file_has_the_mode_and_the_time_that_were_kept(
    both: tuple[Kubo, OurCommand], folder: Path, tmp_path: Path
) -> None:
    kept = ["--preserve-mode", "--preserve-mtime", "--raw-leaves=false"]
    found: list[tuple[int, int]] = []
    for peer in both:
        for cut in ("size-1000", "size-10000"):
            target = tmp_path / f"{len(found)}"
            peer.run("get", "-o", target, peer.text("add", "-Q", "-s", cut, *kept, folder / "two"))
            found.append((target.stat().st_mode, target.stat().st_mtime_ns))
    assert set(found) == {(0o100640, 1_000_000_000_000_000_005)}


@pytest.mark.parametrize(
    "flags",
    ["", "-o 990 -l 30", "--offset=4999", "-o 5000", "-o 5002 -l 2", "-l 5001", "-l 0", "-o 10100"],
)
def test_parts_of_several_files(both: tuple[Kubo, OurCommand], folder: Path, flags: str) -> None:
    for peer in both:
        cids = peer.text("add", "-q", "-s", "size-1000", folder / "two", folder / "one").split()
        assert len(cids) == 2
    cids.sort()
    kubo, ours = both
    words = ["cat", *flags.split(), *cids, cids[0]]
    assert ours.run(*words) == kubo.run(*words).stdout
