"""
A peer that answers ``/routing/v1``: what it has itself, and what its routers know.

One node of a company runs it, and the others ask it: they need no DHT and no public service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from libp2p.exceptions import InvalidArgument
from libp2p.routing.found import FoundPeer
from libp2p.routing.http_server import RoutingServer
from libp2p.routing.own_blocks import OwnBlocks
from libp2p.routing.parallel import ParallelRouter

if TYPE_CHECKING:
    from libp2p.ipfs_lite.peer import Peer
    from libp2p.ipld.cid import CID
    from libp2p.peer.peerinfo import PeerInfo

_TRANSFER = ("transport-bitswap",)


@asynccontextmanager
async def routing_api(peer: Peer, bind: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """
    Answer delegated routing for the length of the block; yield the URL for the others.

    :param bind: the address and the port to listen on, ``"[::]:8080"`` for all.
    :raises InvalidArgument: if it is no address, or the extra ``gateway`` is not installed.
    :raises OpenConnectionError: if it cannot be listened on.
    """
    try:
        from libp2p.routing.http_listener import listening
    except ModuleNotFoundError as error:
        raise InvalidArgument(
            f"a routing API needs the package {error.name}: pip install 'libp2p[gateway]'"
        ) from error

    async def has_block(cid: CID) -> bool:
        return await peer.bitswap.block_store.has_block(cid.buffer)

    def own_info() -> PeerInfo:
        return FoundPeer(peer.peer_id, peer.addrs, _TRANSFER)

    router = ParallelRouter({"own": OwnBlocks(own_info, has_block), "network": peer.routing})
    async with router.run(), listening(RoutingServer(router), bind) as url:
        yield url
