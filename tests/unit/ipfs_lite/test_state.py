"""What must not be lost: written by many processes, never begun anew by itself, and migrated."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from libp2p.exceptions import NotARegularFile
from libp2p.ipfs_lite.errors import RepoError, RepoLockedError
from libp2p.ipfs_lite.migration import pin_roots
from libp2p.ipfs_lite.repo import Repo
from libp2p.ipfs_lite.state import State
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = (CID.for_block(name) for name in (b"a", b"b", b"c"))
PIN = "INSERT INTO pins (cid, recursive, name) VALUES (?, 1, '')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    State.create(tmp_path / "state.sqlite")
    return tmp_path / "state.sqlite"


def pinned(state: State) -> list[CID]:
    rows = state.run(lambda c: c.execute("SELECT cid FROM pins ORDER BY id").fetchall())
    return [CID.of(cid) for (cid,) in rows]


def pinned_in(path: Path) -> list[CID]:
    with closing(State(path)) as state:
        return pinned(state)


def pin(state: State, *cids: CID) -> None:
    state.run(lambda c: c.executemany(PIN, [(cid.buffer,) for cid in cids]), writes=True)


def test_a_transaction_is_written_or_not(path: Path) -> None:
    for state in (State(path), State(None)):
        pin(state, A)

        def half(connection: sqlite3.Connection) -> None:
            connection.execute(PIN, (B.buffer,))
            raise KeyError

        with pytest.raises(KeyError):
            state.run(half, writes=True)
        assert pinned(state) == [A]
        with pytest.raises(RepoError, match="UNIQUE"):
            pin(state, C, A)
        assert pinned(state) == [A]
        state.close()
    assert pinned_in(path) == [A]
    assert repr(State(path)) == f"<State {path}>"


def test_creating_it_again_keeps_it(path: Path) -> None:
    with closing(State(path)) as state:
        pin(state, A)
    State.create(path)
    assert pinned_in(path) == [A]


@pytest.mark.parametrize("damage", [b"not a database" * 1000, b"", None])
def test_a_damaged_or_missing_file_is_told_and_left_alone(path: Path, damage: bytes | None) -> None:
    state = State(path)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    what = "missing" if damage is None else "damaged"
    with pytest.raises(RepoError, match=f"state.sqlite is {what}.*restore it from a copy"):
        pinned(state)
    assert (path.read_bytes() if path.exists() else None) == damage


@pytest.mark.parametrize("damage", [b"not a database" * 1000, None])
def test_what_is_damaged_can_be_set_aside(tmp_path: Path, damage: bytes | None) -> None:
    with Repo.open(tmp_path) as repo:
        path = repo.state_path
        with pytest.raises(RepoLockedError, match="in use"):
            Repo.reset_state(tmp_path)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    old = Repo.reset_state(tmp_path)
    assert (old and old.read_bytes()) == damage
    with closing(State(path)) as state:
        pin(state, A)
    assert pinned_in(path) == [A]


def test_a_later_version_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RepoError, match="later version"):
        pinned_in(path)


def test_processes_write_at_the_same_time(path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from libp2p.ipfs_lite.state import State
from libp2p.ipld.cid import CID
for number in range(50):
    state = State(Path({str(path)!r}))
    cid = CID.for_block(f"{{sys.argv[1]}} {{number}}".encode())
    state.run(lambda c: c.execute({PIN!r}, (cid.buffer,)), writes=True)
    if number % 5 == 0:
        state.close()
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(set(pinned_in(path))) == 200


def test_a_child_has_a_connection_of_its_own(path: Path) -> None:
    state = State(path)
    pin(state, A)
    child = os.fork()
    if child == 0:
        try:
            pin(state, B)
            state.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    pin(state, C)
    assert pinned(state) == [A, B, C]
    state.close()


# -- from version 1 -------------------------------------------------------------------------------


def test_what_was_added_is_pinned_and_half_a_line_is_not(tmp_path: Path) -> None:
    (tmp_path / "roots").write_text(f"{A}\n{B}\n{A}\n{str(C)[:20]}\nrubbish\n{'x' * 500}\n{C}\n")
    for _ in range(2):
        pin_roots(tmp_path / "roots", tmp_path / "state.sqlite")
    assert pinned_in(tmp_path / "state.sqlite") == [A, B, C]


def test_a_link_in_place_of_the_roots_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "roots").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotARegularFile):
        pin_roots(tmp_path / "roots", tmp_path / "state.sqlite")


def repo_of_version_1(path: Path, *roots: CID) -> Path:
    Repo.open(path).close()
    (path / "version").write_text("ipfs-lite 1\n")
    (path / "state.sqlite").unlink()
    (path / "roots").write_text("".join(f"{root}\n" for root in roots))
    return path


def test_a_repo_of_version_1_is_known_and_migrated_when_it_is_opened(tmp_path: Path) -> None:
    path = repo_of_version_1(tmp_path / "repo", A, B)
    key = Repo.identity_of(path).private_key
    assert Repo.exists(path)
    with Repo.open(path) as repo:
        assert repo.private_key == key
        assert pinned_in(repo.state_path) == [A, B]
    assert (path / "version").read_text() == "ipfs-lite 2\n"
    assert not (path / "roots").exists()


def test_a_migration_can_be_killed_at_every_step(tmp_path: Path) -> None:
    """The process is killed before each call that opens, renames or removes a file, once each."""

    def open_until_killed(path: Path, left: int) -> None:
        def count(event: str, arguments: object) -> None:
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "sqlite3.connect"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        Repo.open(path).close()

    for steps in range(1000):
        path = repo_of_version_1(tmp_path / str(steps), A, B)
        child = os.fork()
        if child == 0:
            try:
                open_until_killed(path, steps)
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        with Repo.open(path) as repo:
            assert pinned_in(repo.state_path) == [A, B]
        assert not (path / "roots").exists()
        if status == 0:
            break
        assert status == signal.SIGKILL
    assert steps > 5
