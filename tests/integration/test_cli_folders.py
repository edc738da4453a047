"""The verbs for folders, paths and CAR files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from libp2p.ipld.cid import CID
from tests.integration.test_cli import Terminal, terminal

__all__ = ["terminal"]

SMALL = CID.for_block(b"small")


@pytest.fixture
def folder(terminal: Terminal) -> Path:
    folder = terminal.folder / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "small").write_bytes(b"small")
    (folder / "large").write_bytes(b"large" * 1_000_000)
    (folder / ".hidden").write_bytes(b"hidden")
    return folder


def root_of(terminal: Terminal, *flags: object) -> str:
    assert terminal("add", "-Qr", *flags) == 0
    return terminal.out.strip()


def test_add_prints_every_entry(terminal: Terminal, folder: Path) -> None:
    assert terminal("add", "-r", folder) == 0
    lines = terminal.out.splitlines()
    assert f"added {SMALL} folder/a/b/small" in lines
    assert [line.split()[2] for line in lines] == [
        "folder/a/b/small", "folder/a/b", "folder/a", "folder/large", "folder",
    ]  # fmt: skip
    root = lines[-1].split()[1]
    assert root_of(terminal, folder) == root
    assert root_of(terminal, "--hidden", folder) != root
    assert root_of(terminal, "-n", f"{folder}/") == root


def test_what_add_leaves_out_and_keeps(terminal: Terminal, folder: Path) -> None:
    assert terminal("add", "-r", "--ignore", "b/", "--ignore", "l*e", folder) == 0
    assert [line.split()[2] for line in terminal.out.splitlines()] == ["folder/a", "folder"]
    plain = root_of(terminal, "-n", "--raw-leaves=false", folder)
    assert root_of(terminal, "-n", "--preserve-mode", folder) != plain
    assert root_of(terminal, "-n", "--preserve-mtime", folder) != plain
    (folder / "link").symlink_to("large")
    linked = root_of(terminal, "-n", folder)
    assert root_of(terminal, "-n", "--dereference-symlinks", folder) != linked


def test_add_wraps_into_one_folder(terminal: Terminal, folder: Path) -> None:
    assert terminal("add", "-w", folder / "a" / "b" / "small", "--json") == 0
    *_, wrapper = map(json.loads, terminal.out.splitlines())
    assert (wrapper["name"], wrapper["size"]) == ("", 5)
    assert terminal("ls", wrapper["cid"]) == 0
    assert terminal.out == f"{SMALL} 5 small\n"
    assert terminal("cat", f"{wrapper['cid']}/small") == 0
    assert terminal.out == "small"


def test_a_path_leads_into_a_folder(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, folder)
    for path in (f"{root}/a/b/small", f"/ipfs/{root}/a//b/small", f"ipfs://{root}/a/b/small/"):
        assert terminal("cat", path) == 0
        assert terminal.out == "small"
    assert terminal("ls", f"{root}/a/b", "--json") == 0
    assert json.loads(terminal.out) == {"cid": str(SMALL), "name": "small", "dag_size": 5}
    for path, text in {
        f"{root}/missing": "'missing' is not in the directory",
        f"{root}/large/x": "is no directory",
        f"{root}/a": "`get` writes folders",
    }.items():
        assert terminal("cat", path) == 1
        assert text in terminal.error
    for path in (f"{root}/../x", "bafy/x", f"{root}/./x"):
        assert terminal("cat", path) == 2
        assert "is not a CID" in terminal.error


def test_get_writes_a_folder(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, "--hidden", folder)
    out = terminal.folder / "out"
    assert terminal("get", root, "-o", out) == 0
    assert terminal.out == f"saved {root} to {out}\n"
    assert (out / "a/b/small").read_bytes() == b"small"
    assert (out / ".hidden").read_bytes() == b"hidden"
    assert terminal("get", f"{root}/a", "-o", out, "--json") == 1
    assert "is there already" in terminal.error
    (out / "a").rename(terminal.folder / "moved")
    assert terminal("get", f"{root}/a", "-o", out, "--json") == 0
    assert json.loads(terminal.out)["size"] == 5
    assert terminal("get", root, "-o", "-") == 1
    assert "is not a file" in terminal.error


def test_a_dag_goes_through_a_car_file(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, folder)
    car = terminal.folder / "file.car"
    assert terminal("dag", "export", root, "-o", car) == 0
    other = Terminal(terminal.folder, terminal._capture)
    other.repo = terminal.folder / "other"
    assert other("dag", "import", car, car) == 0
    assert other.out == f"imported {root}\n" * 2
    assert other("dag", "import", car, "--json") == 0
    assert json.loads(other.out)["cid"] == root
    assert other("cat", f"{root}/a/b/small") == 0
    assert other.out == "small"
    assert terminal("dag", "export", f"{root}/a/b") == 0
    assert "small" in terminal.out
    car.write_bytes(car.read_bytes()[:-1])
    assert other("dag", "import", car) == 1
    assert "is cut off" in other.error
