"""A peer store that notes what has changed, for those that write it down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Final

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.datastore.base import MAX_VALUE_BYTES, Change, Entry
from libp2p.exceptions import BaseLibp2pError, InvalidRecord
from libp2p.peer.envelope import unmarshal_envelope
from libp2p.peer.id import ID
from libp2p.peer.peerstore import DEFAULT_MAX_PEERS, DEFAULT_MAX_RECORDS, PeerStore
from libp2p.peer.persistent.codec import (
    StoredAddress,
    StoredPeer,
    decode_peer,
    decode_seen,
    encode_peer,
    encode_seen,
)
from libp2p.peer.seen_peers import SEEN_SECONDS, SeenPeer
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.peer.peerdata import PeerData

logger = get_logger(__name__)

#: Namespaces in a datastore: what is known of peers, and where they were connected.
PEERS_NAMESPACE: Final = "peers"
SEEN_NAMESPACE: Final = "peers/seen"
#: Peers whose changes are not written yet. A store of ten thousand peers, each of them changed or
#: evicted while a slow disk takes a second; more changes to peers that are gone are forgotten, and
#: what is stored of these expires.
MAX_UNWRITTEN: Final = 16_384
#: Seconds that a peer is stored of which no address is known, or which speaks protocols, but whose
#: addresses have expired: a week. Loading it costs a place in memory.
STORED_SECONDS: Final = 7 * 24 * 3600.0


class RecordedPeerStore(PeerStore):
    """
    A `PeerStore` that says what to write down, and takes in what was read.

    Private keys, this host's own entry, latencies and the local record are never written: the
    identity of a host has its own place, and the rest is measured anew.
    """

    def __init__(
        self,
        max_records: int = DEFAULT_MAX_RECORDS,
        max_peers: int = DEFAULT_MAX_PEERS,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(max_records, max_peers, clock, wall_clock)
        self._unwritten: dict[ID, None] = {}
        self._unwritten_seen: dict[ID, None] = {}
        self._is_restoring = False

    # -- what to write ----------------------------------------------------------------------------

    @property
    def has_changes(self) -> bool:
        """True if there is something to write."""
        return bool(self.unwritten)

    @property
    def unwritten(self) -> int:
        """How many peers have changed since they were written."""
        return len(self._unwritten) + len(self._unwritten_seen)

    def take_changes(self, limit: int = MAX_UNWRITTEN) -> list[Change]:
        """Return what a datastore is to be told: the oldest ``limit`` changes of each kind."""
        peers = _take(self._unwritten, limit)
        seen = _take(self._unwritten_seen, limit)
        return [*map(self._change_of, peers), *map(self._seen_change_of, seen)]

    def give_back(self, changes: Iterable[Change]) -> None:
        """Note once more changes that could not be written."""
        for change in changes:
            is_seen = change.namespace == SEEN_NAMESPACE
            self._note(
                self._unwritten_seen if is_seen else self._unwritten, ID.from_bytes(change.key)
            )

    def _changed(self, peer_id: ID) -> None:
        self._note(self._unwritten, ID.of(peer_id))

    def _seen_changed(self, peer_id: ID) -> None:
        self._note(self._unwritten_seen, ID.of(peer_id))

    def _note(self, unwritten: dict[ID, None], peer_id: ID) -> None:
        if self._is_restoring:
            return
        unwritten[peer_id] = None
        if len(unwritten) > MAX_UNWRITTEN:
            del unwritten[next(iter(unwritten))]
        self._on_change()

    def _on_change(self) -> None:
        """There is something to write; for classes that write."""

    def _change_of(self, peer_id: ID) -> Change:
        data = self._peers.get(peer_id)
        if data is None or data.is_own:
            return Change(PEERS_NAMESPACE, peer_id.to_bytes(), None)
        stored = self._stored_form(peer_id, data)
        value = encode_peer(stored)
        if len(value) > MAX_VALUE_BYTES:  # of a program's metadata, or thousands of long protocols
            value = encode_peer(StoredPeer(stored.addresses, public_key=stored.public_key))
        expiry = min(stored.expires_at, self._wall_clock() + STORED_SECONDS)
        if data.is_permanent:
            expiry = inf
        return Change(PEERS_NAMESPACE, peer_id.to_bytes(), value, expiry)

    def _stored_form(self, peer_id: ID, data: PeerData) -> StoredPeer:
        offset = self._wall_clock() - self._clock()
        envelope = self._records.get(peer_id)
        return StoredPeer(
            [
                StoredAddress(address, known.expires_at + offset, known.announced)
                for address, known in data.known_addrs().items()
            ],
            data.get_protocols(),
            None if data.public_key is None else data.public_key.serialize(),
            data.metadata,
            None if envelope is None else envelope.marshal_envelope(),
        )

    def _seen_change_of(self, peer_id: ID) -> Change:
        seen = self._seen.get(peer_id)
        if seen is None:
            return Change(SEEN_NAMESPACE, peer_id.to_bytes(), None)
        expiry = seen.seen_at + SEEN_SECONDS
        return Change(SEEN_NAMESPACE, peer_id.to_bytes(), encode_seen(seen), expiry)

    # -- what was read ----------------------------------------------------------------------------

    def restore(self, entries: Sequence[Entry]) -> int:
        """
        Take in entries of `PEERS_NAMESPACE`, what is still valid of them; return how many peers.

        Addresses get what is left of their time. What was learnt since the start stays.
        """
        self._is_restoring = True
        try:
            return sum(map(self._restore_peer, entries))
        finally:
            self._is_restoring = False

    def restore_seen(self, entries: Sequence[Entry]) -> None:
        """Take in entries of `SEEN_NAMESPACE`."""
        peers: list[SeenPeer] = []
        for entry in entries:
            try:
                peers.append(decode_seen(ID.from_bytes(entry.key), entry.value))
            except BaseLibp2pError as error:
                logger.debug("a stored connection is left out: %s", error)
        self._seen.restore(peers)

    def _restore_peer(self, entry: Entry) -> bool:
        now = self._wall_clock()
        if entry.expiry is not None and entry.expiry <= now:
            return False
        try:
            peer_id = ID(entry.key)
            stored = decode_peer(entry.value)
            self._take_in(peer_id, stored, now)
        except BaseLibp2pError as error:  # of a version with other limits
            logger.debug("a stored peer is left out: %s", error)
            return False
        return True

    def _take_in(self, peer_id: ID, stored: StoredPeer, now: float) -> None:
        key = None if stored.public_key is None else deserialize_public_key(stored.public_key)
        if key is not None and ID.from_pubkey(key) != peer_id:
            raise InvalidRecord(f"the key stored for {peer_id} is another peer's")
        is_known = self.has_peer(peer_id)
        data = self._data(peer_id)
        before = data.address_count
        offset = self._clock() - now
        for address in stored.addresses:
            if address.expires_at > now:
                expires_at = address.expires_at + offset
                data.add_addrs([address.address], expires_at, address.announced)
        self._note_addresses(peer_id, before)
        if is_known:
            return
        data.set_protocols(stored.protocols)
        if key is not None:
            data.add_pubkey(key)
        for name, value in stored.metadata.items():
            data.put_metadata(name, value)
        if stored.signed_record is not None and data.address_count:
            self._records[peer_id] = unmarshal_envelope(stored.signed_record)


def _take(unwritten: dict[ID, None], limit: int) -> list[ID]:
    """Remove and return the first ``limit`` peers."""
    taken = list(islice(unwritten, limit))
    for peer_id in taken:
        del unwritten[peer_id]
    return taken
