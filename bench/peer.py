"""
A libp2p host with the command line of the Go peer, in Python: the other side of every row.

Started by path, it imports whichever ``libp2p`` its interpreter has: this tree or py-libp2p 0.8.1;
it uses only names that both have, but for ping. Without ``-dial`` it serves /echo, /sink and ping
until SIGTERM and then prints what it cost to standard error; with it, it measures once and prints
the result.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import trio
from multiaddr import Multiaddr

from libp2p import generate_new_ed25519_identity, new_host
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.ping import PingService
from libp2p.network.config import ConnectionConfig
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID, Transport

ECHO = TProtocol("/echo/1.0.0")
SINK = TProtocol("/sink/1.0.0")
PING = TProtocol("/ipfs/ping/1.0.0")
READ_BYTES = 65536
SMALL_MESSAGE = bytes(range(32))
COUNT_BYTES = 8
IDLE_FIRST = 50
IDLE_SECONDS = 2.0  # identify is over then, in both directions


class Steps(trio.abc.Instrument):
    """Counts how often the scheduler resumes a task: a figure that a busy machine leaves alone."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


def make_host(security: str, max_connections: int | None = None) -> Any:
    """A host that offers this security and yamux, as the peer it is compared with does."""
    identity = generate_new_ed25519_identity()
    config = (
        ConnectionConfig()
        if max_connections is None
        else ConnectionConfig(max_connections=max_connections)
    )
    if security == "tls":
        from libp2p.security.tls.transport import PROTOCOL_ID as TLS_ID
        from libp2p.security.tls.transport import TLSTransport

        return new_host(
            key_pair=identity,
            sec_opt={TLS_ID: TLSTransport(identity)},
            connection_config=config,
        )
    noise = Transport(identity, noise_privkey=create_new_key_pair().private_key)
    return new_host(key_pair=identity, sec_opt={PROTOCOL_ID: noise}, connection_config=config)


async def read_exactly(stream: Any, size: int) -> bytes:
    """`size` bytes, in however many pieces they come."""
    data = b""
    while len(data) < size:
        data += await stream.read(size - len(data))
    return data


async def serve_sink(stream: Any) -> None:
    """Read to the end, answer with the number of bytes."""
    count = 0
    try:
        while piece := await stream.read(READ_BYTES):
            count += len(piece)
    except StreamEOF:
        await stream.write(count.to_bytes(COUNT_BYTES, "big"))
        await stream.close()


async def serve_echo(stream: Any) -> None:
    """Send back what comes until the other side closes."""
    try:
        while piece := await stream.read(READ_BYTES):
            await stream.write(piece)
    except StreamEOF:
        await stream.close()


async def serve(listen: str, security: str, max_connections: int | None) -> None:
    """Print the address, then serve until SIGTERM or SIGINT."""
    allow_many_files()
    host = make_host(security, max_connections)
    host.set_stream_handler(SINK, serve_sink)
    host.set_stream_handler(ECHO, serve_echo)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with host.run(listen_addrs=[Multiaddr(listen)]):
            print(host.get_addrs()[0], flush=True)
            began = time.process_time()
            await anext(signals)
            cost = {"cpu_seconds": time.process_time() - began}
            print(json.dumps(cost), file=sys.stderr, flush=True)


def allow_many_files() -> None:
    """Let this process have as many sockets as the system allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def upload(host: Any, to: PeerInfo, options: argparse.Namespace) -> list[float]:
    """Send the bytes on one stream and wait until the sink confirms their number."""
    stream = await host.new_stream(to.peer_id, [SINK])
    piece = bytes(options.write_size)
    for start in range(0, options.bytes, options.write_size):
        await stream.write(piece[: options.bytes - start])
    await stream.close_write()
    counted = int.from_bytes(await read_exactly(stream, COUNT_BYTES), "big")
    await stream.close()
    if counted != options.bytes:
        sys.exit(f"sent {options.bytes} bytes, the sink counted {counted}")
    return []


async def ping(host: Any, to: PeerInfo, options: argparse.Namespace) -> list[float]:
    """Round trips by the ping service, as in Go; py-libp2p's gives whole milliseconds only."""
    service = PingService(host)
    if hasattr(service, "ping_microseconds"):
        return [rtt / 1e6 for rtt in await service.ping_microseconds(to.peer_id, options.count)]
    stream = await host.new_stream(to.peer_id, [PING])
    times = []
    for _ in range(options.count):
        start = time.perf_counter()
        await stream.write(SMALL_MESSAGE)
        await read_exactly(stream, len(SMALL_MESSAGE))
        times.append(time.perf_counter() - start)
    await stream.reset()
    return times


async def open_streams(host: Any, to: PeerInfo, options: argparse.Namespace) -> list[float]:
    """Open, echo one small message, close; `parallel` of them at once."""
    times: list[float] = []
    left = iter(range(options.count))

    async def worker() -> None:
        for _ in left:
            start = time.perf_counter()
            stream = await host.new_stream(to.peer_id, [ECHO])
            await stream.write(SMALL_MESSAGE)
            await read_exactly(stream, len(SMALL_MESSAGE))
            await stream.close()
            times.append(time.perf_counter() - start)

    async with trio.open_nursery() as nursery:
        for _ in range(options.parallel):
            nursery.start_soon(worker)
    return times


MODES: dict[str, Callable[[Any, PeerInfo, argparse.Namespace], Awaitable[list[float]]]] = {
    "sink": upload,
    "ping": ping,
    "open": open_streams,
}


@asynccontextmanager
async def connected(to: PeerInfo, security: str) -> AsyncIterator[tuple[Any, float]]:
    """A fresh host with a connection to `to`, and how long connecting took."""
    host = make_host(security)
    async with host.run(listen_addrs=[]):
        start = time.perf_counter()
        await host.connect(to)
        yield host, time.perf_counter() - start


async def idle(options: argparse.Namespace) -> None:
    """
    Open connections to ``-dial``, each of a host of its own, that then do nothing.

    A line is printed and one awaited twice: when some are open, for what the first ones cost is
    not theirs alone, and when ``-count`` more are.
    """
    to = info_from_p2p_addr(Multiaddr(options.dial))
    allow_many_files()
    async with AsyncExitStack() as hosts:
        for count in (IDLE_FIRST, options.count):
            for _ in range(count):
                await hosts.enter_async_context(connected(to, options.security))
            await trio.sleep(IDLE_SECONDS)
            print(count, flush=True)
            await trio.to_thread.run_sync(sys.stdin.readline)


async def measure(options: argparse.Namespace) -> None:
    """Run the mode once and print its figures as one line of JSON."""
    to = info_from_p2p_addr(Multiaddr(options.dial))
    steps = Steps()
    if options.count_steps:
        trio.lowlevel.add_instrument(steps)
    if options.mode == "connect":
        cpu, start, times = time.process_time(), time.perf_counter(), []
        for _ in range(options.count):
            async with connected(to, options.security) as (_, seconds):
                times.append(seconds)
        report(options, time.perf_counter() - start, time.process_time() - cpu, times, steps)
        return
    async with connected(to, options.security) as (host, _):
        cpu, start, before = time.process_time(), time.perf_counter(), steps.count
        times = await MODES[options.mode](host, to, options)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        steps.count -= before
        report(options, seconds, cpu, times, steps)


def report(
    options: argparse.Namespace, seconds: float, cpu: float, times: list[float], steps: Steps
) -> None:
    """The line of JSON that the Go peer prints too, with the scheduler's steps besides."""
    times.sort()
    result = {
        "mode": options.mode,
        "bytes": options.bytes if options.mode == "sink" else 0,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "count": max(len(times), 1),
        "median": times[len(times) // 2] if times else 0.0,
        "steps": steps.count,
    }
    print(json.dumps(result), flush=True)


def main() -> None:
    """Serve or measure, as the flags say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("-listen", default="/ip4/127.0.0.1/tcp/0")
    parser.add_argument("-security", choices=["noise", "tls"], default="noise")
    parser.add_argument("-dial", metavar="MULTIADDR")
    parser.add_argument("-mode", choices=[*MODES, "connect", "idle"], default="ping")
    parser.add_argument("-bytes", type=int, default=1 << 20)
    parser.add_argument("-write-size", type=int, default=65536)
    parser.add_argument("-count", type=int, default=10)
    parser.add_argument("-parallel", type=int, default=1)
    parser.add_argument("-count-steps", action="store_true")
    parser.add_argument("-max-connections", type=int)
    options = parser.parse_args()
    if options.mode == "idle":
        trio.run(idle, options)
    elif options.dial:
        trio.run(measure, options)
    else:
        trio.run(serve, options.listen, options.security, options.max_connections)


if __name__ == "__main__":
    main()
