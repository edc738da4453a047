"""
Identify messages (sans-I/O): written so that every implementation can read them, read with care.

https://github.com/libp2p/specs/blob/master/identify/README.md. What a peer says of itself may come
in several length-prefixed messages, which are merged until the stream ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import (
    CryptographyError,
    IdentifyError,
    InvalidAddrError,
    InvalidRecord,
    MessageTooLarge,
    ParseError,
)
from libp2p.hostile_input import refused_as
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.io.frame_reader import FrameReader
from libp2p.peer.addresses import (
    AddressScope,
    address_from_wire,
    addresses_from_wire,
    visible_addresses,
    without_peer_id,
)
from libp2p.peer.envelope import Envelope, consume_peer_record
from libp2p.peer.id import ID
from libp2p.peer.peerdata import MAX_ADDRESSES_PER_PEER, MAX_PROTOCOLS_PER_PEER
from libp2p.utils.varint import encode_varint_prefixed

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer
    from libp2p.crypto.keys import PublicKey

#: What go and js read at most as one message.
MAX_MESSAGE_BYTES: Final = 8192

#: Messages merged at most (js; go takes one less).
MAX_MESSAGES: Final = 10

#: rust-libp2p reads one message of at most so many bytes, length included, and no more: what
#: matters to it has to be in the first.
OWN_MESSAGE_BYTES: Final = 4096

#: Messages sent at most: go stops merging after nine.
MAX_OWN_MESSAGES: Final = 9

#: Versions are free text that ends up in logs and on terminals.
MAX_VERSION_LENGTH: Final = 256

#: Longer than any protocol id in use; multistream-select could not carry much more.
MAX_PROTOCOL_LENGTH: Final = 256


class IdentifyReader:
    """Bytes of a stream in, one merged `Identify` out at its end."""

    def __init__(self) -> None:
        self._frames = FrameReader(MAX_MESSAGE_BYTES)
        self._message = Identify()
        self._merged = 0

    def receive(self, buffers: Iterable[Buffer]) -> None:
        """:raises IdentifyError: if the peer sends too much or something else."""
        try:
            for frame in self._frames.receive(buffers):
                self._merged += 1
                if self._merged > MAX_MESSAGES:
                    raise IdentifyError(f"more than {MAX_MESSAGES} identify messages")
                with refused_as(IdentifyError, "malformed identify message"):
                    self._message.MergeFromString(frame)
        except (ParseError, MessageTooLarge) as error:
            raise IdentifyError(f"malformed identify message: {error}") from error

    def finish(self) -> Identify:
        """
        Return the message once the stream has ended.

        :raises IdentifyError: if it ended inside a message or before the first one.
        """
        if not self._merged or not self._frames.at_boundary:
            raise IdentifyError("stream ended before the identify message did")
        return self._message


class BareReader:
    """As `IdentifyReader`, for one message without its length in front."""

    def __init__(self) -> None:
        self._data = bytearray()

    def receive(self, buffers: Iterable[Buffer]) -> None:
        """:raises IdentifyError: if the peer sends too much."""
        self._data += b"".join(buffers)
        if len(self._data) > MAX_MESSAGE_BYTES:
            raise IdentifyError(f"more than {MAX_MESSAGE_BYTES} bytes in an identify message")

    def finish(self) -> Identify:
        """:raises IdentifyError: if it is malformed, or has no public key."""
        return parse_identify_response(bytes(self._data))


def parse_identify_response(response: bytes) -> Identify:
    """
    Read all that an identify stream carried: length-prefixed messages, or one bare message as old
    versions of py-libp2p sent it.

    :raises IdentifyError: if it is neither, or has no public key.
    """
    message = _parse_framed(response) or _parse_bare(response)
    if not message.HasField("public_key"):
        raise IdentifyError("identify message without a public key")
    return message


def _parse_framed(response: bytes) -> Identify | None:
    reader = IdentifyReader()
    try:
        reader.receive([response])
        message = reader.finish()
    except IdentifyError:
        return None
    return message if message.HasField("public_key") else None


def _parse_bare(response: bytes) -> Identify:
    with refused_as(IdentifyError, "malformed identify message"):
        return Identify.FromString(response)


def encode_identify(message: Identify) -> bytes:
    """
    Write ``message`` in as few length-prefixed messages as its readers allow.

    All that fits goes into the first one, the fixed fields before the protocols, these before
    the addresses. The signed record follows alone if it does not fit as well.
    """
    packed: list[Identify] = [_fixed_fields(message)]
    for piece in _pieces(message):
        if _framed_size(packed[-1]) + piece.ByteSize() <= OWN_MESSAGE_BYTES:
            packed[-1].MergeFrom(piece)
        elif len(packed) < MAX_OWN_MESSAGES and piece.ByteSize() <= MAX_MESSAGE_BYTES:
            packed.append(piece)
    return b"".join(
        encode_varint_prefixed(part.SerializeToString(deterministic=True)) for part in packed
    )


def _fixed_fields(message: Identify) -> Identify:
    fixed = Identify()
    fixed.CopyFrom(message)
    for field in ("listen_addrs", "protocols", "signedPeerRecord"):
        fixed.ClearField(field)
    return fixed


def _pieces(message: Identify) -> Iterator[Identify]:
    for protocol in message.protocols:
        yield Identify(protocols=[protocol])
    for address in message.listen_addrs:
        yield Identify(listen_addrs=[address])
    if message.HasField("signedPeerRecord"):
        yield Identify(signedPeerRecord=message.signedPeerRecord)


def _framed_size(message: Identify) -> int:
    return message.ByteSize() + 2  # lengths from 128 to 16,383 take two bytes


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """
    What a peer says of itself, checked as far as it can be.

    ``None`` means that the peer said nothing about it. ``observed_addr`` is what it claims our
    address to be: one peer's word.
    """

    peer_id: ID
    public_key: PublicKey | None
    protocols: tuple[str, ...] | None
    addresses: tuple[Multiaddr, ...] | None
    observed_addr: Multiaddr | None
    protocol_version: str
    agent_version: str
    signed_record: Envelope | None


def read_identity(message: Identify, peer_id: ID, scope: AddressScope) -> PeerIdentity:
    """
    Check ``message`` from the peer that its secure channel proved to be ``peer_id``.

    Addresses that cannot be true for a peer in ``scope`` are left out. If the peer sent a signed
    record, its addresses count and the unsigned ones do not.

    :raises IdentifyError: if the public key is not this peer's.
    """
    envelope = _read_record(message, peer_id)
    addresses: Iterable[Multiaddr] | None = None
    if envelope is not None:
        addresses = envelope.record().addrs
    elif message.listen_addrs:
        addresses = addresses_from_wire(message.listen_addrs, MAX_ADDRESSES_PER_PEER)
    return PeerIdentity(
        peer_id=peer_id,
        public_key=_read_public_key(message, peer_id),
        protocols=_read_protocols(message),
        addresses=None if addresses is None else _own_addresses(addresses, peer_id, scope),
        observed_addr=_read_observed(message),
        protocol_version=_printable(message.protocol_version),
        agent_version=_printable(message.agent_version),
        signed_record=envelope,
    )


def _read_public_key(message: Identify, peer_id: ID) -> PublicKey | None:
    if not message.HasField("public_key"):
        return peer_id.extract_public_key()
    try:
        public_key = deserialize_public_key(message.public_key)
    except CryptographyError as error:
        raise IdentifyError(f"identify message with an unreadable key: {error}") from error
    owner = ID.from_pubkey(public_key)
    if owner != peer_id:
        raise IdentifyError(f"identify message of {peer_id} with the key of {owner}")
    return public_key


def _read_record(message: Identify, peer_id: ID) -> Envelope | None:
    # A record that does not verify, or is another peer's, is as good as none.
    if not message.HasField("signedPeerRecord"):
        return None
    try:
        envelope, record = consume_peer_record(message.signedPeerRecord)
    except InvalidRecord:
        return None
    return envelope if record.peer_id == peer_id else None


def _own_addresses(
    addresses: Iterable[Multiaddr], peer_id: ID, scope: AddressScope
) -> tuple[Multiaddr, ...]:
    return tuple(visible_addresses(without_peer_id(addresses, peer_id), scope))


def _read_protocols(message: Identify) -> tuple[str, ...] | None:
    if not message.protocols:
        return None
    protocols = (_text(name) for name in message.protocols if len(name) <= MAX_PROTOCOL_LENGTH)
    return tuple(name for name, _ in zip(protocols, range(MAX_PROTOCOLS_PER_PEER), strict=False))


def _read_observed(message: Identify) -> Multiaddr | None:
    try:
        return address_from_wire(message.observed_addr)
    except InvalidAddrError:
        return None


def _text(value: str | bytes) -> str:
    """Return a string field's value; protobuf gives bytes for one that is not UTF-8."""
    return value if isinstance(value, str) else value.decode(errors="replace")


def _printable(value: str | bytes) -> str:
    return "".join(filter(str.isprintable, _text(value)[:MAX_VERSION_LENGTH]))
