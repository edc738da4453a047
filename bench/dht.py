"""The row on what a DHT server answers, and what it costs when nobody asks."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from bench.contestants import GO, OURS, ROOT, NotHere
from bench.row import Budget, Row, Sample
from tests.interop.build_peers import find_peer
from tests.interop.child import Child
from tests.interop.go_dht import GoDht, find_node_rate

KNOWN = 1000
"""Random peers that a table is offered: it takes about 130 of them, as a Go table does."""
QUESTIONS = 10_000
WARM_UP = 500
STREAMS = 4


@dataclass
class FindNodeRow(Row):
    """A Go client sends FIND_NODE on a few streams; counted is the server's processor time."""

    name: str = "findnode"
    title: str = (
        f"FIND_NODE answered per second of one core, {KNOWN:,} peers offered to the table"
        " (budget >= 2,000)"
    )
    unit: str = "/s"
    contestants: tuple[str, ...] = (OURS, GO)
    budgets: tuple[Budget, ...] = (Budget(OURS, GO, 0.25),)

    def prepare(self, stack: ExitStack) -> None:
        """Nothing is shared."""
        if find_peer("dht-peer") is None:
            raise NotHere("dht-peer is not built: run tests/interop/build_peers.py dht-peer")

    def measure(self, contestant: str) -> Sample:
        """Ask one server."""
        with ExitStack() as stack:
            server: Child
            if contestant == GO:
                server = stack.enter_context(GoDht(1, known=KNOWN))
                addr = server.nodes[0].addr
            else:
                server = stack.enter_context(our_server())
                addr = server.line()
            find_node_rate(addr, WARM_UP, STREAMS)
            before = server.cpu_seconds()
            rate = find_node_rate(addr, QUESTIONS, STREAMS)
            spent = server.cpu_seconds() - before
        return Sample(rate.count / spent, (rate.seconds, spent))


@dataclass
class IdleServerRow(Row):
    """A server that nobody asks."""

    name: str = "idledht"
    title: str = "an idle DHT server, share of one core in % (budget <= 2)"
    unit: str = "%"
    contestants: tuple[str, ...] = (OURS,)
    seconds: float = 20.0

    def prepare(self, stack: ExitStack) -> None:
        """Nothing is shared."""

    def measure(self, contestant: str) -> Sample:
        """Let it run for a while."""
        with our_server() as server:
            server.line()
            before = server.cpu_seconds()
            time.sleep(self.seconds)
            spent = server.cpu_seconds() - before
        return Sample(100 * spent / self.seconds, (spent,))


def our_server() -> Child:
    """A server of ours with many peers in its table."""
    command = [sys.executable, "-m", "bench.dht_peer", "--known", str(KNOWN)]
    return Child(command, cwd=ROOT)


def rows() -> list[Row]:
    """The rows of this file."""
    return [FindNodeRow(), IdleServerRow()]
