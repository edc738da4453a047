"""py-libp2p's `PeerRouting`: a thin form of what `KadDHT` does with peers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from libp2p.kad_dht.config import DEFAULT_DHT_CONFIG

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

ALPHA = DEFAULT_DHT_CONFIG.alpha
BETA = DEFAULT_DHT_CONFIG.beta


class PeerFinder(Protocol):
    """What is used of a `KadDHT`."""

    async def find_peer(self, peer_id: ID) -> PeerInfo | None: ...

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]: ...

    async def refresh_routing_table(self) -> None: ...


class PeerRouting:
    """``dht.peer_routing``."""

    def __init__(self, dht: PeerFinder) -> None:
        self._dht = dht

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """Do as `KadDHT.find_peer`."""
        return await self._dht.find_peer(peer_id)

    async def find_closest_peers_network(self, target_key: bytes, count: int = 20) -> list[ID]:
        """Return the peers closest to a key that answered."""
        found = await self._dht.get_closest_peers(target_key)
        return [info.peer_id for info in found][:count]

    async def refresh_routing_table(self) -> None:
        """Do as `KadDHT.refresh_routing_table`."""
        await self._dht.refresh_routing_table()
