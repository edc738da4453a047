"""
Answers to the requests of other peers (sans-I/O).

https://github.com/libp2p/specs/blob/master/kad-dht/README.md#rpc-messages. An answer names the 20
closest peers of the routing table, without the peer that asks. ADD_PROVIDER has no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidAddrError, InvalidPeerID, InvalidRecord
from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.kad_dht.keyspace import key_of
from libp2p.kad_dht.messages import (
    MAX_PROVIDER_KEY_BYTES,
    Message,
    MessageType,
    PeerEntry,
)
from libp2p.kad_dht.routing_table import BUCKET_SIZE
from libp2p.peer.addresses import split_address
from libp2p.peer.id import ID

if TYPE_CHECKING:
    from libp2p.kad_dht.provider_store import ProviderStore
    from libp2p.kad_dht.routing_table import RoutingTable
    from libp2p.kad_dht.value_store import RecordValidator, ValueStore

#: Providers in an answer, in bytes: 1,000 with five addresses each fit. With 20 closer peers of
#: 8 KiB each it stays below 1 MiB.
MAX_ANSWERED_PROVIDER_BYTES: Final = 512 * 1024


class RequestHandler:
    """
    Answers requests out of a routing table and two stores.

    :param provider_store: None if provider records are not served.
    :param value_store: None if values are not served.
    :param validator: returns the validator that decides which records may be stored.
    :param entry_of: returns the known addresses of any peer, this host included: a peer that is
        asked for is named even if it is not in the table.
    :param is_connected: returns whether there is a connection to a peer; answers tell that.
    :param k: peers that an answer names.
    """

    def __init__(
        self,
        table: RoutingTable,
        provider_store: ProviderStore | None,
        value_store: ValueStore | None,
        validator: Callable[[], RecordValidator],
        entry_of: Callable[[ID], PeerEntry | None] = lambda _: None,
        is_connected: Callable[[ID], bool] = lambda _: False,
        k: int = BUCKET_SIZE,
    ) -> None:
        self._table = table
        self._providers = provider_store
        self._values = value_store
        self._validator = validator
        self._entry_of = entry_of
        self._is_connected = is_connected
        self._k = k

    def handle(self, remote: ID, message: Message, now: float) -> Message | None:
        """
        Return the answer to a request of ``remote``; None if that kind of request has none.

        :param now: Unix seconds.
        :raises InvalidMessageError: if the request cannot be answered, or its record is refused.
        """
        kind = message.kind
        if kind is MessageType.PING:
            return Message(kind, message.key)
        if not message.key:
            raise InvalidMessageError(f"{kind.name} without a key")
        if kind is MessageType.FIND_NODE:
            return self._find_node(remote, message)
        if kind is MessageType.GET_PROVIDERS:
            return self._get_providers(remote, message, now)
        if kind is MessageType.ADD_PROVIDER:
            self._add_provider(remote, message, now)
            return None
        if kind is MessageType.GET_VALUE:
            return self._get_value(remote, message, now)
        return self._put_value(remote, message, now)

    def _closest(self, remote: ID, key: bytes) -> list[PeerEntry]:
        place = key_of(key)
        rows = self._table.closest_rows(place, self._k)
        if any(row.peer == remote for row in rows):  # one more costs more than a bucket
            rows = self._table.closest_rows(place, self._k + 1)
        is_connected = self._is_connected
        return [
            row.connected_entry if is_connected(row.peer) else row.entry
            for row in rows
            if row.peer != remote
        ]

    def _find_node(self, remote: ID, request: Message) -> Message:
        closest = self._closest(remote, request.key)
        if not closest or closest[0].peer_id.to_bytes() != request.key:
            target = self._known_peer(request.key)
            if target is not None and target.addrs:
                closest.insert(0, target)
        return Message(MessageType.FIND_NODE, closer=tuple(closest))

    def _known_peer(self, raw_id: bytes) -> PeerEntry | None:
        try:
            peer = ID.from_bytes(raw_id)
        except InvalidPeerID:
            return None  # any key may be asked for
        return self._entry_of(peer)

    # -- providers --------------------------------------------------------------------------------

    def _provider_store(self, request: Message) -> ProviderStore:
        if self._providers is None:
            raise InvalidMessageError(f"{request.kind.name} is not served")
        if len(request.key) > MAX_PROVIDER_KEY_BYTES:
            raise InvalidMessageError(f"{request.kind.name} with a key of {len(request.key)} bytes")
        return self._providers

    def _get_providers(self, remote: ID, request: Message, now: float) -> Message:
        store = self._provider_store(request)
        room = MAX_ANSWERED_PROVIDER_BYTES
        providers: list[PeerEntry] = []
        for provider in store.providers(request.key, now):
            room -= len(provider.encoded) + 1
            if room < 0:
                break
            providers.append(provider)
        closer = tuple(self._closest(remote, request.key))
        return Message(request.kind, request.key, closer=closer, providers=tuple(providers))

    def _add_provider(self, remote: ID, request: Message, now: float) -> None:
        store = self._provider_store(request)
        is_valid = False
        for entry in request.providers:
            if entry.peer_id != remote:
                continue
            usable = entry if store.has_addresses(entry) else _with_readable_addresses(entry)
            if usable.addrs:
                is_valid = True
                store.add(request.key, usable, remote, now)
        if not is_valid:
            raise InvalidMessageError("ADD_PROVIDER without the sender and an address of it")

    # -- values -----------------------------------------------------------------------------------

    def _value_store(self, request: Message) -> ValueStore:
        if self._values is None:
            raise InvalidMessageError(f"{request.kind.name} is not served")
        return self._values

    def _get_value(self, remote: ID, request: Message, now: float) -> Message:
        record = self._value_store(request).get(request.key, now)
        closer = tuple(self._closest(remote, request.key))
        return Message(request.kind, request.key, record, closer)

    def _put_value(self, remote: ID, request: Message, now: float) -> Message:
        store, record = self._value_store(request), request.record
        if record is None or record.key != request.key:
            raise InvalidMessageError("PUT_VALUE without a record of its key")
        try:
            self._validator().validate(record.key, record.value)
            store.put(record, remote, now)
        except InvalidRecord as error:
            raise InvalidMessageError(f"PUT_VALUE is refused: {error}") from error
        return Message(request.kind, request.key, record)


def _with_readable_addresses(entry: PeerEntry) -> PeerEntry:
    readable: list[bytes] = []
    for address in entry.addrs:
        try:
            split_address(address)
        except InvalidAddrError:
            continue
        readable.append(address)
    return PeerEntry(entry.peer_id, tuple(readable))
