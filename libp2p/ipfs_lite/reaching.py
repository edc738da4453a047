"""Connects to a peer of whom perhaps only the id is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import (
    BaseLibp2pError,
    ConnectionFailure,
    InvalidPeerID,
)
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import InvalidAddrError, PeerInfo
from libp2p.peer.peerstore import known_addresses
from libp2p.utils.arguments import wrong_type
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost
    from libp2p.ipfs_lite.routing import PeerRouting
    from libp2p.kad_dht.dual import DualDHT

logger = get_logger(__name__)


async def connect(host: IHost, routing: PeerRouting, peer: object) -> ID:
    """
    Be connected to a peer; see `Peer.connect`.

    Addresses that routers say are hearsay: they are dialled within the limits for those.
    """
    info = peer_of(peer)
    is_connected = info.peer_id in host.get_connected_peers()
    if info.addrs or is_connected or known_addresses(host.get_peerstore(), info.peer_id):
        await host.connect(info)
        return info.peer_id
    found = await routing.find_peer(info.peer_id)
    if found is None:
        raise ConnectionFailure(f"no router knows where {info.peer_id} is")
    await host.connect(found, hearsay=True)
    return info.peer_id


def peer_of(peer: object) -> PeerInfo:
    """
    Read a peer: a `PeerInfo`, an address with ``/p2p/<peer id>``, or a peer id.

    :raises InvalidAddrError: if it is none of these.
    """
    if isinstance(peer, ID):
        return PeerInfo(peer, [])
    if isinstance(peer, str) and not peer.startswith("/"):
        try:
            return PeerInfo(ID.from_string(peer), [])
        except InvalidPeerID as error:
            raise InvalidAddrError(f"{peer!r} is no peer id and no address ({error})") from error
    if isinstance(peer, bytes):
        expected = "a PeerInfo, a peer id, or an address that ends in /p2p/<peer id>"
        raise wrong_type("the peer", peer, expected)
    return PeerInfo.of(peer)


async def connect_all(
    host: IHost, dht: DualDHT | None, peers: Iterable[PeerInfo | Multiaddr | str]
) -> list[ID]:
    """Connect to all at the same time, then fill the DHT's tables; see `Peer.bootstrap`."""
    infos = [peer_of(peer) for peer in peers]
    reached: list[ID] = []

    async def reach(info: PeerInfo) -> None:
        try:
            await host.connect(info)
        except BaseLibp2pError as error:
            logger.info("not connected to %s: %s", info.peer_id, error)
        else:
            reached.append(info.peer_id)

    async with trio.open_nursery() as nursery:
        for info in infos:
            nursery.start_soon(reach, info)
    if len(reached) < len(infos) / 2:
        logger.warning("only %d of %d bootstrap peers are connected", len(reached), len(infos))
    if dht is not None and reached:
        for table in (dht.wan, dht.lan):
            await table.refresh_routing_table()
    return reached
