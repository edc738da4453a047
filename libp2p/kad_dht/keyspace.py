"""
The key space of Kademlia (sans-I/O): numbers of 256 bits, compared by XOR.

A peer is at the SHA-256 of its id, a record at the SHA-256 of its key. The fewer bits two numbers
differ in from the left, the closer they are.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidArgument
from libp2p.peer.id import SHA256_BYTES, SHA256_MULTIHASH_CODE

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.peer.id import ID

#: Bits of a key.
KEY_BITS: Final = 256

#: Bits that `preimage` finds at most: 24 take ten seconds, each one more twice as long.
MAX_PREIMAGE_BITS: Final = 24

_PEER_ID_HEAD: Final = bytes((SHA256_MULTIHASH_CODE, SHA256_BYTES))
_COUNTER_BYTES: Final = 8


def key_of(data: Buffer) -> int:
    """Return where a record's key, a multihash or the bytes of a peer id are in the key space."""
    return int.from_bytes(sha256(data).digest(), "big")


def key_of_peer(peer: ID) -> int:
    """Return where a peer is in the key space; the `ID` object remembers the number."""
    return peer.xor_id


def common_prefix_length(a: int, b: int) -> int:
    """Return how many bits two keys have in common from the left: 256 if they are the same."""
    return KEY_BITS - (a ^ b).bit_length()


def prefix_of_length(own: int, length: int) -> int:
    """Return the ``length + 1`` leading bits of keys that share ``length`` bits with ``own``."""
    return (own >> (KEY_BITS - length - 1)) ^ 1


def preimage(prefix: int, bits: int, seed: bytes) -> bytes:
    """
    Return bytes in the form of a peer id whose key begins with the ``bits`` bits of ``prefix``.

    Peers hash what they are asked for, so only such bytes can ask about a region of the key space.
    They are found by trying: 2**bits attempts on average, each of half a microsecond.

    :param seed: random bytes: another seed gives another key of the region.
    :raises InvalidArgument: if there are more bits than `MAX_PREIMAGE_BITS`.
    """
    if not 0 <= bits <= MAX_PREIMAGE_BITS:
        raise InvalidArgument(f"bits must be 0 to {MAX_PREIMAGE_BITS}, not {bits}")
    head = _PEER_ID_HEAD + sha256(seed).digest()[:-_COUNTER_BYTES]
    hashed, shift = sha256(head), 32 - bits
    attempt = 0
    while True:
        counter = attempt.to_bytes(_COUNTER_BYTES, "big")
        tried = hashed.copy()
        tried.update(counter)
        if int.from_bytes(tried.digest()[:4], "big") >> shift == prefix:
            return head + counter
        attempt += 1
