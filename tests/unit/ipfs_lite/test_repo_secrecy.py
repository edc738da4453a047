"""The private key is written where nobody else put anything, and read from nowhere else."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libp2p.ipfs_lite import repo as repo_module
from libp2p.ipfs_lite.cli.entry import run
from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipfs_lite.repo import MAX_CONFIG_BYTES, Repo

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[0o000, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# -- what is written ------------------------------------------------------------------------------


def test_a_new_repo_is_its_owners_only(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "repo"
    Repo.open(path).close()
    assert mode(path) == 0o700
    for name in ("config.json", "repo.lock", "state.sqlite", "state.sqlite.spare", "version"):
        assert mode(path / name) == 0o600


def test_a_file_put_where_the_key_goes_first_does_not_get_it(tmp_path: Path) -> None:
    path, kept = tmp_path / "repo", tmp_path / "kept"
    path.mkdir()
    planted = path / "config.json.new"
    planted.touch()
    planted.chmod(0o666)
    kept.hardlink_to(planted)
    Repo.open(path).close()
    assert kept.read_bytes() == b""
    assert mode(path / "config.json") == 0o600
    assert not planted.exists()


def test_a_link_put_where_the_key_goes_first_is_not_followed(tmp_path: Path) -> None:
    path, target = tmp_path / "repo", tmp_path / "target"
    path.mkdir()
    target.touch()
    (path / "config.json.new").symlink_to(target)
    Repo.open(path).close()
    assert target.read_bytes() == b""
    assert not (path / "config.json").is_symlink()


def test_what_an_interrupted_creation_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def powerless(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", powerless)
        with pytest.raises(RepoError, match="Input/output"):
            Repo.open(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [
        "repo.lock", "repo.lock.turn", "state.sqlite", "state.sqlite.spare",
    ]  # fmt: skip
    (tmp_path / "config.json.0123456789abcdef.new").write_text("half")
    Repo.open(tmp_path).close()
    assert sorted(os.listdir(tmp_path)) == [
        "config.json", "repo.lock", "repo.lock.turn",
        "state.sqlite", "state.sqlite.spare", "version",
    ]  # fmt: skip


def test_names_are_on_the_disk_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noting_replace(source: Path, target: Path) -> None:
        done.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    Repo.open(tmp_path).close()
    assert done == ["file", "config.json", "folder", "file", "version", "folder"]


# -- what is no file ------------------------------------------------------------------------------


def test_the_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    key = Repo.identity_of(tmp_path / "link").private_key
    with Repo.open(tmp_path / "real") as repo:
        assert repo.private_key == key


@pytest.mark.parametrize("made", [False, True], ids=["a new repo", "a repo"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["config.json", "repo.lock", "state.sqlite", "version"])
@pytest.mark.timeout(5)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, kind: str, made: bool) -> None:
    path, target = tmp_path / "repo", tmp_path / "target"
    path.mkdir()
    if made:
        Repo.open(path).close()
        (path / name).rename(target)
    elif kind == "link":
        target.write_text("ipfs-lite 1")
    match kind:
        case "pipe":
            os.mkfifo(path / name)
        case "folder":
            (path / name).mkdir()
        case _:
            (path / name).symlink_to(tmp_path / ("nothing" if "dangling" in kind else "target"))
    before = sorted(os.listdir(tmp_path)), sorted(os.listdir(path))
    for use in (Repo.open, Repo.identity_of):
        with pytest.raises(RepoError, match="not a regular file"):
            use(path)
    assert (sorted(os.listdir(tmp_path)), sorted(os.listdir(path))) == before
    if name == "version":
        assert not Repo.exists(path)


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.timeout(5)
def test_nor_is_what_appears_after_the_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    Repo.open(tmp_path / "repo").close()
    config = tmp_path / "repo" / "config.json"
    config.rename(tmp_path / "target")
    monkeypatch.setattr(repo_module, "_refuse_foreign", lambda path: None)
    if kind == "link":
        config.symlink_to(tmp_path / "target")
    else:
        os.mkfifo(config)
    with pytest.raises(RepoError, match="not a regular file"):
        Repo.identity_of(tmp_path / "repo")


def test_a_lock_that_is_a_pipe_nobody_reads(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RepoError, match="not a regular file"):
        repo_module._open_file(tmp_path / "pipe", os.O_RDWR)


# -- who may use it -------------------------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture, path: Path) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        Repo.open(path).close()
    return [record.getMessage() for record in caplog.records]


def test_of_a_key_that_others_can_read_there_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "repo"
    assert warnings(caplog, path) == []
    (path / "config.json").chmod(0o644)
    [warning] = warnings(caplog, path)
    assert f"config.json (uid {os.geteuid()}, mode 644): own it and chmod 600 it" in warning


def test_of_a_folder_that_others_can_write_to_there_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "repo"
    path.mkdir()
    path.chmod(0o777)
    [warning] = warnings(caplog, path)
    assert "can replace the files in" in warning
    assert "mode 777" in warning


def test_the_warning_is_seen_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Repo.open(tmp_path / "repo").close()
    (tmp_path / "repo" / "config.json").chmod(0o644)
    for _ in range(2):
        assert run(["--repo", str(tmp_path / "repo"), "id"]) == 0
        assert capfd.readouterr().err.count("ipfs-lite: warning: others can use") == 1


def test_a_key_that_another_user_chose_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "repo"
    Repo.open(path).close()
    stat_of = os.fstat

    def anothers(descriptor: int) -> os.stat_result:
        values = list(stat_of(descriptor))
        values[stat.ST_UID] = 1234
        return os.stat_result(values)

    monkeypatch.setattr(os, "fstat", anothers)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(RepoError, match=r"another user \(uid 1234\)"):
        Repo.open(path)
    # Root uses what it was given, as in a container with a folder of the host's.
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert any("uid 1234" in warning for warning in warnings(caplog, path))


@pytest.mark.parametrize("text", ["[" * 200_000, " " * MAX_CONFIG_BYTES + "{}"])
def test_a_config_that_is_out_of_all_proportion_is_damaged(tmp_path: Path, text: str) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RepoError, match="damaged"):
        Repo.open(tmp_path)
