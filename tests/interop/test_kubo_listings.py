"""``ls``, ``refs`` and ``get -a -C`` beside Kubo's: the same lines, the same archives."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from typing import TYPE_CHECKING

import pytest

from libp2p.ipld.cid import CID

from .kubo import Kubo, KuboError
from .need import need
from .our_command import OurCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree") / "tree"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "small").write_bytes(b"small")
    (folder / "a" / "again").write_bytes(b"small")
    (folder / "empty folder").mkdir()
    (folder / "empty").touch()
    (folder / "ünï cödé").write_bytes(b"1")
    (folder / "large").write_bytes(random.Random(1).randbytes(3_000_000))
    (folder / "link").symlink_to("a/again")
    (folder / "many").mkdir()
    for number in range(60):
        (folder / "many" / f"{number}").write_text(f"{number % 7}")
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kubo, OurCommand]]:
    need("kubo")
    with Kubo(daemon=False, profile="unixfs-v1-2025") as kubo:
        kubo.run("config", "--json", "Import.UnixFSDirectoryMaxLinks", "20")
        kubo.run("config", "--json", "Import.UnixFSHAMTDirectoryMaxFanout", "8")
        yield kubo, OurCommand(tmp_path_factory.mktemp("ours") / "repo")


@pytest.fixture(scope="module")
def root(
    both: tuple[Kubo, OurCommand], tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The tree, with a folder in shards, in both repos."""
    kubo, ours = both
    root = kubo.add(tree)
    car = tmp_path_factory.mktemp("car") / "tree.car"
    car.write_bytes(kubo.run("dag", "export", root).stdout)
    ours.run("dag", "import", car)
    return root


def lines(text: str) -> list[list[str]]:
    """Return what is in the columns; Kubo fills them up with blanks."""
    return [line.split() for line in text.splitlines()]


@pytest.mark.parametrize(
    "args",
    [
        ["ls", "{}"],
        ["ls", "-v", "{}"],
        ["ls", "--headers", "--size=false", "{}"],
        ["ls", "-s", "--resolve-type=false", "--size=false", "{}/a"],
        ["ls", "{}/a", "{}/a/b", "{}/empty folder"],
        ["refs", "{}"],
        ["refs", "-r", "{}"],
        ["refs", "-r", "-u", "{}"],
        ["refs", "-e", "-r", "{}/many"],
        ["refs", "-r", "--max-depth", "2", "{}"],
        ["refs", "-r", "-u", "--max-depth=2", "{}"],
        ["refs", "-r", "--max-depth=0", "{}"],
        ["refs", "--max-depth=5", "{}"],
        ["refs", "--format", "<linkname>: <src> <dst>", "{}", "{}/a"],
        ["refs", "{}/large"],
    ],
    ids=" ".join,
)
def test_the_same_lines(both: tuple[Kubo, OurCommand], root: str, args: list[str]) -> None:
    theirs, ours = (lines(peer.text(*[arg.format(root) for arg in args])) for peer in both)
    assert theirs or "--max-depth=0" in args
    assert ours == theirs


def test_a_folder_in_shards_has_the_same_entries(both: tuple[Kubo, OurCommand], root: str) -> None:
    theirs, ours = (sorted(lines(peer.text("ls", f"{root}/many"))) for peer in both)
    assert len(theirs) == 60
    assert ours == theirs


def test_all_blocks_are_listed(both: tuple[Kubo, OurCommand], root: str) -> None:
    theirs, ours = (peer.text("refs", "local").split() for peer in both)
    assert sorted(ours) == sorted(both[1].text("repo", "ls").split())
    assert str(CID.for_block(b"small")) in ours
    assert set(theirs) >= set(ours)  # Kubo begins with some


def test_offline_is_said_before_the_verb_or_after_it(
    both: tuple[Kubo, OurCommand], root: str
) -> None:
    for words in (["--offline", "cat", f"{root}/a/again"], ["cat", "--offline", f"{root}/a/again"]):
        assert [peer.text(*words) for peer in both] == ["small"] * 2
    for peer in both:
        with pytest.raises(KuboError):
            peer.text("--offline", "cat", str(CID.for_block(b"nobody is asked for it")))


def test_the_same_is_refused(both: tuple[Kubo, OurCommand], root: str) -> None:
    for args in (["ls", f"{root}/none"], ["refs", "-e", "--format=x", root]):
        for peer in both:
            with pytest.raises(KuboError):
                peer.text(*args)


def members(data: bytes) -> dict[str, tuple[bytes, str, bytes | None]]:
    """Return the type, the link's target and the content of everything in an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            member.name: (
                member.type,
                member.linkname,
                file.read() if (file := member.isfile() and tar.extractfile(member)) else None,
            )
            for member in tar
        }


def test_archives_hold_the_same(
    both: tuple[Kubo, OurCommand], root: str, tree: Path, tmp_path: Path
) -> None:
    kubo, ours = both
    kubo.get(root, tmp_path / "theirs", "-a")
    ours.run("get", "-a", "-o", tmp_path / "ours", root)
    theirs = members((tmp_path / "theirs.tar").read_bytes())
    assert len(theirs) == len(list(tree.rglob("*"))) + 1
    assert members((tmp_path / "ours.tar").read_bytes()) == theirs
    kubo.get(root, tmp_path / "theirs", "-a", "-C")
    ours.run("get", "-aC", "-l", "1", "-o", tmp_path / "ours", root)
    assert members(gzip.decompress((tmp_path / "ours.tar.gz").read_bytes())) == theirs
    assert members(gzip.decompress((tmp_path / "theirs.tar.gz").read_bytes())) == theirs
    content = (tree / "large").read_bytes()
    for place, peer in (("theirs", kubo), ("ours", ours)):
        peer.run("get", "-C", "-o", tmp_path / f"{place} large", f"{root}/large")
        assert gzip.decompress((tmp_path / f"{place} large.gz").read_bytes()) == content
