"""
Keeps one connection busy for minutes: bulk both ways on many streams, short streams beside it.

Two processes with default hosts on loopback. Every ten seconds it prints what the bulk streams
carried, how long the short ones took to be opened, echoed and closed, the memory of both processes
and the processors that they had. It ends with 1 where a stream stands still, memory grows or the
short streams are slow.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from multiaddr import Multiaddr

from libp2p import BasicHost, new_host
from libp2p.base_types import TProtocol
from libp2p.exceptions import StreamError
from libp2p.io.utils import read_exactly
from libp2p.peer.peerinfo import info_from_p2p_addr
from tests.interop.child import Child

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.peer.id import ID

BULK = TProtocol("/soak/bulk/1.0.0")
SHORT = TProtocol("/soak/short/1.0.0")
PIECE = bytes(64 * 1024)
MESSAGE = bytes(range(32))
ROOT = Path(__file__).resolve().parents[1]

STALL_SECONDS = 5.0
"""A stream that carries nothing for so long stands still."""
MAX_P99_SECONDS = 0.050
MAX_GROWTH_BYTES = 8 * 2**20
"""Of a process, from the first minute after the warm-up to the last."""
MINUTE = 6
"""In intervals."""


@dataclass
class Plan:
    """What is carried, and for how long."""

    seconds: float = 300.0
    bulk_streams: int = 24
    opens_per_second: float = 50.0
    interval: float = 10.0


@dataclass
class Interval:
    """What was seen for a while."""

    seconds: float
    sent: int
    received: int
    latencies: list[float]
    resident: Sequence[int] = ()
    cpu_seconds: float = 0.0

    def line(self) -> str:
        """The interval as it is printed."""
        rates = [size / self.seconds / 1e6 for size in (self.sent, self.received)]
        times = [quantile(self.latencies, part) * 1e3 for part in (0.5, 0.99)]
        sizes = [size / 2**20 for size in self.resident]
        figures = "".join(f"{figure:9.1f}" for figure in (*rates, *times, *sizes))
        return f"{figures}{self.cpu_seconds / self.seconds:7.2f}"


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` of `values` do not exceed; 0 if there are none."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)] if values else 0.0


@dataclass
class _Flow:
    """One direction of a bulk stream."""

    name: str
    size: int = 0
    moved_at: float = field(default_factory=trio.current_time)

    def moved(self, size: int) -> None:
        self.size += size
        self.moved_at = trio.current_time()


async def _pour(stream: INetStream, flow: _Flow) -> None:
    """Write without end."""
    with suppress(StreamError):
        while True:
            await stream.write(PIECE)
            flow.moved(len(PIECE))


async def _drain(stream: INetStream, flow: _Flow) -> None:
    """Read to the end."""
    with suppress(StreamError):
        while buffers := await stream.receive():
            flow.moved(sum(map(len, buffers)))


async def _serve_bulk(stream: INetStream) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_pour, stream, _Flow("there"))
        await _drain(stream, _Flow("back"))
        nursery.cancel_scope.cancel()


async def _serve_short(stream: INetStream) -> None:
    await stream.write(await read_exactly(stream, len(MESSAGE)))
    await stream.close()


def answer(host: BasicHost) -> None:
    """Let `host` be the other side."""
    host.set_stream_handler(BULK, _serve_bulk)
    host.set_stream_handler(SHORT, _serve_short)


class Soak:
    """The load on one connection, from the side that opens the streams."""

    def __init__(self, host: BasicHost, peer: ID, plan: Plan) -> None:
        self.stalls: list[str] = []
        self._host = host
        self._peer = peer
        self._plan = plan
        self._sent: list[_Flow] = []
        self._received: list[_Flow] = []
        self._latencies: list[float] = []

    async def run(self, report: Callable[[Interval], None]) -> None:
        """Call `report` with what is seen, interval by interval; a stall ends it early."""
        async with trio.open_nursery() as nursery:
            for number in range(self._plan.bulk_streams):
                stream = await self._host.new_stream(self._peer, [BULK])
                for flows, task in ((self._sent, _pour), (self._received, _drain)):
                    flows.append(_Flow(f"{task.__name__.strip('_')} {number}"))
                    nursery.start_soon(task, stream, flows[-1])
            nursery.start_soon(self._open_short, nursery)
            nursery.start_soon(self._watch, nursery.cancel_scope)
            for _ in range(round(self._plan.seconds / self._plan.interval)):
                report(await self._interval())
            nursery.cancel_scope.cancel()

    async def _interval(self) -> Interval:
        began, sent, received = trio.current_time(), _sum(self._sent), _sum(self._received)
        await trio.sleep(self._plan.interval)
        seconds = trio.current_time() - began
        latencies, self._latencies = self._latencies, []
        moved = _sum(self._sent) - sent, _sum(self._received) - received
        return Interval(seconds, *moved, latencies)

    async def _open_short(self, nursery: trio.Nursery) -> None:
        """Start short streams when they are due, however long those before them take."""
        due = trio.current_time()
        while True:
            await trio.sleep_until(due)
            nursery.start_soon(self._short, due, nursery.cancel_scope)
            due += 1 / self._plan.opens_per_second

    async def _short(self, due: float, everything: trio.CancelScope) -> None:
        with trio.move_on_at(due + STALL_SECONDS):
            stream = await self._host.new_stream(self._peer, [SHORT])
            await stream.write(MESSAGE)
            await read_exactly(stream, len(MESSAGE))
            await stream.close()
            self._latencies.append(trio.current_time() - due)
            return
        self.stalls.append(f"a short stream took more than {STALL_SECONDS:.0f} s")
        everything.cancel()

    async def _watch(self, everything: trio.CancelScope) -> None:
        """End all if a bulk stream stands still."""
        while not self.stalls:
            await trio.sleep(STALL_SECONDS / 5)
            long_ago = trio.current_time() - STALL_SECONDS
            self.stalls += [
                f"{flow.name} has stood still for {STALL_SECONDS:.0f} s"
                for flow in (*self._sent, *self._received)
                if flow.moved_at < long_ago
            ]
        everything.cancel()


def _sum(flows: Sequence[_Flow]) -> int:
    return sum(flow.size for flow in flows)


def faults(intervals: Sequence[Interval]) -> Iterator[str]:
    """What is wrong with a run, whose first interval is the warm-up."""
    warm = intervals[1:]
    p99 = quantile([latency for interval in warm for latency in interval.latencies], 0.99)
    if p99 > MAX_P99_SECONDS:
        yield f"p99 of the short streams is {p99 * 1e3:.0f} ms, not {MAX_P99_SECONDS * 1e3:.0f}"
    if len(warm) < 2 * MINUTE:
        return
    for index, name in enumerate(("here", "there")):
        sizes = [interval.resident[index] for interval in warm]
        growth = statistics.mean(sizes[-MINUTE:]) - statistics.mean(sizes[:MINUTE])
        if growth > MAX_GROWTH_BYTES:
            yield f"memory {name} has grown by {growth / 2**20:.1f} MiB"


def resident_bytes(pid: int | str = "self") -> int:
    """The memory that a process has now; 0 where the system does not tell (Linux does)."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


class Report:
    """Prints intervals, with what the two processes took."""

    def __init__(self, plan: Plan, other: Child) -> None:
        self.intervals: list[Interval] = []
        self._plan = plan
        self._other = other
        self._cpu_seconds = 0.0
        print(f"{plan.bulk_streams} streams of bulk, {plan.opens_per_second:g} short per second")
        print(" " * 7 + " MB/s out       in   p50 ms   p99 ms MiB here    there   CPUs")

    def __call__(self, interval: Interval) -> None:
        """Take in and print an interval."""
        cpu_seconds = time.process_time() + self._other.cpu_seconds()
        interval.cpu_seconds = cpu_seconds - self._cpu_seconds
        interval.resident = resident_bytes(), resident_bytes(self._other.pid)
        self._cpu_seconds = cpu_seconds
        self.intervals.append(interval)
        print(f"{len(self.intervals) * self._plan.interval:5.0f} s{interval.line()}", flush=True)


async def _serve() -> None:
    """Be the other process, until it is ended."""
    host = new_host()
    answer(host)
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        print(host.get_addrs()[0], flush=True)
        await trio.sleep_forever()


async def _drive(address: str, plan: Plan, report: Report) -> list[str]:
    """Load a connection to `address`; what is wrong then."""
    host, to = new_host(), info_from_p2p_addr(Multiaddr(address))
    soak = Soak(host, to.peer_id, plan)
    async with host.run(listen_addrs=[]):
        await host.connect(to)
        await soak.run(report)
    return [*soak.stalls, *faults(report.intervals)]


def main() -> int:
    """Run it, or be the other process."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=(__doc__ or "").strip().splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--streams", type=int, default=Plan.bulk_streams, help="of bulk (24)")
    parser.add_argument(
        "--opens", type=float, default=Plan.opens_per_second, help="per second (50)"
    )
    parser.add_argument("--interval", type=float, default=Plan.interval, help="of the lines (10)")
    parser.add_argument("--serve", action="store_true", help="be the other process")
    options = parser.parse_args()
    if options.serve:
        trio.run(_serve)
    plan = Plan(options.seconds, options.streams, options.opens, options.interval)
    with Child([sys.executable, "-m", "bench.soak", "--serve"], cwd=ROOT) as other:
        wrong = trio.run(_drive, other.line(), plan, Report(plan, other))
    print("\n".join(f"FAILED: {fault}" for fault in wrong) or "passed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
