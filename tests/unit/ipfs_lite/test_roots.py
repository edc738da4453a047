"""The roots of what was added: remembered in their order, each once, whatever the file has seen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from libp2p.exceptions import NotARegularFile
from libp2p.ipfs_lite import roots as module
from libp2p.ipfs_lite.roots import MemoryRoots, RootsFile
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from pathlib import Path

    from libp2p.ipfs_lite.roots import Roots

A, B, C = (CID.for_block(name) for name in (b"a", b"b", b"c"))


@pytest.fixture(params=["file", "memory"])
def roots(request: pytest.FixtureRequest, tmp_path: Path) -> Roots:
    return RootsFile(tmp_path / "roots") if request.param == "file" else MemoryRoots()


def test_the_newest_is_the_last_and_each_is_there_once(roots: Roots) -> None:
    assert roots.read() == []
    for root in (A, B, A, C, C):
        roots.add(root)
    assert roots.read() == [B, A, C]


def test_the_oldest_beyond_the_limit_are_left_out(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROOTS", 2)
    for root in (A, B, C):
        roots.add(root)
    assert roots.read() == [B, C]


def test_a_half_line_of_a_killed_process_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "roots"
    roots = RootsFile(path)
    roots.add(A)
    with path.open("ab") as file:
        file.write(str(B).encode()[:20])
    roots.add(C)
    assert roots.read() == [A, C]
    with path.open("ab") as file:
        file.write(b"\xff" * 1000 + b"\n\n")
    roots.add(B)
    assert roots.read() == [A, C, B]
    assert str(path) in repr(roots)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_only_a_file_is_written(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "roots"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(path)
    for call in (lambda: RootsFile(path).add(A), RootsFile(path).read):
        with pytest.raises(NotARegularFile):
            call()
    assert not (tmp_path / "elsewhere").exists()


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    RootsFile(tmp_path / "roots").add(A)
    assert (tmp_path / "roots").stat().st_mode & 0o077 == 0
