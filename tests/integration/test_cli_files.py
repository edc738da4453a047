"""The verbs of ``files``: what they print, read and refuse."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from libp2p.ipfs_lite.cli.files_commands import files
from tests.integration.test_cli import Terminal, terminal

__all__ = ["terminal"]

DATA = random.Random(3).randbytes(3_000_000)
KILLS = 200 if os.environ.get("NIGHTLY") else 6


@pytest.fixture
def source(terminal: Terminal) -> Path:
    path = terminal.folder / "source"
    path.write_bytes(DATA)
    assert terminal("files", "write", "-e", "-p", "/a/b/f", path) == 0
    return path


def lines(terminal: Terminal, *args: object) -> list[str]:
    assert terminal("files", *args) == 0, terminal.error
    return terminal.out.splitlines()


def test_every_verb_is_kubos() -> None:
    assert set(files.commands) == {
        "ls", "read", "write", "cp", "mv", "rm", "mkdir", "stat", "flush", "chcid", "chmod",
        "touch",
    }  # fmt: skip


def test_a_tree_is_changed_and_listed(terminal: Terminal, source: Path) -> None:
    assert lines(terminal, "ls") == ["a"]
    assert lines(terminal, "ls", "/a/b/f") == ["f"]
    [root] = lines(terminal, "flush")
    [line] = lines(terminal, "ls", "-l", "/a")
    [cid] = lines(terminal, "stat", "--hash", "/a/b")
    assert line == f"b/\t{cid}\t0"
    lines(terminal, "mkdir", "-p", "/x/y")
    lines(terminal, "cp", f"/ipfs/{cid}/f", "/x/y/")
    lines(terminal, "cp", "-p", "/x/y/f", "/z/f")
    lines(terminal, "mv", "/z/f", "/x/g")
    assert lines(terminal, "ls", "/x") == ["g", "y"]
    lines(terminal, "rm", "/x/g")
    lines(terminal, "rm", "-r", "/x", "/z")
    assert lines(terminal, "stat", "--hash") == [root]
    lines(terminal, "chcid", "--cid-version=0", "/a")
    assert lines(terminal, "stat", "--hash", "/a")[0].startswith("Qm")
    assert json.loads(lines(terminal, "flush", "--json")[0])["cid"] != root


def test_what_stat_prints(terminal: Terminal, source: Path) -> None:
    lines(terminal, "chmod", "0640", "/a")
    lines(terminal, "touch", "--mtime=1630937926", "--mtime-nsecs=5", "/a")
    shown = lines(terminal, "stat", "/a")
    assert shown[1:2] == ["Size: 0"]
    assert shown[3:] == [
        "ChildBlocks: 1",
        "Type: directory",
        "Mode: drw-r----- (0640)",
        "Mtime: 6 Sep 2021, 14:18:46 UTC",
    ]
    assert lines(terminal, "stat", "--format=<mtime-secs> <mtime-nsecs>", "/a") == ["1630937926 5"]
    assert lines(terminal, "stat", "/a/b/f")[-2:] == ["Mode: not set (not set)", "Mtime: not set"]
    [said] = lines(terminal, "stat", "--json", "/a")
    assert json.loads(said) | {"cid": "", "cumulative_size": 0} == {
        "cid": "", "type": "directory", "size": 0, "cumulative_size": 0, "blocks": 1,
        "mode": "0640", "mtime": 1630937926, "mtime_nsecs": 5,
    }  # fmt: skip
    [listed] = lines(terminal, "ls", "--json", "/a/b")
    assert json.loads(listed)["size"] == len(DATA)
    assert lines(terminal, "stat", "--size", f"/ipfs/{shown[0]}") == [shown[2].split()[1]]
    lines(terminal, "touch", "/a")
    assert lines(terminal, "stat", "--format=<mtime-secs>", "/a") != ["1630937926"]


@pytest.mark.parametrize(
    ("path", "mode", "shown"),
    [
        ("/t", "0755", "drwxr-xr-x (0755)"),
        ("/t", "1777", "dtrwxrwxrwx (0777)"),
        ("/t/f", "0007", "-------rwx (07)"),
        ("/t/f", "6750", "ugrwxr-x--- (0750)"),
        ("/t/f", "0", "not set (not set)"),
        ("/t/l", "", "lrwxrwxrwx (0777)"),
        ("/t/l", "0640", "lrw-r----- (0640)"),
    ],
)
def test_modes_are_shown_as_kubo_shows_them(
    terminal: Terminal, path: str, mode: str, shown: str
) -> None:
    tree = terminal.folder / "tree"
    tree.mkdir()
    (tree / "f").touch()
    (tree / "l").symlink_to("f")
    assert terminal("add", "-r", "-Q", tree) == 0
    lines(terminal, "cp", f"/ipfs/{terminal.out.strip()}", "/t")
    if mode:
        lines(terminal, "chmod", mode, path)
    assert lines(terminal, "stat", path)[5] == f"Mode: {shown}"


def test_bytes_go_in_and_out(terminal: Terminal, source: Path) -> None:
    command = [sys.executable, "-m", "libp2p.ipfs_lite", "--repo", str(terminal.folder / "repo")]
    command += ["files"]

    def run(*args: str, data: bytes = b"") -> bytes:
        return subprocess.run([*command, *args], input=data, capture_output=True, check=True).stdout

    run("write", "-e", "-p", "/p/f", data=DATA)
    assert run("read", "/p/f") == DATA
    run("write", "-o", "1000000", "-n", "3", "/p/f", data=b"abcdef")
    assert (
        run("read", "-o", "999999", "-n", "5", "/p/f")
        == DATA[999999:1000000] + b"abc" + DATA[1000003:1000004]
    )
    run("write", "-t", "/p/f", data=b"short")
    assert run("read", "/p/f") == b"short"


@pytest.mark.parametrize(
    "args",
    [
        ("read", "/none"),
        ("read", "/a"),
        ("read", "-o", "9000000", "/a/b/f"),
        ("ls", "a"),
        ("cp", "/a", "/a/b"),
        ("cp", "/ipfs/nothing", "/x"),
        ("mkdir", "/a"),
        ("mv", "/a", "/a/b"),
        ("rm", "/a"),
        ("rm", "/"),
        ("stat", "--hash", "--size"),
        ("chmod", "rw", "/a"),
        ("chcid", "/"),
        ("write", "/a", "source"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    terminal: Terminal, source: Path, args: tuple[str, ...]
) -> None:
    [before] = lines(terminal, "stat", "--hash")
    assert terminal("files", *(source if arg == "source" else arg for arg in args)) in (1, 2)
    assert "Traceback" not in terminal.error
    assert terminal.error
    assert lines(terminal, "stat", "--hash") == [before]
    assert terminal("files", "rm", "--force", "/none") == 0


def test_a_killed_write_leaves_the_tree_of_before_or_after(
    terminal: Terminal, source: Path
) -> None:
    repo = terminal.folder / "repo"
    command = [sys.executable, "-m", "libp2p.ipfs_lite", "--repo", str(repo)]
    chosen = random.Random(4)
    content = DATA
    began = time.monotonic()
    subprocess.run([*command, "files", "write", "-t", "/a/b/f", str(source)], check=True)
    usual = time.monotonic() - began
    for number in range(KILLS):
        new = bytes([number]) * 3_000_000
        source.write_bytes(new)
        with subprocess.Popen([*command, "files", "write", "/a/b/f", str(source)]) as process:
            try:
                process.wait(chosen.uniform(0.5, 1) * usual)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        read = subprocess.run(
            [*command, "files", "read", "/a/b/f"], capture_output=True, check=True
        )
        assert read.stdout in (content, new)
        if process.returncode == 0:
            assert read.stdout == new  # what was acknowledged is there
        content = read.stdout
