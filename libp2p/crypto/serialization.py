"""
Reads keys from their protobuf form.

Modules of the rarer key types are imported when the first such key is read: a process that never
meets an RSA peer does not load RSA.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from libp2p.crypto.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from libp2p.crypto.keys import DATA_FIELD, SENT_KEY_TYPES, TYPE_FIELD, KeyType, checked_bytes
from libp2p.exceptions import CryptographyError, MissingDeserializerError, ParseError
from libp2p.ipld.protowire import LENGTH, VARINT, read_fields

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey, PublicKey

_SENT_TYPES: Final = frozenset(kind.value for kind in SENT_KEY_TYPES)

#: The largest legal key is an RSA private key of 8192 bits, 4.7 kB.
MAX_KEY_MESSAGE_BYTES: Final = 8192


def _reader(module: str, name: str) -> Callable[[bytes], Any]:
    """Return what reads a key of a class that is loaded when it is needed."""
    return lambda data: getattr(import_module(module), name).from_bytes(data)


key_type_to_public_key_deserializer: dict[int, Callable[[bytes], PublicKey]] = {
    KeyType.RSA.value: _reader("libp2p.crypto.rsa", "RSAPublicKey"),
    KeyType.Ed25519.value: Ed25519PublicKey.from_bytes,
    KeyType.Secp256k1.value: _reader("libp2p.crypto.secp256k1", "Secp256k1PublicKey"),
    KeyType.ECDSA.value: _reader("libp2p.crypto.ecc", "ECCPublicKey"),
}

key_type_to_private_key_deserializer: dict[int, Callable[[bytes], PrivateKey]] = {
    KeyType.RSA.value: _reader("libp2p.crypto.rsa", "RSAPrivateKey"),
    KeyType.Ed25519.value: Ed25519PrivateKey.from_bytes,
    KeyType.Secp256k1.value: _reader("libp2p.crypto.secp256k1", "Secp256k1PrivateKey"),
    KeyType.ECDSA.value: _reader("libp2p.crypto.ecc", "ECCPrivateKey"),
}


def deserialize_public_key(data: bytes) -> PublicKey:
    """
    Read a public key from its protobuf form.

    :raises MissingDeserializerError: if its type is not known.
    :raises CryptographyError: if it is malformed.
    """
    key_type, key_data = _parse(data)
    return key_type_to_public_key_deserializer[key_type](key_data)


def deserialize_private_key(data: bytes) -> PrivateKey:
    """
    Read a private key from its protobuf form.

    :raises MissingDeserializerError: if its type is not known.
    :raises CryptographyError: if it is malformed.
    """
    key_type, key_data = _parse(data)
    return key_type_to_private_key_deserializer[key_type](key_data)


def _parse(message: bytes) -> tuple[int, bytes]:
    """Return the type and the data; as in protobuf, the last field of a number counts."""
    message = checked_bytes(message, "key message")
    if len(message) > MAX_KEY_MESSAGE_BYTES:
        raise CryptographyError(f"key message of {len(message)} bytes")
    key_type, key_data = None, b""
    try:
        for field, wire_type, number, content in read_fields(memoryview(message)):
            if (field, wire_type) == (TYPE_FIELD, VARINT) and number in _SENT_TYPES:
                key_type = number
            elif (field, wire_type) == (DATA_FIELD, LENGTH):
                key_data = bytes(content)
    except ParseError as error:
        raise CryptographyError(f"key message is malformed: {error}") from error
    if key_type is None:
        raise MissingDeserializerError("key is of an unknown type")
    return key_type, key_data
