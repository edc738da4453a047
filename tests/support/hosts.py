"""Hosts on loopback for integration tests, and what they serve."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from multiaddr import Multiaddr

from libp2p import BasicHost, Swarm, new_host
from libp2p.base_types import TProtocol
from libp2p.peer.peerinfo import PeerInfo
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.upgrader import UpgradedTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.abc import INetStream
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.network.stream.net_stream import NetStream

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")
ECHO = TProtocol("/echo/1.0.0")
HOLD = TProtocol("/hold/1.0.0")


def info_of(host: BasicHost) -> PeerInfo:
    """Return what another host needs in order to connect to ``host``."""
    return PeerInfo(host.get_id(), host.get_transport_addrs())


@asynccontextmanager
async def running_host(*listen: Multiaddr) -> AsyncIterator[BasicHost]:
    """Run a new host that listens on loopback, or on ``listen``."""
    host = new_host()
    async with host.run(listen_addrs=listen or [LOOPBACK]):
        yield host


@asynccontextmanager
async def connected_hosts() -> AsyncIterator[tuple[BasicHost, BasicHost]]:
    """Run two hosts; the first has connected to the second."""
    async with running_host() as dialler, running_host() as listener:
        await dialler.connect(info_of(listener))
        yield dialler, listener


def transport_of(swarm: Swarm) -> UpgradedTransport:
    """Return the only transport of a default host, TCP with its upgrader."""
    [transport] = swarm.transports
    assert isinstance(transport, UpgradedTransport)
    return transport


def yamux_of(connection: SwarmConn | NetStream) -> Yamux:
    """Return the muxer of a connection or of a stream's connection."""
    assert isinstance(connection.muxed_conn, Yamux)
    return connection.muxed_conn


async def echo(stream: INetStream) -> None:
    """Send back what comes, up to its end."""
    while buffers := await stream.receive():
        await stream.send(buffers)
    await stream.close()


async def hold(stream: INetStream) -> None:
    """Take the stream and never look at it."""
    await trio.sleep_forever()


async def echoed(stream: INetStream, data: bytes) -> bytes:
    """Write ``data`` and read meanwhile; what came back, with both halves at their ends."""

    async def upload() -> None:
        await stream.write(data)
        await stream.close_write()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(upload)
        return await stream.read()
