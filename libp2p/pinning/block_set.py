"""
A packed set of blocks (sans-I/O).

A block is remembered by 12 bytes of a keyed hash. With a key that nobody can guess, one of ten
million blocks is taken for another with a probability below 10**-15, and nobody can make two blocks
that are. Ten million blocks take 170 MB, where a ``set`` of multihashes takes 1.2 GB.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

#: Bytes that stand for one block.
TAG_BYTES: Final = 12
#: Bytes of the hash that choose a block's bucket. Each of the 65,536 buckets has 153 tags when the
#: set has ten million blocks; a search of these takes a microsecond. A bucket that is used takes
#: some 80 bytes beside its tags.
PLACE_BYTES: Final = 2


class BlockSet:
    """
    Multihashes, which can be added and looked up.

    :param key: up to 64 random bytes, new for each set.
    """

    __slots__ = ("_buckets", "_count", "_hash", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._hash = blake2b(key=key, digest_size=PLACE_BYTES + TAG_BYTES)
        self._buckets: dict[bytes, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        """Count the multihashes."""
        return self._count

    def __contains__(self, multihash: bytes) -> bool:
        place, tag = self._split(multihash)
        bucket = self._buckets.get(place)
        return bucket is not None and _has(bucket, tag)

    def another(self) -> BlockSet:
        """Return an empty set with the same key."""
        return BlockSet(self._key)

    def add(self, multihash: bytes) -> bool:
        """Add a multihash; return False if it was here."""
        place, tag = self._split(multihash)
        bucket = self._buckets.get(place)
        if bucket is None:
            self._buckets[place] = bytearray(tag)
        elif _has(bucket, tag):
            return False
        else:
            bucket += tag
        self._count += 1
        return True

    def _split(self, multihash: bytes) -> tuple[bytes, bytes]:
        state = self._hash.copy()
        state.update(multihash)
        digest = state.digest()
        return digest[:PLACE_BYTES], digest[PLACE_BYTES:]


def _has(bucket: bytearray, tag: bytes) -> bool:
    at = bucket.find(tag)
    while at % TAG_BYTES and at > 0:  # the match lies across two tags
        at = bucket.find(tag, at + 1)
    return at >= 0
