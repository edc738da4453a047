"""
Keys out of their protobuf form.

Modules of the rarer key types are imported when such a key is met: a process that never sees an
RSA peer does not pay for loading RSA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from libp2p.crypto.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from libp2p.crypto.keys import checked_bytes
from libp2p.crypto.pb import crypto_pb2
from libp2p.exceptions import CryptographyError, MissingDeserializerError
from libp2p.hostile_input import refused_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.crypto.keys import PrivateKey, PublicKey

_Message = TypeVar("_Message", crypto_pb2.PublicKey, crypto_pb2.PrivateKey)

#: The largest legal key is an RSA private key of 8192 bits, 4.7 kB.
MAX_KEY_MESSAGE_BYTES: Final = 8192


def _rsa_public(data: bytes) -> PublicKey:
    from libp2p.crypto.rsa import RSAPublicKey

    return RSAPublicKey.from_bytes(data)


def _rsa_private(data: bytes) -> PrivateKey:
    from libp2p.crypto.rsa import RSAPrivateKey

    return RSAPrivateKey.from_bytes(data)


def _secp256k1_public(data: bytes) -> PublicKey:
    from libp2p.crypto.secp256k1 import Secp256k1PublicKey

    return Secp256k1PublicKey.from_bytes(data)


def _secp256k1_private(data: bytes) -> PrivateKey:
    from libp2p.crypto.secp256k1 import Secp256k1PrivateKey

    return Secp256k1PrivateKey.from_bytes(data)


def _ecdsa_public(data: bytes) -> PublicKey:
    from libp2p.crypto.ecc import ECCPublicKey

    return ECCPublicKey.from_bytes(data)


def _ecdsa_private(data: bytes) -> PrivateKey:
    from libp2p.crypto.ecc import ECCPrivateKey

    return ECCPrivateKey.from_bytes(data)


key_type_to_public_key_deserializer: dict[int, Callable[[bytes], PublicKey]] = {
    crypto_pb2.RSA: _rsa_public,
    crypto_pb2.Ed25519: Ed25519PublicKey.from_bytes,
    crypto_pb2.Secp256k1: _secp256k1_public,
    crypto_pb2.ECDSA: _ecdsa_public,
}

key_type_to_private_key_deserializer: dict[int, Callable[[bytes], PrivateKey]] = {
    crypto_pb2.RSA: _rsa_private,
    crypto_pb2.Ed25519: Ed25519PrivateKey.from_bytes,
    crypto_pb2.Secp256k1: _secp256k1_private,
    crypto_pb2.ECDSA: _ecdsa_private,
}


def deserialize_public_key(data: bytes) -> PublicKey:
    """
    Read a public key from its protobuf form.

    :raises MissingDeserializerError: if its type is not known.
    :raises CryptographyError: if it is malformed.
    """
    message = _parse(crypto_pb2.PublicKey(), data)
    return key_type_to_public_key_deserializer[message.key_type](message.data)


def deserialize_private_key(data: bytes) -> PrivateKey:
    """
    Read a private key from its protobuf form.

    :raises MissingDeserializerError: if its type is not known.
    :raises CryptographyError: if it is malformed.
    """
    message = _parse(crypto_pb2.PrivateKey(), data)
    return key_type_to_private_key_deserializer[message.key_type](message.data)


def _parse(message: _Message, data: bytes) -> _Message:
    data = checked_bytes(data, "key message")
    if len(data) > MAX_KEY_MESSAGE_BYTES:
        raise CryptographyError(f"key message of {len(data)} bytes")
    with refused_as(CryptographyError, "key message is malformed"):
        message.ParseFromString(data)
    if not message.HasField("key_type"):
        # A type that the schema does not have lands among the unknown fields.
        raise MissingDeserializerError("key is of an unknown type")
    return message
