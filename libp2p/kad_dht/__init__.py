"""The Kademlia DHT of the IPFS network: `KadDHT`, and `DualDHT` for the public and local one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from libp2p.kad_dht.config import DHTConfig as DHTConfig
    from libp2p.kad_dht.dual import DualDHT as DualDHT
    from libp2p.kad_dht.filters import DHTNetwork as DHTNetwork
    from libp2p.kad_dht.kad_dht import KadDHT as KadDHT
    from libp2p.kad_dht.mode import DHTMode as DHTMode
    from libp2p.kad_dht.peer_routing import PeerRouting as PeerRouting
    from libp2p.kad_dht.provider_store import ProviderStore as ProviderStore
    from libp2p.kad_dht.routing_table import RoutingTable as RoutingTable
    from libp2p.kad_dht.statistics import DHTStatistics as DHTStatistics
    from libp2p.kad_dht.value_store import ValueStore as ValueStore

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            ".config": ["DHTConfig"],
            ".dual": ["DualDHT"],
            ".filters": ["DHTNetwork"],
            ".kad_dht": ["KadDHT"],
            ".mode": ["DHTMode"],
            ".peer_routing": ["PeerRouting"],
            ".provider_store": ["ProviderStore"],
            ".routing_table": ["RoutingTable"],
            ".statistics": ["DHTStatistics"],
            ".value_store": ["ValueStore"],
        },
    )
