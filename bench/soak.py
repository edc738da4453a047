"""
Keeps one connection busy for minutes: bulk both ways on many streams, short streams beside it.

Two processes with default hosts on loopback. Every ten seconds it prints what the bulk streams
carried, how long the short ones took to be opened, echoed and closed, and the memory of both
processes. It ends with 1 where a stream stands still, memory grows or the short ones are slow.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from multiaddr import Multiaddr

from libp2p import BasicHost, new_host
from libp2p.custom_types import TProtocol
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

#: A stream that carries nothing for so many seconds stands still.
STALL_SECONDS = 5.0
#: What counts as growth of a process from the first minute after the warm-up to the last.
MAX_GROWTH_BYTES = 8 * 2**20
#: What the slowest hundredth of the short streams may take, in seconds.
MAX_P99_SECONDS = 0.050
INTERVAL_SECONDS = 10.0
MINUTE = 6  # intervals


class Stalled(Exception):
    """A stream carries nothing any more."""


@dataclass
class Plan:
    """What is carried, and for how long."""

    seconds: float = 300.0
    bulk_streams: int = 24
    opens_per_second: float = 50.0
    interval: float = INTERVAL_SECONDS


@dataclass
class Interval:
    """What was seen in some seconds."""

    seconds: float
    sent: int
    received: int
    latencies: list[float]
    resident: Sequence[int] = ()

    def line(self) -> str:
        """The interval as it is printed."""
        text = f"{self.sent / self.seconds / 1e6:8.1f} {self.received / self.seconds / 1e6:8.1f}"
        text += (
            f"{quantile(self.latencies, 0.5) * 1e3:9.1f}{quantile(self.latencies, 0.99) * 1e3:8.1f}"
        )
        return text + "".join(f"{size / 2**20:8.1f}" for size in self.resident)


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` of `values` do not exceed; 0 if there are none."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)] if values else 0.0


@dataclass
class _Flow:
    """One direction of a bulk stream."""

    name: str
    moved_at: float = field(default_factory=trio.current_time)
    total: int = 0

    def moved(self, size: int) -> None:
        self.total += size
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
        nursery.start_soon(_pour, stream, _Flow("out"))
        await _drain(stream, _Flow("in"))
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
        self._host = host
        self._peer = peer
        self._plan = plan
        self._sent: list[_Flow] = []
        self._received: list[_Flow] = []
        self._latencies: list[float] = []

    async def run(self, report: Callable[[Interval], None]) -> None:
        """
        Call `report` with what is seen, interval by interval, as long as the plan says.

        :raises Stalled: if a stream stands still.
        """
        async with trio.open_nursery() as nursery:
            for number in range(self._plan.bulk_streams):
                stream = await self._host.new_stream(self._peer, [BULK])
                sent, received = _Flow(f"bulk {number} out"), _Flow(f"bulk {number} in")
                self._sent.append(sent)
                self._received.append(received)
                nursery.start_soon(_pour, stream, sent)
                nursery.start_soon(_drain, stream, received)
            nursery.start_soon(self._open_short, nursery)
            nursery.start_soon(self._watch)
            end = trio.current_time() + self._plan.seconds
            while trio.current_time() < end - self._plan.interval / 2:
                report(await self._interval())
            nursery.cancel_scope.cancel()

    async def _interval(self) -> Interval:
        began, sent, received = trio.current_time(), _sum(self._sent), _sum(self._received)
        await trio.sleep(self._plan.interval)
        latencies, self._latencies = self._latencies, []
        seconds = trio.current_time() - began
        return Interval(
            seconds, _sum(self._sent) - sent, _sum(self._received) - received, latencies
        )

    async def _open_short(self, nursery: trio.Nursery) -> None:
        """Start short streams at their times, however long those before them take."""
        due = trio.current_time()
        while True:
            await trio.sleep_until(due)
            nursery.start_soon(self._short, due)
            due += 1 / self._plan.opens_per_second

    async def _short(self, due: float) -> None:
        with trio.move_on_after(STALL_SECONDS):
            stream = await self._host.new_stream(self._peer, [SHORT])
            await stream.write(MESSAGE)
            await read_exactly(stream, len(MESSAGE))
            await stream.close()
            self._latencies.append(trio.current_time() - due)
            return
        raise Stalled(f"a short stream took more than {STALL_SECONDS:.0f} s")

    async def _watch(self) -> None:
        while True:
            await trio.sleep(STALL_SECONDS / 5)
            for flow in (*self._sent, *self._received):
                if trio.current_time() - flow.moved_at > STALL_SECONDS:
                    raise Stalled(f"{flow.name} has stood still for {STALL_SECONDS:.0f} s")


def _sum(flows: list[_Flow]) -> int:
    return sum(flow.total for flow in flows)


def resident_bytes(pid: int | str = "self") -> int:
    """The memory that a process has now; 0 where the system does not tell (not on Linux)."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def faults(intervals: Sequence[Interval]) -> Iterator[str]:
    """What is wrong with a run; the first interval is its warm-up."""
    warm = intervals[1:]
    latencies = [seconds for interval in warm for seconds in interval.latencies]
    p99 = quantile(latencies, 0.99)
    if p99 > MAX_P99_SECONDS:
        yield f"p99 of the short streams is {p99 * 1e3:.1f} ms, not {MAX_P99_SECONDS * 1e3:.0f}"
    if len(warm) < 2 * MINUTE:
        return
    for name, *sizes in zip(("here", "there"), *(i.resident for i in warm), strict=True):
        growth = statistics.mean(sizes[-MINUTE:]) - statistics.mean(sizes[:MINUTE])
        if growth > MAX_GROWTH_BYTES:
            yield f"memory {name} has grown by {growth / 2**20:.1f} MiB"


async def _serve() -> None:
    host = new_host()
    answer(host)
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        print(host.get_addrs()[0], flush=True)
        await trio.sleep_forever()


async def _drive(address: str, plan: Plan, report: Callable[[Interval], None]) -> None:
    host, to = new_host(), info_from_p2p_addr(Multiaddr(address))
    async with host.run(listen_addrs=[]):
        await host.connect(to)
        await Soak(host, to.peer_id, plan).run(report)


def main() -> int:
    """Run it, or be the other process."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=(__doc__ or "").strip().splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--streams", type=int, default=Plan.bulk_streams, help="of bulk (24)")
    parser.add_argument("--opens", type=float, default=Plan.opens_per_second, help="per second")
    parser.add_argument("--interval", type=float, default=Plan.interval, help="seconds a line")
    parser.add_argument("--serve", action="store_true", help="be the other process")
    options = parser.parse_args()
    if options.serve:
        trio.run(_serve)
    plan = Plan(options.seconds, options.streams, options.opens, options.interval)
    print(f"{plan.bulk_streams} streams of bulk, {plan.opens_per_second:g} short ones per second")
    print("        MB/s out       in   p50 ms  p99 ms  MiB here   there")
    intervals: list[Interval] = []
    command = [sys.executable, "-m", "bench.soak", "--serve"]
    with Child(command, cwd=ROOT) as other:

        def report(interval: Interval) -> None:
            interval.resident = resident_bytes(), resident_bytes(other.pid)
            intervals.append(interval)
            print(f"{len(intervals) * plan.interval:5.0f} s{interval.line()}", flush=True)

        wrong: list[str] = []
        try:
            trio.run(_drive, other.line(), plan, report)
        except* Stalled as group:
            wrong = [str(error) for error in group.exceptions]
    wrong += faults(intervals)
    print("\n".join(f"FAILED: {fault}" for fault in wrong) or "passed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
