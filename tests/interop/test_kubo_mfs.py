"""The mutable tree beside ``ipfs files``: the same operations give the same CIDs and lines."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.interop.kubo import Kubo
from tests.interop.mfs_walk import Operation, Walk

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 400 if os.environ.get("NIGHTLY") else 40
PROFILES = ("unixfs-v1-2025", "unixfs-v0-2015")


class Ours:
    """Our command on a repo of its own."""

    def __init__(self, repo: Path, profile: str) -> None:
        self._repo = repo
        self.data = repo.with_name("data")
        self.run("init", f"--profile={profile}")

    def run(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "libp2p.ipfs_lite", "--repo", str(self._repo), *args]
        return subprocess.run(command, capture_output=True, check=False)


def both(kubo: Kubo, ours: Ours, operation: Operation) -> tuple[bool, bool]:
    """Run an operation on both; tell which of them did it."""
    # From a file: Kubo's chunks depend on how much each read of a pipe gives.
    data = [str(ours.data)] if operation.args[0] == "write" else []
    ours.data.write_bytes(operation.data)
    theirs = kubo.run("files", *operation.args, *data, check=False)
    own = ours.run("files", *operation.args, *data)
    assert own.returncode in (0, 1, 2), own.stderr
    assert b"Traceback" not in own.stderr
    if operation.args[0] == "write" and own.returncode == 0:
        _set_times(kubo, ours, operation.args[-1])
    return theirs.returncode == 0, own.returncode == 0


def _set_times(kubo: Kubo, ours: Ours, path: str) -> None:
    """A write to a file that has a time gives it that of the write: give both another one."""
    if kubo.text("files", "stat", "--format=<mtime-secs>", path) != "not set":
        kubo.run("files", "touch", "--mtime=5", path)
        assert ours.run("files", "touch", "--mtime=5", path).returncode == 0


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(4 if os.environ.get("NIGHTLY") else 1))
def test_a_random_walk_has_the_same_roots(tmp_path: Path, profile: str, seed: int) -> None:
    ours, walk, done = Ours(tmp_path / "ours", profile), Walk(seed), 0
    with Kubo(daemon=False, profile=f"test,{profile}") as kubo:
        for step in range(STEPS):
            operation = walk.next()
            theirs, own = both(kubo, ours, operation)
            assert theirs == own, (step, operation.args)
            done += own
            root = kubo.text("files", "stat", "--hash", "/")
            assert ours.run("files", "stat", "--hash", "/").stdout.decode().strip() == root, (
                step,
                operation.args,
                len(operation.data),
            )
            for verb in (("ls", "-l", "/"), ("stat", "/a"), ("ls", "/a")):
                wanted = kubo.run("files", *verb, check=False)
                if wanted.returncode == 0:
                    own_lines = ours.run("files", *verb)
                    assert own_lines.stdout == wanted.stdout, (step, verb, own_lines.stderr)
        assert done > STEPS // 4


def test_f_is_no_force(tmp_path: Path) -> None:
    """In all verbs of ``files`` it means ``--flush``, which is what happens anyhow."""
    ours = Ours(tmp_path / "ours", PROFILES[0])
    with Kubo(daemon=False, profile=f"test,{PROFILES[0]}") as kubo:
        done = []
        for words in (
            "mkdir -p -f /a/b",
            "write -f -e /a/b/c",
            "touch --flush --mtime=7 /a/b/c",
            "cp -f /a/b/c /a/d",
            "cp -f /a/b/c /a/d",
            "stat -f --hash /a",
            "mv -f /a/d /e",
            "ls -f /",
            "rm -f /none",
            "rm -f /a",
            "rm -rf /a",
            "rm --flush=true /e",
        ):
            theirs, own = both(kubo, ours, Operation(tuple(words.split()), b"data"))
            assert own == theirs, words
            done.append(own)
        assert done.count(False) == 3
