"""Records of public keys: under ``/pk/`` and a peer id stands the key that the id is made of."""

from __future__ import annotations

from typing import Final

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import CryptographyError, InvalidPeerID, InvalidRecordType
from libp2p.peer.id import ID
from libp2p.records.utils import key_to_bytes, peer_of_key, split_key
from libp2p.records.validator import Validator

__all__ = ["PublicKeyValidator", "public_key_record_key", "unmarshal_public_key"]

NAMESPACE: Final = "pk"

#: py-libp2p's name.
unmarshal_public_key = deserialize_public_key


def public_key_record_key(peer_id: ID) -> bytes:
    """Return the key under which a peer's public key is stored."""
    return b"/pk/" + peer_id.to_bytes()


class PublicKeyValidator(Validator):
    """
    Accepts the public key that the key of the record names.

    Its key has the bytes of the peer's id, or these in hex as py-libp2p has them: only its own
    peers find such a record.
    """

    def validate(self, key: str | bytes, value: bytes) -> None:
        """:raises InvalidRecordType: if it is another key, or is not written canonically."""
        peer_id = self._named(key)
        try:
            public_key = deserialize_public_key(value)
        except CryptographyError as error:
            raise InvalidRecordType(f"the record is no public key: {error}") from error
        if ID.from_pubkey(public_key) != peer_id:
            raise InvalidRecordType("the public key does not match storage key")
        if public_key.serialize() != value:
            # One key in many forms would be many records.
            raise InvalidRecordType("the public key is not in its canonical form")

    def select(self, key: str | bytes, values: list[bytes]) -> int:
        """Return 0: there is only one good record."""
        return 0

    @staticmethod
    def _named(key: str | bytes) -> ID:
        namespace, rest = split_key(key_to_bytes(key))
        if namespace != NAMESPACE:
            raise InvalidRecordType(f"namespace not '{NAMESPACE}' but {namespace!r}")
        try:
            return peer_of_key(rest)
        except InvalidPeerID as error:
            raise InvalidRecordType(f"the key is no valid multihash of a peer: {error}") from error
