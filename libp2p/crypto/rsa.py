"""RSA keys: PKIX and PKCS#1 encodings, PKCS#1 v1.5 signatures over SHA-256."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from libp2p.crypto.der import read_private, read_public, write_private, write_public
from libp2p.crypto.keys import KeyPair, KeyType, PrivateKey, PublicKey
from libp2p.exceptions import CryptographyError
from libp2p.hostile_input import accepts, refused_as

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: go-libp2p's range. Shorter keys can be broken, longer ones make every handshake with a hostile
#: peer cost us milliseconds.
MIN_RSA_KEY_SIZE: Final = 2048
MAX_RSA_KEY_SIZE: Final = 8192

#: A larger public exponent turns a verification into the work of a private-key operation.
MAX_RSA_EXPONENT: Final = 2**31 - 1


class RSAPublicKey(PublicKey):
    """Encoded as PKIX SubjectPublicKeyInfo in DER."""

    __slots__ = ("impl",)

    def __init__(self, impl: rsa.RSAPublicKey) -> None:
        check_rsa_public_key(impl)
        self.impl = impl

    @classmethod
    def from_bytes(cls, key_bytes: bytes) -> RSAPublicKey:
        """:raises CryptographyError: if it is no RSA key of 2048 to 8192 bits."""
        return cls(read_public(key_bytes, rsa.RSAPublicKey, "RSA"))

    def to_bytes(self) -> bytes:
        return write_public(self.impl)

    def get_type(self) -> KeyType:
        return KeyType.RSA

    def verify(self, data: Buffer, signature: bytes) -> bool:
        return accepts(
            self.impl.verify, signature, bytes(data), padding.PKCS1v15(), hashes.SHA256()
        )


class RSAPrivateKey(PrivateKey):
    """Encoded as PKCS#1 in DER."""

    __slots__ = ("impl",)

    def __init__(self, impl: rsa.RSAPrivateKey) -> None:
        validate_rsa_key_size(impl)
        self.impl = impl

    @classmethod
    def new(cls, bits: int = 2048, e: int = 65537) -> RSAPrivateKey:
        """
        Make a random key.

        :raises CryptographyError: if ``bits`` is out of range, or ``e`` no exponent.
        """
        with refused_as(CryptographyError, "RSA key cannot be made"):
            validate_rsa_key_length(bits)
            return cls(rsa.generate_private_key(public_exponent=e, key_size=bits))

    @classmethod
    def from_bytes(cls, key_bytes: bytes) -> RSAPrivateKey:
        """:raises CryptographyError: if it is no RSA key of 2048 to 8192 bits."""
        return cls(read_private(key_bytes, rsa.RSAPrivateKey, "RSA"))

    def to_bytes(self) -> bytes:
        return write_private(self.impl)

    def get_type(self) -> KeyType:
        return KeyType.RSA

    def sign(self, data: bytes) -> bytes:
        return self.impl.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def get_public_key(self) -> PublicKey:
        return RSAPublicKey(self.impl.public_key())


def validate_rsa_key_length(key_length: int) -> None:
    """:raises CryptographyError: if a key may not have that many bits."""
    if type(key_length) is not int or key_length <= 0:
        raise CryptographyError(f"RSA key size must be positive, not {key_length!r}")
    if key_length > MAX_RSA_KEY_SIZE:
        raise CryptographyError(
            f"RSA key of {key_length} bits exceeds maximum allowed size {MAX_RSA_KEY_SIZE}"
        )
    if key_length < MIN_RSA_KEY_SIZE:
        raise CryptographyError(f"RSA key of {key_length} bits, at least {MIN_RSA_KEY_SIZE} needed")


def validate_rsa_key_size(key: rsa.RSAPublicKey | rsa.RSAPrivateKey) -> None:
    """:raises CryptographyError: if ``key`` is too short or too long."""
    validate_rsa_key_length(key.key_size)


def check_rsa_public_key(key: rsa.RSAPublicKey) -> None:
    """:raises CryptographyError: if ``key`` is too short, too long, or too slow to verify with."""
    with refused_as(CryptographyError, "RSA public key is malformed"):
        validate_rsa_key_size(key)
        exponent = key.public_numbers().e
    if exponent > MAX_RSA_EXPONENT:
        raise CryptographyError("RSA public exponent is too large")


def create_new_key_pair(bits: int = 2048, e: int = 65537) -> KeyPair:
    """Make a random key pair with a modulus of that many bits and public exponent ``e``."""
    private_key = RSAPrivateKey.new(bits, e)
    return KeyPair(private_key, private_key.get_public_key())
