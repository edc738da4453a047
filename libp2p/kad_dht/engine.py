"""What all parts of a DHT use: the table, the requests, and the lookups under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import RoutingError
from libp2p.kad_dht.config import MAX_READ_ADDRESSES
from libp2p.kad_dht.diversity import without_crowds
from libp2p.kad_dht.errors import NoPeersError
from libp2p.kad_dht.keyspace import key_of
from libp2p.kad_dht.lookup import MAX_HEARD_OF_ONE, SEEDS
from libp2p.kad_dht.messages import Connection, Message, MessageType, PeerEntry
from libp2p.kad_dht.query import Query
from libp2p.kad_dht.requests import RequestFailed
from libp2p.peer.addresses import addresses_from_wire, split_peer_id
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import known_addresses
from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import TProtocol
    from libp2p.host.basic_host import BasicHost
    from libp2p.kad_dht.config import DHTConfig
    from libp2p.kad_dht.filters import DHTNetwork
    from libp2p.kad_dht.requests import Requests
    from libp2p.kad_dht.routing_table import RoutingTable
    from libp2p.kad_dht.statistics import Counters
    from libp2p.peer.id import ID


class Engine:
    """One DHT: asks peers, and learns from their answers who belongs into the table."""

    def __init__(
        self,
        host: BasicHost,
        protocol: TProtocol,
        network: DHTNetwork,
        table: RoutingTable,
        requests: Requests,
        counters: Counters,
        config: DHTConfig,
    ) -> None:
        self.host = host
        self.protocol = protocol
        self.network = network
        self.table = table
        self.requests = requests
        self.counters = counters
        self.config = config
        self.own = host.get_id()
        self.queries: dict[Query, None] = {}
        self._nursery: trio.Nursery | None = None
        self._slots = trio.CapacityLimiter(config.max_lookups)
        self._faults = FaultLog()
        self._on_table_change: Callable[[], object] = _do_nothing

    # -- life ---------------------------------------------------------------------------------

    def begin(self, nursery: trio.Nursery, on_table_change: Callable[[], object]) -> None:
        """Start tasks in ``nursery``; ``on_table_change`` handles the table's events."""
        self._nursery = nursery
        self._on_table_change = on_table_change

    def end(self) -> None:
        """Start no more tasks."""
        self._nursery = None
        self._on_table_change = _do_nothing
        self.requests.close()

    def start(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        """
        Run a task for as long as the DHT runs; its failure is logged.

        :raises RoutingError: if the DHT does not run.
        """
        running(self._nursery).start_soon(self._run, task, *args)

    async def _run(self, task: Callable[..., Awaitable[object]], *args: object) -> None:
        try:
            await task(*args)
        except Exception as error:  # noqa: BLE001 - task's edge: it must not end the host
            self._faults.note("a task of the DHT", error)

    @property
    def is_running(self) -> bool:
        """Whether tasks can be started."""
        return self._nursery is not None

    # -- lookups ------------------------------------------------------------------------------

    async def look_up(
        self,
        request: Message,
        on_answer: Callable[[ID, Message], bool] | None = None,
    ) -> list[PeerEntry]:
        """
        Ask the peers near the key of a request; return the closest ones that answered.

        :param on_answer: called with each answer; returns True to end the lookup.
        :raises NoPeersError: if nobody is known who could be asked.
        :raises RoutingError: if nobody answered.
        """
        running(self._nursery)
        async with self._slots:
            seeds = self._seeds(request.key)
            if not seeds:
                raise NoPeersError("the routing table is empty: connect to a peer of the DHT first")
            query = Query(
                self.requests,
                request,
                seeds,
                self.config,
                own=self.own,
                worth_asking=self.worth_asking,
                on_result=self.learn,
                on_answer=on_answer,
            )
            self.queries[query] = None
            try:
                closest = await query.run()
            finally:
                del self.queries[query]
        cost = query.statistics
        self.counters.count_lookup(failed=not cost.answered)
        if not cost.answered:
            raise RoutingError(f"none of {cost.requests} peers of the DHT answered")
        self.table.refreshed(key_of(request.key), trio.current_time())
        return closest

    async def closest_to(self, key: bytes) -> list[PeerEntry]:
        """
        Return the closest peers to a key.

        :raises RoutingError: if nobody answered.
        """
        return await self.look_up(Message(MessageType.FIND_NODE, key))

    async def ask_for_closest(self, peer: ID, key: bytes) -> list[PeerEntry]:
        """
        Return the peers that one peer names as the closest to a key; nobody has asked these.

        :raises RoutingError: if it does not answer.
        """
        request = Message(MessageType.FIND_NODE, key)
        return list((await self.requests.ask(peer, request, self.known_addresses(peer))).closer)

    async def send_to_all(
        self, peers: Iterable[PeerEntry], send: Callable[[PeerEntry], Awaitable[object]]
    ) -> int:
        """Send something to peers at the same time; return how many took it."""
        taken = 0

        async def send_to(peer: PeerEntry) -> None:
            nonlocal taken
            with suppress(RequestFailed):
                await send(peer)
                taken += 1

        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(send_to, peer)
        return taken

    def _seeds(self, key: bytes) -> list[PeerEntry]:
        seeds = self.table.closest_entries(key_of(key), SEEDS * self.config.k)
        return seeds or self._connected_servers()

    def _connected_servers(self) -> list[PeerEntry]:
        """Peers of this network that are being checked yet, in the first moments."""
        servers = filter(self.is_server, self.host.get_connected_peers())
        entries = (PeerEntry(peer, self.known_addresses(peer)) for peer in servers)
        return list(islice(filter(self.may_ask, entries), self.config.k))

    @property
    def has_peers(self) -> bool:
        """Whether there is a peer to begin a lookup with."""
        return bool(len(self.table) or self._connected_servers())

    def may_ask(self, entry: PeerEntry) -> bool:
        """Tell whether a peer that an answer names may be asked in its turn."""
        if entry.peer_id == self.own:
            return False
        return self.network.may_ask(entry.addrs or self.known_addresses(entry.peer_id))

    def worth_asking(self, entries: Iterable[PeerEntry]) -> list[PeerEntry]:
        """Return those peers of an answer that may be asked, without crowds of one IP group."""
        most = self.table.config.max_per_group
        first = islice(entries, MAX_HEARD_OF_ONE * self.config.k)
        usable = list(filter(self.may_ask, first))
        return without_crowds(usable, most) if most else usable

    # -- what is known of peers ---------------------------------------------------------------

    def is_server(self, peer: ID) -> bool:
        """Tell whether a peer has said (identify) that it speaks the protocol."""
        return bool(self.host.get_peerstore().supports_protocols(peer, [self.protocol]))

    def known_addresses(self, peer: ID) -> tuple[bytes, ...]:
        """Return the addresses of a peer that the peerstore has, in binary form."""
        return tuple(addr.to_bytes() for addr in known_addresses(self.host.get_peerstore(), peer))

    def entry_of(self, peer: ID) -> PeerEntry | None:
        """Return a peer with its known addresses, server or not; None if no address is known."""
        if peer == self.own:
            addrs = tuple(addr.to_bytes() for addr in self.own_addresses())
        else:
            addrs = self.network.to_tell(self.known_addresses(peer))
        if not addrs:
            return None
        connected = self.host.is_peer_connected(peer)
        return PeerEntry(peer, addrs, Connection.CONNECTED if connected else Connection.CAN_CONNECT)

    def is_connected(self, peer: ID) -> bool:
        """Tell whether there is a connection to a peer."""
        return self.host.is_peer_connected(peer)

    def own_addresses(self) -> list[Multiaddr]:
        """Return the addresses of this host that peers of this DHT can use, without its id."""
        addrs = [split_peer_id(addr)[0] for addr in self.host.get_addrs()]
        return self.network.to_announce(addrs)

    def info_of(self, entry: PeerEntry) -> PeerInfo:
        """Return a peer of an answer, with the addresses known here if the answer has none."""
        addrs = entry.addrs or self.known_addresses(entry.peer_id)
        return PeerInfo(entry.peer_id, addresses_from_wire(addrs, MAX_READ_ADDRESSES))

    def learn(self, peer: ID, answered: bool) -> None:
        """Let a peer that has answered enter the table, and one that has not leave it."""
        now = trio.current_time()
        if not answered:
            self.table.remove(peer)
        elif peer in self.table:
            self.table.touch(peer, now, useful=True)
        else:
            self.consider(peer, verified=True)
        self._on_table_change()

    def consider(self, peer: ID, *, verified: bool = False) -> None:
        """Offer a peer to the table."""
        known = self.known_addresses(peer)
        if not self.network.may_list(known):
            return
        addrs = self.network.to_tell(known)
        connections = self.host.get_network().get_connections(peer)
        observed = [a.to_bytes() for c in connections for a in c.get_transport_addresses()]
        self.table.consider(peer, addrs, trio.current_time(), observed=observed, verified=verified)
        self._on_table_change()


def running(nursery: trio.Nursery | None) -> trio.Nursery:
    """
    Return the nursery of a DHT.

    :raises RoutingError: if it is None: the DHT does not run.
    """
    if nursery is None:
        raise RoutingError("the DHT is not running: use it within `async with dht.run()`")
    return nursery


def _do_nothing() -> None:
    """Ignore the table's events: the DHT does not run."""
