"""Writing a fetched file: it appears whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libp2p.ipfs_lite import output
from libp2p.ipfs_lite.errors import OutputError
from libp2p.ipfs_lite.output import FileOutput, write_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.custom_types import Buffer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    written = FileOutput(target)
    written.write([b"new ", memoryview(b"content")])
    assert target.read_bytes() == b"old"
    written.commit()
    written.close()
    assert target.read_bytes() == b"new content"
    assert names(tmp_path) == ["file"]


def test_leaves_nothing_without_a_commit(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    written = FileOutput(target)
    written.write([b"half"])
    assert len(names(tmp_path)) == 2
    written.close()
    written.close()
    assert names(tmp_path) == ["file"]
    assert target.read_bytes() == b"old"


def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, buffers: Sequence[bytes]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", full)
    written = FileOutput(tmp_path / "file")
    with pytest.raises(OutputError, match="No space left"):
        written.write([b"data"])
    written.close()
    assert names(tmp_path) == []


def test_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        FileOutput(tmp_path / "nowhere" / "file")
    with pytest.raises(OutputError, match="directory"):
        FileOutput(tmp_path)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    written = FileOutput(tmp_path / "link")
    written.write([b"data"])
    written.commit()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"data"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_what_is_replaced_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "file"
    target.touch()
    target.chmod(mode)
    written = FileOutput(target)
    [part] = set(names(tmp_path)) - {"file"}
    assert stat.S_IMODE((tmp_path / part).stat().st_mode) == mode
    written.commit()
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_a_link_that_appears_in_the_place_of_a_device_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "precious").touch()
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    monkeypatch.setattr(os.path, "realpath", lambda path: path)
    monkeypatch.setattr(FileOutput, "_mode", lambda _: stat.S_IFCHR)
    with pytest.raises(OutputError):
        FileOutput(tmp_path / "link")


def test_a_device_is_written_into_not_replaced() -> None:
    written = FileOutput(Path(os.devnull))
    written.write([b"data"])
    written.commit()
    assert not Path(os.devnull).is_file()


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

    monkeypatch.setattr(output, "_MAX_BUFFERS", 2)
    monkeypatch.setattr(os, "writev", gather)
    if not gathers:
        monkeypatch.delattr(os, "writev")
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    write_all(descriptor, buffers)
    os.close(descriptor)
    assert path.read_bytes() == b"abcdefghijk"
