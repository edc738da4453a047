"""A host that answers, and one that asks: listening, connecting, streams, closing, errors."""

from __future__ import annotations

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ConnectionFailure, StreamEOF, StreamError, StreamFailure
from libp2p.peer.peerinfo import info_from_p2p_addr

SHOUT = TProtocol("/shout/1.0.0")


async def shout(stream: INetStream) -> None:
    """Answer in capitals; what this raises resets this stream and ends nothing else."""
    question = await stream.read()  # up to the end of what the peer writes
    await stream.write(question.upper())
    await stream.close()


async def main() -> None:
    server, client = new_host(), new_host()
    server.set_stream_handler(SHOUT, shout)
    async with server.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]), client.run([]):
        address = server.get_addrs()[0]  # with /p2p/<peer id> at its end
        info = info_from_p2p_addr(address)
        await client.connect(info)

        async with await client.new_stream(info.peer_id, [SHOUT]) as stream:
            await stream.write(b"is anybody there?")
            await stream.close_write()  # the peer reads to the end; we read on
            print((await stream.read()).decode())
            try:
                await stream.read(1)
            except StreamEOF:
                print("the answer is complete")

        try:
            await client.new_stream(info.peer_id, [TProtocol("/sing/1.0.0")])
        except StreamFailure as error:
            print("no stream:", type(error.__cause__).__name__)
        try:
            async with await client.new_stream(info.peer_id, [SHOUT]) as stream:
                await client.disconnect(info.peer_id)
                await stream.read(1)
        except StreamError as error:
            print("lost:", type(error).__name__)
    async with client.run([]):
        try:
            await client.connect(info)
        except ConnectionFailure:
            print("the server is gone")


if __name__ == "__main__":
    trio.run(main)
