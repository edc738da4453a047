"""``--nocopy`` on the command line, and what keeps a repo with slices of files in order."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libp2p.ipld.cid import CID
from tests.integration.test_cli import Terminal
from tests.integration.test_cli_running import serving

CHUNK = 100_000
DATA = random.Random(41).randbytes(5 * CHUNK + 1)
FLAGS = ("--nocopy", "-Q", "--chunker", f"size-{CHUNK}")


@pytest.fixture
def terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path, capfd)


@pytest.fixture
def source(terminal: Terminal) -> Path:
    return terminal.file("file", DATA)


@pytest.fixture
def added(terminal: Terminal, source: Path) -> str:
    assert terminal("add", *FLAGS, source) == 0
    return terminal.out.strip()


def test_a_file_is_read_from_where_it_is(terminal: Terminal, source: Path, added: str) -> None:
    assert terminal("add", "-n", *FLAGS, source) == 0
    assert terminal.out.strip() == added
    assert terminal("get", added, "-o", terminal.folder / "copy") == 0
    assert (terminal.folder / "copy").read_bytes() == DATA
    assert terminal("repo", "stat", "--json") == 0
    found = json.loads(terminal.out)
    assert (found["blocks"], found["slices"], found["slices_size"]) == (7, 6, len(DATA))
    assert found["size"] < CHUNK
    assert terminal("repo", "stat") == 0
    assert f"SlicesSize: {len(DATA)}\n" in terminal.out


def test_verify_drops_the_slices_of_a_changed_file(
    terminal: Terminal, source: Path, added: str
) -> None:
    assert terminal("repo", "verify") == 0
    source.write_bytes(bytes(CHUNK) + DATA[CHUNK:])
    first = CID.for_block(DATA[:CHUNK])
    assert terminal("repo", "verify") == 1
    assert terminal.out == f"block {first} was corrupt (the file {source}, which has changed)\n"
    assert "1 blocks corrupt" in terminal.error
    assert terminal("repo", "ls") == 0
    assert str(first) not in terminal.out
    assert len(terminal.out.splitlines()) == 6
    assert terminal("pin", "verify") == 1
    # Added again with its old bytes, all of it is there again.
    source.write_bytes(DATA)
    assert terminal("add", *FLAGS, source) == 0
    assert terminal("repo", "verify") == 0
    assert terminal("pin", "verify") == 0


def test_verify_tells_of_a_file_that_is_gone_and_keeps_its_slices(
    terminal: Terminal, source: Path, added: str
) -> None:
    source.rename(terminal.folder / "aside")
    assert terminal("repo", "verify") == 1
    assert terminal.out.count(f"(the file {source}, which is gone)") == 6
    assert terminal("cat", added) == 1
    assert f"the file {source}, which is gone" in terminal.error
    (terminal.folder / "aside").rename(source)
    assert terminal("repo", "verify") == 0


def age(repo: Path) -> None:
    """Have all blocks be an hour old: a collection leaves the newest ones alone."""
    for path in (repo / "blocks").rglob("*.data"):
        os.utime(path, (0, 0))
    with closing(sqlite3.connect(repo / "state.sqlite")) as state, state:
        state.execute("UPDATE slices SET noted = noted - 3600")


def test_a_collection_forgets_slices_and_leaves_files(
    terminal: Terminal, source: Path, added: str
) -> None:
    assert terminal("repo", "gc", "-q") == 0
    assert terminal.out == ""
    assert terminal("pin", "rm", added) == 0
    age(terminal.repo)
    assert terminal("repo", "gc", "-q") == 0
    assert len(terminal.out.splitlines()) == 7
    assert terminal("repo", "ls") == 0
    assert terminal.out == ""
    assert source.read_bytes() == DATA


def test_a_folder_is_added_without_copies(terminal: Terminal) -> None:
    folder = terminal.folder / "folder"
    folder.mkdir()
    for number in range(3):
        (folder / f"f{number}").write_bytes(DATA[number : number + 1000])
    assert terminal("add", "-r", "--nocopy", "-Q", folder) == 0
    cid = terminal.out.strip()
    assert terminal("repo", "stat", "--json") == 0
    assert json.loads(terminal.out)["slices"] == 3
    assert terminal("get", cid, "-o", terminal.folder / "copy") == 0
    assert (terminal.folder / "copy" / "f2").read_bytes() == DATA[2:1002]


def test_get_nocopy_of_what_is_here(terminal: Terminal, source: Path, added: str) -> None:
    target = terminal.folder / "copy"
    assert terminal("get", "--nocopy", added, "-o", target) == 0
    assert target.read_bytes() == DATA
    assert sorted(path.name for path in terminal.folder.iterdir()) == ["copy", "file", "repo"]


def test_verify_tells_of_a_file_of_a_folder_that_was_fetched_without_copies(
    terminal: Terminal,
) -> None:
    folder, target = terminal.folder / "folder", terminal.folder / "copy"
    folder.mkdir()
    (folder / "small").write_bytes(DATA[:1000])
    (folder / "large").write_bytes(DATA)
    assert terminal("add", "-r", "-Q", folder) == 0
    cid = terminal.out.strip()
    provider, terminal.repo = terminal.repo, terminal.folder / "other"
    with serving(provider) as address:
        assert terminal("get", "--nocopy", "--peer", address, cid, "-o", target) == 0
    assert terminal("repo", "verify") == 0
    (target / "small").write_bytes(bytes(1000))
    assert terminal("repo", "verify") == 1
    assert f"(the file {target / 'small'}, which has changed)" in terminal.out
    target.rename(terminal.folder / "aside")
    assert terminal("repo", "verify") == 1
    assert f"(the file {target / 'large'}, which is gone)" in terminal.out


def test_a_repo_with_slices_is_imported_from(terminal: Terminal, source: Path, added: str) -> None:
    old, terminal.repo = terminal.repo, terminal.folder / "other"
    assert terminal("repo", "import", old) == 0
    source.unlink()
    assert terminal("get", added, "-o", terminal.folder / "copy") == 0
    assert (terminal.folder / "copy").read_bytes() == DATA


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("add", "--nocopy", "--raw-leaves=false", "file"), "must be raw"),
        (("add", "--nocopy", "/dev/null"), "named by their paths"),
        (("get", "--nocopy", "CID", "-o", "-"), "--nocopy writes files"),
        (("get", "--nocopy", "-a", "CID"), "--nocopy writes files"),
    ],
)
def test_what_cannot_be_done_without_copies(
    terminal: Terminal, source: Path, added: str, command: tuple[str, ...], reason: str
) -> None:
    words = {"file": str(source), "CID": added}
    assert terminal(*(words.get(word, word) for word in command)) != 0
    assert reason in terminal.error
