"""The parts of a DHT as py-libp2p's programs use them: its routing table and its two stores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.kad_dht.diagnostics import RoutingTableDiagnostics
from libp2p.kad_dht.keys import provider_key
from libp2p.kad_dht.keyspace import key_of
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PERMANENT_ADDR_TTL

if TYPE_CHECKING:
    from libp2p.kad_dht.engine import Engine
    from libp2p.kad_dht.messages import Record
    from libp2p.kad_dht.providers import Providers
    from libp2p.kad_dht.statistics import DHTStatistics
    from libp2p.kad_dht.values import Values


class RecordsOfDHT(Protocol):
    """The parts of a `KadDHT` that `ProviderRecords` uses."""

    async def provide(self, key: bytes, announce: bool = True) -> bool: ...

    async def find_providers(self, key: bytes, count: int = 20) -> list[PeerInfo]: ...

    def local_providers(self, key: bytes) -> list[PeerInfo]: ...

    def statistics(self) -> DHTStatistics: ...


class TablePeers:
    """``dht.routing_table``; `KadDHT.table` is the table itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._table = engine.table

    async def add_peer(
        self, peer_obj: PeerInfo | ID, *, skip_server_mode_check: bool = False
    ) -> bool:
        """
        Offer a peer to the table; return whether it is in it.

        A peer enters when it has answered, which may be after this method has returned.
        """
        peer = peer_obj.peer_id if isinstance(peer_obj, PeerInfo) else ID.of(peer_obj)
        if isinstance(peer_obj, PeerInfo):
            self._engine.host.get_peerstore().add_addrs(peer, peer_obj.addrs, PERMANENT_ADDR_TTL)
        if peer != self._engine.own and (skip_server_mode_check or self._engine.is_server(peer)):
            self._engine.consider(peer, verified=skip_server_mode_check)
        await trio.lowlevel.checkpoint()
        return peer in self._table

    def remove_peer(self, peer_id: ID) -> bool:
        """Remove a peer; return whether it was there."""
        return self._table.remove(peer_id)

    def find_local_closest_peers(self, key: bytes, count: int = 20) -> list[ID]:
        """Return the table's peers closest to a key."""
        return self._table.closest(key_of(key), count)

    def get_peer_ids(self) -> list[ID]:
        """Return all peers of the table."""
        return list(self._table)

    def get_peer_infos(self) -> list[PeerInfo]:
        """Return all peers of the table with their addresses."""
        rows = filter(None, map(self._table.row, self._table))
        return [self._engine.info_of(row.entry) for row in rows]

    def get_peer_info(self, peer_id: ID) -> PeerInfo | None:
        """Return a peer of the table with its addresses."""
        row = self._table.row(peer_id)
        return None if row is None else self._engine.info_of(row.entry)

    def peer_in_table(self, peer_id: ID) -> bool:
        """Tell whether a peer is in the table."""
        return peer_id in self._table

    def size(self) -> int:
        """Return how many peers it has."""
        return len(self._table)

    def get_diagnostics(self) -> RoutingTableDiagnostics:
        """Return what looks at the table: how full it is, how fresh its peers are."""
        return RoutingTableDiagnostics(self._table, trio.current_time, time.time)


class ProviderRecords:
    """``dht.provider_store``: keys are the bytes of a multihash, or any others."""

    def __init__(self, dht: RecordsOfDHT, providers: Providers) -> None:
        self._dht = dht
        self._providers = providers

    async def provide(self, key: bytes) -> bool:
        """Do as `KadDHT.provide`."""
        return await self._dht.provide(key)

    async def find_providers(self, key: bytes, count: int = 20) -> list[PeerInfo]:
        """Do as `KadDHT.find_providers`."""
        return await self._dht.find_providers(key, count)

    def add_provider(self, key: bytes, provider: PeerInfo) -> bool:
        """Note here that a peer has a block; return whether there was room for the record."""
        return self._providers.add_here(provider_key(key), provider)

    def get_providers(self, key: bytes) -> list[PeerInfo]:
        """Return the providers that are recorded here."""
        return self._dht.local_providers(key)

    def size(self) -> int:
        """Return how many keys have providers here."""
        return self._dht.statistics().provider_records


class ValueRecords:
    """``dht.value_store``: the values that this host keeps."""

    def __init__(self, values: Values) -> None:
        self._values = values

    @property
    def store(self) -> dict[bytes, bytes]:
        """The values that are stored here, by their keys."""
        return self._values.local()

    def put(self, key: bytes, value: bytes) -> None:
        """
        Store a value here, for two days.

        :raises InvalidRecordType: if the DHT's validator refuses it.
        :raises InvalidRecord: if a better one is stored here.
        """
        self._values.put_here(key, value)

    def get(self, key: bytes) -> Record | None:
        """Return the record that is stored here: its ``value``, and when the value arrived."""
        return self._values.record_here(key)

    def remove(self, key: bytes) -> bool:
        """Forget a value; return whether it was stored here."""
        return self._values.remove_here(key)

    def has(self, key: bytes) -> bool:
        """Tell whether a value is stored here."""
        return key in self.store

    def get_keys(self) -> list[bytes]:
        """Return the keys of the values that are stored here."""
        return list(self.store)

    def size(self) -> int:
        """Return how many values are stored here."""
        return len(self.store)
