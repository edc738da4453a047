"""Two ends of a TCP connection over the loopback interface."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from multiaddr import Multiaddr

from libp2p.transport.tcp.tcp import TCP, TCPListener
from libp2p.transport.tcp.tcp_connection import TcpConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.io.abc import ReadWriteCloser

LOOPBACKS = {"ip4": "/ip4/127.0.0.1/tcp/0", "ip6": "/ip6/::1/tcp/0"}


@asynccontextmanager
async def connected(
    address: str = LOOPBACKS["ip4"],
) -> AsyncIterator[tuple[TcpConnection, TcpConnection]]:
    """The dialled and the accepted end of a connection."""
    accepted_here, accepted = trio.open_memory_channel[TcpConnection](1)

    async def handle(connection: ReadWriteCloser) -> None:
        assert isinstance(connection, TcpConnection)
        await accepted_here.send(connection)

    listener = TCPListener(handle)
    await listener.listen(Multiaddr(address))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, nursery)
        dialled = await TCP().dial(listener.get_addrs()[0])
        with trio.fail_after(5):
            theirs = await accepted.receive()
        await listener.close()
        try:
            yield dialled, theirs
        finally:
            dialled.abort()
            theirs.abort()
