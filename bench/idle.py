"""Rows on what a connection costs that does nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.contestants import OURS, UPSTREAM, NotHere, Program, libp2p_peer
from bench.row import Budget, Row, Sample
from tests.interop.child import Child

CONNECTIONS = 1000
CONNECTIONS_UPSTREAM = 200
"""py-libp2p's resource manager lets 256 in."""
SLACK = 200
"""Connections that a server allows beyond these."""
OPENING_SECONDS = 300.0


@dataclass
class IdleRow(Row):
    """Memory of a host per idle, identified connection; the other side is ours each time."""

    name: str
    security: str
    contestants: tuple[str, ...]
    budgets: tuple[Budget, ...] = ()
    unit: str = "KiB"

    @property
    def title(self) -> str:  # type: ignore[override]
        return (
            f"memory per idle connection, {self.security}, identified, {CONNECTIONS:,} of ours"
            " (budget <= 30)"
        )

    def prepare(self, stack: ExitStack) -> None:
        """Nothing is shared."""

    def measure(self, contestant: str) -> Sample:
        """Let hosts connect, and see by how much the server grows."""
        server, client = libp2p_peer(contestant), libp2p_peer(OURS)
        count = CONNECTIONS_UPSTREAM if contestant == UPSTREAM else CONNECTIONS
        limit = ["-max-connections", str(CONNECTIONS + SLACK)]
        with self._start(server, limit) as serving:
            dialling = ["-dial", serving.line(), "-mode", "idle", "-count", str(count)]
            with self._start(client, dialling) as clients:
                clients.line(OPENING_SECONDS)
                before = resident_bytes(serving.pid)
                clients.send("go on")
                clients.line(OPENING_SECONDS)
                grown = resident_bytes(serving.pid) - before
                cost = (clients.cpu_seconds(), serving.cpu_seconds())
                clients.kill()
                serving.kill()
        return Sample(grown / count / 1024, cost)

    def _start(self, program: Program, flags: list[str]) -> Child:
        return Child([*program.command, "-security", self.security, *flags], env=program.env)


def resident_bytes(pid: int) -> int:
    """What a process has in memory now (Linux only)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        raise NotHere("resident memory is read from /proc") from None
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


def rows() -> list[Row]:
    """The rows of this module."""
    return [
        IdleRow("idle", "noise", (OURS, UPSTREAM), (Budget(OURS, UPSTREAM, 0.5, at_least=False),)),
        IdleRow("idle-tls", "tls", (OURS,)),
    ]
