"""A test of a program that uses libp2p: its hosts find each other in memory, without a socket."""

from __future__ import annotations

import trio

from libp2p import MemoryTransport, new_host
from libp2p.abc import INetStream
from libp2p.base_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr

SHOUT = TProtocol("/shout/1.0.0")


async def shout(stream: INetStream) -> None:
    """Answer in capitals; this is the program's own code, which is to be tested."""
    await stream.write((await stream.read()).upper())
    await stream.close()


# With pytest-trio this is a test as it stands; give it an `autojump_clock`, and hours take no time.
async def test_the_answer_is_in_capitals() -> None:
    server, client = (
        new_host(transports=[MemoryTransport()], listen_addrs=["/memory/0"]) for _ in range(2)
    )
    server.set_stream_handler(SHOUT, shout)
    async with server.run(), client.run():
        [address] = server.get_addrs()  # /memory/<a free number>/p2p/<its id>
        await client.connect(info_from_p2p_addr(address))
        async with await client.new_stream(server.get_id(), [SHOUT]) as stream:
            await stream.write(b"hello")
            await stream.close_write()
            assert await stream.read() == b"HELLO"


if __name__ == "__main__":
    trio.run(test_the_answer_is_in_capitals)
    print("passed, in memory")
