"""
Peer records: the addresses of a peer, as the peer itself states and signs them.

https://github.com/libp2p/specs/blob/master/RFC/0003-routing-records.md
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidPeerID, InvalidRecord
from libp2p.hostile_input import refused_as
from libp2p.peer.addresses import addresses_from_wire
from libp2p.peer.id import ID
from libp2p.peer.pb import peer_record_pb2

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.peer.peerinfo import PeerInfo

#: Keeps signatures of peer records apart from those of any other use of the key.
PEER_RECORD_ENVELOPE_DOMAIN: Final = "libp2p-peer-record"
PEER_RECORD_ENVELOPE_PAYLOAD_TYPE: Final = b"\x03\x01"

#: Addresses that are read from one record. No honest peer has more.
MAX_RECORD_ADDRESSES: Final = 500

_NOBODY: Final = ID(b"")

_last_timestamp = 0


class PeerRecord:
    """A peer's addresses; of two records the one with the higher ``seq`` is valid."""

    __slots__ = ("addrs", "peer_id", "seq")

    def __init__(
        self, peer_id: ID = _NOBODY, addrs: Sequence[Multiaddr] = (), seq: int | None = None
    ) -> None:
        self.peer_id = peer_id
        self.addrs = list(addrs)
        self.seq = timestamp_seq() if seq is None else seq

    def domain(self) -> str:
        """Return the domain of the record's signature."""
        return PEER_RECORD_ENVELOPE_DOMAIN

    def codec(self) -> bytes:
        """Return the record's type in an envelope."""
        return PEER_RECORD_ENVELOPE_PAYLOAD_TYPE

    def to_protobuf(self) -> peer_record_pb2.PeerRecord:
        """Return the record as a protobuf message."""
        return peer_record_pb2.PeerRecord(
            peer_id=self.peer_id.to_bytes(),
            seq=self.seq,
            addresses=addrs_to_protobuf(self.addrs),
        )

    def marshal_record(self) -> bytes:
        """Return the bytes to sign."""
        return self.to_protobuf().SerializeToString(deterministic=True)

    def equal(self, other: object) -> bool:
        """Return whether ``other`` is a record with the same contents."""
        return self == other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PeerRecord):
            return NotImplemented
        return (self.peer_id, self.seq, self.addrs) == (other.peer_id, other.seq, other.addrs)

    def __hash__(self) -> int:
        return hash((self.peer_id, self.seq))

    def __repr__(self) -> str:
        return f"PeerRecord({self.peer_id}, seq={self.seq}, [{', '.join(map(str, self.addrs))}])"


def timestamp_seq() -> int:
    """Return a number above all earlier ones: nanoseconds since 1970, as in go-libp2p."""
    global _last_timestamp
    _last_timestamp = max(time.time_ns(), _last_timestamp + 1)
    return _last_timestamp


def unmarshal_record(data: bytes) -> PeerRecord:
    """
    Read a record; addresses of unknown kinds are left out.

    :raises InvalidRecord: if it is malformed.
    """
    with refused_as(InvalidRecord, "peer record is malformed"):
        message = peer_record_pb2.PeerRecord.FromString(data)
    return peer_record_from_protobuf(message)


def peer_record_from_protobuf(msg: peer_record_pb2.PeerRecord) -> PeerRecord:
    """
    Read a record from its protobuf message.

    :raises InvalidRecord: if it names no peer.
    """
    try:
        peer_id = ID.from_bytes(msg.peer_id)
    except InvalidPeerID as error:
        raise InvalidRecord(f"peer record of no peer: {error}") from error
    return PeerRecord(peer_id, addrs_from_protobuf(msg.addresses), msg.seq)


def peer_record_from_peer_info(info: PeerInfo) -> PeerRecord:
    """Make a new record of a peer and its addresses."""
    return PeerRecord(info.peer_id, info.addrs)


def addrs_from_protobuf(
    addrs: Iterable[peer_record_pb2.PeerRecord.AddressInfo],
) -> list[Multiaddr]:
    """Read addresses; unreadable ones are left out."""
    return addresses_from_wire((info.multiaddr for info in addrs), MAX_RECORD_ADDRESSES)


def addrs_to_protobuf(
    addrs: Iterable[Multiaddr],
) -> list[peer_record_pb2.PeerRecord.AddressInfo]:
    """Write addresses as protobuf messages."""
    return [
        peer_record_pb2.PeerRecord.AddressInfo(multiaddr=address.to_bytes()) for address in addrs
    ]
