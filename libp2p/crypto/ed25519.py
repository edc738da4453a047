"""Ed25519 keys (https://www.rfc-editor.org/rfc/rfc8032), by libsodium: the default identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nacl.signing import SigningKey, VerifyKey

from libp2p.crypto.keys import KeyPair, KeyType, PrivateKey, PublicKey, checked_bytes
from libp2p.exceptions import CryptographyError
from libp2p.hostile_input import accepts, refused_as

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class Ed25519PublicKey(PublicKey):
    """32 bytes, verified by libsodium."""

    __slots__ = ("impl",)

    def __init__(self, impl: VerifyKey) -> None:
        self.impl = impl

    @classmethod
    def from_bytes(cls, key_bytes: bytes) -> Ed25519PublicKey:
        """:raises CryptographyError: if there are not 32 of them."""
        key_bytes = checked_bytes(key_bytes, "Ed25519 public key")
        if len(key_bytes) != KEY_BYTES:
            raise CryptographyError(f"Ed25519 public key of {len(key_bytes)} bytes, not 32")
        with refused_as(CryptographyError, "Ed25519 public key is malformed"):
            return cls(VerifyKey(bytes(key_bytes)))

    def to_bytes(self) -> bytes:
        return bytes(self.impl)

    def get_type(self) -> KeyType:
        return KeyType.Ed25519

    def verify(self, data: Buffer, signature: bytes) -> bool:
        return len(signature) == SIGNATURE_BYTES and accepts(
            self.impl.verify, bytes(data), bytes(signature)
        )


class Ed25519PrivateKey(PrivateKey):
    """Encoded as the 32-byte seed and the 32-byte public key after each other."""

    __slots__ = ("impl",)

    def __init__(self, impl: SigningKey) -> None:
        self.impl = impl

    @classmethod
    def new(cls, seed: bytes | None = None) -> Ed25519PrivateKey:
        """Make a random key, or the one of ``seed`` (every form of `from_bytes` will do)."""
        return cls(SigningKey.generate()) if seed is None else cls.from_bytes(seed)

    @classmethod
    def from_bytes(cls, data: bytes) -> Ed25519PrivateKey:
        """
        Read seed and public key; also the bare seed (py-libp2p's files) and the old form of 96
        bytes that repeats the public key.

        :raises CryptographyError: if the length is another, or the parts do not belong together.
        """
        data = checked_bytes(data, "Ed25519 private key")
        if len(data) not in (KEY_BYTES, 2 * KEY_BYTES, 3 * KEY_BYTES):
            raise CryptographyError(f"Ed25519 private key of {len(data)} bytes, not 64")
        impl = SigningKey(bytes(data[:KEY_BYTES]))
        public = bytes(impl.verify_key)
        if any(
            data[start : start + KEY_BYTES] != public for start in range(KEY_BYTES, len(data), 32)
        ):
            raise CryptographyError("Ed25519 private key does not match the public key beside it")
        return cls(impl)

    def to_bytes(self) -> bytes:
        return bytes(self.impl) + bytes(self.impl.verify_key)

    def get_type(self) -> KeyType:
        return KeyType.Ed25519

    def sign(self, data: bytes) -> bytes:
        return self.impl.sign(data).signature

    def get_public_key(self) -> PublicKey:
        return Ed25519PublicKey(self.impl.verify_key)


def create_new_key_pair(seed: bytes | None = None) -> KeyPair:
    """Make a random key pair, or the one of a 32-byte ``seed``."""
    private_key = Ed25519PrivateKey.new(seed)
    return KeyPair(private_key, private_key.get_public_key())
