"""The repo's folder: made by itself, locked, never taken from somebody else."""

from __future__ import annotations

import fcntl
import json
import stat
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.ipfs_lite import repo as module
from libp2p.ipfs_lite.config import Config, default_repo_path
from libp2p.ipfs_lite.errors import ForeignRepoError, RepoError, RepoLockedError
from libp2p.ipfs_lite.repo import Repo


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_first_use_makes_it_and_the_next_finds_it(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "yet"
    assert not Repo.exists(path)
    with Repo.open(path, Config(profile="unixfs-v0-2015", listen=("/ip4/1.2.3.4/tcp/1",))) as repo:
        key = repo.private_key
    assert Repo.exists(path)
    with Repo.open(path, Config(sync=True)) as repo:
        assert repo.private_key == key
        assert repo.config == Config("unixfs-v0-2015", ("/ip4/1.2.3.4/tcp/1",))


def test_only_the_owner_can_read_the_key(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o600


def test_a_repo_can_be_open_many_times(tmp_path: Path) -> None:
    with Repo.open(tmp_path) as repo, Repo.open(tmp_path) as other:
        assert other.private_key == repo.private_key == Repo.identity_of(tmp_path).private_key
        assert not Repo.is_in_use(tmp_path)


def test_one_at_a_time_has_the_identity(tmp_path: Path) -> None:
    with Repo.open(tmp_path) as repo, Repo.open(tmp_path) as other:
        assert repo.claim_identity()
        assert Repo.is_in_use(tmp_path)
        assert not other.claim_identity()
        repo.close()
        assert not Repo.is_in_use(tmp_path)
        assert other.claim_identity()
    assert not Repo.is_in_use(tmp_path)


def test_whoever_asks_does_not_take_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repo.open(tmp_path) as repo, open(tmp_path / "identity.lock", "wb") as asking:
        fcntl.flock(asking, fcntl.LOCK_EX)
        monkeypatch.setattr(time, "sleep", lambda seconds: fcntl.flock(asking, fcntl.LOCK_UN))
        assert repo.claim_identity()


@pytest.mark.parametrize("version", ["ipfs-lite 1", "ipfs-lite 2"])
def test_a_program_of_version_1_keeps_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr("libp2p.ipfs_lite.repo.LOCK_SECONDS", 0.01)
    Repo.open(tmp_path).close()
    (tmp_path / "version").write_text(version)
    with open(tmp_path / "repo.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RepoLockedError, match="earlier version"):
            Repo.open(tmp_path)
    Repo.open(tmp_path).close()


def test_a_repo_that_is_being_made_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, makers = module._create, []

    def slow(path: Path, config: Config) -> None:
        makers.append(threading.get_ident())
        time.sleep(0.1)
        real(path, config)

    monkeypatch.setattr(module, "_create", slow)
    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda _: Repo.open(tmp_path).private_key, range(4)))
    assert len({key.to_bytes() for key in keys}) == len(makers) == 1


def test_asking_for_the_identity_makes_the_repo(tmp_path: Path) -> None:
    key = Repo.identity_of(tmp_path / "repo").private_key
    with Repo.open(tmp_path / "repo") as repo:
        assert repo.private_key == key


KUBO = {"version": "16\n", "config": "{}", "datastore_spec": "{}"}


@pytest.mark.parametrize("files", [KUBO, {"config": "{}", "datastore_spec": "{}"}])
def test_a_kubo_repo_is_refused_untouched(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    for use in (Repo.open, Repo.identity_of):
        with pytest.raises(ForeignRepoError, match="Kubo"):
            use(tmp_path)
    assert not Repo.exists(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["thesis.txt", "version", "blocks"])
def test_a_folder_of_something_else_is_refused_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff precious")
    with pytest.raises(ForeignRepoError, match="not empty"):
        Repo.open(tmp_path)
    assert contents(tmp_path) == {name: b"\xff precious"}
    assert not Repo.exists(tmp_path)


def test_a_repo_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("ipfs-lite 3\n")
    with pytest.raises(RepoError, match="update"):
        Repo.open(tmp_path)


@pytest.mark.parametrize("left", [["repo.lock"], ["repo.lock", "config.json", "version.new"]])
def test_an_interrupted_creation_is_finished(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).write_text("half")
    Repo.open(tmp_path).close()
    assert Repo.exists(tmp_path)


def test_a_file_is_no_repo(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepoError, match="Not a directory"):
        Repo.open(tmp_path / "file")


def test_a_lock_that_cannot_be_taken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(RepoError, match="No locks available"):
        Repo.open(tmp_path)


KEY = create_new_key_pair(bytes(32)).private_key.serialize()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"identity": null}',
        '{"identity": {"private_key": "%"}}',
        '{"identity": {"private_key": "AAAA"}}',
    ],
)
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RepoError, match="damaged"):
        Repo.open(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("profile", 1), ("profile", "best"), ("listen", "all"), ("listen", [1]), ("sync", "yes")],
)
def test_an_impossible_setting_is_named(tmp_path: Path, setting: str, value: object) -> None:
    Repo.open(tmp_path).close()
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {setting: value}))
    with pytest.raises(RepoError, match=setting):
        Repo.identity_of(tmp_path)


def test_unknown_settings_are_left_alone(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "blue"}))
    assert Repo.identity_of(tmp_path).config == Config()


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / "config.json").unlink()
    with pytest.raises(RepoError, match="missing"):
        Repo.open(tmp_path)


def test_the_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IPFS_LITE_PATH", str(tmp_path))
    assert default_repo_path() == tmp_path
    monkeypatch.delenv("IPFS_LITE_PATH")
    assert default_repo_path().name == "ipfs-lite"
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert default_repo_path() == Path.home() / ".ipfs-lite"


# -- settings that are changed --------------------------------------------------------------------


def test_who_change_settings_at_once_lose_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Repo.open(tmp_path).close()
    real = module._write_file

    def slow(path: Path, text: str) -> None:
        time.sleep(0.2)  # time: the other one reads meanwhile
        real(path, text)

    monkeypatch.setattr(module, "_write_file", slow)
    changes: list[dict[str, object]] = [{"sync": True}, {"provide_interval": 7200.0}]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda change: Repo.configure(tmp_path, change), changes))
    config = Repo.identity_of(tmp_path).config
    assert (config.sync, config.provide_interval) == (True, 7200.0)


def test_a_killed_change_of_settings_leaves_no_key(tmp_path: Path) -> None:
    Repo.open(tmp_path).close()
    (tmp_path / f"config.json.{'0' * 16}.new").write_text("the private key, or half of it")
    Repo.configure(tmp_path, {"sync": True})
    assert list(tmp_path.glob("*.new")) == []
