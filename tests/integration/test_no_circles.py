"""
What has ended is freed at once, however it ended: nothing of it is in a circle of references.

The garbage collector frees circles, and stops the whole program for as long as that takes. Many
peers that end together, or a flood of refused streams, would hold the loop for tenths of a second.
"""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr

from libp2p.base_types import TProtocol
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.bitswap.net.peer_receiver import InboundStream, PeerReceiver
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.shared_dial import SharedDial
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.noise.handshake import XXHandshake
from libp2p.security.secure_session import SecureSession
from libp2p.security.tls.handshake import TlsHandshake
from libp2p.stream_muxer.yamux.session import YamuxSession
from libp2p.stream_muxer.yamux.stream_state import StreamState
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
from libp2p.transport.tcp.tcp_connection import TcpConnection
from tests.support.attacks import ATTACKS, Plan
from tests.support.blocks import block
from tests.support.hosts import ECHO, HOLD, echo, hold, info_of, running_host
from tests.support.identities import peer_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from libp2p.abc import INetStream
    from libp2p.host.basic_host import BasicHost

PLAN = Plan(messages=3, streams=50, unread=3, tickets=8)
RAISES = TProtocol("/raises")
CLOSED_PORT = Multiaddr("/ip4/127.0.0.1/tcp/1")
OF_A_CONNECTION = (
    *(TcpConnection, TlsHandshake, XXHandshake, SecureSession, Yamux, YamuxSession, YamuxStream),
    *(StreamState, SwarmConn, NetStream, SharedDial, PeerReceiver, InboundStream),
)


@contextmanager
def no_circles() -> Iterator[None]:
    """Fail if what ends inside leaves a part of a connection that only the collector can free."""
    gc.collect()
    # Parts of an earlier test's connections may be let go inside, by whatever still has them. As
    # long as they are here they are not garbage.
    earlier = [one for one in gc.get_objects() if isinstance(one, OF_A_CONNECTION)]
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        found = Counter(
            type(one).__name__ for one in gc.garbage if isinstance(one, OF_A_CONNECTION)
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        del earlier
    assert not found


async def parted(host: BasicHost) -> None:
    """Return when the host has no connection, and what has ended has been seen to."""
    while host.get_connected_peers():  # noqa: ASYNC110 - no event
        await trio.sleep(0.01)  # no event
    await trio.testing.wait_all_tasks_blocked(0.05)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_an_attack(attack: Callable[[str, Plan, int], Awaitable[None]]) -> None:
    async with running_host() as host, BitswapClient(host, MemoryBlockStore()).run():
        host.set_stream_handler(ECHO, echo)
        host.set_stream_handler(HOLD, hold)
        with no_circles():
            with trio.move_on_after(1):
                try:
                    await attack(str(host.get_addrs()[0]), PLAN, 1)
                except* (BaseLibp2pError, OSError):
                    pass  # cut off
            await parted(host)


async def unknown_protocol(a: BasicHost, b: BasicHost) -> None:
    await a.new_stream(b.get_id(), [TProtocol("/unknown")])


async def handler_raises(a: BasicHost, b: BasicHost) -> None:
    stream = await a.new_stream(b.get_id(), [RAISES])
    await stream.write(b"now")
    await stream.read()


async def reset_while_it_is_read(a: BasicHost, b: BasicHost) -> None:
    stream = await a.new_stream(b.get_id(), [ECHO])
    await stream.write(b"hello")
    assert await stream.read(5) == b"hello"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.read)
        await trio.testing.wait_all_tasks_blocked()
        await stream.reset()


async def ends_while_it_is_read(a: BasicHost, b: BasicHost) -> None:
    stream = await a.new_stream(b.get_id(), [HOLD])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.read)
        await trio.testing.wait_all_tasks_blocked()
        await b.disconnect(a.get_id())


async def nobody_listens(a: BasicHost, b: BasicHost) -> None:
    await a.connect(PeerInfo(peer_id_of("nobody"), [CLOSED_PORT]))


async def somebody_else_listens(a: BasicHost, b: BasicHost) -> None:
    await a.connect(PeerInfo(peer_id_of("nobody"), info_of(b).addrs))


async def no_such_block(a: BasicHost, b: BasicHost) -> None:
    async with BitswapClient(a, MemoryBlockStore()).run() as client:
        await client.get_block(block(1)[0], b.get_id(), timeout=2)


@pytest.mark.parametrize(
    "fail",
    [
        unknown_protocol,
        handler_raises,
        reset_while_it_is_read,
        ends_while_it_is_read,
        nobody_listens,
        somebody_else_listens,
        no_such_block,
    ],
    ids=lambda fail: fail.__name__,
)
async def test_an_error(fail: Callable[[BasicHost, BasicHost], Awaitable[None]]) -> None:
    async def handler(stream: INetStream) -> None:
        await stream.read(1)
        raise ValueError("a user's mistake")

    async with (
        running_host() as a,
        running_host() as b,
        BitswapClient(b, MemoryBlockStore()).run(),
    ):
        b.set_stream_handler(ECHO, echo)
        b.set_stream_handler(HOLD, hold)
        b.set_stream_handler(RAISES, handler)
        with no_circles():
            await a.connect(info_of(b))
            with pytest.raises((BaseLibp2pError, BaseExceptionGroup)):
                await fail(a, b)
            with suppress(BaseLibp2pError):
                await a.disconnect(b.get_id())
            await parted(a)
            await parted(b)
