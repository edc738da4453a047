"""Rows between two libp2p peers on loopback: a stream, ping, connecting, opening streams."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.contestants import GO, OURS, UPSTREAM, libp2p_peer
from bench.row import Budget, Row, Sample
from tests.interop.child import Child

TO = " -> "
CROSSED = (f"{OURS}{TO}{GO}", f"{GO}{TO}{OURS}")
CLIENT_SECONDS = 600
"""Longer than the slowest contestant takes for the largest row."""


@dataclass
class PeerRow(Row):
    """A client measures against a server of the same library or, with an arrow, of another."""

    name: str
    title: str
    unit: str
    flags: Sequence[str]
    figure: Callable[[dict[str, Any]], float]
    budgets: Sequence[Budget]
    contestants: Sequence[str] = (OURS, GO, UPSTREAM)
    security: str = "noise"

    def prepare(self, stack: ExitStack) -> None:
        """Nothing is shared: each measurement has a pair of fresh processes."""

    def measure(self, contestant: str) -> Sample:
        client, _, other = contestant.partition(TO)
        server = libp2p_peer(other or client)
        command = self.at_server([*server.command, "-security", self.security])
        with Child(command, env=server.env) as peer:
            result = self.client(client, peer)
            peer.stop()
            cost = json.loads(peer.stderr_text().splitlines()[-1])
        return Sample(self.figure(result), (result["cpu_seconds"], cost["cpu_seconds"]))

    def at_server(self, command: list[str]) -> list[str]:
        """The server's command line, for where it runs."""
        return command

    def at_client(self, command: list[str]) -> list[str]:
        """The client's command line, for where it runs."""
        return command

    def client(self, name: str, server: Child) -> dict[str, Any]:
        """The line of JSON that the client prints."""
        program = libp2p_peer(name)
        secured = [*program.command, "-security", self.security]
        command = [*secured, "-dial", server.line(), *self.flags]
        done = subprocess.run(
            self.at_client(command),
            env={**os.environ, **program.env},
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed: {done.stderr.strip()[-500:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _stream(name: str, security: str, mib: int, *, upstream: bool) -> PeerRow:
    crossed = [Budget(pair, GO, 1.0) for pair in CROSSED]
    older = [UPSTREAM] if upstream else []
    return PeerRow(
        name=name,
        title=f"one stream, {security} and yamux, {mib} MiB in 64 KiB writes",
        unit="MB/s",
        flags=["-mode", "sink", "-bytes", str(mib << 20)],
        figure=lambda result: result["bytes"] / result["seconds"] / 1e6,
        budgets=[Budget(OURS, GO, 1.2), *crossed, *(Budget(OURS, other, 5) for other in older)],
        contestants=(OURS, GO, *older, *CROSSED),
        security=security,
    )


def _steps(mib: int) -> PeerRow:
    return PeerRow(
        name="steps",
        title=f"scheduler steps of the writer per MiB, {mib} MiB in 64 KiB writes (budget <= 16)",
        unit="/MiB",
        flags=["-mode", "sink", "-bytes", str(mib << 20), "-count-steps"],
        figure=lambda result: result["steps"] / (result["bytes"] / 2**20),
        budgets=[],
        contestants=(OURS, UPSTREAM),
    )


def _open(name: str, parallel: int, count: int) -> PeerRow:
    return PeerRow(
        name=name,
        title=f"open, echo 32 bytes, close: {parallel} at once, {count} in all",
        unit="/s",
        flags=["-mode", "open", "-count", str(count), "-parallel", str(parallel)],
        figure=lambda result: result["count"] / result["seconds"],
        budgets=[Budget(OURS, UPSTREAM, 5)],
    )


def rows(mib: int) -> list[Row]:
    """The rows of this module; streams carry `mib` MiB."""
    return [
        _stream("stream", "noise", mib, upstream=True),
        _stream("tls", "tls", mib, upstream=False),
        _steps(mib),
        PeerRow(
            name="connect",
            title="connect and identify with a fresh host, 20 times",
            unit="ms",
            flags=["-mode", "connect", "-count", "20"],
            figure=lambda result: result["median"] * 1e3,
            budgets=[Budget(OURS, GO, 4, at_least=False)],
        ),
        PeerRow(
            name="ping",
            title="ping on one stream, 2,000 times",
            unit="us",
            flags=["-mode", "ping", "-count", "2000"],
            figure=lambda result: result["median"] * 1e6,
            budgets=[Budget(OURS, GO, 4, at_least=False)],
        ),
        _open("open", 1, 500),
        _open("open50", 50, 1000),
    ]
