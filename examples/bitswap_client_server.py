"""Two hosts in one program: one offers a block, the other asks it for the block by CID."""

from __future__ import annotations

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.bitswap.cid import cid_to_text, compute_cid
from libp2p.peer.peerinfo import info_from_p2p_addr

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


async def main() -> None:
    server_host, client_host = new_host(), new_host()
    async with (
        server_host.run(listen_addrs=[LOOPBACK]),
        client_host.run(listen_addrs=[LOOPBACK]),
        trio.open_nursery() as nursery,
    ):
        # The server: a bitswap client with a block in its store.
        server = BitswapClient(server_host, MemoryBlockStore())
        server.set_nursery(nursery)
        await server.start()
        data = b"Hello, Bitswap!"
        cid = compute_cid(data)
        await server.add_block(cid, data)

        # The client: connects, and asks this one peer.
        client = BitswapClient(client_host, MemoryBlockStore())
        client.set_nursery(nursery)
        await client.start()
        await client_host.connect(info_from_p2p_addr(server_host.get_addrs()[0]))
        block = await client.get_block(cid, server_host.get_id(), timeout=30)
        print(cid_to_text(cid), block.decode())

        await client.stop()
        await server.stop()


if __name__ == "__main__":
    trio.run(main)
