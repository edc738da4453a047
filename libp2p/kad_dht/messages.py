"""
Messages of the DHT (sans-I/O), between their bytes and plain objects.

https://github.com/libp2p/specs/blob/master/kad-dht/README.md#rpc-messages. Written by hand, because
protobuf's parser would make an object of every two bytes that a peer sends before anything could
be counted. Unknown fields are ignored. A peer of a list that cannot be used is left out; the
rest of the message counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidPeerID, ParseError
from libp2p.ipld.protowire import LENGTH, VARINT, field_end, read_varint
from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.peer.addresses import MAX_ADDRESS_BYTES
from libp2p.peer.id import ID
from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: The longest message that every implementation reads.
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024

#: Fields of one message, those of its peers included: 4 MiB of empty ones would hold the event loop
#: for a second. 1,000 providers with twenty addresses each are 23,000.
MAX_MESSAGE_PARTS: Final = 65_536

#: Keys in use are multihashes, and ``/ipns/`` with a multihash behind it. Private networks may have
#: longer keys.
MAX_KEY_BYTES: Final = 1024

#: Multihashes that are accepted as keys of provider records, as by go-libp2p.
MAX_PROVIDER_KEY_BYTES: Final = 80

#: A record's value; the public network's records have 10 KiB at most. py-libp2p's number.
MAX_VALUE_BYTES: Final = 1024 * 1024

#: Bytes that a peer of a list may take with its addresses (go-libp2p's number). Further addresses
#: are cut off, and the peer stays.
MAX_PEER_ENTRY_BYTES: Final = 8 * 1024

#: Closer peers that are read of one message: a peer sends 20, a lookup uses 40.
MAX_CLOSER_PEERS: Final = 128

#: Entries of peers whose decoded form is remembered, and the length of one: nearly every answer of
#: a lookup names the peers near its key. They take some 4 MiB.
MAX_REMEMBERED_ENTRIES: Final = 4096
MAX_REMEMBERED_ENTRY_BYTES: Final = 512

#: Providers that are read of one message; a popular block may have as many.
MAX_PROVIDER_PEERS: Final = 1000

#: An RFC 3339 time with nanoseconds has 35 characters.
MAX_TIME_LENGTH: Final = 64


class MessageType(IntEnum):
    """What a message asks for, or answers."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


class Connection(IntEnum):
    """What the sender of a peer entry knows about connecting to that peer itself."""

    NOT_CONNECTED = 0
    CONNECTED = 1
    CAN_CONNECT = 2
    CANNOT_CONNECT = 3


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """A peer of a list, with its addresses in binary form, as they were sent: unchecked."""

    peer_id: ID
    addrs: tuple[bytes, ...] = ()
    connection: Connection = Connection.NOT_CONNECTED
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def encoded(self) -> bytes:
        """The entry as it is in a message, behind its tag; kept, since a server sends it often."""
        encoded = self._encoded
        if encoded is None:
            encoded = _encode_peer(self)
            object.__setattr__(self, "_encoded", encoded)
        return encoded


@dataclass(frozen=True, slots=True)
class Record:
    """A value under its key; ``time_received`` is RFC 3339, and empty if it was not sent."""

    key: bytes
    value: bytes
    time_received: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A request, or the answer to one."""

    kind: MessageType
    key: bytes = b""
    record: Record | None = None
    closer: tuple[PeerEntry, ...] = ()
    providers: tuple[PeerEntry, ...] = ()


_KINDS: Final = {int(kind): kind for kind in MessageType}
_CONNECTIONS: Final = {int(connection): connection for connection in Connection}

# Tags: a field's number and wire type.
_TYPE: Final = 1 << 3 | VARINT
_KEY: Final = 2 << 3 | LENGTH
_RECORD: Final = 3 << 3 | LENGTH
_CLOSER: Final = 8 << 3 | LENGTH
_PROVIDER: Final = 9 << 3 | LENGTH
_PEER_ID: Final = 1 << 3 | LENGTH
_PEER_ADDRESS: Final = 2 << 3 | LENGTH
_PEER_CONNECTION: Final = 3 << 3 | VARINT
_RECORD_KEY: Final = 1 << 3 | LENGTH
_RECORD_VALUE: Final = 2 << 3 | LENGTH
_RECORD_TIME: Final = 5 << 3 | LENGTH

# -- writing --------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Write a message, without the length that precedes it on a stream."""
    parts: list[bytes] = []
    if message.kind:
        parts.append(bytes((_TYPE, message.kind)))
    if message.key:
        parts += _bytes_field(_KEY, message.key)
    if message.record is not None:
        parts += _bytes_field(_RECORD, _encode_record(message.record))
    for tag, peers in ((_CLOSER, message.closer), (_PROVIDER, message.providers)):
        if peers:
            parts.append(bytes((tag,)).join([b"", *[peer.encoded for peer in peers]]))
    return b"".join(parts)


def bounded_addresses(peer: ID, addrs: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the addresses that fit into `MAX_PEER_ENTRY_BYTES` with their peer, from the first."""
    left = MAX_PEER_ENTRY_BYTES - len(peer.to_bytes()) - 4  # the tags of id and connection
    kept: list[bytes] = []
    for address in addrs:
        size = len(address)
        left -= size + (2 if size < 0x80 else 3)
        if left < 0:
            break
        kept.append(address)
    return tuple(kept)


def _bytes_field(tag: int, value: bytes) -> tuple[bytes, bytes, bytes]:
    return bytes((tag,)), encode_uvarint(len(value)), value


def _encode_record(record: Record) -> bytes:
    parts: list[bytes] = []
    fields = (
        (_RECORD_KEY, record.key),
        (_RECORD_VALUE, record.value),
        (_RECORD_TIME, record.time_received.encode()),
    )
    for tag, value in fields:
        if value:
            parts += _bytes_field(tag, value)
    return b"".join(parts)


def _encode_peer(peer: PeerEntry) -> bytes:
    parts = [*_bytes_field(_PEER_ID, peer.peer_id.to_bytes())]
    for address in bounded_addresses(peer.peer_id, peer.addrs):
        parts += _bytes_field(_PEER_ADDRESS, address)
    if peer.connection:
        parts.append(bytes((_PEER_CONNECTION, peer.connection)))
    body = b"".join(parts)
    return encode_uvarint(len(body)) + body


# -- reading --------------------------------------------------------------------------------------


def decode(data: Buffer) -> Message:
    """
    Read a message, without the length that precedes it on a stream.

    :raises InvalidMessageError: if it is malformed, longer or of more parts than is allowed, or of
        an unknown type.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise InvalidMessageError(f"message of {len(data)} bytes")
    try:
        return _Decoder(bytes(data)).message()
    except ParseError as error:
        raise InvalidMessageError(f"malformed DHT message: {error}") from error


class _Decoder:
    """Reads one message, and counts its fields."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_MESSAGE_PARTS

    @property
    def fields_read(self) -> int:
        """How many fields there were."""
        return MAX_MESSAGE_PARTS - self._left

    def _count(self, fields: int) -> None:
        self._left -= fields
        if self._left < 0:
            raise InvalidMessageError(f"message of more than {MAX_MESSAGE_PARTS} fields")

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield the tag of each field from ``at`` to ``end``, and where its content is."""
        data = self._data
        while at < end:
            self._left -= 1
            if self._left < 0:
                self._count(0)
            tag = data[at]
            if tag < 0x80:
                at += 1
            else:
                tag, at = read_varint(data, at)
            if tag & 7 == LENGTH and tag > 7 and at < end and data[at] < 0x80:  # nearly always
                start = at + 1
                at = start + data[at]
            else:
                start, at = field_end(data, tag, at)
            if at > end:
                raise ParseError("a field ends behind the end of its message")
            yield tag, start, at

    def message(self) -> Message:
        data = self._data
        kind, key = 0, b""
        record: Record | None = None
        closer: list[PeerEntry] = []
        providers: list[PeerEntry] = []
        for tag, start, end in self._fields(0, len(data)):
            if tag == _CLOSER:
                self._read_peer(start, end, closer, MAX_CLOSER_PEERS)
            elif tag == _PROVIDER:
                self._read_peer(start, end, providers, MAX_PROVIDER_PEERS)
            elif tag == _KEY:
                key = self._key(start, end)
            elif tag == _TYPE:
                kind = read_varint(data, start)[0]
            elif tag == _RECORD:
                record = self._record(start, end)
        if kind not in _KINDS:
            raise InvalidMessageError(f"DHT message of the unknown type {kind}")
        return Message(_KINDS[kind], key, record, tuple(closer), tuple(providers))

    def _key(self, start: int, end: int) -> bytes:
        if end - start > MAX_KEY_BYTES:
            raise InvalidMessageError(f"key of {end - start} bytes")
        return self._data[start:end]

    def _record(self, at: int, end: int) -> Record:
        key = value = time = b""
        for tag, start, stop in self._fields(at, end):
            if tag == _RECORD_KEY:
                key = self._key(start, stop)
            elif tag == _RECORD_VALUE:
                if stop - start > MAX_VALUE_BYTES:
                    raise InvalidMessageError(f"record with a value of {stop - start} bytes")
                value = self._data[start:stop]
            elif tag == _RECORD_TIME:
                time = self._data[start:stop]
        readable = time.isascii() and len(time) <= MAX_TIME_LENGTH
        return Record(key, value, time.decode() if readable else "")

    def _read_peer(self, at: int, end: int, peers: list[PeerEntry], limit: int) -> None:
        """Append a peer to ``peers``, unless that is full or the peer's id is invalid."""
        if len(peers) == limit:
            return
        if end - at > MAX_REMEMBERED_ENTRY_BYTES:
            peer = self.peer(at, end)
        else:
            peer, fields = _remembered_peer(self._data[at:end])
            self._count(fields)
        if peer is not None:
            peers.append(peer)

    def peer(self, at: int, end: int) -> PeerEntry | None:
        """Read a peer; return None if its id is invalid."""
        data = self._data
        raw_id = b""
        connection = 0
        addrs: list[bytes] = []
        room = MAX_PEER_ENTRY_BYTES
        for tag, start, stop in self._fields(at, end):
            if tag == _PEER_ADDRESS:
                room -= stop - start + 2
                if 0 < stop - start <= MAX_ADDRESS_BYTES and room >= 0:
                    addrs.append(data[start:stop])
            elif tag == _PEER_ID:
                raw_id = data[start:stop]
            elif tag == _PEER_CONNECTION:
                connection = read_varint(data, start)[0]
        try:
            peer = ID.from_bytes(raw_id)
        except InvalidPeerID:
            return None
        kept = bounded_addresses(peer, addrs)
        known = _CONNECTIONS.get(connection, Connection.NOT_CONNECTED)
        return PeerEntry(peer, kept, known)


@lru_cache(maxsize=MAX_REMEMBERED_ENTRIES)
def _remembered_peer(raw: bytes) -> tuple[PeerEntry | None, int]:
    """Return the peer of an entry, and how many fields it has."""
    decoder = _Decoder(raw)
    return decoder.peer(0, len(raw)), decoder.fields_read
