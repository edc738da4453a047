"""
Every verb among other programs: each ends at once when it is told to, and leaves nothing behind.

Two tables say what can hold a verb up, and what it may find. Each verb meets each of these, but for
what `NOT_MET` names with its reason.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from libp2p.ipfs_lite.repo import Repo
from libp2p.ipld.car.header import encode_header
from libp2p.ipld.car.writer import encode_block_start
from libp2p.ipld.cid import CID
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter
from libp2p.ipld.profiles import ImportOptions
from tests.support.command_line import Ended, Running, Surroundings, full_pipe, tree, verbs

VERBS = ("init", "id", "add", "get", "cat", "ls", "dag export", "dag import", "serve")
#: Those that read files that are named, or the standard input.
READERS = ("add", "dag import")
#: Those that may have to fetch something.
FETCHERS = ("get", "cat", "ls", "dag export")
DATA = bytes(range(256)) * 2000


def _folder() -> str:
    """Return the CID of a folder of one file that is inside the CID."""
    importer = DirectoryImporter(ImportOptions(inline_limit=128))
    importer.add(DirectoryEntry("name", CID.for_block(DATA), 5))
    [root] = importer.finish()
    return str(root.cid)


FOLDER = _folder()
PEER = "12D3KooWEoWPDpkUF2dpbBg875xsP3iwLrD62GqZ3BU1p1RvA91r"

#: Whoever ends a command sees it end within this time.
AT_ONCE = 1.0
#: The time that the command is given; and how long it takes until it looks at the clock.
TIMEOUT, START = 0.5, 2.5


#: Verbs that have tables of their own.
ELSEWHERE = {
    "bitswap": "test_cli_running",
    "block": "test_cli_blocks",
    "completion": "test_cli_settings",
    "config": "test_cli_settings",
    "swarm": "test_cli_running",
    "version": "test_cli_settings",
    "routing": "test_routing_among_programs",
    "provide": "test_routing_among_programs",
    "dht": "test_routing_among_programs",
    "doctor": "test_routing_among_programs",
    "files": "test_cli_files",
    "key": "test_cli_names",
    "name": "test_cli_names",
    "pin": "test_cli_pins",
    "repo": "test_block_stores",
    "refs": "test_cli_folders",
}


def test_the_tables_know_every_verb() -> None:
    assert {verb.split()[0] for verb in (*VERBS, *ELSEWHERE)} == set(verbs())


@dataclass
class Scene:
    """A folder with a file, a repo that has it, and the command that is about to be run."""

    folder: Path
    repo: Path
    cid: str
    absent: str
    verb: str
    stack: ExitStack
    around: Surroundings = field(default_factory=Surroundings)
    args: list[str | Path] = field(default_factory=list)
    global_args: list[str | Path] = field(default_factory=list)
    in_repo: Callable[[Path], object] = lambda repo: None
    """What is done to each copy of the repo before its command starts."""
    name: str = "repo"
    number: int = 0

    def __post_init__(self) -> None:
        by_verb: dict[str, list[str | Path]] = {
            "init": [],
            "id": [],
            "add": [self.folder / "file"],
            "get": [self.cid, "-o", self.folder / "out"],
            "cat": [self.cid],
            "ls": [FOLDER],
            "dag export": [self.cid],
            "dag import": [self.folder / "file.car"],
            "serve": ["--listen", "/ip4/127.0.0.1/tcp/0"],
        }
        self.args = by_verb.get(self.verb, self.args)

    def start(self, *more: str) -> Running:
        """Start the command in a repo of its own, for a repo is used by one at a time."""
        self.number += 1
        repo = self.folder / f"{self.name}-{self.number}"
        if self.verb != "init":
            shutil.copytree(self.repo, repo)
        self.in_repo(repo)
        named = self.global_args or ["--repo", repo]
        running = Running([*named, *self.verb.split(), *self.args, *more], self.around)
        self.stack.callback(running.kill)
        return running

    def hold(self, number: int) -> int:
        """Keep a descriptor open until the end of the test."""
        self.stack.callback(os.close, number)
        return number

    def fifo(self, name: str = "fifo") -> Path:
        path = self.folder / name
        os.mkfifo(path)
        return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Make a repo that has a file, and a CID of what it has not."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "file").write_bytes(DATA)
    added = Running(["--repo", folder / "repo", "add", "-Q", folder / "file"], Surroundings())
    only_named = Running(["add", "-nQ", "-"], replace(Surroundings(), stdin=subprocess.PIPE))
    assert only_named.process.stdin is not None
    only_named.process.stdin.write(b"nowhere")
    return folder, added.read().out.decode().strip(), only_named.read().out.decode().strip()


@pytest.fixture
def scene_of(tmp_path: Path, stored: tuple[Path, str, str]) -> Iterator[Callable[[str], Scene]]:
    with ExitStack() as stack:

        def make(verb: str) -> Scene:
            (tmp_path / "file").write_bytes(DATA)
            folder, cid, absent = stored
            root = CID.of(cid)
            start = encode_header([root]) + encode_block_start(root, len(DATA))
            (tmp_path / "file.car").write_bytes(start + DATA)
            return Scene(tmp_path, folder / "repo", cid, absent, verb, stack)

        yield make


# -- what holds a verb up -------------------------------------------------------------------------


def unopened_fifo(scene: Scene) -> None:
    fifo = scene.fifo()
    scene.args = [fifo] if scene.verb in READERS else [scene.cid, "-o", fifo]


def silent_fifo(scene: Scene) -> None:
    fifo = scene.fifo()
    scene.hold(os.open(fifo, os.O_RDWR))
    scene.args = [fifo]


def silent_input(scene: Scene) -> None:
    reading, writing = os.pipe()
    os.write(scene.hold(writing), bytes(5000))
    scene.around.stdin = scene.hold(reading)
    scene.args = ["-"]


def full_output(scene: Scene) -> None:
    reading, writing = full_pipe()
    scene.hold(reading)
    scene.around.stdout = scene.hold(writing)


def full_non_blocking_output(scene: Scene) -> None:
    full_output(scene)
    assert isinstance(scene.around.stdout, int)
    os.set_blocking(scene.around.stdout, False)


def full_streamed_output(scene: Scene) -> None:
    full_output(scene)
    scene.args = [scene.cid, "-o", "-"]


def full_fifo(scene: Scene) -> None:
    fifo = scene.fifo()
    scene.hold(os.open(fifo, os.O_RDWR))
    scene.args = [scene.cid, "-o", fifo]


def full_pipe_by_number(scene: Scene) -> None:
    reading, writing = full_pipe()
    scene.hold(reading)
    os.set_inheritable(scene.hold(writing), True)
    scene.around.before = lambda: os.set_inheritable(writing, True)
    scene.around.close_fds = False
    scene.args = [scene.cid, "-o", f"/dev/fd/{writing}"]


def silent_peer(scene: Scene) -> None:
    listener = scene.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    address = f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}/p2p/{PEER}"
    scene.args = [scene.absent, "--peer", address]
    if scene.verb == "get":
        scene.args += ["-o", scene.folder / "out"]


def at_rest(scene: Scene) -> None:
    """It does what it does until it is told to end."""


HOLDS_UP: dict[str, Callable[[Scene], None]] = {
    "a FIFO that nobody opens": unopened_fifo,
    "a FIFO that says nothing": silent_fifo,
    "an input that goes on": silent_input,
    "a full output": full_output,
    "a full non-blocking output": full_non_blocking_output,
    "a full pipe as the file": full_streamed_output,
    "a full FIFO as the file": full_fifo,
    "a full pipe by its number": full_pipe_by_number,
    "a peer that says nothing": silent_peer,
    "nothing": at_rest,
}
READS = dict.fromkeys({*VERBS} - {*READERS}, "it reads no file that is named, and no input")
WRITES = dict.fromkeys({*VERBS} - {"get"}, "it writes to no file that is named")
NOT_MET: dict[str, dict[str, str]] = {
    "a FIFO that nobody opens": {
        **{verb: READS[verb] for verb in READS if verb in WRITES},
    },
    "a FIFO that says nothing": READS,
    "an input that goes on": READS,
    "a full output": {},
    "a full non-blocking output": {},
    "a full pipe as the file": WRITES,
    "a full FIFO as the file": WRITES,
    "a full pipe by its number": WRITES,
    "a peer that says nothing": dict.fromkeys(
        {*VERBS} - {*FETCHERS}, "it asks no peer for anything"
    ),
    "nothing": dict.fromkeys({*VERBS} - {"serve"}, "it ends by itself"),
}
MET = [(verb, case) for case in HOLDS_UP for verb in VERBS if verb not in NOT_MET[case]]


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "case"), MET)
def test_it_ends_at_once_and_leaves_nothing(
    scene_of: Callable[[str], Scene], verb: str, case: str
) -> None:
    scene = scene_of(verb)
    HOLDS_UP[case](scene)
    endings = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    commands = [scene.start() for _ in endings]
    late = scene.start("--timeout", f"{TIMEOUT}s")
    for running in commands:
        running.rest()
        assert running.process.poll() is None, f"it has not waited: {running.read()}"
    for running, number in zip(commands, endings, strict=True):
        running.signal(number)
        assert running.end() < AT_ONCE
        ended = running.read()
        ended.assert_polite()
        assert ended.code == (0 if verb == "serve" else -number)
        assert ended.errors in (b"", b"ipfs-lite: interrupted\n")
    assert late.end() < TIMEOUT + START + AT_ONCE
    ended = late.read()
    ended.assert_polite()
    assert ended.code == (0 if verb == "serve" else 1)
    assert (b"--timeout" in ended.errors) == (verb != "serve")
    for name in tree(scene.folder):
        assert ".part" not in name
        assert "temp-" not in name
        assert ".new" not in name
    out = scene.folder / "out"
    assert not out.exists() or out.read_bytes() == DATA  # all of it, or nothing


# -- what a verb may find -------------------------------------------------------------------------

ODD_NAME = os.fsdecode(b"esc\x1b[2Jand\nline\xc2\x9b\xff")
"""What steers a terminal, what begins a line, and what is no UTF-8."""


def closing(*numbers: int) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def closed_stdin(scene: Scene) -> None:
    scene.around.before = closing(0)
    if scene.verb in READERS:
        scene.args = ["-"]


def closed_stdout(scene: Scene) -> None:
    scene.around.before = closing(1)


def closed_stderr(scene: Scene) -> None:
    scene.around.before = closing(2)


def nothing_open(scene: Scene) -> None:
    scene.around.before = closing(0, 1, 2)


def empty_input(scene: Scene) -> None:
    if scene.verb in READERS:
        scene.args = ["-"]


def non_blocking_input(scene: Scene) -> None:
    reading, writing = os.pipe()
    os.set_blocking(scene.hold(reading), False)
    scene.around.stdin = reading
    if scene.verb in READERS:
        scene.args = ["-"]
    write = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 2000)"
    writer = subprocess.Popen([sys.executable, "-c", write], stdout=writing)
    os.close(writing)
    scene.stack.callback(writer.wait)
    scene.stack.callback(writer.kill)


def non_blocking_output(scene: Scene) -> None:
    def unblock() -> None:
        os.set_blocking(1, False)

    scene.around.before = unblock
    if scene.verb == "get":
        scene.args = [scene.cid, "-o", "-"]


def reader_gone(scene: Scene) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    scene.around.stdout = scene.hold(writing)


def full_disk(scene: Scene) -> None:
    scene.around.stdout = scene.hold(os.open("/dev/full", os.O_WRONLY))


def limited_files(scene: Scene) -> None:
    (scene.folder / "file").write_bytes(bytes(200_000))  # what the repo has not yet
    scene.around.before = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    # Python 3.11 writes half of a module's bytecode, and trips over it the next time.
    scene.around.variables = {"PYTHONDONTWRITEBYTECODE": "1"}


def no_home(scene: Scene) -> None:
    scene.global_args = ["--"]
    scene.around.variables = {"IPFS_LITE_PATH": "~nobody-of-this-name/repo"}


def named(scene: Scene, name: str) -> None:
    (scene.folder / name).write_bytes(DATA)
    scene.name = name
    by_verb: dict[str, list[str | Path]] = {
        "add": [scene.folder / name],
        "get": [scene.cid, "-o", scene.folder / f"out-{name}"],
        "id": ["--json"],
        "init": ["--json"],
    }
    scene.args = by_verb.get(scene.verb, scene.args)


def ascii_terminal(scene: Scene) -> None:
    scene.around.variables = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    named(scene, "na\xefve")


def odd_name(scene: Scene) -> None:
    named(scene, ODD_NAME)


def in_use(scene: Scene) -> None:
    scene.in_repo = lambda repo: scene.stack.enter_context(Repo.open(repo)).claim_identity()


def fifo_in_repo(scene: Scene) -> None:
    def replace_version(repo: Path) -> None:
        repo.mkdir(exist_ok=True)
        (repo / "version").unlink(missing_ok=True)
        os.mkfifo(repo / "version")

    scene.in_repo = replace_version


def unread_errors(scene: Scene) -> None:
    reading, writing = full_pipe()
    scene.hold(reading)
    scene.around.stderr = scene.hold(writing)
    fifo_in_repo(scene)


def folder_gone(scene: Scene) -> None:
    def leave() -> None:
        os.mkdir(scene.folder / "gone")
        os.chdir(scene.folder / "gone")
        os.rmdir(scene.folder / "gone")

    scene.around.before = leave


#: Those whose result is what they print.
PRINTERS = ("id", "add", "cat", "ls", "dag export", "dag import")
SILENT = "says nothing"
FINDS: dict[str, tuple[Callable[[Scene], None], dict[str, str]]] = {
    # What it says if it fails; where a verb is not named, there is a result.
    "no input": (
        closed_stdin,
        dict.fromkeys(READERS, "cannot read the standard input: it is closed"),
    ),
    "an input with nothing in it": (
        empty_input,
        {"add": "say --allow-empty", "dag import": "is cut off at byte 0"},
    ),
    "no output": (closed_stdout, dict.fromkeys(PRINTERS, "output: it is closed")),
    "no place for errors": (closed_stderr, {}),
    "no streams at all": (nothing_open, dict.fromkeys(PRINTERS, SILENT)),
    "a non-blocking input": (
        non_blocking_input,
        {"dag import": "the header of the file cannot be read"},
    ),
    "a non-blocking output": (non_blocking_output, {}),
    "a reader that is gone": (reader_gone, dict.fromkeys(VERBS, "SIGPIPE")),
    "a full disk": (full_disk, dict.fromkeys(VERBS, "the standard output: No space left")),
    "a limit on files": (
        limited_files,
        {
            **dict.fromkeys(("add", "get"), "File too large"),
            **dict.fromkeys(("init", "dag import"), "state.sqlite cannot be used (disk I/O error)"),
            "serve": "warning: peers and announce",
        },
    ),
    "no home folder": (no_home, dict.fromkeys(VERBS, "--repo or IPFS_LITE_PATH")),
    "a terminal of ASCII": (ascii_terminal, {}),
    "odd names": (odd_name, {}),
    "a repo that another program uses": (in_use, {"init": "already"}),
    "a FIFO in its repo": (fifo_in_repo, dict.fromkeys(VERBS, "not a regular file")),
    "errors that nobody reads": (unread_errors, dict.fromkeys(VERBS, SILENT)),
    "a folder that is gone": (folder_gone, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FINDS)
@pytest.mark.parametrize("verb", VERBS)
def test_it_gives_a_result_or_one_clear_line(
    scene_of: Callable[[str], Scene], verb: str, case: str
) -> None:
    scene = scene_of(verb)
    disturb, failures = FINDS[case]
    disturb(scene)
    running = scene.start()
    if verb == "serve":
        running.rest()
        running.process.send_signal(signal.SIGTERM)
    ended = running.read()
    ended.assert_polite()
    failure = failures.get(verb)
    if failure == "SIGPIPE":
        assert (ended.code, ended.errors) == (-signal.SIGPIPE, b"")
    elif failure is not None and failure.startswith("warning: "):
        assert ended.code == 0
        assert failure in ended.errors.decode()
    elif failure is not None:
        assert ended.code == 1
        assert ended.errors == b"" if failure == SILENT else failure in ended.errors.decode()
    else:
        assert (ended.code, ended.errors) == (0, b"")
        assert_result(scene, ended)


def assert_result(scene: Scene, ended: Ended) -> None:
    """Check that the command did what it is for."""
    if scene.verb == "get" and "-" not in scene.args:
        assert Path(scene.args[-1]).read_bytes() == DATA
    elif not ended.out:
        assert scene.around.before is not None  # it was closed
    elif scene.verb in ("get", "cat"):
        assert ended.out == DATA
    elif scene.verb == "dag export":
        assert ended.out == (scene.folder / "file.car").read_bytes()
    else:
        line = ended.out.decode("ascii")
        assert line.endswith("\n")
        assert line.removesuffix("\n").replace("\t", " ").isprintable()
        start = {
            "add": f"added {scene.cid} ",
            "ls": f"{scene.cid} {len(DATA)} name",
            "dag import": f"Pinned root\t{scene.cid}",
            "serve": "/ip4/127.0.0.1/tcp/",
        }
        begins = start.get(scene.verb, '{"id": "12D3KooW' if scene.args else "12D3KooW")
        assert line.startswith(begins)
