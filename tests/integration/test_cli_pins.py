"""The verbs of ``pin``, and those of ``repo`` that remove and count: what they print and refuse."""

from __future__ import annotations

import json
import time

import pytest

from libp2p.ipfs_lite.cli.pin_commands import pin
from tests.integration.test_cli import HELLO, Terminal, terminal

__all__ = ["terminal"]

OTHER = "bafkreicpawbdfnhayjx6vt5qlpvhsjjqk5mzigg3nmsgiptfvffvqvkh3i"


def lines(terminal: Terminal, *args: object) -> list[str]:
    assert terminal(*args) == 0, terminal.error
    return terminal.out.splitlines()


def test_every_verb_is_kubos() -> None:
    assert set(pin.commands) == {"add", "rm", "ls", "update", "verify"}


def test_what_is_added_is_pinned_and_what_is_unpinned_goes(terminal: Terminal) -> None:
    lines(terminal, "add", "--pin-name=greeting", terminal.file())
    [loose] = lines(terminal, "add", "-Q", "--pin=false", terminal.file("loose", b"loose"))
    assert lines(terminal, "pin", "ls") == [f"{HELLO} recursive"]
    assert lines(terminal, "pin", "ls", "--names") == [f"{HELLO} recursive greeting"]
    assert lines(terminal, "pin", "ls", "-q", "--name=greet") == [HELLO]
    time.sleep(0.1)  # time: a block must be older than the margin
    assert lines(terminal, "repo", "gc") == [f"removed {loose}"]
    assert lines(terminal, "repo", "ls") == [HELLO]
    assert lines(terminal, "refs", "local") == [HELLO]
    assert lines(terminal, "refs", "local", "--json") == [f'{{"cid": "{HELLO}"}}']
    assert terminal("refs", "local", HELLO) == 2
    assert lines(terminal, "pin", "rm", HELLO) == [f"unpinned {HELLO}"]
    assert lines(terminal, "pin", "ls") == []
    time.sleep(0.1)  # time: a block must be older than the margin
    assert lines(terminal, "repo", "gc", "-q") == [HELLO]
    assert lines(terminal, "repo", "ls") == []


def test_a_pin_moves_and_ends(terminal: Terminal) -> None:
    [old, new] = (
        lines(terminal, "add", "-Q", "--pin=false", terminal.file(data=data))[0]
        for data in (b"old", b"new")
    )
    assert lines(terminal, "pin", "add", "-n", "it", old) == [f"pinned {old} recursively"]
    assert lines(terminal, "pin", "update", old, new) == [f"updated {old} to {new}"]
    assert lines(terminal, "pin", "ls", "--names") == [f"{new} recursive it"]
    assert lines(terminal, "pin", "add", "--recursive=false", old) == [f"pinned {old} directly"]
    assert lines(terminal, "pin", "ls", "-t", "direct") == [f"{old} direct"]
    assert lines(terminal, "pin", "verify", "--verbose") == [f"{new} ok"]
    lines(terminal, "pin", "add", "--expire-in=1ms", old)
    time.sleep(0.01)  # time: it expires
    assert lines(terminal, "pin", "ls", "-q") == [new]


def test_what_json_has(terminal: Terminal) -> None:
    lines(terminal, "add", terminal.file())
    [shown] = map(json.loads, lines(terminal, "pin", "ls", "--json"))
    assert (shown["cid"], shown["type"]) == (HELLO, "recursive")
    [told] = map(json.loads, lines(terminal, "repo", "stat", "--json"))
    assert told["blocks"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pin", "rm", OTHER], "not pinned"),
        (["pin", "ls", OTHER], "is not pinned"),
        (["pin", "add", "no cid"], "no cid"),
        (["pin", "ls", "--type=odd"], "invalid type 'odd'"),
        (["pin", "verify", "--verbose", "-q"], "can not be used at the same time"),
    ],
)
def test_what_it_refuses(terminal: Terminal, words: list[str], told: str) -> None:
    lines(terminal, "add", terminal.file())
    assert terminal(*words) != 0
    assert told in terminal.error
    assert lines(terminal, "pin", "ls", "-q") == [HELLO]
