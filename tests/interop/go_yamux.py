"""A go-yamux session over plain TCP, and ours at the other end of it."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import trio

from libp2p.io.abc import ReadWriteCloser
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.tcp.tcp import TCP, TCPListener
from libp2p.transport.tcp.tcp_connection import multiaddr_of
from tests.support.hosts import LOOPBACK
from tests.support.memory_session import secured_by

from .bitswap_peer import binary_of
from .child import JsonChild
from .ours import in_thread
from .yamux_wire import FIRST_WINDOW, WireTap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
    from libp2p.transport.tcp.tcp_connection import TcpConnection

Side: TypeAlias = Literal["we", "go"]
Act: TypeAlias = Literal["echo", "sink", "source", "flood", "hold"]


@dataclass(frozen=True)
class Outcome:
    """How Go's act on a stream ended, or its session."""

    bytes: int
    sha256: str
    error: str
    """Go's text; empty if there was no error."""
    code: int
    """What came with a reset or a GoAway."""
    remote: bool
    """Whether that came from us."""


class GoYamux(JsonChild):
    """One go-yamux session: the server's end, or with `dial` the client's."""

    def __init__(
        self,
        dial: str = "",
        *,
        window: int = FIRST_WINDOW,
        max_window: int = FIRST_WINDOW,
        keepalive: float = 30.0,
    ) -> None:
        """`window` is what its receive windows start with; it pings after `keepalive` seconds."""
        flags = {
            "dial": dial,
            "window": window,
            "max-window": max(window, max_window),
            "keepalive": f"{keepalive}s",
        }
        command = [text for key, value in flags.items() for text in (f"-{key}", str(value))]
        super().__init__([binary_of("yamux-peer"), *command])
        host, _, port = self.hello["addr"].rpartition(":")
        self.address: tuple[str, int] = (host, int(port))

    def echo(self, size: int, *, write_size: int = 65_536, parallel: int = 1) -> None:
        """Send `size` bytes on each of `parallel` new streams and check that they come back."""
        self.request("echo", bytes=size, write_size=write_size, parallel=parallel)

    def open(self, act: Act, size: int = 0) -> int:
        """Open a stream and play `act` on it; the stream's id."""
        return int(self.request("open", act=act, bytes=size)["stream"])

    def outcome(self, stream_id: int) -> Outcome:
        """Wait until the act on a stream is over."""
        return Outcome(**self.request("outcome", stream=stream_id)["outcome"])

    def reset(self, stream_id: int, code: int) -> None:
        """Reset a stream with `code`."""
        self.request("reset", stream=stream_id, code=code)

    def ping(self) -> float:
        """The round-trip time in seconds."""
        return float(self.request("ping")["seconds"])

    def go_away(self) -> None:
        """Send GoAway with code 0, and keep the connection."""
        self.request("go_away")

    def close(self, code: int) -> None:
        """End the session: with a GoAway if `code` is not 0, else without a word."""
        self.request("close", code=code)

    def ended(self) -> Outcome:
        """Wait until the session is over."""
        return Outcome(**self.request("ended")["outcome"])


@dataclass(frozen=True)
class Meeting:
    """Both ends of one connection."""

    ours: Yamux
    go: GoYamux
    wire: WireTap

    async def stream(self, opener: Side, act: Act, size: int = 0) -> YamuxStream:
        """Our end of a stream on which Go plays `act`, whoever opens it."""
        if opener == "we":
            stream = await self.ours.open_stream()
            await stream.write(size.to_bytes(8) + bytes([len(act)]) + act.encode())
            return stream
        await in_thread(self.go.open, act, size)
        return await self.ours.accept_stream()

    async def outcome(self, stream: YamuxStream) -> Outcome:
        """How Go's act on our stream ended."""
        return await in_thread(self.go.outcome, stream.stream_id)

    async def settled(self) -> None:
        """Return once Go has read all that we have sent so far."""
        await in_thread(self.go.ping)


@asynccontextmanager
async def meeting(
    dialler: Side,
    *,
    delay: float = 0.0,
    max_window: int = FIRST_WINDOW,
    window: int = FIRST_WINDOW,
    keepalive: float = 30.0,
    complaint: str | None = None,
) -> AsyncIterator[Meeting]:
    """
    Join our yamux and Go's by TCP; bytes take `delay` seconds each way.

    Afterwards every frame is checked, and that Go wrote nothing on its standard error but
    `complaint`.
    """
    start = partial(GoYamux, max_window=max_window, window=window, keepalive=keepalive)
    wire = WireTap()
    async with trio.open_nursery() as nursery:
        if dialler == "we":
            go = start()
            raw = await _dial(await _delayed(nursery, go.address, delay))
        else:
            raw, go = await _accept(nursery, start, delay)
        with go:
            session = secured_by(raw, wire)
            ours = Yamux(session, session.get_remote_peer())
            nursery.start_soon(ours.run)
            yield Meeting(ours, go, wire)
            nursery.cancel_scope.cancel()
    wire.check(ours.is_initiator)
    complaints = go.stderr_text().splitlines()
    assert [line for line in complaints if complaint is None or complaint not in line] == []


async def _dial(address: tuple[str, int]) -> TcpConnection:
    return await TCP().dial(multiaddr_of(address))


async def _accept(
    nursery: trio.Nursery, start: partial[GoYamux], delay: float
) -> tuple[TcpConnection, GoYamux]:
    """Listen, let Go dial, and listen no more."""
    accepted, arrivals = trio.open_memory_channel[ReadWriteCloser](1)
    listener = TCPListener(accepted.send)
    await listener.listen(LOOPBACK)
    nursery.start_soon(listener.serve, nursery)
    (address,) = listener.get_addrs()
    own = ("127.0.0.1", int(address.value_for_protocol("tcp")))
    host, port = await _delayed(nursery, own, delay)
    go = start(f"{host}:{port}")
    connection = await arrivals.receive()
    await listener.close()
    return cast("TcpConnection", connection), go


# -- a link that takes its time -------------------------------------------------------------------


async def _delayed(nursery: trio.Nursery, target: tuple[str, int], delay: float) -> tuple[str, int]:
    """The address where `target` is to be had with a `delay` each way."""
    if not delay:
        return target
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listener.socket.getsockname()
    nursery.start_soon(trio.serve_listeners, partial(_relay, target, delay), [listener])
    return host, port


async def _relay(target: tuple[str, int], delay: float, near: trio.SocketStream) -> None:
    far = await trio.open_tcp_stream(*target)
    async with near, far, trio.open_nursery() as nursery:
        for source, sink in ((near, far), (far, near)):
            nursery.start_soon(_carry, source, sink, delay)


async def _carry(source: trio.SocketStream, sink: trio.SocketStream, delay: float) -> None:
    """Carry bytes one way, each for `delay` seconds; what is under way is not bounded."""
    entry, exit_ = trio.open_memory_channel[tuple[float, bytes]](math.inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_deliver, exit_, sink)
        async with entry:
            with suppress(trio.BrokenResourceError):  # the connection was aborted
                while data := await source.receive_some(256 * 1024):
                    entry.send_nowait((trio.current_time() + delay, data))


async def _deliver(
    exit_: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream
) -> None:
    with suppress(trio.BrokenResourceError):
        async for due, data in exit_:
            await trio.sleep_until(due)
            await sink.send_all(data)
        await sink.send_eof()
