"""
Records that others have asked us to keep (sans-I/O); the driver keeps them on disk.

A record lasts for two days after it was stored. A peer that stores many records gets no more than
its share: where there is no room, the peers that hold the most lose their oldest records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING, Final, Protocol

from libp2p.exceptions import InvalidRecord
from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.kad_dht.journal import StoredChange
from libp2p.kad_dht.messages import Message, MessageType, PeerEntry, Record, decode, encode
from libp2p.utils import arguments
from libp2p.utils.rfc3339 import from_nanoseconds

if TYPE_CHECKING:
    from libp2p.peer.id import ID

#: A record is forgotten unless it is stored again (the public network's number).
VALUE_SECONDS: Final = 48 * 3600.0

#: Records of all peers, and their bytes. IPNS records have some 400 bytes and 10 KiB at most.
MAX_VALUES: Final = 1 << 16
MAX_STORED_BYTES: Final = 64 * 1024 * 1024
#: Records of one peer, and their bytes; for further ones, its oldest records are dropped.
MAX_VALUES_PER_SENDER: Final = 4096
MAX_STORED_BYTES_PER_SENDER: Final = 8 * 1024 * 1024

#: What a record weighs beside its bytes.
_VALUE_WEIGHT: Final = 512
#: The part of the room that is freed at once: finding out which peer holds the most takes time.
_ROOM_SHARE: Final = 16


class RecordValidator(Protocol):
    """What decides about records: `libp2p.records.validator.NamespacedValidator`."""

    def validate(self, key: bytes, value: bytes) -> None:
        """:raises InvalidRecord: if a value may not be stored under a key."""

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """Return the index of the best value."""


@dataclass(frozen=True)
class ValueStoreConfig:
    """
    Bounds of a value store.

    :param max_values: of all peers.
    :param max_bytes: of all peers.
    :param max_values_per_sender: of one peer.
    :param max_bytes_per_sender: of one peer.
    :param value_seconds: how long a record lasts.
    """

    max_values: int = MAX_VALUES
    max_bytes: int = MAX_STORED_BYTES
    max_values_per_sender: int = MAX_VALUES_PER_SENDER
    max_bytes_per_sender: int = MAX_STORED_BYTES_PER_SENDER
    value_seconds: float = VALUE_SECONDS

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least=1)


class _Value:
    """A record, the peer that stored it first, and when it ends."""

    __slots__ = ("end", "record", "sender", "weight")

    def __init__(self, record: Record, sender: ID, end: float) -> None:
        self.record = record
        self.sender = sender
        self.end = end
        self.weight = _VALUE_WEIGHT + len(record.key) + len(record.value)


class _Sender:
    """The records that one peer has stored, the oldest first."""

    __slots__ = ("keys", "weight")

    def __init__(self) -> None:
        self.keys: dict[bytes, None] = {}
        self.weight = 0

    def add(self, key: bytes, weight: int) -> None:
        self.keys[key] = None
        self.weight += weight

    def remove(self, key: bytes, weight: int) -> None:
        del self.keys[key]
        self.weight -= weight


class ValueStore:
    """
    Records by key; ``now`` is in Unix seconds.

    :param validator: returns the validator that says which of two records is better.
    :param namespace: of the journal's entries.
    """

    def __init__(
        self,
        validator: Callable[[], RecordValidator],
        config: ValueStoreConfig | None = None,
        *,
        namespace: str = "dht values",
    ) -> None:
        self.config = config or ValueStoreConfig()
        self.namespace = namespace
        self._validator = validator
        self._values: dict[bytes, _Value] = {}
        self._senders: dict[ID, _Sender] = {}
        self._weight = 0
        self._changed: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._values)

    @property
    def weight(self) -> int:
        """About how many bytes the records take."""
        return self._weight

    def records(self, now: float) -> list[Record]:
        """Return all records."""
        return [value.record for value in self._values.values() if value.end > now]

    def get(self, key: bytes, now: float) -> Record | None:
        """Return the record of a key, unless it has ended."""
        value = self._values.get(key)
        return value.record if value is not None and value.end > now else None

    def put(self, record: Record, sender: ID, now: float) -> Record:
        """
        Keep a record that is valid, with the time of now; return it as it is kept.

        :raises InvalidRecord: if the one that is kept already is the better one.
        """
        old = self._values.get(record.key)
        if old is not None and old.end > now and old.record.value != record.value:
            best = self._validator().select(record.key, [record.value, old.record.value])
            if best != 0:
                raise InvalidRecord("a better record of the key is stored")
        kept = Record(record.key, record.value, from_nanoseconds(round(now * 1e6) * 1000))
        # The record still counts for the peer that stored it first. Otherwise a peer could store
        # the records of others again, and then so many of its own that these are dropped.
        owner = sender if old is None else old.sender
        self._set(kept, owner, now + self.config.value_seconds)
        return kept

    def remove(self, key: bytes) -> bool:
        """Forget a record; return whether it was there."""
        value = self._values.pop(key, None)
        if value is None:
            return False
        self._weight -= value.weight
        sender = self._senders[value.sender]
        sender.remove(key, value.weight)
        if not sender.keys:
            del self._senders[value.sender]
        self._changed[key] = None
        return True

    def expire(self, now: float) -> int:
        """Forget the records that have ended, and return how many; call it from time to time."""
        ended = [key for key, value in self._values.items() if value.end <= now]
        for key in ended:
            self.remove(key)
        return len(ended)

    def _set(self, record: Record, owner: ID, end: float) -> None:
        key = record.key
        self.remove(key)
        value = self._values[key] = _Value(record, owner, end)
        self._weight += value.weight
        sender = self._senders.setdefault(owner, _Sender())
        sender.add(key, value.weight)
        self._changed[key] = None
        config = self.config
        self._shrink(sender, config.max_values_per_sender, config.max_bytes_per_sender)
        if len(self._values) > config.max_values or self._weight > config.max_bytes:
            self._make_room()

    def _make_room(self) -> None:
        """Drop records of the peers that hold the most until a part of the room is free."""
        most = self.config.max_values - self.config.max_values // _ROOM_SHARE
        most_bytes = self.config.max_bytes - self.config.max_bytes // _ROOM_SHARE
        senders = list(self._senders.values())
        by_weight = [(-sender.weight, number) for number, sender in enumerate(senders)]
        heapify(by_weight)
        while len(self._values) > most or self._weight > most_bytes:
            number = by_weight[0][1]
            sender = senders[number]
            self.remove(next(iter(sender.keys)))
            heapreplace(by_weight, (-sender.weight, number))

    def _shrink(self, sender: _Sender, most: int, most_bytes: int) -> None:
        while len(sender.keys) > most or sender.weight > most_bytes:
            self.remove(next(iter(sender.keys)))

    # -- the journal ------------------------------------------------------------------------------

    def take_changes(self) -> list[StoredChange]:
        """Return the changes since the last call, for a datastore."""
        changed, self._changed = self._changed, {}
        changes: list[StoredChange] = []
        for key in changed:
            value = self._values.get(key)
            if value is None:
                changes.append(StoredChange(self.namespace, key, None, None))
            else:
                changes.append(StoredChange(self.namespace, key, _stored(value), value.end))
        return changes

    def load(self, entries: Iterable[tuple[bytes, bytes, float | None]]) -> None:
        """
        Take back what a datastore has kept: key, value and expiry of each entry.

        Entries that cannot be read are left out. Call this before anything is stored.
        """
        loaded: list[tuple[float, Record, ID]] = []
        for key, stored, expiry in entries:
            try:
                message = decode(stored)
            except InvalidMessageError:
                continue
            if message.record is None or message.record.key != key or expiry is None:
                continue
            loaded += [(expiry, message.record, peer.peer_id) for peer in message.providers[:1]]
        for expiry, record, sender in sorted(loaded, key=lambda each: each[0]):
            self._set(record, sender, expiry)
        self._changed.clear()


def _stored(value: _Value) -> bytes:
    sender = PeerEntry(value.sender)
    return encode(Message(MessageType.PUT_VALUE, record=value.record, providers=(sender,)))
