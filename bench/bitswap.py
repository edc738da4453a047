"""Rows between two bitswap peers on loopback, with blocks in memory: who fetches <- who serves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.contestants import BOXO, OURS, ROOT, UPSTREAM, NotHere, upstream_python
from bench.row import Budget, Row, Sample
from tests.interop.build_peers import find_peer
from tests.interop.child import JsonChild

FROM = " <- "
CROSSED = (f"{OURS}{FROM}{BOXO}", f"{BOXO}{FROM}{OURS}")
FETCH_SECONDS = 300.0


@dataclass
class BitswapRow(Row):
    """`count` blocks of `size` bytes, by the command `how`."""

    name: str
    title: str
    unit: str
    count: int
    size: int
    how: str
    figure: Callable[[dict[str, Any]], float]
    budgets: Sequence[Budget]
    contestants: Sequence[str] = (OURS, BOXO, *CROSSED, UPSTREAM)

    def prepare(self, stack: ExitStack) -> None:
        """Nothing is shared: each measurement has a pair of fresh processes."""

    def measure(self, contestant: str) -> Sample:
        fetcher, _, provider = contestant.partition(FROM)
        with _peer(provider or fetcher) as source, _peer(fetcher) as sink:
            blocks = {"count": self.count, "size": self.size, "seed": 1}
            limit = {"timeout": FETCH_SECONDS, "wait": FETCH_SECONDS}
            cids = source.request("fill", **blocks, **limit)["cids"]
            sink.request("connect", addr=source.hello["addrs"][0], timeout=60)
            before = source.cpu_seconds()
            found = sink.request(self.how, cids=cids, **limit)
            cost = source.cpu_seconds() - before
            if found["bytes"] != self.count * self.size:
                raise RuntimeError(f"{contestant}: {found['bytes']} bytes came")
            return Sample(self.figure(found), (found["cpu_seconds"], cost), sink.rss_bytes())


def _peer(name: str) -> JsonChild:
    script = ROOT / "bench" / "bitswap_peer.py"
    if name == OURS:
        return JsonChild([sys.executable, script], env={"PYTHONPATH": str(ROOT)})
    if name == UPSTREAM:
        return JsonChild([upstream_python(), script], env={"PYTHONPATH": ""})
    binary = find_peer("boxo-peer")
    if binary is None:
        raise NotHere("boxo is not built: run make interop-peers")
    return JsonChild([binary])


def rows() -> list[Row]:
    """The rows of this module."""

    def megabytes(found: dict[str, Any]) -> float:
        return float(found["bytes"] / found["seconds"] / 1e6)

    def blocks(found: dict[str, Any]) -> float:
        return float(found["count"] / found["seconds"])

    return [
        BitswapRow(
            name="blocks",
            title="400 blocks of 256 KiB in one get_blocks",
            unit="MB/s",
            count=400,
            size=256 * 1024,
            how="get_many",
            figure=megabytes,
            budgets=[Budget(who, BOXO, 0.8) for who in (OURS, *CROSSED)],
        ),
        BitswapRow(
            name="small",
            title="1,000 blocks of 1 KiB in one get_blocks",
            unit="/s",
            count=1000,
            size=1024,
            how="get_many",
            figure=blocks,
            budgets=[Budget(OURS, UPSTREAM, 6.1)],
        ),
        BitswapRow(
            name="single",
            title="200 blocks of 1 KiB, one get_block after the other",
            unit="/s",
            count=200,
            size=1024,
            how="get_each",
            figure=blocks,
            budgets=[Budget(OURS, UPSTREAM, 39)],
        ),
    ]
