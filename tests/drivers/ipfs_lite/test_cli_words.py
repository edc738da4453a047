"""What the command says when something goes wrong, and its progress bar."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING

import click
import pytest
import trio

from libp2p.bitswap.errors import PeerAnswer, TimeoutError, unavailable
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import (
    BaseLibp2pError,
    DialError,
    InvalidImportOptions,
    NotAFile,
    SwarmDialAllFailedError,
)
from libp2p.ipfs_lite.cli.entry import run
from libp2p.ipfs_lite.cli.explain import explain
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import as_json, encoded
from libp2p.ipfs_lite.errors import PeerClosedError
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.utils.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

CID_OF_X = CID.for_block(b"x")
PEER = ID.from_pubkey(create_new_key_pair(bytes(32)).public_key)


@pytest.mark.parametrize(
    ("error", "text", "misused"),
    [
        (click.UsageError("wrong"), "wrong Try 'ipfs-lite --help'.", True),
        (click.ClickException("stop"), "stop", False),
        (KeyboardInterrupt(), "interrupted", False),
        (NotAFile("it is a directory"), "`get` writes folders", False),
        (TimeoutError("late"), "late; try a longer --timeout", False),
        (unavailable(CID_OF_X, {}), "with --peer", False),
        (unavailable(CID_OF_X, {PEER: PeerAnswer.DISCONNECTED}), f"{PEER} disconnected", False),
        (InvalidImportOptions("too few"), "too few", True),
        (trio.TooSlowError(), "--timeout", False),
        (OSError(28, "No space left on device"), "No space left on device", False),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied", False),
        (RuntimeError("can't start new thread"), "no more threads", False),
        (MemoryError(), "out of memory", False),
        (PeerClosedError(), "the peer was closed", False),
        (SwarmDialAllFailedError.of(PEER, [DialError("/a", "no")] * 200), "and 195 more", False),
        (BaseLibp2pError("a\x1b[2J\nb"), "a\\x1b[2J b", False),
        (BaseLibp2pError("a" * 20_000), "aaa…", False),
        (ValueError("?"), "internal error, please report it: ValueError: ?", False),
    ],
)
def test_errors_in_words(error: BaseException, text: str, misused: bool) -> None:
    said, asked_wrongly = explain([error])
    assert text in said
    assert len(said) <= 1001
    assert said.isprintable()
    assert asked_wrongly is misused


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("añb c", "añb c"),
        ("esc\x1b[2J", "esc\\x1b[2J"),
        ("one\ntwo\r", "one\\ntwo\\r"),
        ("c1\x9b", "c1\\x9b"),
        (os.fsdecode(b"\xff"), "\\xff"),
        ("\u202egnp", "\\u202egnp"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_a_name_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    in_json = as_json({"name": text})
    assert in_json.isprintable()
    assert json.loads(in_json) == {"name": text}


def test_a_name_in_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "__stdout__", screen)
    assert as_json({"name": "ä\U0001f600"}) == '{"name": "\\u00e4\\ud83d\\ude00"}'
    assert encoded("ä\n", screen) == b"\\xe4\n"
    assert encoded("ä\n", None) == "ä\n".encode()


def test_of_several_errors_the_one_for_people_is_told() -> None:
    assert explain([KeyError("x"), BaseLibp2pError("the disk is full")])[0] == "the disk is full"


def test_without_click_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "click", None)
    assert run(["--help"]) == 1
    assert capfd.readouterr().err == (
        "ipfs-lite: the command line needs more packages: pip install 'libp2p[cli]'\n"
    )


def test_another_missing_module_is_no_missing_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libp2p.ipfs_lite.cli.commands", None)
    with pytest.raises(ModuleNotFoundError):
        run(["--help"])


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [None, 100])
def test_a_bar_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch, total: int | None) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Bar("adding", "a [file]", total) as bar:
        bar.update(50, total)
    assert "a [file]" in screen.getvalue()


def test_without_rich_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with Bar("adding", "file") as bar:
        bar.update(50, 100)
    assert screen.getvalue() == ""


def test_without_a_terminal_there_is_no_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Bar("adding", "file") as bar:
        bar.update(50, 100)
    assert capsys.readouterr().err == ""
