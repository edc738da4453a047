"""
The interface of all kinds of keys.

A key's canonical bytes are the protobuf message of its type and data, in the order of their field
numbers: peer ids are hashes of exactly these bytes.
https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, unique
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NoReturn, Self

from libp2p.exceptions import CryptographyError, WrongArgumentType
from libp2p.hostile_input import refused_as
from libp2p.ipld.protowire import bytes_field, uint_field

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.crypto.pb import crypto_pb2


@unique
class KeyType(Enum):
    """Kinds of keys; the first four are the ones that libp2p sends."""

    RSA = 0
    Ed25519 = 1
    Secp256k1 = 2
    ECDSA = 3
    ECC_P256 = 4  # py-libp2p's name for local use, never sent
    X25519 = 5  # key agreement only, never sent


#: The fields of a key message (crypto.proto).
TYPE_FIELD: Final = 1
DATA_FIELD: Final = 2

SENT_KEY_TYPES: Final = frozenset((KeyType.RSA, KeyType.Ed25519, KeyType.Secp256k1, KeyType.ECDSA))


def checked_bytes(value: Buffer, name: str) -> bytes:
    """
    Return the bytes of a key.

    :raises CryptographyError: if ``value`` is something else.
    """
    if not isinstance(value, bytes | bytearray | memoryview):
        raise CryptographyError(f"{name} must be bytes, not {type(value).__name__}")
    return bytes(value)


class Key(ABC):
    """A public or a private key."""

    __slots__ = ()

    @abstractmethod
    def to_bytes(self) -> bytes:
        """Return the key in its type's own encoding."""

    @abstractmethod
    def get_type(self) -> KeyType:
        """Return what kind of key this is."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        # Constant time: one of the two may be a secret.
        return self._is_comparable(other) and compare_digest(self.to_bytes(), other.to_bytes())

    def _is_comparable(self, other: Key) -> bool:
        return self.get_type() is other.get_type() and (
            isinstance(self, PrivateKey) is isinstance(other, PrivateKey)
        )


class PublicKey(Key):
    """Verifies signatures, and names a peer."""

    __slots__ = ()

    @abstractmethod
    def verify(self, data: Buffer, signature: bytes) -> bool:
        """Return whether ``signature`` is one of ``data`` by the owner of this key."""

    def serialize(self) -> bytes:
        """Return the canonical protobuf form."""
        return _serialize(self)

    @classmethod
    def deserialize_from_protobuf(cls, protobuf_data: bytes) -> crypto_pb2.PublicKey:
        """Return the protobuf message in ``protobuf_data``; see `deserialize_public_key`."""
        from libp2p.crypto.pb import crypto_pb2  # loading protobuf takes longer than all else here

        with refused_as(CryptographyError, "key message is malformed"):
            return crypto_pb2.PublicKey.FromString(protobuf_data)

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.to_bytes().hex()[:16]}…>"


class PrivateKey(Key):
    """Signs; never shown in a ``repr``, and never pickled: a pickle would hold the secret."""

    __slots__ = ()

    @abstractmethod
    def sign(self, data: bytes) -> bytes:
        """Return a signature of ``data``."""

    @abstractmethod
    def get_public_key(self) -> PublicKey:
        """Return the key that verifies what this one signs."""

    def serialize(self) -> bytes:
        """Return the canonical protobuf form."""
        return _serialize(self)

    @classmethod
    def deserialize_from_protobuf(cls, protobuf_data: bytes) -> crypto_pb2.PrivateKey:
        """Return the protobuf message in ``protobuf_data``; see `deserialize_private_key`."""
        from libp2p.crypto.pb import crypto_pb2

        with refused_as(CryptographyError, "key message is malformed"):
            return crypto_pb2.PrivateKey.FromString(protobuf_data)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not pickled: the pickle would hold the secret")

    def __copy__(self) -> Self:
        return self  # it does not change

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __hash__(self) -> int:
        return hash(self.get_public_key())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


@dataclass(frozen=True)
class KeyPair:
    """A private key with its public key."""

    private_key: PrivateKey
    public_key: PublicKey

    def __post_init__(self) -> None:
        for name, key, kind in (
            ("private_key", self.private_key, PrivateKey),
            ("public_key", self.public_key, PublicKey),
        ):
            if not isinstance(key, kind):
                raise WrongArgumentType(
                    f"{name} must be a {kind.__name__}, not {type(key).__name__}"
                )


def _serialize(key: Key) -> bytes:
    key_type = key.get_type()
    if key_type not in SENT_KEY_TYPES:
        raise CryptographyError(f"{key_type.name} keys have no serialized form")
    data = key.to_bytes()
    return uint_field(TYPE_FIELD, key_type.value) + bytes_field(DATA_FIELD, len(data)) + data
