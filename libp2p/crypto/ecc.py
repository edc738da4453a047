"""ECDSA keys on P-256: PKIX and SEC 1 encodings, ASN.1 signatures over SHA-256."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from libp2p.crypto.der import read_private, read_public, write_private, write_public
from libp2p.crypto.keys import KeyPair, KeyType, PrivateKey, PublicKey, checked_bytes
from libp2p.exceptions import CryptographyError
from libp2p.hostile_input import accepts, refused_as

if TYPE_CHECKING:
    from libp2p.base_types import Buffer


class ECCPublicKey(PublicKey):
    """Encoded as PKIX SubjectPublicKeyInfo in DER."""

    __slots__ = ("impl",)

    def __init__(self, impl: ec.EllipticCurvePublicKey) -> None:
        _require_p256(impl.curve.name)
        self.impl = impl

    @classmethod
    def from_bytes(cls, data: bytes, curve: str = "P-256") -> ECCPublicKey:
        """
        Read PKIX, or the bare SEC 1 point that py-libp2p wrote.

        :raises CryptographyError: if it is no point of P-256, or PKIX of an unusual spelling: a
            compressed or hybrid point, a curve that is not named.
        """
        _require_p256(curve)
        data = checked_bytes(data, "ECDSA public key")
        if data[:1] == b"\x30":
            key = cls(read_public(data, ec.EllipticCurvePublicKey, "ECDSA"))
            if key.to_bytes() != data:
                raise CryptographyError("ECDSA public key is not encoded canonically")
            return key
        with refused_as(CryptographyError, "ECDSA public key is malformed"):
            return cls(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data))

    def to_bytes(self) -> bytes:
        return write_public(self.impl)

    def get_type(self) -> KeyType:
        return KeyType.ECDSA

    def verify(self, data: Buffer, signature: bytes) -> bool:
        return accepts(self.impl.verify, signature, data, ec.ECDSA(hashes.SHA256()))


class ECCPrivateKey(PrivateKey):
    """Encoded as SEC 1 ECPrivateKey in DER."""

    __slots__ = ("impl",)

    def __init__(self, impl: ec.EllipticCurvePrivateKey) -> None:
        _require_p256(impl.curve.name)
        self.impl = impl

    @classmethod
    def new(cls, curve: str = "P-256") -> ECCPrivateKey:
        """Make a random key."""
        _require_p256(curve)
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_bytes(cls, data: bytes) -> ECCPrivateKey:
        """:raises CryptographyError: if it is no private key of P-256."""
        return cls(read_private(data, ec.EllipticCurvePrivateKey, "ECDSA"))

    def to_bytes(self) -> bytes:
        return write_private(self.impl)

    def get_type(self) -> KeyType:
        return KeyType.ECDSA

    def sign(self, data: bytes) -> bytes:
        return self.impl.sign(data, ec.ECDSA(hashes.SHA256()))

    def get_public_key(self) -> PublicKey:
        return ECCPublicKey(self.impl.public_key())


def _require_p256(curve: str) -> None:
    if curve not in ("P-256", "secp256r1"):
        raise CryptographyError(f"ECDSA keys are on P-256, not on {curve}")


def create_new_key_pair(curve: str = "P-256") -> KeyPair:
    """Make a random key pair; ``curve`` can only be P-256."""
    private_key = ECCPrivateKey.new(curve)
    return KeyPair(private_key, private_key.get_public_key())
