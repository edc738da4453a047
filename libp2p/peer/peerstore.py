"""
All that a host knows of other peers, bounded and in memory.

Only the address subscriptions and py-libp2p's cleanup task wait for anything; all else is plain
bookkeeping over `PeerData`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from libp2p.abc import IPeerStore
from libp2p.crypto.keys import KeyPair
from libp2p.exceptions import InvalidAddrError, InvalidRecord, PeerStoreError
from libp2p.peer.addresses import to_multiaddrs, without_peer_id
from libp2p.peer.envelope import Envelope, seal_record
from libp2p.peer.host_names import set_up_multiaddr
from libp2p.peer.id import ID
from libp2p.peer.own_addresses import MAX_OWN_ADDRESSES
from libp2p.peer.peer_record import PeerRecord
from libp2p.peer.peerdata import MAX_ADDRESSES_PER_PEER, PeerData
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.seen_peers import SeenPeers
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.abc import IHost
    from libp2p.base_types import MetadataValue
    from libp2p.crypto.keys import PrivateKey, PublicKey

__all__ = [
    "HEARSAY_ADDR_TTL",
    "PERMANENT_ADDR_TTL",
    "PeerStore",
    "PeerStoreError",
    "create_signed_peer_record",
    "env_to_send_in_RPC",
    "issue_and_cache_local_record",
    "known_addresses",
]

#: Addresses with this time to live never expire. In go-libp2p 0 deletes them; here, as in
#: py-libp2p, `clear_addrs` does.
PERMANENT_ADDR_TTL: Final = 0

#: Seconds for addresses of a peer that come from a third party, such as a content router: Kubo's
#: number. They are dialled soon or never, and an attacker can invent millions.
HEARSAY_ADDR_TTL: Final = 30 * 60
#: Seconds until a peer is dropped whose addresses have all expired. Until then `addrs` can tell it
#: from a peer that was never known.
EXPIRED_PEER_SECONDS: Final = 10 * 60

#: py-libp2p's limits. A crawl of the DHT finds more peers than a host will ever connect to.
DEFAULT_MAX_PEERS: Final = 1000
DEFAULT_MAX_RECORDS: Final = 2000
#: Addresses of all peers: twenty for each. A thousand peers that each announce five hundred would
#: cost 250 MiB.
MAX_ADDRESSES: Final = 20_000

#: A full store drops this part of its peers at once, so that not every new peer costs a search.
_EVICTED_FRACTION: Final = 16


class PeerStore(IPeerStore):
    """
    See `IPeerStore`.

    When full, it drops the peers that it knows least about, and of these the least recently used.
    Identities of this process and protected peers are kept. Peers whose addresses have expired are
    dropped when others are added; that needs no task.
    """

    def __init__(
        self,
        max_records: int = DEFAULT_MAX_RECORDS,
        max_peers: int = DEFAULT_MAX_PEERS,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.max_records = arguments.count(max_records, "max_records")
        self.max_peers = arguments.count(max_peers, "max_peers")
        self._clock = clock
        self._wall_clock = wall_clock
        self._seen = SeenPeers()
        self._peers: dict[ID, PeerData] = {}
        self._records: dict[ID, Envelope] = {}
        self._local_record: Envelope | None = None
        set_up_multiaddr()
        self._protected: Counter[ID] = Counter()
        self._addresses = 0
        self._expiries: list[tuple[float, bytes]] = []  # a heap with each peer of `_to_expire`
        self._to_expire: set[ID] = set()
        self._subscribers: dict[ID, set[trio.MemorySendChannel[Multiaddr]]] = {}

    def __repr__(self) -> str:
        return shown(self, lambda: f"of {len(self._peers)} peers")

    # -- py-libp2p's names of what is inside; for others to read ----------------------------------

    @property
    def peer_data_map(self) -> Mapping[ID, PeerData]:
        """What is known of each peer."""
        return MappingProxyType(self._peers)

    @property
    def peer_record_map(self) -> Mapping[ID, Envelope]:
        """The signed record of each peer that has sent one."""
        return MappingProxyType(self._records)

    @property
    def local_peer_record(self) -> Envelope | None:
        """The signed record of this process."""
        return self._local_record

    # -- who is remembered ------------------------------------------------------------------------

    def _find(self, peer_id: ID) -> PeerData | None:
        return self._peers.get(ID.of(peer_id))

    def _known(self, peer_id: ID) -> PeerData:
        """:raises PeerStoreError: if the peer is not known."""
        data = self._find(peer_id)
        if data is None:
            raise PeerStoreError("peer ID not found")
        return data

    def _data(self, peer_id: ID) -> PeerData:
        """Return the entry of a peer for an update, and mark it as used; make it if need be."""
        peer_id = ID.of(peer_id)
        data = self._peers.pop(peer_id, None)
        if data is None:
            self._forget_expired()
            if len(self._peers) >= self.max_peers:
                self._evict()
            data = PeerData()
        self._peers[peer_id] = data
        return data

    def _evict(self) -> None:
        now = self._clock()

        def worth(peer_id: ID) -> tuple[bool, int, bool]:
            data = self._peers[peer_id]
            known = bool(data.get_protocols()) + data.has_keys
            return not data.is_expired(now), known, data.is_permanent

        candidates = [peer_id for peer_id in self._peers if self._may_go(peer_id)]
        candidates.sort(key=worth)  # stable: the longest unused first among equals
        for peer_id in candidates[: max(1, self.max_peers // _EVICTED_FRACTION)]:
            self.clear_peerdata(peer_id)

    def _may_go(self, peer_id: ID) -> bool:
        return not self._peers[peer_id].is_own and peer_id not in self._protected

    def _note_addresses(self, peer_id: ID, before: int) -> None:
        """Update the count of addresses after a change of a peer's, who had ``before`` of them."""
        data = self._peers[peer_id]
        self._addresses += data.address_count - before
        if data.address_count and peer_id not in self._to_expire and not data.is_permanent:
            self._watch(peer_id, data.expires_at())
        while self._addresses > MAX_ADDRESSES and len(self._peers) > 1:
            peers = len(self._peers)
            self._evict()
            if len(self._peers) == peers:
                break

    def _watch(self, peer_id: ID, expires_at: float) -> None:
        if len(self._expiries) > 2 * (
            len(self._peers) + 1
        ):  # most of them were forgotten otherwise
            self._to_expire &= self._peers.keys()
            self._expiries = [item for item in self._expiries if ID(item[1]) in self._to_expire]
            heapify(self._expiries)
        self._to_expire.add(peer_id)
        heappush(self._expiries, (expires_at + EXPIRED_PEER_SECONDS, peer_id.to_bytes()))

    def _forget_expired(self) -> None:
        """Forget the peers whose addresses expired some time ago."""
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            peer_id = ID(heappop(self._expiries)[1])
            self._to_expire.discard(peer_id)
            data = self._peers.get(peer_id)
            if data is None or not data.address_count or data.is_permanent:
                continue
            expires_at = data.expires_at()
            if expires_at + EXPIRED_PEER_SECONDS > now:
                self._watch(peer_id, expires_at)
            elif self._may_go(peer_id):
                self.clear_peerdata(peer_id)
            else:
                self._watch(peer_id, now)

    def _changed(self, peer_id: ID) -> None:
        """Note that what is known of a peer has changed; a store that lasts overrides it."""

    def _seen_changed(self, peer_id: ID) -> None:
        """Note that a peer of `seen_peers` has changed."""

    def protect(self, peer_id: ID) -> None:
        self._protected[peer_id] += 1

    def unprotect(self, peer_id: ID) -> None:
        self._protected[peer_id] -= 1
        if self._protected[peer_id] <= 0:
            del self._protected[peer_id]

    def note_connection(
        self,
        peer_id: ID,
        dialled: Sequence[Multiaddr] = (),
        announced: Sequence[Multiaddr] = (),
    ) -> None:
        peer_id = ID.of(peer_id)
        # Each connection comes here: what needs parsing is left to `seen_peers`.
        listed = arguments.listed(dialled, "dialled", "addresses")
        self._seen.note(peer_id, self._wall_clock(), listed, announced)
        self._seen_changed(peer_id)

    def seen_peers(self) -> list[PeerInfo]:
        """
        Return the peers that there was a connection to, the latest one first.

        Those that this host has dialled come before those that have dialled it. Their addresses are
        those that they were dialled at, and then those that they announced; they are kept for
        `libp2p.peer.seen_peers.SEEN_SECONDS`, longer than others.
        """
        return [
            PeerInfo(seen.peer_id, _transports_of(seen.peer_id, seen.addrs))
            for seen in self._seen.latest_first(self._wall_clock())
        ]

    # -- peers ------------------------------------------------------------------------------------

    def peer_info(self, peer_id: ID) -> PeerInfo:
        """:raises PeerStoreError: if the peer is not known."""
        return PeerInfo(ID.of(peer_id), self._known(peer_id).get_addrs(self._clock()))

    def peer_ids(self) -> list[ID]:
        return list(self._peers)

    def has_peer(self, peer_id: ID) -> bool:
        return self._find(peer_id) is not None

    def valid_peer_ids(self) -> list[ID]:
        """Return the peers whose addresses have not all expired."""
        now = self._clock()
        return [peer_id for peer_id, data in self._peers.items() if not data.is_expired(now)]

    def clear_peerdata(self, peer_id: ID) -> None:
        """:raises PeerStoreError: if the peer is not known."""
        peer_id = ID.of(peer_id)
        self._addresses -= self._known(peer_id).address_count
        del self._peers[peer_id]
        self._records.pop(peer_id, None)
        self._changed(peer_id)

    def cleanup(self) -> None:
        """Forget expired addresses, and the peers of which nothing else is known."""
        now = self._clock()
        for peer_id, data in list(self._peers.items()):
            if data.is_expired(now) and self._may_go(peer_id):
                self.clear_peerdata(peer_id)
            else:
                before = data.address_count
                data.drop_expired(now)
                self._note_addresses(peer_id, before)

    async def start_cleanup_task(self, cleanup_interval: int = 300) -> None:
        """Run `cleanup` every ``cleanup_interval`` seconds, until cancelled."""
        while True:
            await trio.sleep(cleanup_interval)  # time: py-libp2p's API asks for an interval
            self.cleanup()

    # -- protocols --------------------------------------------------------------------------------

    def get_protocols(self, peer_id: ID) -> list[str]:
        """:raises PeerStoreError: if the peer is not known."""
        return self._known(peer_id).get_protocols()

    def add_protocols(self, peer_id: ID, protocols: Sequence[str]) -> None:
        self._data(peer_id).add_protocols(arguments.texts(protocols, "protocols"))
        self._changed(peer_id)

    def set_protocols(self, peer_id: ID, protocols: Sequence[str]) -> None:
        self._data(peer_id).set_protocols(arguments.texts(protocols, "protocols"))
        self._changed(peer_id)

    def remove_protocols(self, peer_id: ID, protocols: Sequence[str]) -> None:
        if (data := self._find(peer_id)) is not None:
            data.remove_protocols(protocols)
            self._changed(peer_id)

    def supports_protocols(self, peer_id: ID, protocols: Sequence[str]) -> list[str]:
        data = self._find(peer_id)
        return data.supports_protocols(protocols) if data else []

    def first_supported_protocol(self, peer_id: ID, protocols: Sequence[str]) -> str:
        data = self._find(peer_id)
        return data.first_supported_protocol(protocols) if data else ""

    def clear_protocol_data(self, peer_id: ID) -> None:
        if (data := self._find(peer_id)) is not None:
            data.clear_protocol_data()
            self._changed(peer_id)

    # -- metadata ---------------------------------------------------------------------------------

    def get(self, peer_id: ID, key: str) -> MetadataValue:
        """:raises PeerStoreError: if the peer is not known or has no such value."""
        return self._known(peer_id).get_metadata(key)

    def put(self, peer_id: ID, key: str, val: MetadataValue) -> None:
        self._data(peer_id).put_metadata(key, val)
        self._changed(peer_id)

    def clear_metadata(self, peer_id: ID) -> None:
        if (data := self._find(peer_id)) is not None:
            data.clear_metadata()
            self._changed(peer_id)

    # -- addresses --------------------------------------------------------------------------------

    def add_addr(self, peer_id: ID, addr: Multiaddr, ttl: int = PERMANENT_ADDR_TTL) -> None:
        self.add_addrs(peer_id, [addr], ttl)

    def add_addrs(
        self, peer_id: ID, addrs: Sequence[Multiaddr], ttl: int = PERMANENT_ADDR_TTL
    ) -> None:
        """
        Remember ``addrs`` for ``ttl`` seconds; `PERMANENT_ADDR_TTL`, which is 0, means for ever.

        ``/p2p/<peer_id>`` at their ends is cut off; addresses of another peer are left out.
        """
        self._take_addrs(peer_id, addrs, ttl, PeerData.add_addrs)

    def replace_announced_addrs(self, peer_id: ID, addrs: Sequence[Multiaddr], ttl: int) -> None:
        self._take_addrs(peer_id, addrs, ttl, PeerData.replace_announced)

    def _take_addrs(
        self,
        peer_id: ID,
        addrs: Sequence[Multiaddr],
        ttl: int,
        take: Callable[[PeerData, list[Multiaddr], float], object],
    ) -> None:
        peer_id = ID.of(peer_id)
        transports = _transports_of(peer_id, addrs)
        expiry = self._expiry(ttl)
        data = self._data(peer_id)
        before = data.address_count
        take(data, transports, expiry)
        self._note_addresses(peer_id, before)
        self._publish(peer_id, transports)
        self._changed(peer_id)

    def addrs(self, peer_id: ID) -> list[Multiaddr]:
        """
        Return the peer's valid addresses.

        :raises PeerStoreError: if the peer is not known or all its addresses have expired.
        """
        peer_id = ID.of(peer_id)
        data, now = self._known(peer_id), self._clock()
        if data.is_expired(now):
            raise PeerStoreError("peer ID is expired")
        self._peers[peer_id] = self._peers.pop(peer_id)  # used again
        return data.get_addrs(now)

    def clear_addrs(self, peer_id: ID) -> None:
        if (data := self._find(peer_id)) is not None:
            self._addresses -= data.address_count
            data.clear_addrs()
        self._records.pop(ID.of(peer_id), None)
        self._changed(peer_id)

    def peers_with_addrs(self) -> list[ID]:
        now = self._clock()
        return [peer_id for peer_id, data in self._peers.items() if data.get_addrs(now)]

    async def addr_stream(self, peer_id: ID) -> AsyncIterator[Multiaddr]:
        """
        Yield addresses of the peer as they are added.

        A subscriber that reads too slowly misses some.
        """
        send, receive = trio.open_memory_channel[Multiaddr](MAX_ADDRESSES_PER_PEER)
        self._subscribers.setdefault(peer_id, set()).add(send)
        try:
            while True:
                yield await receive.receive()
        finally:
            self._subscribers[peer_id].remove(send)
            if not self._subscribers[peer_id]:
                del self._subscribers[peer_id]
            send.close()
            receive.close()

    def _publish(self, peer_id: ID, addrs: Iterable[Multiaddr]) -> None:
        for subscriber in self._subscribers.get(peer_id, ()):
            for address in addrs:
                if subscriber.statistics().current_buffer_used < MAX_ADDRESSES_PER_PEER:
                    subscriber.send_nowait(address)

    def _expiry(self, ttl: int) -> float:
        if ttl == PERMANENT_ADDR_TTL and ttl is not False:
            return inf
        return self._clock() + arguments.seconds(ttl, "ttl")

    # -- signed records ---------------------------------------------------------------------------

    def get_local_record(self) -> Envelope | None:
        return self._local_record

    def set_local_record(self, envelope: Envelope) -> None:
        self._local_record = envelope

    def consume_peer_record(self, envelope: Envelope, ttl: int) -> bool:
        """
        Store a record whose signature was verified, with its addresses.

        :return: False if its signer is another peer, or a newer one is stored.
        """
        try:
            record = envelope.record()
        except InvalidRecord:
            return False
        if envelope.signer != record.peer_id:
            return False
        stored = self._records.pop(record.peer_id, None)
        if stored is not None and stored.record().seq > record.seq:
            self._records[record.peer_id] = stored
            return False
        if len(self._records) >= self.max_records:
            del self._records[next(iter(self._records))]
        self._records[record.peer_id] = envelope
        self.replace_announced_addrs(record.peer_id, record.addrs, ttl)
        return True

    def consume_peer_records(self, envelopes: list[Envelope], ttl: int) -> list[bool]:
        return [self.consume_peer_record(envelope, ttl) for envelope in envelopes]

    def get_peer_record(self, peer_id: ID) -> Envelope | None:
        """Return the peer's newest record while one of its addresses is valid."""
        self.maybe_delete_peer_record(peer_id)
        return self._records.get(ID.of(peer_id))

    def maybe_delete_peer_record(self, peer_id: ID) -> None:
        """Forget the peer's record if no address of the peer is valid."""
        data = self._find(peer_id)
        if data is None or not data.get_addrs(self._clock()):
            self._records.pop(ID.of(peer_id), None)

    # -- keys -------------------------------------------------------------------------------------

    def add_pubkey(self, peer_id: ID, pubkey: PublicKey) -> None:
        """:raises PeerStoreError: if the key is not the peer's."""
        if ID.from_pubkey(pubkey) != ID.of(peer_id):
            raise PeerStoreError("peer ID and pubkey does not match")
        self._data(peer_id).add_pubkey(pubkey)
        self._changed(peer_id)

    def pubkey(self, peer_id: ID) -> PublicKey:
        """:raises PeerStoreError: if it is not known."""
        return self._known(peer_id).get_pubkey()

    def add_privkey(self, peer_id: ID, privkey: PrivateKey) -> None:
        """:raises PeerStoreError: if the key is not the peer's."""
        arguments.having(privkey, ("sign", "get_public_key"), "privkey", "a PrivateKey")
        if ID.from_pubkey(privkey.get_public_key()) != ID.of(peer_id):
            raise PeerStoreError("peer ID and privkey does not match")
        self._data(peer_id).add_privkey(privkey)

    def privkey(self, peer_id: ID) -> PrivateKey:
        """:raises PeerStoreError: if it is not known."""
        return self._known(peer_id).get_privkey()

    def add_key_pair(self, peer_id: ID, key_pair: KeyPair) -> None:
        """:raises PeerStoreError: if the keys are not the peer's."""
        arguments.instance(key_pair, KeyPair, "key_pair")
        self.add_pubkey(peer_id, key_pair.public_key)
        self.add_privkey(peer_id, key_pair.private_key)

    def peer_with_keys(self) -> list[ID]:
        return [peer_id for peer_id, data in self._peers.items() if data.has_keys]

    def clear_keydata(self, peer_id: ID) -> None:
        if (data := self._find(peer_id)) is not None:
            data.clear_keydata()
            self._changed(peer_id)

    # -- latency ----------------------------------------------------------------------------------

    def record_latency(self, peer_id: ID, RTT: float) -> None:
        self._data(peer_id).record_latency(RTT)

    def latency_EWMA(self, peer_id: ID) -> float:
        """Return the moving average; 0 if nothing was measured."""
        data = self._find(peer_id)
        return data.latency_EWMA() if data else 0.0

    def clear_metrics(self, peer_id: ID) -> None:
        if (data := self._find(peer_id)) is not None:
            data.clear_metrics()


def known_addresses(store: IPeerStore, peer_id: ID) -> list[Multiaddr]:
    """Return the valid addresses of a peer; none if it is not known or they have expired."""
    try:
        return store.addrs(peer_id)
    except PeerStoreError:
        return []


def _transports_of(peer_id: ID, addrs: Iterable[Multiaddr]) -> list[Multiaddr]:
    transports: list[Multiaddr] = []
    for address in to_multiaddrs(addrs, "addrs"):
        try:
            transports += without_peer_id([address], peer_id)
        except InvalidAddrError:
            transports.append(address)  # of a kind that a transport of the program may know
    return transports


def create_signed_peer_record(
    peer_id: ID, addrs: Sequence[Multiaddr], pvt_key: PrivateKey
) -> Envelope:
    """Sign a new record of the peer's addresses."""
    return seal_record(PeerRecord(peer_id, addrs), pvt_key)


def env_to_send_in_RPC(host: IHost) -> tuple[bytes, bool]:
    """Return the host's signed record, and whether it had to be made anew."""
    cached = host.get_peerstore().get_local_record()
    if cached is not None and cached.record().addrs == _transport_addresses(host):
        return cached.marshal_envelope(), False
    return issue_and_cache_local_record(host), True


def issue_and_cache_local_record(host: IHost) -> bytes:
    """Sign a new record of the host's addresses and keep it in its peer store."""
    envelope = create_signed_peer_record(
        host.get_id(), _transport_addresses(host), host.get_private_key()
    )
    host.get_peerstore().set_local_record(envelope)
    return envelope.marshal_envelope()


def _transport_addresses(host: IHost) -> list[Multiaddr]:
    return without_peer_id(host.get_addrs(), host.get_id())[:MAX_OWN_ADDRESSES]
