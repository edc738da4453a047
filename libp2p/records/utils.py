"""Keys of records, and signatures of whole records, under py-libp2p's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import CryptographyError, InvalidRecordType
from libp2p.peer.id import ID
from libp2p.utils.arguments import wrong_type

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey

__all__ = [
    "InvalidRecordType",
    "key_to_bytes",
    "key_to_text",
    "peer_of_key",
    "sign_record",
    "split_key",
    "verify_record",
]

_K = TypeVar("_K", str, bytes)

#: What is signed begins with this, so that no other signature of the key passes for one.
SIGNATURE_PREFIX: Final = b"libp2p-record:"

#: Characters of a key that an error quotes: anybody may send one.
_QUOTED: Final = 80


def key_to_bytes(key: str | bytes) -> bytes:
    """
    Return the form of a key that travels; text is taken in UTF-8, or is what `key_to_text` made.

    :raises InvalidRecordType: if the text has no bytes.
    :raises WrongArgumentType: if it is neither.
    """
    if isinstance(key, str):
        try:
            return key.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise InvalidRecordType("the key of a record is not UTF-8") from error
    if isinstance(key, bytes | bytearray | memoryview):
        return bytes(key)
    raise wrong_type("the key of a record", key, "bytes or str")


def key_to_text(key: str | bytes) -> str:
    """
    Return the form of a key that validators get; `key_to_bytes` returns the same bytes again.

    Bytes that are not UTF-8, as most multihashes have, become lone surrogates (PEP 383).
    """
    return key_to_bytes(key).decode("utf-8", "surrogateescape")


def split_key(key: _K) -> tuple[str, _K]:
    """
    Split ``/namespace/rest``; the rest has the type of the key and may hold further slashes.

    :raises InvalidRecordType: if it has no namespace.
    """
    raw = key_to_bytes(key)
    start, separator, rest = raw[1:].partition(b"/")
    if raw[:1] != b"/" or not separator or not start:
        raise InvalidRecordType(f"the key {key[:_QUOTED]!r} does not begin with /namespace/")
    try:
        namespace = start.decode()
    except UnicodeDecodeError as error:
        raise InvalidRecordType("the namespace of a key is not UTF-8") from error
    if isinstance(key, str):
        return namespace, key_to_text(rest)
    return namespace, rest


def peer_of_key(rest: bytes) -> ID:
    """
    Return the peer whose id a key has behind its namespace: its bytes, or these in hex.

    :raises InvalidPeerID: if it is neither.
    """
    text = rest.decode("latin-1")
    try:
        decoded = bytes.fromhex(text)
    except ValueError:
        return ID.from_bytes(rest)
    # One key in many forms would be many records.
    return ID.from_bytes(decoded if decoded.hex() == text else rest)


def sign_record(private_key: PrivateKey, key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Sign a record as a whole; return the signature and the author's key in protobuf form."""
    signature = private_key.sign(SIGNATURE_PREFIX + key + value)
    return signature, private_key.get_public_key().serialize()


def verify_record(signature: bytes, author_public_key: bytes, key: bytes, value: bytes) -> bool:
    """Return whether a record is signed by the key beside it; a malformed key signs nothing."""
    try:
        author = deserialize_public_key(author_public_key)
    except CryptographyError:
        return False
    return author.verify(SIGNATURE_PREFIX + key + value, signature)
