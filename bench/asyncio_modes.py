"""
What asyncio costs: trio alone, trio in a thread (`libp2p.aio`), trio as a guest of asyncio's loop.

    python -m bench.asyncio_modes [--mib 256] [--rounds 3] [--uvloop]

Another process has the file. Each way fetches it, opens a stream of 64 KiB writes to an echo, and
makes short calls. Meanwhile a task of asyncio sleeps for 2 ms again and again, and notes how much
later it wakes. The row "apart" is such a task in a process that does nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from examples.asyncio_guest import as_guest
from libp2p import aio
from libp2p.ipfs_lite import Peer

MIB = 2**20
SINK = "/bench/sink/1.0.0"
TICK = 0.002
WRITE = b"x" * 65536


@dataclass
class Figures:
    """What one way has shown."""

    fetch: float = 0.0
    """MB/s."""
    stream: float = 0.0
    call: float = 0.0
    """Microseconds."""
    cpu: float = 0.0
    """Processor seconds of the fetch, in the fetching process."""
    delays: list[float] = field(default_factory=list)
    """Seconds by which asyncio's loop was late during the fetch."""

    def delay(self, share: float) -> float:
        """Return a percentile in milliseconds."""
        ordered = sorted(self.delays) or [0.0]
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1000


async def sink(stream: Any) -> None:
    """Count what comes, and say how much it was."""
    size = 0
    while buffers := await stream.receive():
        size += sum(map(len, buffers))
    await stream.write(size.to_bytes(8, "big"))
    await stream.close()


def provide(folder: str, mib: int, told: Any) -> None:
    """Have a file, and take streams; in a process of its own."""
    warnings.simplefilter("ignore", BytesWarning)  # of a package of multiaddr's, under -bb

    async def serve() -> None:
        async with Peer.open(folder, listen=["/ip4/127.0.0.1/tcp/0"]) as peer:
            peer.host.set_stream_handler(SINK, sink)  # type: ignore[arg-type]
            added = await peer.add_file(trio.Path(await random_file(folder, mib)))
            told.send((str(peer.addrs[0]), str(added.cid)))
            await trio.to_thread.run_sync(told.poll, None)

    trio.run(serve)


async def random_file(folder: str, mib: int) -> str:
    """Make a file of bytes that do not repeat."""
    path = trio.Path(folder).parent / "content"
    async with await path.open("wb") as file:
        for _ in range(mib):
            await file.write(os.urandom(MIB))
    return str(path)


async def measure(peer: Any, address: str, cid: str, mib: int, figures: Figures) -> None:
    """Fetch, stream and call; it is the same code on trio and under asyncio."""
    await peer.connect(address)
    began, cpu = time.perf_counter(), time.process_time()
    async with await peer.get_file(cid) as file:
        while await file.receive():
            pass
    figures.fetch = mib * MIB / 1e6 / (time.perf_counter() - began)
    figures.cpu = time.process_time() - cpu
    ticks = len(figures.delays)
    began = time.perf_counter()
    async with await peer.host.new_stream(address.rpartition("/")[2], [SINK]) as stream:
        for _ in range(mib * 16):
            await stream.write(WRITE)
        await stream.close_write()
        assert int.from_bytes(await stream.read(8), "big") == mib * MIB
    figures.stream = mib * MIB / 1e6 / (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(2000):
        await peer.has_block(cid)
    figures.call = (time.perf_counter() - began) / 2000 * 1e6
    if ticks:
        del figures.delays[ticks:]


@contextlib.asynccontextmanager
async def ticking(figures: Figures) -> AsyncIterator[None]:
    """Note how late asyncio's loop is."""

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            figures.delays.append(time.perf_counter() - due)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()


Measure = Callable[[Any, Figures], Awaitable[None]]


def on_trio(folder: str, work: Measure) -> Figures:
    """Run it on trio, without asyncio."""
    figures = Figures()

    async def main() -> None:
        async with Peer.open(folder) as peer:
            await work(peer, figures)

    trio.run(main)
    return figures


def in_thread(folder: str, work: Measure, run: Any = asyncio.run) -> Figures:
    """Run it through `libp2p.aio`."""
    figures = Figures()

    async def main() -> None:
        async with aio.Peer.open(folder) as peer, ticking(figures):
            await work(peer, figures)

    run(main())
    return figures


def apart(mib: int) -> Figures:
    """Only tick, for as long as such a fetch takes: what other processes do to this one."""
    figures = Figures()

    async def main() -> None:
        async with ticking(figures):
            await asyncio.sleep(mib / 80)

    asyncio.run(main())
    return figures


def as_a_guest(folder: str, work: Measure, run: Any = asyncio.run) -> Figures:
    """Run it as a guest of asyncio's loop."""
    figures = Figures()

    async def trade() -> bool:
        async with Peer.open(folder) as peer:
            await work(peer, figures)
        return True

    async def main() -> None:
        async with ticking(figures):
            await as_guest(trade)

    run(main())
    return figures


WAYS = {"trio": on_trio, "thread": in_thread, "guest": as_a_guest}


def rounds(mib: int, count: int, **options: Any) -> dict[str, list[Figures]]:
    """Measure each way ``count`` times, in turns."""
    found: dict[str, list[Figures]] = {name: [] for name in (*WAYS, "apart")}
    with tempfile.TemporaryDirectory() as folder:
        here, there = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=provide, args=(f"{folder}/provider", mib, there)
        )
        process.start()
        there.close()  # so that its end is noticed
        address, cid = here.recv()

        async def work(peer: Any, figures: Figures) -> None:
            await measure(peer, address, cid, mib, figures)

        for number in range(count):
            for name, way in WAYS.items():
                kept = {} if name == "trio" else options
                found[name].append(way(f"{folder}/{name}{number}", work, **kept))
            found["apart"].append(apart(mib))
        here.send(None)
        process.join()
    return found


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uvloop", action="store_true")
    asked = parser.parse_args()
    options: dict[str, Any] = {}
    if asked.uvloop:
        import uvloop

        options["run"] = uvloop.run
    print(f"{'way':8}{'fetch MB/s':>12}{'CPU s':>8}{'stream MB/s':>13}{'call µs':>9}", end="")
    print(f"{'delay ms p50':>14}{'p99':>8}{'max':>8}")
    for name, figures in rounds(asked.mib, asked.rounds, **options).items():

        def median(of: Callable[[Figures], float], figures: list[Figures] = figures) -> float:
            return statistics.median(map(of, figures))

        print(
            f"{name:8}{median(lambda f: f.fetch):12.0f}{median(lambda f: f.cpu):8.2f}"
            f"{median(lambda f: f.stream):13.0f}{median(lambda f: f.call):9.0f}"
            f"{median(lambda f: f.delay(0.5)):14.2f}{median(lambda f: f.delay(0.99)):8.2f}"
            f"{median(lambda f: f.delay(1)):8.2f}"
        )


if __name__ == "__main__":
    main()
