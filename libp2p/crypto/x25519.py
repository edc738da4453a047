"""X25519 keys: key agreement inside Noise, never an identity and never sent as a libp2p key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from cryptography.hazmat.primitives.asymmetric import x25519

from libp2p.crypto.keys import KeyPair, KeyType, PrivateKey, PublicKey
from libp2p.exceptions import MalformedKey, NoSignatures
from libp2p.hostile_input import refused_as

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

_NO_SIGNATURES: Final = "X25519 does not support signatures: its keys agree on secrets"


class X25519PublicKey(PublicKey):
    """32 bytes."""

    __slots__ = ("impl",)

    def __init__(self, impl: x25519.X25519PublicKey) -> None:
        self.impl = impl

    @classmethod
    def from_bytes(cls, data: bytes) -> X25519PublicKey:
        """:raises CryptographyError: if there are not 32 of them."""
        with refused_as(MalformedKey, "X25519 public key is not 32 bytes long"):
            return cls(x25519.X25519PublicKey.from_public_bytes(data))

    def to_bytes(self) -> bytes:
        return self.impl.public_bytes_raw()

    def get_type(self) -> KeyType:
        return KeyType.X25519

    def verify(self, data: Buffer, signature: bytes) -> NoReturn:
        """:raises NoSignatures: always."""
        raise NoSignatures(_NO_SIGNATURES)


class X25519PrivateKey(PrivateKey):
    """32 bytes."""

    __slots__ = ("impl",)

    def __init__(self, impl: x25519.X25519PrivateKey) -> None:
        self.impl = impl

    @classmethod
    def new(cls) -> X25519PrivateKey:
        """Make a random key."""
        return cls(x25519.X25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> X25519PrivateKey:
        """:raises CryptographyError: if there are not 32 of them."""
        with refused_as(MalformedKey, "X25519 private key is not 32 bytes long"):
            return cls(x25519.X25519PrivateKey.from_private_bytes(data))

    def to_bytes(self) -> bytes:
        return self.impl.private_bytes_raw()

    def get_type(self) -> KeyType:
        return KeyType.X25519

    def sign(self, data: bytes) -> NoReturn:
        """:raises NoSignatures: always."""
        raise NoSignatures(_NO_SIGNATURES)

    def get_public_key(self) -> PublicKey:
        return X25519PublicKey(self.impl.public_key())


def create_new_key_pair() -> KeyPair:
    """Make a random key pair."""
    private_key = X25519PrivateKey.new()
    return KeyPair(private_key, private_key.get_public_key())
