"""Rows over a link with a round trip of 50 ms: what the windows of yamux make of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contestants import GO, OURS, TCP
from bench.link import ADDRESSES, DEVICE, LongLink
from bench.peers import CROSSED, PeerRow
from bench.row import Budget, Row, Sample

if TYPE_CHECKING:
    from tests.interop.child import Child

ROUND_TRIP = 0.050
LARGEST_WINDOW = 16 << 20
"""Of go-libp2p's yamux, and of ours."""
LIMIT = "limit"
"""A contestant that is none: the most that one stream could do."""
WATCH_SECONDS = 0.01
STEADY_FROM, STEADY_TO = 0.5, 0.99
"""The part of the bytes over which the steady rate is taken: after all ramps, before the end."""


@dataclass
class LinkRow(PeerRow):
    """A client at the near end, a server at the far end."""

    _link: LongLink = field(init=False)

    def prepare(self, stack: ExitStack) -> None:
        self._link = stack.enter_context(LongLink(ROUND_TRIP))

    def at_server(self, command: list[str]) -> list[str]:
        listen = ["-listen", f"/ip4/{ADDRESSES[1]}/tcp/0"]
        return [*self._link.inside(self._link.far), *command, *listen]

    def at_client(self, command: list[str]) -> list[str]:
        return [*self._link.inside(self._link.near), *command]


@dataclass
class SteadyRow(LinkRow):
    """What goes over the link is watched from outside, which works for every contestant."""

    def measure(self, contestant: str) -> Sample:
        if contestant != LIMIT:
            return super().measure(contestant)
        tcp = super().measure(TCP)
        return Sample(min(tcp.value, LARGEST_WINDOW / ROUND_TRIP / 1e6), tcp.cpu_seconds)

    def client(self, name: str, server: Child) -> dict[str, Any]:
        with _watched(server.pid) as marks:
            result = super().client(name, server)
        return {**result, "steady": _steady_rate(marks)}


@contextmanager
def _watched(pid: int) -> Iterator[list[tuple[float, int]]]:
    """When how many bytes had arrived at the device that process `pid` sees."""
    marks: list[tuple[float, int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_SECONDS):
            if (size := _received(pid)) is not None:
                marks.append((time.perf_counter(), size))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield marks
    finally:
        ended.set()
        thread.join()


def _received(pid: int) -> int | None:
    """Bytes that came in at the link; None while the process has not moved to its namespace."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == DEVICE:
            return int(counters.split()[0])
    return None


def _steady_rate(marks: list[tuple[float, int]]) -> float:
    """Bytes per second in the part that is steady."""
    first, last = marks[0][1], marks[-1][1]
    low, high = (first + part * (last - first) for part in (STEADY_FROM, STEADY_TO))
    steady = [mark for mark in marks if low <= mark[1] <= high]
    (began, before), (ended, after) = steady[0], steady[-1]
    return (after - before) / (ended - began)


def rows(megabytes: int) -> list[Row]:
    """The rows of this module; streams carry `megabytes` MB."""
    sink = ["-mode", "sink", "-bytes", str(megabytes * 10**6)]
    what = f"one stream over {ROUND_TRIP * 1e3:.0f} ms, Noise and yamux, {megabytes} MB"
    return [
        LinkRow(
            name="link",
            title=f"{what}, from the first byte to the confirmed last one",
            unit="MB/s",
            flags=sink,
            figure=lambda result: result["bytes"] / result["seconds"] / 1e6,
            budgets=[Budget(OURS, GO, 2.4), Budget(CROSSED[1], GO, 2.4)],
            contestants=(OURS, GO, *CROSSED, TCP),
        ),
        SteadyRow(
            name="steady",
            title=f"{what}, second half (limit: plain TCP, or 16 MiB per round trip if less)",
            unit="MB/s",
            flags=sink,
            figure=lambda result: result["steady"] / 1e6,
            budgets=[Budget(OURS, LIMIT, 0.9), Budget(CROSSED[1], LIMIT, 0.9)],
            contestants=(OURS, GO, *CROSSED, LIMIT),
        ),
        LinkRow(
            name="dial",
            title=f"connect and identify over {ROUND_TRIP * 1e3:.0f} ms, 10 times (budget <= 4.1)",
            unit="RTT",
            flags=["-mode", "connect", "-count", "10"],
            figure=lambda result: result["median"] / ROUND_TRIP,
            budgets=[],
            contestants=(OURS, GO),
        ),
    ]
