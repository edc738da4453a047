"""One node answers /routing/v1 for the others: a server of what it has, and a peer that asks it."""

from __future__ import annotations

import trio

from libp2p import new_host
from libp2p.bitswap import BitswapClient
from libp2p.ipld.cid import CID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.http_client import HttpRouter
from libp2p.routing.http_listener import listening
from libp2p.routing.http_server import RoutingServer
from libp2p.routing.own_blocks import OwnBlocks

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


async def fetch(url: str, cid: CID) -> bytes:
    """Fetch a block from whoever the server names."""
    host = new_host()
    async with HttpRouter(url).run() as router:
        client = BitswapClient(host, content_router=router)
        async with host.run([LOOPBACK]), client.run():
            return bytes(await client.get_block(cid))


async def main() -> None:
    host = new_host()
    node = BitswapClient(host)
    cid = CID.for_block(b"found over HTTP")
    own = OwnBlocks(lambda: PeerInfo(host.get_id(), host.get_addrs()), node.block_store.has_block)
    async with (
        host.run([LOOPBACK]),
        node.run(),
        listening(RoutingServer(own), "127.0.0.1:0") as url,
    ):
        await node.add_block(cid, b"found over HTTP")
        print((await fetch(url, cid)).decode())


if __name__ == "__main__":
    trio.run(main)
