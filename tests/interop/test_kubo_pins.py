"""The verbs ``pin`` and ``repo`` beside Kubo's: the same lines for the same tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .kubo import Kubo, KuboError
from .need import need

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
KUBOS_OWN = "bafkreiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
"""The empty folder: the root of Kubo's mutable tree, which an init makes."""
PROFILE = "unixfs-v1-2025"


class Ours:
    """Our command on a repo of its own."""

    def __init__(self, repo: Path) -> None:
        self._start = [sys.executable, "-m", "libp2p.ipfs_lite", "--repo", str(repo)]

    def text(self, *args: str) -> str:
        done = subprocess.run(
            [*self._start, *args],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        if done.returncode:
            raise KuboError(done.stderr)
        return done.stdout.strip()


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Kubo, Ours]]:
    need("kubo")
    with Kubo(daemon=False, profile=PROFILE) as kubo:
        for cid in kubo.text("pin", "ls", "-q", "--type=recursive").split():
            kubo.run("pin", "rm", cid)  # what an init adds
        kubo.run("repo", "gc")
        yield kubo, Ours(tmp_path / "ours")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "inner").mkdir(parents=True)
    for name in ("a", "b", "inner/c"):
        (folder / name).write_bytes(name.encode() * 1000)
    (folder / "big").write_bytes(os.urandom(3_000_000))
    return folder


def lines(both: tuple[Kubo, Ours], *args: str) -> list[str]:
    """Run a verb in both; return the lines, sorted, when they are the same."""
    theirs, ours = (sorted(peer.text(*args).splitlines()) for peer in both)
    assert ours == theirs
    return ours


def listed(both: tuple[Kubo, Ours]) -> list[str]:
    """Return the blocks that both have."""
    theirs, ours = (set(peer.text("repo", "ls").split()) for peer in both)
    assert ours == theirs - {KUBOS_OWN}
    return sorted(ours)


def refused(both: tuple[Kubo, Ours], text: str, *args: str) -> None:
    for peer in both:
        with pytest.raises(KuboError, match=text):
            peer.text(*args)


def test_pins_are_listed_in_the_same_lines(both: tuple[Kubo, Ours], tree: Path) -> None:
    root = lines(both, "add", "-Qr", str(tree))[0]
    part = lines(both, "add", "-Q", "--pin=false", str(tree / "a"))[0]
    other = lines(both, "add", "-Q", "--pin=false", str(tree / "big"))[0]
    assert len(lines(both, "pin", "ls")) == 9
    for args in (
        ["-q"], ["--type=recursive"], ["--type=indirect", "-q"], ["--type=direct"],
        ["--names"], ["--stream"], [root], [part], ["--type=indirect", part],
    ):  # fmt: skip
        lines(both, "pin", "ls", *args)
    lines(both, "pin", "add", "--name", "a name", other)
    for args in (["--names"], ["--name", "nam"], ["--names", other]):
        lines(both, "pin", "ls", *args)
    lines(both, "pin", "verify", "--verbose")
    assert lines(both, "pin", "verify") == []
    lines(both, "pin", "add", "-r=false", part)
    assert lines(both, "pin", "ls", "--type=direct") == [f"{part} direct"]
    lines(both, "pin", "rm", other)
    lines(both, "pin", "update", root, other)
    assert f"{other} recursive" in lines(both, "pin", "ls")


def test_the_same_is_refused(both: tuple[Kubo, Ours], tree: Path) -> None:
    root = lines(both, "add", "-Qr", str(tree))[0]
    part = lines(both, "add", "-Q", "--pin=false", str(tree / "a"))[0]
    refused(both, "already pinned recursively", "pin", "add", "-r=false", root)
    refused(both, "not pinned or pinned indirectly", "pin", "rm", part)
    refused(both, f"path '{part}' is not pinned", "pin", "ls", "--type=direct", part)
    refused(both, "invalid type 'foo'", "pin", "ls", "--type=foo")
    refused(both, "was not recursively pinned already", "pin", "update", part, root)
    refused(both, "can not be used at the same time", "pin", "verify", "--verbose", "-q")
    refused(both, "pin name is 300 bytes", "pin", "add", "-n", "x" * 300, root)


def test_collections_take_the_same_blocks(both: tuple[Kubo, Ours], tree: Path) -> None:
    lines(both, "add", "-Qr", str(tree / "inner"))
    assert lines(both, "repo", "gc") == []
    root = lines(both, "add", "-Qr", "--pin=false", str(tree))[0]
    before = listed(both)
    lines(both, "pin", "add", "-r=false", root)
    removed = lines(both, "repo", "gc")
    assert len(removed) == 6
    assert removed[0].startswith("removed ")
    assert sorted(listed(both) + [line.split()[1] for line in removed]) == before
    lines(both, "pin", "rm", root)
    assert len(lines(both, "repo", "gc", "-q")) == 1
    assert lines(both, "repo", "gc") == []


def test_the_repo_is_counted_and_checked_in_the_same_lines(
    both: tuple[Kubo, Ours], tree: Path
) -> None:
    lines(both, "add", "-Qr", str(tree))
    theirs, ours = (
        [line.split() for line in peer.text("repo", "stat").splitlines()] for peer in both
    )
    assert int(ours[0][1]) == int(theirs[0][1]) - 1  # of `KUBOS_OWN`
    assert [row[0] for row in ours] == [row[0] for row in theirs if row[0] != "StorageMax:"]
    told = "verify complete, all blocks validated."
    assert both[0].text("repo", "verify").endswith(told)
    assert both[1].text("repo", "verify") == told
