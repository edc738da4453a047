"""
Signed envelopes: a payload, its type, and a signature that holds in one domain only.

https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import CryptographyError, InvalidRecord
from libp2p.hostile_input import refused_as
from libp2p.peer.id import ID
from libp2p.peer.pb import envelope_pb2
from libp2p.peer.peer_record import (
    PEER_RECORD_ENVELOPE_DOMAIN,
    PEER_RECORD_ENVELOPE_PAYLOAD_TYPE,
    PeerRecord,
    unmarshal_record,
)
from libp2p.utils.varint import encode_varint_prefixed

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey, PublicKey

ENVELOPE_DOMAIN: Final = PEER_RECORD_ENVELOPE_DOMAIN
PEER_RECORD_CODEC: Final = PEER_RECORD_ENVELOPE_PAYLOAD_TYPE

#: As much as one identify message holds. Peer stores keep envelopes as they came, so without a
#: limit peers could fill our memory with them (CVE-2023-40583).
MAX_ENVELOPE_BYTES: Final = 8192


class Envelope:
    """A payload with its signer's key and signature; nothing is verified before `validate`."""

    __slots__ = ("_record", "payload_type", "public_key", "raw_payload", "signature")

    def __init__(
        self, public_key: PublicKey, payload_type: bytes, raw_payload: bytes, signature: bytes
    ) -> None:
        self.public_key = public_key
        self.payload_type = payload_type
        self.raw_payload = raw_payload
        self.signature = signature
        self._record: PeerRecord | None = None

    @property
    def signer(self) -> ID:
        """The peer whose key the envelope carries."""
        return ID.from_pubkey(self.public_key)

    def marshal_envelope(self) -> bytes:
        """Return the envelope's wire form."""
        return envelope_pb2.Envelope(
            public_key=self.public_key.serialize(),
            payload_type=self.payload_type,
            payload=self.raw_payload,
            signature=self.signature,
        ).SerializeToString(deterministic=True)

    def validate(self, domain: str) -> None:
        """:raises InvalidRecord: if the signature is not the key's in ``domain``."""
        unsigned = make_unsigned(domain, self.payload_type, self.raw_payload)
        if not self.public_key.verify(unsigned, self.signature):
            raise InvalidRecord("envelope's signature does not verify")

    def record(self) -> PeerRecord:
        """
        Return the peer record inside.

        :raises InvalidRecord: if the payload is something else.
        """
        if self._record is None:
            if self.payload_type != PEER_RECORD_ENVELOPE_PAYLOAD_TYPE:
                raise InvalidRecord(f"envelope of type {self.payload_type.hex()}, not a record")
            self._record = unmarshal_record(self.raw_payload)
        return self._record

    def equal(self, other: object) -> bool:
        """Return whether ``other`` is the same envelope."""
        return self == other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Envelope):
            return NotImplemented
        return self.marshal_envelope() == other.marshal_envelope()

    def __hash__(self) -> int:
        return hash(self.signature)

    def __repr__(self) -> str:
        return f"<Envelope of type {self.payload_type.hex()} by {self.signer}>"


def make_unsigned(domain: str, payload_type: bytes, payload: bytes) -> bytes:
    """Return the bytes that the signature is over: each part behind its length."""
    return b"".join(map(encode_varint_prefixed, (domain.encode(), payload_type, payload)))


def seal(domain: str, payload_type: bytes, payload: bytes, private_key: PrivateKey) -> Envelope:
    """Sign ``payload``."""
    signature = private_key.sign(make_unsigned(domain, payload_type, payload))
    return Envelope(private_key.get_public_key(), payload_type, payload, signature)


def seal_record(record: PeerRecord, private_key: PrivateKey) -> Envelope:
    """Sign a peer record."""
    return seal(record.domain(), record.codec(), record.marshal_record(), private_key)


def unmarshal_envelope(data: bytes) -> Envelope:
    """
    Read an envelope without verifying it.

    :raises InvalidRecord: if it is too long or malformed, or its key cannot be read.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise InvalidRecord(f"envelope of {len(data)} bytes, at most {MAX_ENVELOPE_BYTES} are read")
    with refused_as(InvalidRecord, "envelope is malformed"):
        message = envelope_pb2.Envelope.FromString(data)
    try:
        public_key = deserialize_public_key(message.public_key)
    except CryptographyError as error:
        raise InvalidRecord("envelope is malformed") from error
    return Envelope(public_key, message.payload_type, message.payload, message.signature)


def consume_envelope(data: bytes, domain: str) -> tuple[Envelope, PeerRecord]:
    """
    Read and verify an envelope with a peer record; the caller checks who signed it.

    :raises InvalidRecord: if anything about it is wrong.
    """
    envelope = unmarshal_envelope(data)
    envelope.validate(domain)
    return envelope, envelope.record()


def consume_peer_record(data: bytes) -> tuple[Envelope, PeerRecord]:
    """
    Read and verify a peer record that the peer itself has signed.

    :raises InvalidRecord: if anything about it is wrong.
    """
    envelope, record = consume_envelope(data, PEER_RECORD_ENVELOPE_DOMAIN)
    if envelope.signer != record.peer_id:
        raise InvalidRecord(f"peer record of {record.peer_id} is signed by {envelope.signer}")
    return envelope, record


def debug_dump_envelope(env: Envelope) -> None:
    """Write an envelope and the record in it to the standard output; py-libp2p's, for people."""
    try:
        record = repr(env.record())
    except InvalidRecord as error:
        record = f"it holds no peer record: {error}"
    signature = env.signature.hex()
    sys.stdout.write(f"payload type {env.payload_type!r}, signature {signature}\n{record}\n")
