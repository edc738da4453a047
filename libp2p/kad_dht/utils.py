"""py-libp2p's small functions over keys of the DHT."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from libp2p.encoding_config import get_default_encoding
from libp2p.ipld import multibase
from libp2p.kad_dht.keyspace import key_of, key_of_peer
from libp2p.utils.arguments import wrong_type

if TYPE_CHECKING:
    from libp2p.peer.id import ID


def create_key_from_binary(binary_data: bytes) -> bytes:
    """Return the SHA-256 of some bytes."""
    return sha256(binary_data).digest()


def xor_distance(key1: bytes, key2: bytes) -> int:
    """Return the XOR of two keys as a number."""
    for key in (key1, key2):
        if not isinstance(key, bytes):
            raise wrong_type("a key", key, "bytes")
    return int.from_bytes(key1, "big") ^ int.from_bytes(key2, "big")


def bytes_to_multibase(data: bytes, encoding: str | None = None) -> str:
    """Return bytes as text in a base of multibase, `libp2p.encoding_config`'s if none is named."""
    return multibase.encode(encoding or get_default_encoding(), data)


def multibase_to_bytes(multibase_str: str) -> bytes:
    """
    Read what `bytes_to_multibase` wrote.

    :raises InvalidMultibase: if it is something else.
    """
    return multibase.decode(multibase_str)


def bytes_to_base58(data: bytes) -> str:
    """Return bytes as base58btc without a prefix."""
    return multibase.encode_base58btc(data)


def sort_peer_ids_by_distance(target_key: bytes, peer_ids: Sequence[ID]) -> list[ID]:
    """Return peers by their distance from a record's key, the closest one first."""
    target = key_of(target_key)
    return sorted(peer_ids, key=lambda peer: key_of_peer(peer) ^ target)


def shared_prefix_len(first: bytes, second: bytes) -> int:
    """Return how many bits two byte strings have in common from the left."""
    size = min(len(first), len(second))
    differing = int.from_bytes(first[:size], "big") ^ int.from_bytes(second[:size], "big")
    return size * 8 - differing.bit_length()
