"""
secp256k1 keys: 33-byte compressed points, DER signatures over SHA-256.

The arithmetic is coincurve's where it is installed, else OpenSSL's, ten times slower. Both give
signatures in the lower half of S (some peers insist on it) and accept either half.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from libp2p.crypto.keys import KeyPair, KeyType, PrivateKey, PublicKey, checked_bytes
from libp2p.exceptions import CryptographyError

try:
    from libp2p.crypto import secp256k1_coincurve as backend
except ImportError:  # no wheel of coincurve for this Python
    from libp2p.crypto import secp256k1_openssl as backend  # type: ignore[no-redef]

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

SECRET_BYTES: Final = 32

#: How the forms of a point begin, by their lengths: compressed (33) and not (65). The hybrid form
#: of 65 bytes (06, 07) is OpenSSL's and libsecp256k1's alone: others would not know the peer by it.
_POINT_FORMS: Final = {33: (2, 3), 65: (4,)}

#: Number of points on the curve; a secret is below it.
GROUP_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


class Secp256k1PublicKey(PublicKey):
    """A point, kept in its compressed form of 33 bytes."""

    __slots__ = ("_point",)

    def __init__(self, point: bytes) -> None:
        point = checked_bytes(point, "secp256k1 public key")
        if not point or point[0] not in _POINT_FORMS.get(len(point), ()):
            raise CryptographyError("secp256k1 public key is no point in a form that is known")
        self._point = backend.compress(point)

    @classmethod
    def from_bytes(cls, data: bytes) -> Secp256k1PublicKey:
        """
        Read a compressed or uncompressed point.

        :raises CryptographyError: if it is in another form, or not on the curve.
        """
        return cls(data)

    @classmethod
    def deserialize(cls, data: bytes) -> Secp256k1PublicKey:
        """Read the protobuf form without a look at its type."""
        return cls(cls.deserialize_from_protobuf(data).data)

    def to_bytes(self) -> bytes:
        return self._point

    def get_type(self) -> KeyType:
        return KeyType.Secp256k1

    def verify(self, data: Buffer, signature: bytes) -> bool:
        return backend.verify(self._point, hashlib.sha256(data).digest(), bytes(signature))


class Secp256k1PrivateKey(PrivateKey):
    """A number below the group's order, in 32 bytes, big-endian."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        secret = checked_bytes(secret, "secp256k1 private key")
        number = int.from_bytes(secret, "big")
        if len(secret) != SECRET_BYTES or not 0 < number < GROUP_ORDER:
            raise CryptographyError("secp256k1 private key is out of range")
        self._secret = bytes(secret)

    @classmethod
    def new(cls, secret: bytes | None = None) -> Secp256k1PrivateKey:
        """Make a random key, or the one of ``secret`` (up to 32 bytes, big-endian)."""
        if secret is None:
            number = 1 + secrets.randbelow(GROUP_ORDER - 1)
            secret = number.to_bytes(SECRET_BYTES, "big")
        return cls(checked_bytes(secret, "secp256k1 secret").rjust(SECRET_BYTES, b"\0"))

    @classmethod
    def from_bytes(cls, data: bytes) -> Secp256k1PrivateKey:
        """:raises CryptographyError: if it is not 32 bytes, zero, or not below the order."""
        return cls(data)

    @classmethod
    def deserialize(cls, data: bytes) -> Secp256k1PrivateKey:
        """Read the protobuf form without a look at its type."""
        return cls(cls.deserialize_from_protobuf(data).data)

    def to_bytes(self) -> bytes:
        return self._secret

    def get_type(self) -> KeyType:
        return KeyType.Secp256k1

    def sign(self, data: bytes) -> bytes:
        return backend.sign(self._secret, hashlib.sha256(data).digest())

    def get_public_key(self) -> PublicKey:
        return Secp256k1PublicKey(backend.public_point(self._secret))


def create_new_key_pair(secret: bytes | None = None) -> KeyPair:
    """Make a random key pair, or the one of ``secret``."""
    private_key = Secp256k1PrivateKey.new(secret)
    return KeyPair(private_key, private_key.get_public_key())
