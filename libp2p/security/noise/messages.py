"""
py-libp2p's classes of a Noise payload; the handshake itself uses `libp2p.security.noise.payload`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import CryptographyError, InvalidArgument
from libp2p.hostile_input import refused_as
from libp2p.security.noise.payload import SIGNATURE_PREFIX
from libp2p.security.noise.pb import noise_pb2

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey, PublicKey

SIGNED_DATA_PREFIX: Final = SIGNATURE_PREFIX.decode()


@dataclass
class NoiseExtensions:
    """
    What a payload carries besides the identity.

    :param early_data: py-libp2p's own extension: other implementations skip it, and the handshake
        of this library neither sends nor reads it.
    """

    webtransport_certhashes: list[bytes] = field(default_factory=list)
    stream_muxers: list[str] = field(default_factory=list)
    early_data: bytes | None = None

    def to_protobuf(self) -> noise_pb2.NoiseExtensions:
        """Return the message."""
        return noise_pb2.NoiseExtensions(
            webtransport_certhashes=self.webtransport_certhashes,
            stream_muxers=[muxer.encode() for muxer in self.stream_muxers],
            early_data=self.early_data,
        )

    @classmethod
    def from_protobuf(cls, pb_ext: noise_pb2.NoiseExtensions) -> NoiseExtensions:
        """Return what a message says."""
        return cls(
            list(pb_ext.webtransport_certhashes),
            [muxer.decode(errors="replace") for muxer in pb_ext.stream_muxers],
            pb_ext.early_data if pb_ext.HasField("early_data") else None,
        )

    def is_empty(self) -> bool:
        """Tell whether there is nothing in it."""
        return self == NoiseExtensions()

    def has_webtransport_certhashes(self) -> bool:
        """Tell whether there are hashes of certificates."""
        return bool(self.webtransport_certhashes)

    def has_stream_muxers(self) -> bool:
        """Tell whether muxers are offered."""
        return bool(self.stream_muxers)

    def has_early_data(self) -> bool:
        """Tell whether there is early data."""
        return self.early_data is not None


@dataclass
class NoiseHandshakePayload:
    """An identity key, and its signature of the Noise static key."""

    id_pubkey: PublicKey
    id_sig: bytes
    extensions: NoiseExtensions | None = None

    def serialize(self) -> bytes:
        """
        Return the payload's bytes.

        :raises ValueError: if the signature is missing.
        """
        if not self.id_sig:
            raise InvalidArgument("a Noise payload needs a signature")
        message = noise_pb2.NoiseHandshakePayload(
            identity_key=self.id_pubkey.serialize(), identity_sig=self.id_sig
        )
        if self.extensions is not None:
            message.extensions.CopyFrom(self.extensions.to_protobuf())
        return message.SerializeToString()

    @classmethod
    def deserialize(cls, protobuf_bytes: bytes) -> NoiseHandshakePayload:
        """
        Read a payload; the signature is not verified: `verify_handshake_payload_sig`.

        :raises ValueError: if it is none.
        """
        with refused_as(InvalidArgument, "Noise payload is malformed"):
            message = noise_pb2.NoiseHandshakePayload.FromString(protobuf_bytes)
        if not message.identity_key or not message.identity_sig:
            raise InvalidArgument("the Noise payload has no key or no signature")
        try:
            public_key = deserialize_public_key(message.identity_key)
        except CryptographyError as error:
            raise InvalidArgument(f"identity key in the Noise payload: {error}") from error
        extensions = None
        if message.HasField("extensions"):
            extensions = NoiseExtensions.from_protobuf(message.extensions)
        return cls(public_key, message.identity_sig, extensions)

    def has_extensions(self) -> bool:
        """Tell whether there is anything besides the identity."""
        return self.extensions is not None and not self.extensions.is_empty()

    def has_early_data(self) -> bool:
        """Tell whether there is early data."""
        return self.get_early_data() is not None

    def get_early_data(self) -> bytes | None:
        """Return the early data, if any."""
        return None if self.extensions is None else self.extensions.early_data


def make_data_to_be_signed(noise_static_pubkey: PublicKey) -> bytes:
    """Return what the identity key signs."""
    return SIGNATURE_PREFIX + noise_static_pubkey.to_bytes()


def make_handshake_payload_sig(id_privkey: PrivateKey, noise_static_pubkey: PublicKey) -> bytes:
    """Return an identity key's signature of a Noise static key."""
    return id_privkey.sign(make_data_to_be_signed(noise_static_pubkey))


def verify_handshake_payload_sig(
    payload: NoiseHandshakePayload, noise_static_pubkey: PublicKey
) -> bool:
    """Tell whether the payload's identity key has signed that static key."""
    return payload.id_pubkey.verify(make_data_to_be_signed(noise_static_pubkey), payload.id_sig)
