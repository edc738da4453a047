"""Writing a fetched file: it appears whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libp2p.ipfs_lite.output import PartFile
from libp2p.utils import writing
from libp2p.utils.writing import write_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.base_types import Buffer


def begin(target: Path) -> PartFile:
    part = PartFile.beside(target)
    assert part is not None
    return part


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    written = begin(target)
    written.write([b"new ", memoryview(b"content")])
    assert target.read_bytes() == b"old"
    written.commit()
    written.close()
    assert target.read_bytes() == b"new content"
    assert names(tmp_path) == ["file"]


def test_leaves_nothing_without_a_commit(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    written = begin(target)
    written.write([b"half"])
    assert len(names(tmp_path)) == 2
    written.close()
    written.close()
    assert names(tmp_path) == ["file"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_what_is_replaced_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "file"
    target.touch()
    target.chmod(mode)
    written = begin(target)
    [part] = set(names(tmp_path)) - {"file"}
    assert stat.S_IMODE((tmp_path / part).stat().st_mode) == mode
    written.commit()
    assert stat.S_IMODE(target.stat().st_mode) == mode


@pytest.mark.parametrize("at_once", [1, 3, 4, 10, 1000])
@pytest.mark.parametrize("gathers", [True, False])
def test_writes_on_where_the_system_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, gathers: bool
) -> None:
    buffers: list[Buffer] = [b"", b"abc", b"", bytearray(b"d"), memoryview(b"efghij"), b"k"]
    real_write = os.write

    def gather(descriptor: int, pieces: Sequence[memoryview]) -> int:
        assert len(pieces) <= 2
        return real_write(descriptor, b"".join(pieces)[:at_once])

    monkeypatch.setattr(writing, "_MAX_BUFFERS", 2)
    monkeypatch.setattr(os, "writev", gather)
    if not gathers:
        monkeypatch.delattr(os, "writev")
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    write_all(descriptor, buffers)
    os.close(descriptor)
    assert path.read_bytes() == b"abcdefghijk"
