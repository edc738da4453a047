"""
The verbs that find and announce among other programs, as `test_among_programs` has the others.

Each ends at once when it is told to, and leaves nothing; whatever it finds, it gives a result or
one clear line.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest

from tests.integration.test_among_programs import (
    AT_ONCE,
    ELSEWHERE,
    PEER,
    SILENT,
    TIMEOUT,
    Scene,
    closed_stderr,
    closed_stdin,
    closed_stdout,
    fifo_in_repo,
    folder_gone,
    full_disk,
    full_output,
    in_use,
    no_home,
    nothing_open,
    reader_gone,
    stored,
    unread_errors,
)
from tests.support.command_line import Ended, tree, verbs

__all__ = ["stored"]

#: It takes so long until a command has loaded the network, beside three others that do.
START = 6.0

#: Each verb; what it says of a repo that knows nobody, or "" if it has a result then.
VERBS = {
    "routing findprovs": "DHT: the routing table is empty",
    "routing findpeer": "DHT: the routing table is empty",
    "routing provide": "is not announced",
    "routing get": "nobody has a record of /pk/",
    "routing put": "nobody is known who could keep the record",
    "provide once": "is not announced",
    "provide stat": "nothing was announced yet",
    "dht stat": "",
    "doctor": "need attention",
}
#: Those that print in any case.
PRINT = ("dht stat", "doctor")
#: Those that ask others.
ASK = tuple(verb for verb in VERBS if verb != "provide stat")


def test_the_tables_know_every_verb() -> None:
    names = set()
    for name, command in verbs().items():
        if ELSEWHERE.get(name) != "test_routing_among_programs":
            continue
        group = command.commands if isinstance(command, click.Group) else {}
        names |= {f"{name} {each}" for each in group} or {name}
    assert names == set(VERBS)


@pytest.fixture
def scene_of(tmp_path: Path, stored: tuple[Path, str, str]) -> Iterator[Callable[[str], Scene]]:
    with ExitStack() as stack:

        def make(verb: str) -> Scene:
            folder, cid, absent = stored
            # A key that is the record of itself: /pk/<peer id> of an inlined key.
            (tmp_path / "file").write_bytes(KEY_RECORD)
            args: dict[str, list[str | Path]] = {
                "routing findprovs": [absent],
                "routing findpeer": [PEER],
                "routing provide": [cid],
                "routing get": [f"/pk/{KEY_NAME}"],
                "routing put": [f"/pk/{KEY_NAME}", tmp_path / "file"],
                "provide once": [cid],
                "doctor": ["--listen", "/ip4/127.0.0.1/tcp/0"],
            }
            scene = Scene(tmp_path, folder / "repo", cid, absent, verb, stack)
            scene.args = args.get(verb, [])
            return scene

        yield make


def _key() -> tuple[str, bytes]:
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.id import ID

    public = create_new_key_pair(bytes(32)).public_key
    return str(ID.from_pubkey(public)), public.serialize()


KEY_NAME, KEY_RECORD = _key()


# -- what holds a verb up -------------------------------------------------------------------------


def silent_listener(scene: Scene) -> int:
    """Open a port that takes connections and says nothing."""
    listener = scene.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    port: int = listener.getsockname()[1]
    return port


def silent_first_peer(scene: Scene) -> None:
    scene.args += ["--bootstrap", f"/ip4/127.0.0.1/tcp/{silent_listener(scene)}/p2p/{PEER}"]


def silent_router(scene: Scene) -> None:
    scene.args += ["--dht", "off", "--router", f"http://127.0.0.1:{silent_listener(scene)}"]


def silent_fifo(scene: Scene) -> None:
    fifo = scene.fifo()
    scene.hold(os.open(fifo, os.O_RDWR))
    scene.args[-1] = fifo


def unopened_fifo(scene: Scene) -> None:
    scene.args[-1] = scene.fifo()


def silent_input(scene: Scene) -> None:
    reading, writing = os.pipe()
    os.write(scene.hold(writing), bytes(50))
    scene.around.stdin = scene.hold(reading)
    scene.args[-1] = "-"


HOLDS_UP: dict[str, tuple[Callable[[Scene], None], tuple[str, ...]]] = {
    "a first peer that says nothing": (silent_first_peer, ASK),
    # An announcement is nothing that the API of routers has; keys of /pk neither.
    "a router that says nothing": (
        silent_router,
        ("routing findprovs", "routing findpeer", "doctor"),
    ),
    "a full output": (full_output, PRINT),
    "a FIFO that nobody opens": (unopened_fifo, ("routing put",)),
    "a FIFO that says nothing": (silent_fifo, ("routing put",)),
    "an input that goes on": (silent_input, ("routing put",)),
}
MET = [(verb, case) for case, (_, verbs) in HOLDS_UP.items() for verb in verbs]


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "case"), MET)
def test_it_ends_at_once_and_leaves_nothing(
    scene_of: Callable[[str], Scene], verb: str, case: str
) -> None:
    scene = scene_of(verb)
    HOLDS_UP[case][0](scene)
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
        assert ended.code == -number
        assert ended.errors in (b"", b"ipfs-lite: interrupted\n")
    assert late.end() < TIMEOUT + START + AT_ONCE
    ended = late.read()
    ended.assert_polite()
    assert ended.code == 1
    assert b"--timeout" in ended.errors
    for name in tree(scene.folder):
        assert not any(part in name for part in (".part", "temp-", ".new"))


# -- what a verb may find -------------------------------------------------------------------------


def read_from_stdin(scene: Scene) -> None:
    closed_stdin(scene)
    if scene.verb == "routing put":
        scene.args[-1] = "-"


FINDS: dict[str, tuple[Callable[[Scene], None], dict[str, str]]] = {
    # What it says if that is not what it says of a repo that knows nobody.
    "nothing else": (lambda scene: None, {}),
    "no input": (read_from_stdin, {"routing put": "the standard input: it is closed"}),
    "no output": (closed_stdout, dict.fromkeys(PRINT, "output: it is closed")),
    "no place for errors": (closed_stderr, dict.fromkeys(VERBS, SILENT) | {"dht stat": ""}),
    "no streams at all": (nothing_open, dict.fromkeys(VERBS, SILENT)),
    "a reader that is gone": (reader_gone, dict.fromkeys(PRINT, "SIGPIPE")),
    "a full disk": (full_disk, dict.fromkeys(PRINT, "the standard output: No space left")),
    "no home folder": (no_home, dict.fromkeys(VERBS, "--repo or IPFS_LITE_PATH")),
    "a repo that another program uses": (in_use, {}),
    "a FIFO in its repo": (
        fifo_in_repo,
        dict.fromkeys(VERBS, "not a regular file") | {"doctor": "need attention"},
    ),
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
    ended = scene.start().read()
    ended.assert_polite()
    failure = failures.get(verb, VERBS[verb])
    if failure == "SIGPIPE":
        assert (ended.code, ended.errors) == (-signal.SIGPIPE, b"")
    elif failure:
        assert ended.code == 1
        assert ended.errors == b"" if failure == SILENT else failure in ended.errors.decode()
    else:
        assert (ended.code, ended.errors) == (0, b"")
    if verb in PRINT and failure in ("", "need attention") and case != "no output":
        assert_printed(verb, ended)


def assert_printed(verb: str, ended: Ended) -> None:
    """Check that the command did what it is for."""
    lines = ended.out.decode().splitlines()
    if verb == "doctor":
        assert lines[0].split() == ["what", "state", "result", "what", "to", "do"]
        assert any("attention" in line for line in lines)
    else:
        assert lines[0].startswith("DHT wan (0 peers)")
        assert lines[1].startswith("DHT lan (0 peers)")
