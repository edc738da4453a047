"""Where the contestants of a row come from, and how a program's cost is taken."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.build_peers import PEERS, BuildError, build_peer, find_peer

ROOT = Path(__file__).resolve().parents[1]
UPSTREAM_VERSION = PEERS["py-libp2p"].version()

OURS = "ours"
UPSTREAM = f"py-libp2p {UPSTREAM_VERSION}"
GO = "go-libp2p"
KUBO = "kubo"
BOXO = "boxo"
TCP = "plain TCP"


class NotHere(Exception):
    """A contestant cannot be had on this machine; the text is one line that says why."""


@dataclass(frozen=True)
class Program:
    """A libp2p peer: what to start, before the flags that all of them share."""

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What a program took from start to end."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def libp2p_peer(name: str) -> Program:
    """The program that plays `name`, installed or looked up now."""
    if name == TCP:
        return Program((sys.executable, str(ROOT / "bench" / "tcp_peer.py")))
    script = str(ROOT / "bench" / "peer.py")
    if name == OURS:
        return Program((sys.executable, script), {"PYTHONPATH": str(ROOT)})
    if name == UPSTREAM:
        return Program((str(upstream_python()), script), {"PYTHONPATH": ""})
    binary = find_peer("libp2p-peer")
    if binary is None:
        raise NotHere("go-libp2p is not built: run make interop-peers")
    return Program((str(binary),))


def ipfs_lite(*args: str | Path) -> list[str]:
    """The command line of our own CLI."""
    start = "import sys; from libp2p.ipfs_lite.cli import main; sys.exit(main())"
    return [sys.executable, "-c", start, *map(str, args)]


def upstream_python() -> Path:
    """The interpreter of an environment with py-libp2p, made at first use and kept."""
    if find_peer("py-libp2p") is None:
        print(f"installing {UPSTREAM} ...", file=sys.stderr)
    try:
        return build_peer("py-libp2p")
    except BuildError as error:
        raise NotHere(str(error)) from None


def run(command: Sequence[str | os.PathLike[str]]) -> Cost:
    """Run a program to its end; RuntimeError with its last words where it fails."""
    # An installed program is compiled once.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**environment, "PYTHONPATH": str(ROOT)},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            words = errors.read()[-500:].decode("utf-8", "replace").strip()
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {words}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
