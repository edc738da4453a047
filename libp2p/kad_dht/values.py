"""Stores small records where other peers find them, and finds the best record of a key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TYPE_CHECKING

from libp2p.exceptions import InvalidRecordType, RoutingError
from libp2p.kad_dht.config import MAX_BETTER_VALUES
from libp2p.kad_dht.messages import Message, MessageType, Record
from libp2p.kad_dht.search import Search

if TYPE_CHECKING:
    from libp2p.kad_dht.engine import Engine
    from libp2p.kad_dht.messages import PeerEntry
    from libp2p.kad_dht.search import Found
    from libp2p.kad_dht.value_store import ValueStore
    from libp2p.peer.id import ID
    from libp2p.records.validator import NamespacedValidator


class Values:
    """
    Records of the network by their keys.

    :param now: Unix seconds.
    :param on_stored: called when a record was stored here.
    """

    def __init__(
        self,
        engine: Engine,
        store: ValueStore,
        validator: Callable[[], NamespacedValidator],
        now: Callable[[], float],
        on_stored: Callable[[], object],
    ) -> None:
        self._on_stored = on_stored
        self._engine = engine
        self._store = store
        self._validator = validator
        self._now = now

    # -- storing ------------------------------------------------------------------------------

    async def put(self, key: bytes, value: bytes) -> int:
        """
        Store a record here and at the closest peers; return how many of these took it.

        :raises InvalidRecordType: if the validator refuses it.
        :raises InvalidRecord: if a better one is stored here.
        :raises RoutingError: if peers were asked and none took it.
        """
        self._validator().validate(key, value)
        record = Record(key, value)
        self._store_here(record)
        if not self._engine.has_peers:
            return 0
        closest = await self._engine.closest_to(key)
        taken = await self._send(record, closest)
        if not taken:
            raise RoutingError(f"none of {len(closest)} peers took the record")
        return taken

    def _store_here(self, record: Record) -> None:
        self._store.put(record, self._engine.own, self._now())
        self._on_stored()

    def put_here(self, key: bytes, value: bytes) -> None:
        """
        Store a record here only.

        :raises InvalidRecordType: if the validator refuses it.
        :raises InvalidRecord: if a better one is stored here.
        """
        self._validator().validate(key, value)
        self._store_here(Record(key, value))

    def local(self) -> dict[bytes, bytes]:
        """Return the values that are kept here, by their keys."""
        return {record.key: record.value for record in self._store.records(self._now())}

    def record_here(self, key: bytes) -> Record | None:
        """Return the record that is kept here."""
        return self._store.get(key, self._now())

    def remove_here(self, key: bytes) -> bool:
        """Forget the record that is kept here; return whether there was one."""
        was_here = self._store.remove(key)
        self._on_stored()
        return was_here

    async def _send(self, record: Record, peers: Iterable[PeerEntry]) -> int:
        request, requests = (
            Message(MessageType.PUT_VALUE, record.key, record),
            self._engine.requests,
        )
        return await self._engine.send_to_all(
            peers, lambda peer: requests.ask(peer.peer_id, request, peer.addrs)
        )

    # -- finding ------------------------------------------------------------------------------

    def search(self, key: bytes, quorum: int = 0) -> AsyncGenerator[bytes, None]:
        """
        Yield records of a key, each better than the one before.

        When the search is over, the best record is sent to the closest peers that have a worse one
        or none.

        :param quorum: end after so many records, equal ones too; 0 is when all peers were asked.
        :raises RoutingError: if none is known here and nobody could be asked.
        """

        async def find(found: Found[bytes]) -> None:
            best = _Best(key, self._validator(), found)
            own = self._store.get(key, self._now())
            if own is not None:
                best.take(self._engine.own, own.value)

            def on_answer(peer: ID, answer: Message) -> bool:
                record = answer.record
                if record is not None and record.key == key:
                    best.take(peer, record.value)
                return best.is_full or (bool(quorum) and best.count >= quorum)

            try:
                request = Message(MessageType.GET_VALUE, key)
                closest = await self._engine.look_up(request, on_answer)
            except RoutingError:
                if best.value is None:
                    raise
                return
            if best.value is not None:
                self._correct(key, best, closest)

        return Search(find, MAX_BETTER_VALUES).results(self._engine.start)

    def _correct(self, key: bytes, best: _Best, closest: Iterable[PeerEntry]) -> None:
        """Send the best record to the closest peers that lack it."""
        assert best.value is not None
        record = Record(key, best.value)
        outdated = [peer for peer in closest if peer.peer_id not in best.peers]
        if self._store.get(key, self._now()) is not None and self._engine.own not in best.peers:
            self._store_here(record)
        if outdated:
            self._engine.start(self._send, record, outdated)


class _Best:
    """The best record of a key so far."""

    def __init__(self, key: bytes, validator: NamespacedValidator, found: Found[bytes]) -> None:
        self.value: bytes | None = None
        self.peers: set[ID] = set()
        #: Valid records that have come; changed by this class only.
        self.count = 0
        #: Whether so many better records have come that the search should end.
        self.is_full = False
        self._key = key
        self._validator = validator
        self._found = found

    def take(self, peer: ID, value: bytes) -> None:
        """Look at one more record; one that the validator refuses does not count."""
        try:
            if value != self.value:
                self._validator.validate(self._key, value)
                is_better = self.value is None or self._is_better(value)
                if is_better:
                    self.value = value
                    self.peers = set()
                    self.is_full = not self._found(value)
        except InvalidRecordType:
            return
        self.count += 1
        if value == self.value:
            self.peers.add(peer)

    def _is_better(self, value: bytes) -> bool:
        assert self.value is not None
        return self._validator.select(self._key, [self.value, value]) == 1
