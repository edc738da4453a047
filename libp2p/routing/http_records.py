"""
Peers in the JSON of ``/routing/v1``, single and in streams (sans-I/O).

https://specs.ipfs.tech/routing/http-routing-v1/#known-schemas. What a record has that is not known
here is ignored, and so is a record of an unknown schema: the specification asks for both.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from libp2p.exceptions import BadRouterAnswer, InvalidAddrError, InvalidPeerID
from libp2p.hostile_input import refused_as
from libp2p.peer.addresses import address_from_text, split_peer_id, without_peer_id
from libp2p.peer.id import ID
from libp2p.routing.found import MAX_ADDRESSES_PER_PEER, FoundPeer

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer
    from libp2p.peer.peerinfo import PeerInfo

#: A line of a stream: a peer with 64 addresses has 8 KiB. A longer one ends the answer.
MAX_LINE_BYTES: Final = 256 * 1024
#: A whole JSON answer, which must be held and parsed at once; boxo's client has the same limit.
MAX_JSON_BYTES: Final = 1024 * 1024
#: All of a stream: 1,000 peers have some hundred KiB, with many addresses a few MiB.
MAX_STREAM_BYTES: Final = 4 * 1024 * 1024
#: Characters of an address's text; a binary one has at most 1,024 bytes.
MAX_ADDRESS_CHARACTERS: Final = 2048
#: Transfer protocols of one peer that are kept; a handful exist.
MAX_PROTOCOLS_PER_PEER: Final = 32
#: Records of one answer that are looked at, good or bad: reading one takes 0.1 ms. JSON answers
#: should have at most 100.
MAX_RECORDS: Final = 1000

#: Schemas with a peer in them. The second one is from before 2023; Kubo still reads it.
_PEER_SCHEMAS: Final = frozenset(("peer", "bitswap"))


def peer_to_json(peer: PeerInfo) -> bytes:
    """Return the record of a peer, in one line without its end; addresses without its id."""
    record: dict[str, object] = {"Schema": "peer", "ID": str(peer.peer_id)}
    addrs = list(map(str, without_peer_id(peer.addrs, peer.peer_id)))
    if isinstance(peer, FoundPeer):
        addrs += peer.urls
        if peer.protocols:
            record["Protocols"] = list(peer.protocols)
    record["Addrs"] = addrs
    return json.dumps(record, separators=(",", ":")).encode()


def peer_from_record(record: object) -> FoundPeer | None:
    """Read a record; None if it is of another schema, or has no peer in it."""
    if not isinstance(record, dict) or str(record.get("Schema")) not in _PEER_SCHEMAS:
        return None
    try:
        peer_id = ID.from_string(record["ID"])
    except (InvalidPeerID, KeyError, TypeError, AttributeError):
        return None
    addrs: list[Multiaddr] = []
    urls: list[str] = []
    for text in _texts(record.get("Addrs"), MAX_ADDRESSES_PER_PEER):
        if text.lower().startswith(("https://", "http://")):
            urls.append(text)
        elif (address := _address(text, peer_id)) is not None:
            addrs.append(address)
    protocols = _texts(record.get("Protocols"), MAX_PROTOCOLS_PER_PEER)
    if isinstance(old := record.get("Protocol"), str):
        protocols.append(old[:MAX_ADDRESS_CHARACTERS])
    return FoundPeer(peer_id, addrs, protocols, urls)


def _texts(values: object, most: int) -> list[str]:
    if not isinstance(values, list):
        return []
    return [v for v in values[:most] if isinstance(v, str) and len(v) <= MAX_ADDRESS_CHARACTERS]


def _address(text: str, peer_id: ID) -> Multiaddr | None:
    """Read an address, without the peer's own id at its end; None if it is another peer's."""
    try:
        address, owner = split_peer_id(address_from_text(text))
    except InvalidAddrError:
        return None
    return address if owner in (None, peer_id) and address.to_bytes() else None


class JsonPeers:
    """Reads an ``application/json`` answer: all of it, then its records."""

    is_full = False
    """False: it is not known before the end."""

    def __init__(self, field: str) -> None:
        """:param field: the name of the list of records: ``Providers`` or ``Peers``."""
        self._field = field
        self._data = bytearray()

    def receive(self, data: Buffer) -> list[FoundPeer]:
        """
        Take a piece of the answer; there are no records before its end.

        :raises BadRouterAnswer: if it is too long.
        """
        self._data += data
        if len(self._data) > MAX_JSON_BYTES:
            raise BadRouterAnswer(f"the answer is longer than {MAX_JSON_BYTES} bytes")
        return []

    def end(self) -> list[FoundPeer]:
        """
        Return the peers.

        :raises BadRouterAnswer: if the answer is no JSON object with a list in it.
        """
        answer = _parsed(self._data)
        records = answer.get(self._field) if isinstance(answer, dict) else None
        if records is None and isinstance(answer, dict):
            records = []  # some servers leave out an empty list, others write null
        if not isinstance(records, list):
            raise BadRouterAnswer(f"the answer has no list {self._field!r}")
        peers = map(peer_from_record, records[:MAX_RECORDS])
        return [peer for peer in peers if peer is not None]


class NdjsonPeers:
    """Reads an ``application/x-ndjson`` answer, however it is cut; a line is a record."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._size = 0
        self._records = 0

    @property
    def is_full(self) -> bool:
        """True when so many records have come that the rest is not looked at."""
        return self._records >= MAX_RECORDS

    def receive(self, data: Buffer) -> list[FoundPeer]:
        """
        Take a piece of the answer; return the peers that are complete with it.

        :raises BadRouterAnswer: if a line or the whole is too long.
        """
        self._size += len(data)
        if self._size > MAX_STREAM_BYTES:
            raise BadRouterAnswer(f"the answer is longer than {MAX_STREAM_BYTES} bytes")
        searched = len(self._line)
        self._line += data
        if self._line.find(b"\n", searched) < 0:
            if len(self._line) > MAX_LINE_BYTES:
                raise BadRouterAnswer(f"a line of the answer is longer than {MAX_LINE_BYTES} bytes")
            return []
        *lines, rest = bytes(self._line).split(b"\n")
        self._line = bytearray(rest)
        return self._read(lines)

    def end(self) -> list[FoundPeer]:
        """Return the peer of the last line if it has no end."""
        last, self._line = bytes(self._line), bytearray()
        return self._read([last])

    def _read(self, lines: list[bytes]) -> list[FoundPeer]:
        peers = []
        for line in lines:
            if len(line) > MAX_LINE_BYTES:
                raise BadRouterAnswer(f"a line of the answer is longer than {MAX_LINE_BYTES} bytes")
            if not line.strip():
                continue
            if self.is_full:
                break
            self._records += 1
            try:
                peer = peer_from_record(_parsed(line))
            except BadRouterAnswer:
                continue  # a single bad line costs itself only
            if peer is not None:
                peers.append(peer)
        return peers


def _parsed(data: Buffer) -> Any:
    # Numbers of a million digits and a million brackets raise whatever they raise.
    with refused_as(BadRouterAnswer, "the answer is not JSON"):
        return json.loads(bytes(data))
