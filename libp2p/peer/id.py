"""
Peer ids: the multihash of a public key.

https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md. Keys of up to 42 bytes are their
own hash (identity), longer ones are hashed by SHA-256; nothing else is a peer id.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from libp2p.crypto.keys import PublicKey
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.encoding_config import get_default_encoding
from libp2p.exceptions import (
    CryptographyError,
    InvalidArgument,
    InvalidMultibase,
    InvalidPeerID,
)
from libp2p.ipld import multibase
from libp2p.utils.arguments import binary, instance, listed, wrong_type

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: Serialized public keys up to this length are embedded in the id (Ed25519, secp256k1).
MAX_INLINE_KEY_LENGTH: Final = 42

IDENTITY_MULTIHASH_CODE: Final = 0x00
SHA256_MULTIHASH_CODE: Final = 0x12
SHA256_BYTES: Final = 32

#: The head of a CIDv1 with the codec libp2p-key (0x72), behind which the multihash stands.
_CID_PREFIX: Final = b"\x01\x72"

#: Longer than any text form of a peer id; base58 and base36 take time quadratic in the length.
MAX_TEXT_LENGTH: Final = 128


class ID:
    """A peer id: immutable, hashable by its bytes, sortable."""

    __slots__ = ("_base58", "_bytes", "_hash", "_xor_id")

    def __init__(self, peer_id_bytes: Buffer) -> None:
        """
        Take any bytes, as programs of py-libp2p's make ids for their tests.

        `from_bytes`, `from_string` and `of` check that they are an id.
        """
        self._bytes = (
            peer_id_bytes if type(peer_id_bytes) is bytes else bytes(binary(peer_id_bytes))
        )
        self._hash = hash(self._bytes)
        self._base58: str | None = None
        self._xor_id: int | None = None

    @classmethod
    def from_bytes(cls, data: Buffer) -> ID:
        """:raises InvalidPeerID: if the bytes are not the multihash of a public key."""
        peer_id = cls(data)
        _check_multihash(peer_id._bytes)
        return peer_id

    @classmethod
    def of(cls, value: ID | str | Buffer, name: str = "peer_id") -> ID:
        """
        Return a peer id that is given as an `ID`, as text or in binary form.

        :raises InvalidPeerID: if it is none.
        :raises TypeError: if it is something else; ``name`` is what the error calls it.
        """
        if type(value) is ID:
            return value
        if isinstance(value, str):
            return cls.from_string(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return cls.from_bytes(value)
        raise wrong_type(name, value, "a peer id (ID, or its text)")

    @classmethod
    def list_of(cls, values: object) -> list[ID]:
        """
        Return a list of peer ids, also for a single one, each in any form that `of` takes.

        :raises InvalidArgument: if there is none.
        """
        if isinstance(values, str | ID | bytes | bytearray | memoryview):
            return [cls.of(values, "peers")]
        several = listed(values, "peers", "a list of peer ids, or None for all peers")
        if not several:
            raise InvalidArgument(
                "peers is empty: name the peers to ask, or leave it out to ask all"
            )
        return [cls.of(value, "a peer of peers") for value in several]

    # -- binary -----------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Return the multihash."""
        return self._bytes

    __bytes__ = to_bytes

    @property
    def xor_id(self) -> int:
        """The SHA-256 of the id as a number: where the peer is in the DHT's key space."""
        if self._xor_id is None:
            self._xor_id = int.from_bytes(hashlib.sha256(self._bytes).digest(), "big")
        return self._xor_id

    @classmethod
    def from_pubkey(cls, key: PublicKey) -> ID:
        """Return the id of the peer that owns ``key``."""
        instance(key, PublicKey, "key")
        serialized = key.serialize()
        if len(serialized) <= MAX_INLINE_KEY_LENGTH:
            return cls(bytes((IDENTITY_MULTIHASH_CODE, len(serialized))) + serialized)
        digest = hashlib.sha256(serialized).digest()
        return cls(bytes((SHA256_MULTIHASH_CODE, SHA256_BYTES)) + digest)

    def extract_public_key(self) -> PublicKey | None:
        """Return the public key if it is embedded and readable."""
        if self._bytes[:1] != bytes([IDENTITY_MULTIHASH_CODE]):
            return None
        try:
            return deserialize_public_key(self._bytes[2:])
        except CryptographyError:
            return None

    # -- text -------------------------------------------------------------------------------------

    def to_base58(self) -> str:
        """Return the usual text form: `12D3…`, `16Uiu…` or `Qm…`."""
        if self._base58 is None:
            self._base58 = multibase.encode_base58btc(self._bytes)
        return self._base58

    __str__ = pretty = to_string = to_base58

    def to_multibase(self, encoding: str | None = None) -> str:
        """
        Return the form as a CID, in `libp2p.encoding_config`'s base unless told otherwise.

        IPNS writes it in ``"base36"``: `k51…`.

        :raises InvalidMultibase: if the base is not known.
        """
        return multibase.encode(encoding or get_default_encoding(), _CID_PREFIX + self._bytes)

    @classmethod
    def from_base58(cls, b58_encoded_peer_id_str: str) -> ID:
        """
        Read base58 of any bytes, as the constructor takes any; `from_string` checks them.

        :raises InvalidPeerID: if it is not base58.
        """
        _check_length(b58_encoded_peer_id_str)
        try:
            return cls(multibase.decode_base58btc(b58_encoded_peer_id_str))
        except InvalidMultibase as error:
            raise InvalidPeerID(f"not a peer id: {b58_encoded_peer_id_str!r}") from error

    @classmethod
    def from_multibase(cls, multibase_str: str) -> ID:
        """
        Read a CID of codec libp2p-key, or any bytes behind a multibase prefix; see `from_base58`.

        :raises InvalidPeerID: if it is not multibase.
        """
        _check_length(multibase_str)
        try:
            decoded = multibase.decode(multibase_str)
        except InvalidMultibase as error:
            raise InvalidPeerID(f"not a peer id: {multibase_str!r}") from error
        return cls(decoded.removeprefix(_CID_PREFIX))

    @classmethod
    def from_string(cls, peer_id_str: str) -> ID:
        """
        Read any text form of a peer id.

        :raises InvalidPeerID: if it is none.
        """
        _check_length(peer_id_str)
        # The spec's rule: identity and SHA-256 multihashes begin so in base58, multibase never.
        is_base58 = peer_id_str.startswith(("1", "Qm"))
        peer_id = (cls.from_base58 if is_base58 else cls.from_multibase)(peer_id_str)
        _check_multihash(peer_id._bytes)
        return peer_id

    def __repr__(self) -> str:
        return f"<libp2p.peer.id.ID ({self.to_base58()})>"

    # -- comparison -------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ID):
            return self._bytes == other._bytes
        if isinstance(other, str):
            return self.to_base58() == other
        if isinstance(other, bytes):
            return self._bytes == other
        return NotImplemented

    def __lt__(self, other: ID) -> bool:
        return self._bytes < other._bytes if type(other) is ID else NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[ID], tuple[bytes]]:
        return type(self), (self._bytes,)  # the hash differs in other processes


def sha256_digest(data: str | bytes) -> bytes:
    """Return the SHA-256 of ``data``; text is taken in UTF-8."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).digest()


def _check_multihash(data: bytes) -> None:
    # Both codes and both lengths are one-byte varints: a longer form would be a second name for
    # the same peer.
    if len(data) < 2 or data[1] != len(data) - 2:
        raise InvalidPeerID(f"not a multihash: {data[:64].hex()}")
    code, length = data[0], data[1]
    if code == SHA256_MULTIHASH_CODE:
        valid = length == SHA256_BYTES
    else:
        valid = code == IDENTITY_MULTIHASH_CODE and 0 < length <= MAX_INLINE_KEY_LENGTH
    if not valid:
        raise InvalidPeerID(f"multihash of code {code:#x} and {length} bytes is not a peer id")


def _check_length(text: str) -> None:
    instance(text, str, "the text of a peer id")
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidPeerID(f"not a peer id: text of {len(text)} characters")
