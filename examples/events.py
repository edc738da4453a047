"""A host whose events are read: who comes, what they speak, which streams they open, who goes."""

from __future__ import annotations

import trio

from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.events import (
    EventQueue,
    PeerConnected,
    PeerDisconnected,
    PeerIdentified,
    StreamOpened,
)

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
HELLO = TProtocol("/hello/1.0.0")


async def greet(stream: INetStream) -> None:
    await stream.write(b"hello")
    await stream.close()


async def tell(events: EventQueue) -> None:
    """Print what happens, until the host has stopped."""
    async for event in events:
        match event:
            case PeerConnected():
                print("connected")
            case PeerIdentified(protocols=protocols):
                print("it speaks ping:", "/ipfs/ping/1.0.0" in protocols)
            case StreamOpened(stream) if stream.get_protocol() == HELLO:
                print("it asks for a greeting")
            case PeerDisconnected():
                print("gone")


async def main() -> None:
    host, peer = new_host(), new_host()
    host.set_stream_handler(HELLO, greet)
    identified = trio.Event()
    # A plain function is called at once; it must be quick.
    host.subscribe(lambda _: identified.set(), PeerIdentified)
    async with host.events() as events, trio.open_nursery() as nursery:
        nursery.start_soon(tell, events)
        async with host.run([LOOPBACK]), peer.run([]):
            await peer.connect(host.get_addrs()[0])
            await identified.wait()
            async with await peer.new_stream(host.get_id(), [HELLO]) as stream:
                await stream.read()
    print("events dropped:", events.dropped)


if __name__ == "__main__":
    trio.run(main)
