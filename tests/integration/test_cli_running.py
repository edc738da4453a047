"""``swarm`` and ``bitswap``: what they say of a running ``serve``, and change in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libp2p.ipfs_lite.cli import running
from libp2p.ipfs_lite.cli.running_commands import bitswap, swarm
from tests.integration.test_cli import Terminal, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["terminal"]

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such sockets")


@contextmanager
def serving(repo: Path) -> Iterator[str]:
    """Run ``serve`` on a repo; yield its address."""
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "libp2p.ipfs_lite", "--repo", str(repo), "serve"),
            *("--listen=/ip4/127.0.0.1/tcp/0", "--dht=off", "--bootstrap=none"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip()
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def lines(terminal: Terminal, *args: object) -> list[str]:
    assert terminal(*args) == 0, terminal.error
    return terminal.out.splitlines()


def test_the_verbs_are_kubos() -> None:
    assert set(swarm.commands) == {
        "peers", "connect", "disconnect", "addrs", "peering", "resources",
    }  # fmt: skip
    assert set(bitswap.commands) == {"stat", "wantlist"}


def test_connections_are_shown_and_changed(terminal: Terminal, tmp_path: Path) -> None:
    with serving(terminal.repo) as own, serving(tmp_path / "other") as address:
        place, _, peer = address.partition("/p2p/")
        assert lines(terminal, "swarm", "peers") == []
        assert lines(terminal, "swarm", "addrs", "listen") == [own]
        assert lines(terminal, "swarm", "connect", address) == [f"connect {peer} success"]
        assert lines(terminal, "swarm", "peers") == [address]
        [line, *streams] = lines(terminal, "swarm", "peers", "-v")
        assert line.startswith(f"{address} ")
        assert line.endswith(" outbound")
        assert all(stream.startswith("  /") for stream in streams)
        [shown] = map(json.loads, lines(terminal, "swarm", "peers", "--enc=json"))
        assert (shown["peer"], shown["direction"]) == (peer, "outbound")
        assert lines(terminal, "swarm", "addrs") == [f"{peer} (1)", f"\t{place}"]
        assert lines(terminal, "swarm", "peering", "add", address) == [f"add {peer} success"]
        assert lines(terminal, "swarm", "peering", "ls") == [peer, f"\t{place}"]
        assert lines(terminal, "swarm", "peering", "rm", peer) == [f"remove {peer} success"]
        assert lines(terminal, "swarm", "peering", "ls") == []
        assert any(
            line.startswith("sockets/connections: 1 of ")
            for line in lines(terminal, "swarm", "resources")
        )
        assert lines(terminal, "swarm", "disconnect", address) == [f"disconnect {peer} success"]
        assert lines(terminal, "swarm", "peers") == []
    assert terminal("swarm", "peers") == 1
    assert "start `ipfs-lite serve`" in terminal.error


def test_bitswap_is_counted_in_kubos_lines(terminal: Terminal) -> None:
    with serving(terminal.repo):
        assert lines(terminal, "bitswap", "stat") == [
            "bitswap status",
            *(
                f"\t{name}: 0"
                for name in (
                    "blocks received", "blocks sent", "data received", "data sent",
                    "dup blocks received", "dup data received",
                )
            ),
            "\twantlist [0 keys]",
            "\tpartners [0]",
        ]  # fmt: skip
        assert "\tdata sent: 0 B" in lines(terminal, "bitswap", "stat", "--human", "-v")
        [shown] = map(json.loads, lines(terminal, "bitswap", "stat", "--json"))
        assert (shown["blocks_received"], shown["wantlist"], shown["peers"]) == (0, [], [])
        assert lines(terminal, "bitswap", "wantlist") == []


def test_what_is_wanted_is_listed_below_its_count(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: object) -> dict[str, object]:
        counts = dict.fromkeys(
            ("blocks_received", "blocks_sent", "data_received", "data_sent"), 2048
        )
        return {**counts, "dup_blks_received": 1, "dup_data_received": 5,
                "wantlist": ["bafk1"], "peers": ["12D3"]}  # fmt: skip

    monkeypatch.setattr(running, "ask", ask)
    printed = lines(terminal, "bitswap", "stat", "-v", "--human")
    assert printed[3] == "\tdata received: 2.0 kB"
    assert printed[-4:] == ["\twantlist [1 keys]", "\t\tbafk1", "\tpartners [1]", "\t\t12D3"]
    assert lines(terminal, "bitswap", "stat")[-1] == "\tpartners [1]"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["swarm", "connect", "x"], "'x' is no peer id and no address"),
        (["swarm", "disconnect", "x"], "'x' is no peer id and no address"),
        (["swarm", "peering", "add", "x"], "not a multiaddr"),
        (["swarm", "peering", "rm", "x"], "not a peer id"),
        (["bitswap", "wantlist", "-p", "x"], "not a peer id"),
    ],
)
def test_what_is_refused(terminal: Terminal, words: list[str], told: str) -> None:
    with serving(terminal.repo):
        assert terminal(*words) in (1, 2)
        assert told in terminal.error
        assert "internal" not in terminal.error


def test_offline_nobody_is_asked(terminal: Terminal, tmp_path: Path) -> None:
    other = Terminal(tmp_path, terminal._capture)
    other.repo = tmp_path / "other"
    [cid] = lines(other, "add", "-Q", other.file())
    with serving(other.repo) as address:
        lines(terminal, "init", f"--bootstrap={address}")
        path = terminal.folder / "out"
        failing: tuple[tuple[object, ...], ...] = (
            ("--offline", "cat", cid),
            ("cat", "--offline", cid),
            ("--offline", "get", "-o", path, cid),
            ("--offline", "pin", "add", cid),
            ("--offline", "block", "stat", cid),
            ("--offline", "cat", "/ipns/example.com"),
            ("--offline", "name", "resolve", "example.com"),
            ("--offline", "name", "publish", cid),
        )
        for words in failing:
            assert terminal(*words) == 1, words
            assert "online=False" not in terminal.error
        misused: tuple[tuple[object, ...], ...] = (
            ("--offline", "cat", "--peer", address, cid),
            ("--offline", "serve"),
            ("--offline", "doctor"),
            ("--offline", "add", "--provide", other.file()),
            ("--offline", "routing", "findprovs", cid),
            ("--offline", "routing", "provide", cid),
        )
        for words in misused:
            assert terminal(*words) == 2, words
            assert "--offline" in terminal.error
        assert lines(terminal, "cat", "--offline=false", cid) == ["hello world"]
        assert lines(terminal, "--offline", "cat", cid) == ["hello world"]
        [name] = lines(terminal, "--offline", "name", "publish", "-Q", "--allow-offline", cid)
        assert lines(terminal, "--offline", "name", "resolve", name) == [f"/ipfs/{cid}"]
        assert lines(terminal, "--offline", "add", "-Q", other.file()) == [cid]
