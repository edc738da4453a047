"""py-libp2p's `PeerRouting`: a thin form of what `KadDHT` does with peers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from libp2p.kad_dht.config import DEFAULT_DHT_CONFIG

if TYPE_CHECKING:
    from libp2p.host.basic_host import BasicHost
    from libp2p.kad_dht.py_libp2p import TablePeers
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

ALPHA = DEFAULT_DHT_CONFIG.alpha
BETA = DEFAULT_DHT_CONFIG.beta


class PeerFinder(Protocol):
    """The parts of a `KadDHT` that `PeerRouting` uses."""

    host: BasicHost
    routing_table: TablePeers

    async def find_peer(self, peer_id: ID) -> PeerInfo | None: ...

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]: ...

    async def ask_for_closest(self, peer_id: ID, key: bytes) -> list[PeerInfo]: ...

    async def refresh_routing_table(self) -> None: ...


class PeerRouting:
    """``dht.peer_routing``."""

    def __init__(self, dht: PeerFinder) -> None:
        self._dht = dht
        self.host = dht.host
        self.routing_table = dht.routing_table

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """Do as `KadDHT.find_peer`."""
        return await self._dht.find_peer(peer_id)

    async def find_closest_peers_network(self, target_key: bytes, count: int = 20) -> list[ID]:
        """Return the peers closest to a key that answered."""
        found = await self._dht.get_closest_peers(target_key)
        return [info.peer_id for info in found][:count]

    async def _query_single_peer_for_closest(
        self, peer: ID, target_key: bytes, new_peers: list[ID]
    ) -> None:
        """
        Ask one peer for the closest to a key, and add those that it names.

        The program of libp2p's kad-dht suite replaces this, so it is here though private.
        """
        for info in await self._dht.ask_for_closest(peer, target_key):
            if info.peer_id not in new_peers:
                new_peers.append(info.peer_id)

    async def refresh_routing_table(self) -> None:
        """Do as `KadDHT.refresh_routing_table`."""
        await self._dht.refresh_routing_table()
