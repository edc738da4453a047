"""A router of your own: a list in a file says who has which block; friends are asked as well."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import trio

from libp2p import MemoryTransport, new_host
from libp2p.bitswap import BitswapClient
from libp2p.ipld.cid import CID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.parallel import ParallelRouter
from libp2p.routing.static import StaticRouter


class Catalogue:
    """Knows who has a block, by its multihash: the same block may be asked for by several CIDs."""

    def __init__(self) -> None:
        self._peers: dict[bytes, list[PeerInfo]] = {}

    def add(self, cid: CID, peer: PeerInfo) -> None:
        self._peers.setdefault(cid.multihash, []).append(peer)

    async def find_provider_iter(
        self, cid: bytes, count: int = 0
    ) -> AsyncGenerator[PeerInfo, None]:
        for peer in self._peers.get(CID.of(cid).multihash, [])[: count or None]:
            yield peer

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        return False  # whoever writes the list announces


FRIEND = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWA3sRJSUyBaDW1X1hiYKRt7QrE8HZaPLj3MTdi8vdBkjR"


async def main() -> None:
    here, there = (new_host(transports=[MemoryTransport()]) for _ in range(2))
    server, catalogue = BitswapClient(there), Catalogue()
    routers = {"catalogue": catalogue, "friends": StaticRouter([FRIEND])}
    router = ParallelRouter(routers, timeouts={"friends": 5})
    client = BitswapClient(here, content_router=router)
    async with there.run(["/memory/0"]), server.run(), here.run(), router.run(), client.run():
        data = b"found in the catalogue"
        cid = CID.for_block(data)
        await server.add_block(cid, data)
        catalogue.add(cid, PeerInfo(there.get_id(), there.get_addrs()))
        print(bytes(await client.get_block(cid)).decode())
        for report in router.reports():
            print(
                f"{report.name}: {report.results} of {report.calls} calls, {report.errors} errors"
            )


if __name__ == "__main__":
    trio.run(main)
