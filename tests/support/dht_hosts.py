"""Hosts with a DHT that are connected in memory, and peers that speak its protocol wrongly."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.base_types import TProtocol
from libp2p.io.frame_reader import FrameReader
from libp2p.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.messages import MAX_MESSAGE_BYTES, Message, decode, encode
from libp2p.peer.peerinfo import PeerInfo
from libp2p.transport.memory.memory import MemoryTransport
from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from libp2p import BasicHost
    from libp2p.abc import INetStream

PROTOCOL = TProtocol("/ipfs/kad/1.0.0")
ANY_MEMORY = Multiaddr("/memory/0")


def memory_host() -> BasicHost:
    """A host that others of this program can connect to."""
    return new_host(transports=[MemoryTransport()], listen_addrs=[ANY_MEMORY])


def info_of(host: BasicHost) -> PeerInfo:
    """What another host needs in order to connect."""
    return PeerInfo(host.get_id(), host.get_transport_addrs())


@asynccontextmanager
async def running_dht(mode: DHTMode = DHTMode.SERVER, **options: Any) -> AsyncIterator[KadDHT]:
    """Run a host with a DHT."""
    host = memory_host()
    dht = KadDHT(host, mode, **options)
    async with host.run(), dht.run():
        yield dht


@asynccontextmanager
async def network(count: int, **options: Any) -> AsyncIterator[list[KadDHT]]:
    """Run several servers; each has connected to the first, and all know each other."""
    async with AsyncExitStack() as stack:
        dhts = [await stack.enter_async_context(running_dht(**options)) for _ in range(count)]
        for dht in dhts[1:]:
            await dht.host.connect(info_of(dhts[0].host))
        for dht in dhts:
            await until_in_table(dht, count - 1)
        yield dhts


async def until_in_table(dht: KadDHT, count: int) -> None:
    """Wait until so many peers are in the routing table."""
    with trio.fail_after(20):
        while len(dht.table) < count:  # noqa: ASYNC110 - of the few events none tells the size
            await trio.sleep(0.01)


@asynccontextmanager
async def peer_that(
    serve: Callable[[INetStream], Awaitable[None]], host: BasicHost | None = None
) -> AsyncIterator[BasicHost]:
    """Run a host that announces the protocol and serves its streams in a way of its own."""
    host = host or memory_host()
    host.set_stream_handler(PROTOCOL, serve)
    async with host.run():
        yield host


async def requests_on(stream: INetStream) -> AsyncGenerator[Message, None]:
    """Read requests, one by one."""
    reader = FrameReader(MAX_MESSAGE_BYTES)
    while buffers := await stream.receive():
        for data in reader.receive(buffers):
            yield decode(data)


def framed(message: Message) -> bytes:
    """A message as it stands on a stream."""
    data = encode(message)
    return encode_uvarint(len(data)) + data


async def ask(stream: INetStream, *messages: Message) -> list[Message]:
    """Send requests at once, and return as many answers."""
    await stream.write(b"".join(map(framed, messages)))
    return await answers(stream, len(messages))


async def answers(stream: INetStream, count: int) -> list[Message]:
    """Read so many answers."""
    reader, found = FrameReader(MAX_MESSAGE_BYTES), list[Message]()
    while len(found) < count:
        buffers = await stream.receive()
        assert buffers, f"the stream ended after {len(found)} answers"
        found += map(decode, reader.receive(buffers))
    return found
