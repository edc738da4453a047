"""
Who has said that it has which block (sans-I/O); the driver keeps it on disk.

A record is a multihash and a peer, and lasts for two days. A server of the public network holds
hundreds of thousands of them, so each costs little: some 220 bytes of memory. Addresses are kept
once for each provider.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil
from struct import Struct
from typing import Final

from libp2p.exceptions import InvalidPeerID, ParseError
from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.kad_dht.journal import StoredChange
from libp2p.kad_dht.messages import Message, MessageType, PeerEntry, decode, encode
from libp2p.peer.id import ID
from libp2p.utils import arguments
from libp2p.utils.varint import decode_uvarint, encode_varint_prefixed

#: A record that is not announced again is forgotten (the public network's number).
PROVIDER_SECONDS: Final = 48 * 3600.0
#: After this time a provider's addresses are not given out any more, and who asks looks them up. A
#: provider announces its addresses again every 22 hours.
ADDRESS_SECONDS: Final = 24 * 3600.0

#: Records of all peers. For a further one, the record that would end first is dropped.
MAX_PROVIDER_RECORDS: Final = 1 << 18
#: Records of one peer. While these last, no further record of it is kept.
MAX_RECORDS_PER_PROVIDER: Final = 1 << 16
#: Providers of one block: as many as are read of an answer.
MAX_PROVIDERS_OF_KEY: Final = 1000
#: Bytes that records and addresses may take. For more, the record that would end first is dropped.
MAX_PROVIDER_BYTES: Final = 128 * 1024 * 1024
#: Addresses that are kept of one provider, in bytes: some fifty of them.
MAX_KEPT_ADDRESS_BYTES: Final = 2048

#: What a record and a provider weigh beside their bytes.
_RECORD_WEIGHT: Final = 160
_PROVIDER_WEIGHT: Final = 600
#: Records that end in the same slot of so many seconds are looked at together.
_SLOT_SECONDS: Final = 600
#: A record that is announced again is prolonged only if this part of its time is over: otherwise a
#: peer that announces it again and again would make work and fill the journal.
_RENEWED_FROM: Final = 1 / 16

#: A provider's number and the second in which its record ends, packed: objects would weigh 150.
_PAIR: Final = Struct("<II")

# Keys of the journal begin with one of these; entries are loaded in the order of keys.
_PROVIDER: Final = b"p"
_RECORD: Final = b"r"


@dataclass(frozen=True)
class ProviderStoreConfig:
    """
    Bounds of a provider store.

    :param max_records: of all peers.
    :param max_records_per_provider: of one peer.
    :param max_bytes: of all peers.
    :param record_seconds: how long a record lasts.
    :param address_seconds: how long a provider's addresses are given out.
    """

    max_records: int = MAX_PROVIDER_RECORDS
    max_records_per_provider: int = MAX_RECORDS_PER_PROVIDER
    max_bytes: int = MAX_PROVIDER_BYTES
    record_seconds: float = PROVIDER_SECONDS
    address_seconds: float = ADDRESS_SECONDS

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least=1)


class _Provider:
    """A peer that has records here."""

    __slots__ = ("entry", "number", "records", "updated_at")

    def __init__(self, peer: ID, number: int) -> None:
        self.entry = PeerEntry(peer)
        self.number = number
        self.updated_at = 0.0
        self.records = 0

    @property
    def weight(self) -> int:
        return _PROVIDER_WEIGHT + sum(map(len, self.entry.addrs))

    def update(self, entry: PeerEntry, now: float) -> None:
        """Take the newest addresses of this provider."""
        self.updated_at = now
        if entry.addrs == self.entry.addrs:
            return
        kept: list[bytes] = []
        room = MAX_KEPT_ADDRESS_BYTES
        for address in entry.addrs:
            room -= len(address)
            if room < 0:
                break
            kept.append(address)
        self.entry = PeerEntry(self.entry.peer_id, tuple(kept))

    def count(self, by: int) -> None:
        self.records += by


class ProviderStore:
    """
    Records by multihash; ``now`` is in Unix seconds.

    :param namespace: of the journal's entries.
    """

    def __init__(
        self, config: ProviderStoreConfig | None = None, *, namespace: str = "dht providers"
    ) -> None:
        self.config = config or ProviderStoreConfig()
        self.namespace = namespace
        self._records: dict[bytes, bytes] = {}
        self._providers: dict[int, _Provider] = {}
        self._numbers: dict[ID, int] = {}
        self._free: list[int] = []
        self._slots: dict[int, deque[bytes]] = {}
        """Keys with a record that ends in the slot, or did before it was announced again."""
        self._count = 0
        self._weight = 0
        self._turn = 0
        self._changed: dict[bytes, tuple[bytes | None, float | None]] = {}
        self._changed_providers: dict[ID, None] = {}

    def __len__(self) -> int:
        """Return the number of records."""
        return self._count

    @property
    def providers_known(self) -> int:
        """How many peers have records here."""
        return len(self._providers)

    @property
    def weight(self) -> int:
        """About how many bytes the records and addresses take."""
        return self._weight

    def keys(self) -> Iterator[bytes]:
        """Return the multihashes that have records."""
        return iter(list(self._records))

    # -- records ----------------------------------------------------------------------------------

    def add(self, key: bytes, entry: PeerEntry, sender: ID, now: float) -> bool:
        """
        Keep a record that a peer has a block; return whether it was kept.

        It is not kept if the sender names another peer as the provider, or if the provider has
        ``max_records_per_provider`` other records.
        """
        if entry.peer_id != sender:
            return False
        provider = self._provider(sender)
        self._update(provider, entry, now)
        return self._put(key, provider, now + self.config.record_seconds)

    def providers(
        self, key: bytes, now: float, most: int = MAX_PROVIDERS_OF_KEY
    ) -> list[PeerEntry]:
        """
        Return the providers of a block.

        Each call begins with another provider, so that peers who ask go to different ones. An entry
        has no addresses if they are older than ``address_seconds``.
        """
        packed = self._records.get(key)
        if packed is None:
            return []
        found = [number for number, end in _PAIR.iter_unpack(packed) if end > now]
        if not found:
            return []
        self._turn += 1
        start = self._turn % len(found)
        oldest = now - self.config.address_seconds
        providers = (self._providers[n] for n in islice([*found[start:], *found[:start]], most))
        return [
            provider.entry if provider.updated_at >= oldest else PeerEntry(provider.entry.peer_id)
            for provider in providers
        ]

    def has_addresses(self, entry: PeerEntry) -> bool:
        """Return whether a provider is known with exactly the addresses of ``entry``."""
        number = self._numbers.get(entry.peer_id)
        return number is not None and self._providers[number].entry.addrs == entry.addrs

    def expire(self, now: float) -> int:
        """Forget the records that have ended, and return how many; call it from time to time."""
        before = self._count
        for provider in [found for found in self._providers.values() if not found.records]:
            self._drop_provider(provider)  # it was loaded without a record
        for slot in sorted(slot for slot in self._slots if slot * _SLOT_SECONDS <= now):
            for key in self._slots.pop(slot):
                self._forget_until(key, now)
        return before - self._count

    def _put(self, key: bytes, provider: _Provider, end: float) -> bool:
        pairs = dict(_PAIR.iter_unpack(self._records.get(key, b"")))
        ends_at = ceil(end)
        old_end = pairs.get(provider.number)
        if old_end is None:
            if provider.records >= self.config.max_records_per_provider:
                return False
            if len(pairs) >= MAX_PROVIDERS_OF_KEY:
                self._forget(key, min(pairs, key=pairs.__getitem__))
            if not pairs:
                self._weight += len(key)
            provider.count(1)
            self._count += 1
            self._weight += _RECORD_WEIGHT
        elif ends_at - old_end <= self.config.record_seconds * _RENEWED_FROM:
            return True
        self._set(key, provider.number, ends_at)
        self._slots.setdefault(-(-ends_at // _SLOT_SECONDS), deque()).append(key)
        self._changed[_record_key(key, provider.entry.peer_id)] = (b"", float(ends_at))
        while self._count > self.config.max_records or self._weight > self.config.max_bytes:
            self._drop_first()
        return True

    def _set(self, key: bytes, number: int, end: int) -> None:
        """Append a provider's pair to those of a key, and drop the old pair of that provider."""
        others = [
            pair for pair in _PAIR.iter_unpack(self._records.get(key, b"")) if pair[0] != number
        ]
        self._records[key] = b"".join([_PAIR.pack(*pair) for pair in (*others, (number, end))])

    def _forget_until(self, key: bytes, now: float) -> None:
        for number, end in _PAIR.iter_unpack(self._records.get(key, b"")):
            if end <= now:
                self._forget(key, number)

    def _drop_first(self) -> None:
        """Make room: forget one of the records that end first."""
        slot = min(self._slots)
        keys = self._slots[slot]
        key = keys.popleft()
        if not keys:
            del self._slots[slot]
        for number, end in _PAIR.iter_unpack(self._records.get(key, b"")):
            if end <= slot * _SLOT_SECONDS:  # it was not announced again
                self._forget(key, number)
                return

    def _forget(self, key: bytes, number: int) -> None:
        left = [pair for pair in _PAIR.iter_unpack(self._records[key]) if pair[0] != number]
        if left:
            self._records[key] = b"".join([_PAIR.pack(*pair) for pair in left])
        else:
            del self._records[key]
            self._weight -= len(key)
        self._count -= 1
        self._weight -= _RECORD_WEIGHT
        provider = self._providers[number]
        provider.count(-1)
        self._changed[_record_key(key, provider.entry.peer_id)] = (None, None)
        if not provider.records:
            self._drop_provider(provider)

    # -- providers --------------------------------------------------------------------------------

    def _provider(self, peer: ID) -> _Provider:
        number = self._numbers.get(peer)
        if number is None:
            number = self._free.pop() if self._free else len(self._providers)
            self._numbers[peer] = number
            self._providers[number] = _Provider(peer, number)
            self._weight += _PROVIDER_WEIGHT
        return self._providers[number]

    def _update(self, provider: _Provider, entry: PeerEntry, now: float) -> None:
        self._weight -= provider.weight
        provider.update(entry, now)
        self._weight += provider.weight
        self._changed_providers[entry.peer_id] = None

    def _drop_provider(self, provider: _Provider) -> None:
        peer = provider.entry.peer_id
        self._weight -= provider.weight
        del self._providers[provider.number], self._numbers[peer]
        self._free.append(provider.number)
        self._changed_providers[peer] = None

    # -- the journal ------------------------------------------------------------------------------

    def take_changes(self) -> list[StoredChange]:
        """Return the changes since the last call, for a datastore."""
        changed, self._changed = self._changed, {}
        peers, self._changed_providers = self._changed_providers, {}
        for peer in peers:
            changed[_PROVIDER + peer.to_bytes()] = self._stored_provider(peer)
        return [StoredChange(self.namespace, key, *stored) for key, stored in changed.items()]

    def _stored_provider(self, peer: ID) -> tuple[bytes | None, float | None]:
        number = self._numbers.get(peer)
        if number is None:
            return None, None
        provider = self._providers[number]
        time = b"%d" % provider.updated_at
        stored = encode(Message(MessageType.ADD_PROVIDER, time, providers=(provider.entry,)))
        return stored, provider.updated_at + self.config.record_seconds

    def load(self, entries: Iterable[tuple[bytes, bytes, float | None]]) -> None:
        """
        Take back what a datastore has kept: key, value and expiry of each entry, in their order.

        Entries that cannot be read are left out. Call this before anything is added.
        """
        for key, value, expiry in entries:
            try:
                if key[:1] == _PROVIDER:
                    self._load_provider(ID.from_bytes(key[1:]), value)
                elif expiry is not None:
                    size, start = decode_uvarint(key, 1)
                    self._put(
                        key[start : start + size],
                        self._provider(ID.from_bytes(key[start + size :])),
                        expiry,
                    )
            except (InvalidMessageError, InvalidPeerID, ParseError):
                continue
        self._changed.clear()
        self._changed_providers.clear()

    def _load_provider(self, peer: ID, value: bytes) -> None:
        message = decode(value)
        for entry in message.providers:
            if entry.peer_id == peer and message.key.isdigit():
                self._update(self._provider(peer), entry, float(message.key))


def _record_key(key: bytes, peer: ID) -> bytes:
    return _RECORD + encode_varint_prefixed(key) + peer.to_bytes()
