"""``config``, ``version`` and ``completion``, and man pages: what they print and refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libp2p.ipfs_lite.repo import Repo
from tests.integration.test_cli import Terminal, terminal
from tests.support.command_line import verbs

__all__ = ["terminal"]

ROOT = Path(__file__).parents[2]


def lines(terminal: Terminal, *args: object) -> list[str]:
    assert terminal(*args) == 0, terminal.error
    return terminal.out.splitlines()


def test_settings_are_read_and_changed(terminal: Terminal) -> None:
    identity = Repo.identity_of(terminal.repo).private_key
    shown = json.loads("\n".join(lines(terminal, "config", "show")))
    assert shown == Repo.identity_of(terminal.repo).config.to_json() | {
        name: list(value) for name, value in shown.items() if isinstance(value, list)
    }
    assert lines(terminal, "config", "dht") == ["auto"]
    for name, words, value in (
        ("dht", ["off"], "off"),
        ("sync", ["true"], True),
        ("sync", ["--bool", "false"], False),
        ("provide_interval", ["3600"], 3600),
        ("listen", ["/ip4/127.0.0.1/tcp/1"], ("/ip4/127.0.0.1/tcp/1",)),
        ("routers", ["--json", '["http://a", "http://b"]'], ("http://a", "http://b")),
    ):
        assert lines(terminal, "config", name, *words) == []
        assert getattr(Repo.identity_of(terminal.repo).config, name) == value
    assert lines(terminal, "config", "routers") == ['["http://a", "http://b"]']
    assert Repo.identity_of(terminal.repo).private_key == identity


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Routing.Type"], "there is no setting Routing.Type"),
        (["Routing.Type", "none"], "there is no setting Routing.Type: use one of"),
        (["identity", "{}", "--json"], "there is no setting identity"),
        (["dht", "sometimes"], "unknown dht 'sometimes'"),
        (["sync", "perhaps"], "no JSON"),
        (["sync", "1"], "sync must be true or false"),
        (["listen", "nowhere"], "nowhere"),
        (["blocks", "lmdb"], "import them into a new repo"),
    ],
)
def test_what_is_refused_changes_nothing(terminal: Terminal, words: list[str], told: str) -> None:
    lines(terminal, "init")
    before = (terminal.repo / "config.json").read_bytes()
    assert terminal("config", *words) != 0
    assert told in terminal.error
    assert (terminal.repo / "config.json").read_bytes() == before


def test_settings_of_later_versions_stay(terminal: Terminal) -> None:
    lines(terminal, "init")
    path = terminal.repo / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": [1]}))
    lines(terminal, "config", "dht", "off")
    assert json.loads(path.read_text())["later"] == [1]


@pytest.mark.parametrize(
    ("change", "code", "dht"),
    [
        ("s/auto/off/", 0, "off"),
        ("s/x/x/", 0, "auto"),
        ("s/auto/wrong/", 1, "auto"),
        ("s/{/[/", 1, "auto"),
    ],
)
def test_settings_are_edited(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, change: str, code: int, dht: str
) -> None:
    monkeypatch.setenv("EDITOR", f"sed -i {change}")
    assert terminal("config", "edit") == code, terminal.error
    assert lines(terminal, "config", "dht") == [dht]


def test_versions(terminal: Terminal) -> None:
    [number] = lines(terminal, "version", "-n")
    assert lines(terminal, "version") == [f"ipfs-lite version {number}"]
    [repo] = lines(terminal, "version", "--repo")
    assert {f"ipfs-lite version: {number}", f"Repo version: {repo}"} < set(
        lines(terminal, "version", "--all")
    )
    [shown] = map(json.loads, lines(terminal, "version", "--json"))
    assert (shown["version"], shown["repo"]) == (number, repo)
    assert not terminal.repo.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_verbs(terminal: Terminal, shell: str) -> None:
    lines(terminal, "completion", shell)
    assert f"_IPFS_LITE_COMPLETE={shell}_complete" in terminal.out
    asked = {"COMP_WORDS": "ipfs-lite block p", "COMP_CWORD": "2" if shell != "fish" else "p"}
    done = subprocess.run(
        [sys.executable, "-m", "libp2p.ipfs_lite"],
        env={**os.environ, **asked, "_IPFS_LITE_COMPLETE": f"{shell}_complete"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "put" in done.stdout
    assert "get" not in done.stdout


def test_each_verb_has_a_man_page(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "docs.man_pages", tmp_path], cwd=ROOT, check=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"ipfs-lite.1", "ipfs-lite-block-put.1"} < names
    assert {f"ipfs-lite-{verb}.1" for verb in verbs()} < names
