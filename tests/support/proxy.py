"""A TCP proxy on loopback: what goes through it is late, or waits until it is let through."""

from __future__ import annotations

import math
import socket
import struct
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import trio
from multiaddr import Multiaddr

from libp2p.peer.peerinfo import PeerInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Proxy:
    """
    The way to a peer.

    :param delay: seconds that everything takes in each direction.
    """

    def __init__(self, target: PeerInfo, delay: float = 0.0) -> None:
        [address] = target.addrs
        self._port = int(address.value_for_protocol("tcp"))
        self._delay = delay
        self._target = target
        self._nursery: trio.Nursery
        #: What connects waits for this; nothing is passed on before.
        self.gate = trio.Event()
        self.gate.set()
        #: How many connections have come.
        self.arrived = 0
        self._arrival = trio.lowlevel.ParkingLot()
        self._streams: set[trio.SocketStream] = set()
        self.info: PeerInfo

    def shut(self) -> None:
        """Hold up the connections that come from now on until `gate` is set."""
        self.gate = trio.Event()

    async def until_arrived(self, count: int) -> None:
        """Wait until so many connections have come."""
        while self.arrived < count:
            await self._arrival.park()

    def abort(self) -> None:
        """Let both ends of all connections see a reset, as from a cable that was pulled."""
        for stream in self._streams:
            with suppress(OSError):  # closed already
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.socket.close()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            listeners = await nursery.start(
                partial(trio.serve_tcp, self._join, 0, host="127.0.0.1")
            )
            port = listeners[0].socket.getsockname()[1]
            self.info = PeerInfo(self._target.peer_id, [Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")])
            task_status.started()

    async def _join(self, here: trio.SocketStream) -> None:
        self.arrived += 1
        self._arrival.unpark_all()
        there = here
        try:
            await self.gate.wait()
            there = await trio.open_tcp_stream("127.0.0.1", self._port)
            self._streams |= {here, there}
            async with here, there, trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_on, here, there)
                nursery.start_soon(self._pass_on, there, here)
        except* OSError:
            pass
        finally:
            self._streams -= {here, there}

    async def _pass_on(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        late, pieces = trio.open_memory_channel[tuple[float, bytes]](math.inf)

        async def deliver() -> None:
            async with pieces:
                async for due, data in pieces:
                    await trio.sleep_until(due)
                    await sink.send_all(data)
                await sink.send_eof()

        try:
            async with trio.open_nursery() as nursery, late:
                nursery.start_soon(deliver)
                async for data in source:
                    late.send_nowait((trio.current_time() + self._delay, bytes(data)))
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            await sink.aclose()
            await source.aclose()


@asynccontextmanager
async def proxied(target: PeerInfo, delay: float = 0.0) -> AsyncIterator[Proxy]:
    """Run a proxy for the length of the block."""
    proxy = Proxy(target, delay)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.run)
        yield proxy
        nursery.cancel_scope.cancel()
