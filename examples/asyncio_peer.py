"""An asyncio program with two peers: trio runs in a thread of its own, and nothing of it shows."""

from __future__ import annotations

import asyncio
import tempfile

from libp2p import aio
from libp2p.abc import INetStream
from libp2p.base_types import TProtocol

FILE = __file__
GREET = TProtocol("/greet/1.0.0")


async def greet(stream: INetStream) -> None:
    """Answer on a stream; this runs in asyncio's loop."""
    name = await stream.read(100)
    await asyncio.sleep(0.01)
    await stream.write(b"hello, " + name)
    await stream.close()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            aio.Peer.open(f"{folder}/alice", listen=["/ip4/127.0.0.1/tcp/0"]) as alice,
            aio.Peer.open(f"{folder}/bob") as bob,
        ):
            added = await alice.add_file(FILE)
            alice.host.set_stream_handler(GREET, greet)

            await bob.connect(alice.addrs[0])
            async with asyncio.timeout(30), await bob.get_file(added.cid) as file:
                print(added.cid, len(await file.read()), "bytes under asyncio")
            async with await bob.host.new_stream(alice.peer_id, [GREET]) as stream:
                await stream.write(b"bob")
                print((await stream.read()).decode())


if __name__ == "__main__":
    asyncio.run(main())
