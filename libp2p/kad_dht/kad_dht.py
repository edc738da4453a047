"""
The DHT of the IPFS network: `KadDHT`.

https://github.com/libp2p/specs/blob/master/kad-dht/README.md. All decisions are
pure and stand in other files: the routing table, the lookup, the answers to peers, the stores. This
file gives them a host, a clock and tasks.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from libp2p.base_types import TProtocol
from libp2p.events import ListenAddressesChanged, PeerConnected
from libp2p.exceptions import InvalidArgument, RoutingError
from libp2p.kad_dht.config import DEFAULT_DHT_CONFIG, MAX_FOUND
from libp2p.kad_dht.engine import Engine
from libp2p.kad_dht.errors import NoPeersError
from libp2p.kad_dht.filters import DHTNetwork
from libp2p.kad_dht.keys import provider_key, value_key
from libp2p.kad_dht.mode import DHTMode
from libp2p.kad_dht.peer_routing import PeerRouting
from libp2p.kad_dht.peers import find_peer
from libp2p.kad_dht.persistence import RecordKeeper, datastore_in
from libp2p.kad_dht.provider_store import ProviderStore
from libp2p.kad_dht.providers import Providers
from libp2p.kad_dht.py_libp2p import ProviderRecords, TablePeers, ValueRecords
from libp2p.kad_dht.request_handler import RequestHandler
from libp2p.kad_dht.requests import Requests
from libp2p.kad_dht.routing_table import BUCKET_SIZE, RoutingTable, RoutingTableConfig
from libp2p.kad_dht.search import all_of, last_of
from libp2p.kad_dht.server import RequestServer
from libp2p.kad_dht.statistics import Counters, DHTStatistics, LookupUnderWay
from libp2p.kad_dht.upkeep import TableUpkeep
from libp2p.kad_dht.value_store import ValueStore
from libp2p.kad_dht.values import Values
from libp2p.peer.id import ID
from libp2p.records.ipns import IPNSValidator
from libp2p.records.pubkey import PublicKeyValidator
from libp2p.records.validator import NamespacedValidator
from libp2p.utils import arguments
from libp2p.utils.background import background_tasks
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.datastore import Datastore
    from libp2p.events import HostEvent
    from libp2p.host.basic_host import BasicHost
    from libp2p.kad_dht.config import DHTConfig
    from libp2p.kad_dht.diagnostics import RoutingTableDiagnostics
    from libp2p.kad_dht.keys import ProviderKey
    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.records.validator import Validator
    from libp2p.utils.event_bus import Subscription

__all__ = ["DHTMode", "DHTNetwork", "KadDHT"]

#: How the protocol's name begins in the IPFS network, and how it ends.
PROTOCOL_PREFIX: Final = TProtocol("/ipfs")
PROTOCOL_SUFFIX: Final = "/kad/1.0.0"
#: What stands between these two in the name of a local network's DHT.
LAN_INFIX: Final = "/lan"

#: The namespaces of the IPFS network.
DEFAULT_VALIDATORS: Final = {"pk": PublicKeyValidator, "ipns": IPNSValidator}


class KadDHT:
    """
    Finds providers of blocks, addresses of peers and small values; keeps such records for others.

    A DHT works within ``async with dht.run():``, and its host has to run longer. It is a
    `ContentRouter`, a `PeerRouter` and a `ValueRouter`. py-libp2p's methods are here under their
    names.

    :param mode: whether peers may ask this host.
    :param enable_random_walk: py-libp2p's name for refreshing the table, which is always done.
    :param validator: decides which values are good. Those of ``/pk`` and ``/ipns`` are added.
    :param validator_changed: add none to ``validator``.
    :param protocol_prefix: what the protocol's name begins with: a network of one's own has
        another one.
    :param enable_providers: answer requests for provider records.
    :param enable_values: answer requests for values.
    :param strict_validation: refuse values whose keys are in no namespace with a validator.
    :param persist_dir: a folder for the records that are kept for others.
    :param max_peers_per_subnet: peers of one IP group with one common prefix length in the
        routing table; 0 is no limit. None is go-libp2p's number in the public network, and no
        limit in others.
    :param max_peers_per_subnet_table: the same for the whole table; 0 is as None above.
    :param network: which peers belong into it; see `DHTNetwork`.
    :param lan: the DHT of a local network: ``/ipfs/lan/kad/1.0.0`` and `DHTNetwork.LAN`.
    :param datastore: where the records are kept, in place of ``persist_dir``.
    :param table_config: in place of the parameters of the table above.
    :raises TypeError: or `ValueError`, if an argument cannot be.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - py-libp2p's parameters, in its order
        self,
        host: BasicHost,
        mode: DHTMode = DHTMode.AUTO,
        enable_random_walk: bool = False,
        validator: NamespacedValidator | None = None,
        validator_changed: bool = False,
        protocol_prefix: TProtocol = PROTOCOL_PREFIX,
        enable_providers: bool = True,
        enable_values: bool = True,
        strict_validation: bool = False,
        persist_dir: str | None = None,
        max_peers_per_subnet: int | None = None,
        max_peers_per_subnet_table: int = 0,
        *,
        network: DHTNetwork = DHTNetwork.ANY,
        lan: bool = False,
        datastore: Datastore | None = None,
        config: DHTConfig = DEFAULT_DHT_CONFIG,
        table_config: RoutingTableConfig | None = None,
    ) -> None:
        self.host = host
        arguments.instance(mode, DHTMode, "mode")
        self.mode = mode
        self.local_peer_id = host.get_id()
        self.enable_random_walk = enable_random_walk
        self.enable_providers = enable_providers
        self.enable_values = enable_values
        self.protocol_prefix = protocol_prefix
        self.network = DHTNetwork.LAN if lan else network
        infix = LAN_INFIX if lan else ""
        self.protocol = TProtocol(f"{protocol_prefix}{infix}{PROTOCOL_SUFFIX}")
        self.validator = validator or NamespacedValidator({})
        self.validator_changed = validator_changed
        self.strict_validation = strict_validation
        self.apply_fallbacks()
        self._config = config
        self._datastore = datastore
        self._persist_dir = persist_dir
        if table_config is None:
            table_config = _table_config(
                self.network, max_peers_per_subnet, max_peers_per_subnet_table
            )
        self._build(table_config, infix)

    def _build(self, table_config: RoutingTableConfig, infix: str) -> None:
        """Make the parts and connect them."""
        host, config = self.host, self._config
        #: The routing table, to look at.
        self.table = RoutingTable(self.local_peer_id, table_config)
        self._counters = Counters()
        requests = Requests(host, self.protocol, self._counters, config)
        self._engine = Engine(
            host, self.protocol, self.network, self.table, requests, self._counters, config
        )
        self._upkeep = TableUpkeep(self._engine)
        self._provider_store = ProviderStore(namespace=f"dht{infix} providers")
        self._value_store = ValueStore(self._validator_now, namespace=f"dht{infix} values")
        stores = (self._provider_store, self._value_store)
        self._keeper = RecordKeeper(stores, time.time)
        self._providers = Providers(
            self._engine, self._provider_store, time.time, self._keeper.changed
        )
        self._values = Values(
            self._engine, self._value_store, self._validator_now, time.time, self._keeper.changed
        )
        self._server = RequestServer(
            self._new_handler(),
            self._engine.start,
            time.time,
            self._counters,
            host.resources,
            config,
            on_stored=self._keeper.changed,
        )
        self.routing_table = TablePeers(self._engine)
        self.peer_routing = PeerRouting(self)
        self.provider_store = ProviderRecords(self, self._providers)
        self.value_store = ValueRecords(self._values)

    def __repr__(self) -> str:
        return shown(self, lambda: f"{self.protocol} {self.active_mode}, {len(self.table)} peers")

    # -- life ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """
        Run the DHT for the length of the block.

        py-libp2p's ``background_trio_service(dht)`` does the same.

        :raises RoutingError: if it is running already.
        """
        if self._engine.is_running:
            raise RoutingError("the DHT is running already")
        datastore = self._datastore or datastore_in(self._persist_dir)
        subscription: Subscription = self.host.subscribe(
            self._look_at_addresses, ListenAddressesChanged, PeerConnected
        )
        try:
            async with background_tasks() as nursery:
                await self._keeper.load(datastore)
                self._engine.begin(nursery, self._upkeep.act)
                for task in (self._keeper.run, self._server.run, self._upkeep.run):
                    self._engine.start(task)
                self._serve_if_due()
                yield
        finally:
            subscription.cancel()
            self._engine.end()
            self._stop_serving()
            if datastore is not self._datastore and datastore is not None:
                with trio.CancelScope(shield=True):
                    await datastore.close()

    def _new_handler(self) -> RequestHandler:
        return RequestHandler(
            self.table,
            self._provider_store if self.enable_providers else None,
            self._value_store if self.enable_values else None,
            self._validator_now,
            self._engine.entry_of,
            self._engine.is_connected,
            self._config.k,
        )

    def _validator_now(self) -> NamespacedValidator:
        """Return the current validator: programs may replace it."""
        return self.validator

    @property
    def active_mode(self) -> str:
        """``server`` while peers may ask, else ``client``."""
        is_served = self.host.get_mux().handlers.get(self.protocol) is self._server
        return "server" if is_served else "client"

    async def switch_mode(self, new_mode: DHTMode) -> DHTMode:
        """Take another mode and tell connected peers; return ``new_mode``."""
        arguments.instance(new_mode, DHTMode, "new_mode")
        self.mode = new_mode
        self._serve_if_due()
        await trio.lowlevel.checkpoint()
        return new_mode

    def _look_at_addresses(self, _event: HostEvent) -> None:
        if self.mode is DHTMode.AUTO:
            self._serve_if_due()

    def _serve_if_due(self) -> None:
        is_due = self.mode is DHTMode.SERVER or (
            self.mode is DHTMode.AUTO and self.network.can_be_reached(self.host.get_addrs())
        )
        if not is_due or not self._engine.is_running:
            self._stop_serving()
        elif self.active_mode == "client":
            self.host.set_stream_handler(self.protocol, self._server)

    def _stop_serving(self) -> None:
        if self.active_mode == "server":
            self.host.remove_stream_handler(self.protocol)
            self._server.close()

    # -- content ------------------------------------------------------------------------------

    async def provide(self, key: ProviderKey, announce: bool = True) -> bool:
        """
        Announce that this host has a block; return whether a peer was sent the record.

        :param key: a CID in any form; see `provider_key`.
        :param announce: False notes the block here only.
        :return: False too if no peer is known yet, as in py-libp2p.
        :raises RoutingError: if nobody answered, or this host has no address to announce.
        """
        try:
            return await self._providers.provide(provider_key(key), announce)
        except NoPeersError:
            return False

    def find_provider_iter(
        self, cid: ProviderKey, count: int = 0
    ) -> AsyncGenerator[PeerInfo, None]:
        """
        Yield the peers that have announced a block, as they are found.

        Close the iterator (``aclose``) to end the search early.

        :param count: providers at most; 0 is as many as there are.
        :raises RoutingError: if none is known here and nobody could be asked.
        """
        count = arguments.count(count, "count") or MAX_FOUND
        return self._providers.find(provider_key(cid), count)

    async def find_providers(self, key: ProviderKey, count: int = 20) -> list[PeerInfo]:
        """
        Return the peers that have announced a block, at most ``count``.

        :return: nothing too if no peer is known yet, as in py-libp2p.
        :raises RoutingError: if none is known here and nobody answered.
        """
        return await all_of(self.find_provider_iter(key, count))

    async def send_provider_records(self, peer: ID, multihashes: Sequence[bytes]) -> int:
        """
        Tell a peer of many blocks that this host has, on one stream; return their number.

        :raises RoutingError: if they could not be sent, or this host has no address to announce.
        """
        return await self._providers.send_records(ID.of(peer), multihashes)

    # -- peers --------------------------------------------------------------------------------

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """
        Return a peer with its addresses: those in the peerstore, else those that others name.

        :raises RoutingError: if nobody could be asked.
        """
        return await find_peer(self._engine, ID.of(peer_id))

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        """
        Return the peers closest to a key that answered, the closest one first.

        :param key: a multihash, a peer id in bytes, or the key of a value.
        :raises RoutingError: if nobody could be asked.
        """
        closest = await self._engine.closest_to(bytes(arguments.binary(key, "key")))
        return [self._engine.info_of(entry) for entry in closest]

    async def ask_for_closest(self, peer_id: ID, key: bytes) -> list[PeerInfo]:
        """
        Return the peers that one peer names as the closest to a key; nobody has asked these.

        :raises RoutingError: if it does not answer.
        """
        entries = await self._engine.ask_for_closest(peer_id, bytes(arguments.binary(key, "key")))
        return [self._engine.info_of(entry) for entry in entries]

    async def add_peer(self, peer_id: ID, *, skip_server_mode_check: bool = False) -> bool:
        """Offer a peer to the routing table; see `TablePeers.add_peer`."""
        return await self.routing_table.add_peer(
            peer_id, skip_server_mode_check=skip_server_mode_check
        )

    @property
    def has_peers(self) -> bool:
        """Whether a peer can be asked: one of the table, or one that is about to enter it."""
        return self._engine.has_peers

    async def refresh_routing_table(self) -> None:
        """Look up what is near this host; the table learns who answers."""
        if self._engine.has_peers:
            await self._engine.closest_to(self.local_peer_id.to_bytes())

    # -- values -------------------------------------------------------------------------------

    async def put_value(self, key: str | bytes, value: bytes) -> None:
        """
        Store a value here and at the peers closest to its key.

        A host that knows no peer stores it here only.

        :param key: ``/namespace/rest``; text is taken in UTF-8.
        :raises InvalidRecordType: if no validator is responsible for it, or it refuses the value.
        :raises InvalidRecord: if a better value is stored here.
        :raises RoutingError: if peers were asked and none took it.
        """
        await self._values.put(value_key(key), bytes(arguments.binary(value, "value")))

    def search_value(self, key: str | bytes, quorum: int = 0) -> AsyncGenerator[bytes, None]:
        """
        Yield values of a key as they are found, each better than the one before.

        Close peers that have none, or a worse one, are sent the best one in the end.

        :param quorum: end after so many peers that have one; 0 is when all were asked.
        :raises RoutingError: if none is stored here and nobody could be asked.
        """
        return self._values.search(value_key(key), arguments.count(quorum, "quorum"))

    async def get_value(self, key: str | bytes, quorum: int = 0) -> bytes | None:
        """
        Return the best value that `search_value` finds, None if there is none.

        :return: None too if no peer is known yet, as in py-libp2p.
        :raises RoutingError: if none is stored here and nobody answered.
        """
        return await last_of(self.search_value(key, max(quorum, 0)))

    # -- validators ---------------------------------------------------------------------------

    @property
    def strict_validation(self) -> bool:
        """Whether values are refused whose keys no validator is responsible for."""
        return self.validator.strict_validation

    @strict_validation.setter
    def strict_validation(self, value: bool) -> None:
        self.validator.set_strict(value)

    def register_validator(self, namespace: str, validator: Validator) -> None:
        """Let a validator decide about the values of a namespace of one's own."""
        self.validator.add_validator(namespace, validator)

    def set_namespace_validator(self, ns: str, val: Validator) -> None:
        """Do as `register_validator`."""
        self.register_validator(ns, val)

    def set_validator(self, val: NamespacedValidator) -> None:
        """Use ``val`` in place of the validator; the default validators are not added to it."""
        strict = self.strict_validation
        self.validator = val
        self.validator_changed = True
        self.strict_validation = strict

    def apply_fallbacks(self) -> None:
        """Add the validators of ``/pk`` and ``/ipns`` where they are missing."""
        if self.validator_changed:
            return
        for namespace, validator in DEFAULT_VALIDATORS.items():
            if namespace not in self.validator.namespaces:
                self.validator.add_validator(namespace, validator())

    def validate_config(self) -> None:
        """
        Check a DHT of the IPFS network for what that network requires; other DHTs always pass.

        :raises ValueError: if its buckets, its records or its validators differ from that.
        """
        if self.protocol_prefix != PROTOCOL_PREFIX:
            return
        faults = {
            f"a bucket has {BUCKET_SIZE} peers": self.table.config.bucket_size != BUCKET_SIZE,
            "providers are served": not self.enable_providers,
            "values are served": not self.enable_values,
            "/pk and /ipns have validators": not DEFAULT_VALIDATORS.keys()
            <= {*self.validator.namespaces},
        }
        for what, is_fault in faults.items():
            if is_fault:
                raise InvalidArgument(f"in a network of {PROTOCOL_PREFIX}, {what}")

    # -- looking into it ----------------------------------------------------------------------

    def statistics(self) -> DHTStatistics:
        """Return counts and sizes; cheap enough to be asked every second."""
        return DHTStatistics(
            mode=self.active_mode,
            table=len(self.table),
            lookups=len(self._engine.queries),
            lookups_done=self._counters.lookups_done,
            lookups_failed=self._counters.lookups_failed,
            requests=self._engine.requests.under_way,
            served_streams=len(self._server),
            provider_records=len(self._provider_store),
            values=len(self._value_store),
            kinds=self._counters.kinds(),
        )

    def get_diagnostics(self) -> RoutingTableDiagnostics:
        """Return diagnostics of the table; use ``get_diagnostics().analyse().summary()``."""
        return self.routing_table.get_diagnostics()

    def lookups(self) -> list[LookupUnderWay]:
        """Return the lookups under way, with what each has cost so far."""
        return [
            LookupUnderWay(query.request.kind.name, query.request.key, query.statistics)
            for query in self._engine.queries
        ]

    def get_routing_table_size(self) -> int:
        """Return how many peers the routing table has."""
        return len(self.table)

    def get_value_store_size(self) -> int:
        """Return how many values are kept here."""
        return len(self._value_store)

    def is_random_walk_enabled(self) -> bool:
        """Return what the constructor was told; the table is refreshed in any case."""
        return self.enable_random_walk

    def local_providers(self, key: ProviderKey) -> list[PeerInfo]:
        """Return the providers of a block that are recorded here."""
        return self._providers.local(provider_key(key))

    def local_values(self) -> dict[bytes, bytes]:
        """Return the values that are kept here, by their keys."""
        return self._values.local()


def _table_config(
    network: DHTNetwork, per_bucket: int | None, per_table: int
) -> RoutingTableConfig:
    """
    Return the table's configuration for py-libp2p's parameters.

    All hosts of a private network may be in one IP group, so it has no limit unless one is given.
    """
    options: dict[str, int] = {}
    if network is not DHTNetwork.WAN:
        options = {"max_per_group_in_bucket": 0, "max_per_group": 0}
    if per_bucket is not None:
        options["max_per_group_in_bucket"] = max(per_bucket, 0)
    if per_table:
        options["max_per_group"] = per_table
    return RoutingTableConfig(**options, public_only=network is DHTNetwork.WAN)
