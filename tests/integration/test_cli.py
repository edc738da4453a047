"""The command ``ipfs-lite``: exit codes, lines, and nothing half-written."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from libp2p.blockstore import FilesystemBlockStore
from libp2p.blockstore.flatfs import FlatFiles
from libp2p.ipfs_lite import Repo
from libp2p.ipfs_lite.cli.entry import run
from libp2p.ipfs_lite.repo import BLOCKS_FOLDER
from libp2p.ipld.cid import CID

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
"""The CID of "hello world" under unixfs-v1-2025, as Kubo prints it."""
HELLO_V0 = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"
PEER = "12D3KooWEoWPDpkUF2dpbBg875xsP3iwLrD62GqZ3BU1p1RvA91r"
NOBODY = f"/ip4/127.0.0.1/tcp/1/p2p/{PEER}"


class Terminal:
    """Runs commands in a folder of their own; remembers what they wrote."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        self.out = ""
        self.error = ""
        self._capture = capture

    def __call__(self, *args: object) -> int:
        code = run(["--repo", str(self.repo), *map(str, args)])
        self.out, self.error = self._capture.readouterr()
        return code

    def file(self, name: str = "hello.txt", data: bytes = b"hello world") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path


@pytest.fixture
def terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path, capfd)


# -- what it prints -------------------------------------------------------------------------------


def test_add_prints_kubos_line(terminal: Terminal) -> None:
    assert terminal("add", terminal.file()) == 0
    assert (terminal.out, terminal.error) == (f"added {HELLO} hello.txt\n", "")
    assert terminal("add", "-Q", terminal.file(), terminal.file("empty", b"")) == 0
    assert terminal.out == f"{CID.for_block(b'')}\n"
    assert terminal("add", "-q", terminal.file(), terminal.file("empty", b"")) == 0
    assert terminal.out.splitlines() == [HELLO, str(CID.for_block(b""))]
    for quiet in ("--silent", "-Q"):
        assert terminal("add", "--silent", quiet, terminal.file()) == 0
        assert terminal.out == ""


@pytest.mark.parametrize(
    ("flags", "cid"),
    [
        ([], HELLO),
        (["--profile", "unixfs-v0-2015"], HELLO_V0),
        (["--cid-version", "0"], HELLO_V0),
        (["--cid-version=0", "--raw-leaves"], HELLO),
        (["--raw-leaves=false"], str(CID.parse(HELLO_V0).to_v1())),
        (["-s", "size-11", "--max-file-links", "2"], HELLO),
    ],
)
def test_only_hash_needs_and_makes_no_repo(terminal: Terminal, flags: list[str], cid: str) -> None:
    assert terminal("add", "-Q", "-n", *flags, terminal.file()) == 0
    assert terminal.out == f"{cid}\n"
    assert not terminal.repo.exists()


def test_json(terminal: Terminal) -> None:
    assert terminal("add", "--json", terminal.file()) == 0
    added = json.loads(terminal.out)
    assert added == {"cid": HELLO, "name": "hello.txt", "size": 11, "dag_size": 11}
    assert terminal("get", HELLO, "--json", "-o", terminal.folder / "copy") == 0
    assert json.loads(terminal.out)["size"] == 11
    assert terminal("id", "--json") == 0
    identity = json.loads(terminal.out)
    assert identity["id"].startswith("12D3KooW")
    assert identity["profile"] == "unixfs-v1-2025"
    assert terminal("id") == 0
    assert terminal.out == identity["id"] + "\n"


def test_init_chooses_options_once(terminal: Terminal) -> None:
    options = ["--profile", "unixfs-v0-2015", "--listen", "/ip4/127.0.0.1/tcp/0", "--sync"]
    assert terminal("init", *options) == 0
    with Repo.open(terminal.repo) as repo:
        assert repo.config.sync
        assert repo.config.listen == ("/ip4/127.0.0.1/tcp/0",)
    assert terminal("add", "-Q", terminal.file()) == 0
    assert terminal.out == f"{HELLO_V0}\n"
    assert terminal("init") == 1
    assert "is a repo already" in terminal.error


def test_get_and_cat_give_the_file_back(terminal: Terminal) -> None:
    data = bytes(range(256)) * 10_000
    terminal("add", "-Q", terminal.file("data", data))
    cid = terminal.out.strip()
    assert terminal("get", cid, "-o", terminal.folder / "copy") == 0
    assert (terminal.folder / "copy").read_bytes() == data
    assert terminal("get", f"/ipfs/{cid}", "-o", terminal.folder) == 0
    assert (terminal.folder / cid).read_bytes() == data
    assert terminal("add", "-Q", terminal.file()) == 0
    assert terminal("cat", HELLO) == 0
    assert terminal.out == "hello world"


def test_help_and_version(terminal: Terminal) -> None:
    assert terminal("--help") == 0
    assert "serve" in terminal.out
    assert terminal("--version") == 0
    assert "ipfs-lite, version" in terminal.out


def test_the_repo_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IPFS_LITE_PATH", str(tmp_path / "mine"))
    assert run(["id"]) == 0
    assert Repo.exists(tmp_path / "mine")
    assert capfd.readouterr().out.startswith("12D3KooW")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "hello world" * 3),
        (["-o", "3", "-l", "4"], "lo w"),
        (["--offset=9", "--length=4"], "ldhe"),
        (["-o", "25"], "lo world"),
        (["-l", "11", "-o", "11"], "hello world"),
        (["-l", "0"], ""),
        (["-o", "33"], ""),
        (["-o", "99", "-l", "9"], ""),
        (["-l", "99", "-p=false"], "hello world" * 3),
    ],
    ids=" ".join,
)
def test_cat_writes_a_part_of_several_files(
    terminal: Terminal, flags: list[str], expected: str
) -> None:
    assert terminal("add", "-s", "size-4", terminal.file()) == 0
    cid = terminal.out.split()[1]
    assert terminal("cat", *flags, cid, cid, cid) == 0
    assert terminal.out == expected


@pytest.mark.parametrize("flag", ["--offset=-1", "--length=-1"])
def test_cat_refuses_negative_numbers(terminal: Terminal, flag: str) -> None:
    assert terminal("cat", flag, HELLO) == 2
    assert "-1 is not in the range" in terminal.error


# -- what it refuses ------------------------------------------------------------------------------

BAD_INPUT: dict[str, tuple[list[str], int, str]] = {
    "no verb": ([], 2, "--help"),
    "an unknown verb": (["fetch"], 2, "No such command 'fetch'"),
    "an unknown flag": (["add", "--fast", "FILE"], 2, "No such option '--fast'"),
    "nothing to add": (["add"], 1, "gave nothing, so nothing was added"),
    "no such file": (["add", "FOLDER/nowhere"], 1, "no such file"),
    "a folder": (["add", "FOLDER"], 1, "is a folder: add it with --recursive"),
    "an empty chunk": (["add", "-s", "size-0", "FILE"], 2, "not 0"),
    "an unknown chunker": (["add", "-s", "rabin-1", "FILE"], 2, "rabin-1"),
    "an unknown hash": (["add", "--hash", "md5", "FILE"], 2, "md5"),
    "an impossible CID": (["add", "--cid-version=0", "--hash=sha2-512", "FILE"], 2, "sha2-256"),
    "an unknown CID version": (["add", "--cid-version=2", "FILE"], 2, "cid-version"),
    "an unknown profile": (["add", "--profile=best", "FILE"], 2, "profile"),
    "too few links": (["add", "--max-file-links=1", "FILE"], 2, "2 links"),
    "a malformed CID": (["cat", "bafy"], 2, "'bafy' is not a CID"),
    "a malformed multiaddr": (["get", HELLO, "--peer", "1.2.3.4"], 2, "multiaddr"),
    "an address without a peer": (["cat", HELLO, "--peer", "/ip4/127.0.0.1/tcp/1"], 2, "/p2p/"),
    "a malformed time": (["cat", HELLO, "--timeout", "soon"], 2, "'soon' is not a time"),
    "a malformed listen address": (["serve", "--listen", "4001"], 2, "not a multiaddr"),
    "an impossible listen address": (["serve", "--listen", "/ip4/192.0.2.7/tcp/1"], 1, "192.0.2.7"),
    "a file that is not here": (["cat", HELLO], 1, "name a peer that has it with --peer"),
    "a peer that is not there": (["get", HELLO, "--peer", NOBODY], 1, "Connection refused"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_a_code(terminal: Terminal, case: str) -> None:
    args, code, text = BAD_INPUT[case]
    names = {"FILE": terminal.file(), "FOLDER": terminal.folder}
    for name, path in names.items():
        args = [arg.replace(name, str(path)) for arg in args]
    assert terminal(*args) == code
    assert terminal.out == ""
    assert terminal.error.startswith("ipfs-lite: ")
    assert terminal.error.count("\n") == 1
    assert text in terminal.error
    assert sorted(path.name for path in terminal.folder.iterdir()) in (
        ["hello.txt"],
        ["hello.txt", "repo"],
    )


def test_a_folder_is_fetched_but_is_no_file(terminal: Terminal) -> None:
    directory = b"\x0a\x02\x08\x01"
    cid = CID.for_block(directory, "dag-pb")
    with Repo.open(terminal.repo):
        FlatFiles(terminal.repo / BLOCKS_FOLDER).put([(cid.multihash, directory)])
    assert terminal("cat", cid) == 1
    assert "is not a file but: directory; `get` writes folders" in terminal.error
    assert terminal("get", cid, "-o", terminal.folder / "out") == 0
    assert list((terminal.folder / "out").iterdir()) == []


def test_a_foreign_repo_is_refused_in_one_line(terminal: Terminal) -> None:
    terminal.repo.mkdir()
    (terminal.repo / "version").write_text("16\n")
    (terminal.repo / "config").write_text("{}")
    for verb in (["id"], ["add", terminal.file()], ["serve"], ["init"]):
        assert terminal(*verb) == 1
        assert "Kubo repo" in terminal.error
        assert terminal.error.count("\n") == 1
    assert terminal("add", "-n", "-Q", terminal.file()) == 0


def test_a_repo_may_be_open_in_another_program(terminal: Terminal) -> None:
    with Repo.open(terminal.repo):
        assert terminal("add", terminal.file()) == 0
        assert terminal("id") == 0


def test_a_repo_that_an_earlier_version_uses_is_refused_in_one_line(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libp2p.ipfs_lite.repo.LOCK_SECONDS", 0.01)
    Repo.open(terminal.repo).close()
    with open(terminal.repo / "repo.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert terminal("add", terminal.file()) == 1
        assert "an earlier version of ipfs-lite is using it" in terminal.error
        assert terminal.error.count("\n") == 1
        assert terminal("id") == 0


def test_a_damaged_block_is_told(terminal: Terminal) -> None:
    data = bytes(3_000_000)
    terminal("add", "-Q", terminal.file("zeros", data))
    cid = CID.parse(terminal.out.strip())
    FlatFiles(terminal.repo / "blocks").delete(CID.for_block(data[: 1 << 20]).multihash)
    assert terminal("get", cid, "-o", terminal.folder / "out") == 1
    assert "not in the repo" in terminal.error
    assert not list(terminal.folder.glob("*out*"))


def test_what_nobody_foresaw_is_still_one_line(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*args: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(Repo, "open", surprise)
    assert terminal("add", terminal.file()) == 1
    assert terminal.error == (
        "ipfs-lite: internal error, please report it: RuntimeError: two lines\n"
    )
    monkeypatch.setenv("IPFS_LITE_DEBUG", "1")
    assert terminal("add", terminal.file()) == 1
    assert "Traceback" in terminal.error


# -- processes ------------------------------------------------------------------------------------


def command(repo: Path, *args: object) -> list[str]:
    return [sys.executable, "-m", "libp2p.ipfs_lite", "--repo", str(repo), *map(str, args)]


@contextmanager
def serving(repo: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    serve = command(repo, "serve", "--listen", "/ip4/127.0.0.1/tcp/0")
    with subprocess.Popen(
        serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(terminal: Terminal, stop: signal.Signals) -> None:
    data = bytes(range(256)) * 8000
    terminal("add", "-Q", terminal.file("data", data))
    cid = terminal.out.strip()
    with serving(terminal.repo) as (process, address):
        assert address.startswith("/ip4/127.0.0.1/tcp/")
        assert terminal("add", terminal.file("more", b"while it serves")) == 0
        provider, terminal.repo = terminal.repo, terminal.folder / "second"
        assert terminal("get", cid, "--peer", address, "--timeout", "20s", "-o", "/dev/null") == 0
        copy = terminal.folder / "copy"
        assert terminal("get", cid, "--peer", NOBODY, "--peer", address, "-o", copy) == 0
        assert copy.read_bytes() == data
        assert "going on without a peer" in terminal.error
        wrong = f"{address.rpartition('/')[0]}/{PEER}"
        terminal.repo = terminal.folder / "third"
        assert terminal("cat", cid, "--peer", wrong) == 1
        assert PEER in terminal.error
        assert terminal("cat", HELLO, "--peer", address) == 1
        assert "does not have it" in terminal.error
        assert terminal.error.count("\n") == 1
        process.send_signal(stop)
        rest, errors = process.communicate(timeout=10)
        assert (process.returncode, rest, errors) == (0, "", "")
    Repo.open(provider).close()


@pytest.mark.slow
def test_a_deadline_is_told(terminal: Terminal) -> None:
    # A listener that never says a word.
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}/p2p/{PEER}"
        out = terminal.folder / "out"
        assert terminal("get", HELLO, "--peer", address, "--timeout", "100ms", "-o", out) == 1
    assert "--timeout" in terminal.error
    assert not out.exists()


@pytest.mark.slow
def test_a_closed_pipe_ends_cat_quietly(terminal: Terminal) -> None:
    terminal("add", "-Q", terminal.file("zeros", bytes(5_000_000)))
    cat = command(terminal.repo, "cat", terminal.out.strip())
    with subprocess.Popen(cat, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == bytes(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGPIPE


@pytest.mark.slow
def test_adds_the_standard_input(terminal: Terminal) -> None:
    add = command(terminal.repo, "add", "-")
    done = subprocess.run(add, input=b"hello world", capture_output=True, check=True)
    assert done.stdout.decode() == f"added {HELLO} {HELLO}\n"
    assert done.stderr == b""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(terminal: Terminal) -> None:
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    zeros = terminal.file("zeros", bytes(1_000_000))
    add = command(terminal.repo, "add", zeros)
    done = subprocess.run(
        add,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit_files,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ipfs-lite: cannot write a block to ")
    assert done.stderr.count("\n") == 1
    assert FilesystemBlockStore(terminal.repo / "blocks").size() == 0
    assert list((terminal.repo / "blocks" / ".temp").iterdir()) == []

    assert terminal("add", "-Q", "-s", "size-250000", zeros) == 0
    get = command(terminal.repo, "get", terminal.out.strip(), "-o", terminal.folder / "out")
    done = subprocess.run(
        get,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit_files,
    )
    assert done.returncode == 1
    assert done.stderr == f"ipfs-lite: cannot write {terminal.folder / 'out'}: File too large\n"
    assert not list(terminal.folder.glob("*out*"))


@pytest.mark.slow
def test_an_adder_that_is_killed_leaves_whole_blocks_only(terminal: Terminal) -> None:
    add = command(terminal.repo, "add", "-s", "size-262144", "-")
    piece = os.urandom(1 << 20)
    with subprocess.Popen(add, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        for number in range(24):  # it has taken all but the last, so it is writing blocks now
            process.stdin.write(number.to_bytes(4, "big") + piece[4:])
        process.kill()
    with Repo.open(terminal.repo):
        files = FlatFiles(terminal.repo / BLOCKS_FOLDER)
        keys = list(files.multihashes())
        assert keys
        for key in keys:
            data = files.get(key)
            assert data is not None
            assert CID.for_block(data).multihash == key
        assert list((terminal.repo / BLOCKS_FOLDER / ".temp").iterdir()) == []
    assert terminal("add", "-Q", terminal.file()) == 0


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_add_says_so(terminal: Terminal, stop: signal.Signals) -> None:
    add = command(terminal.repo, "add", "-")
    with subprocess.Popen(
        add, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(bytes(200_000))  # more than a pipe holds: it is reading
        process.stdin.flush()
        process.send_signal(stop)
        assert process.stderr is not None
        assert process.stderr.read() == b"ipfs-lite: interrupted\n"
        process.stdin.close()
    assert process.returncode == -stop
    assert terminal("id") == 0


def test_fails_if_no_peer_can_be_reached_and_says_who_was_left_out(terminal: Terminal) -> None:
    other = NOBODY.replace("/tcp/1/", "/tcp/2/")
    assert terminal("cat", HELLO, "--peer", NOBODY, "--peer", other) == 1
    assert terminal.error.count("\n") == 1
