"""ECDSA keys on P-256: PKIX and SEC 1 encodings, ASN.1 signatures over SHA-256."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libp2p.crypto.keys import KeyPair, KeyType, PrivateKey, PublicKey
from libp2p.exceptions import CryptographyError

if TYPE_CHECKING:
    from libp2p.custom_types import Buffer


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

        :raises CryptographyError: if it is no point of P-256.
        """
        _require_p256(curve)
        try:
            if data[:1] == b"\x30":
                impl = serialization.load_der_public_key(data)
            else:
                impl = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CryptographyError("ECDSA public key is malformed") from error
        if not isinstance(impl, ec.EllipticCurvePublicKey):
            raise CryptographyError("the encoded public key is not an ECDSA key")
        return cls(impl)

    def to_bytes(self) -> bytes:
        return self.impl.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def get_type(self) -> KeyType:
        return KeyType.ECDSA

    def verify(self, data: Buffer, signature: bytes) -> bool:
        try:
            self.impl.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


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
        try:
            impl = serialization.load_der_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CryptographyError("ECDSA private key is malformed") from error
        if not isinstance(impl, ec.EllipticCurvePrivateKey):
            raise CryptographyError("the encoded private key is not an ECDSA key")
        return cls(impl)

    def to_bytes(self) -> bytes:
        return self.impl.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

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
