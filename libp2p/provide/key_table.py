"""
The multihashes to announce, packed and in the order of the key space (sans-I/O).

A million keys are to be held for days, so they are no Python objects: a digest of SHA-256 takes 32
bytes here, and 100 as an object in a set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from libp2p.ipld.multihash import IDENTITY, unwrap
from libp2p.kad_dht.keyspace import KEY_BITS, key_of
from libp2p.provide.region import WHOLE, Region

#: Servers of the DHT refuse longer keys.
MAX_MULTIHASH_BYTES: Final = 80

#: The first bits of a key's place choose one of 2**12 buckets. Of a million keys each bucket has
#: 8 KiB, which are searched in a microsecond.
BUCKET_BITS: Final = 12

_SHA256: Final = (b"\x12\x20", 32)

# Digests one after the other, by what stands before each in its multihash, and their length.
_Bucket: TypeAlias = "dict[tuple[bytes, int], bytearray]"


class KeyTable:
    """
    A set of multihashes that can be listed by regions.

    :param most: multihashes at most.
    """

    __slots__ = ("_buckets", "_count", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._buckets: dict[int, _Bucket] = {}

    def __len__(self) -> int:
        """Count the multihashes."""
        return self._count

    @property
    def is_full(self) -> bool:
        """True if `add` refuses new multihashes."""
        return self._count >= self._most

    def __contains__(self, multihash: bytes) -> bool:
        kind, digest = _split(multihash)
        packed = self._buckets.get(_bucket_of(key_of(multihash)), {}).get(kind)
        return packed is not None and _find(packed, digest) >= 0

    def add(self, multihash: bytes) -> bool:
        """
        Add a multihash; return whether it was added, which it is not if it is here already.

        One that cannot be announced is never added: it is longer than `MAX_MULTIHASH_BYTES`, or
        it holds the block itself (identity), so that nobody searches for it.
        """
        kind, digest = _split(multihash)
        if self.is_full or len(multihash) > MAX_MULTIHASH_BYTES or not digest:
            return False
        if multihash[0] == IDENTITY:
            return False
        bucket = self._buckets.setdefault(_bucket_of(key_of(multihash)), {})
        packed = bucket.get(kind)
        if packed is None:
            bucket[kind] = bytearray(digest)
        elif _find(packed, digest) < 0:
            packed += digest
        else:
            return False
        self._count += 1
        return True

    def discard(self, multihash: bytes) -> bool:
        """Remove a multihash; return whether it was here."""
        kind, digest = _split(multihash)
        place = _bucket_of(key_of(multihash))
        bucket = self._buckets.get(place, {})
        packed = bucket.get(kind)
        at = -1 if packed is None else _find(packed, digest)
        if packed is None or at < 0:
            return False
        size = len(digest)
        packed[at : at + size] = packed[-size:]
        del packed[-size:]
        if not packed:
            del bucket[kind]
            if not bucket:
                del self._buckets[place]
        self._count -= 1
        return True

    def count(self, region: Region = WHOLE) -> int:
        """Count the multihashes in a region."""
        if region.length > BUCKET_BITS:
            return sum(1 for _ in self.entries(region))
        if region.length == 0:
            return self._count
        return sum(
            len(packed) // size
            for bucket in self._buckets_in(region)
            for (_, size), packed in bucket.items()
        )

    def entries(self, region: Region = WHOLE) -> Iterator[tuple[int, bytes]]:
        """
        Go over the multihashes in a region, each with its place in the key space.

        The table must not be changed meanwhile.
        """
        is_part = region.length > BUCKET_BITS
        for bucket in self._buckets_in(region):
            for multihash in _unpacked(bucket):
                key = key_of(multihash)
                if not is_part or region.holds(key):
                    yield key, multihash

    def _buckets_in(self, region: Region) -> Iterator[_Bucket]:
        if region.length >= BUCKET_BITS:
            first = region.prefix >> (region.length - BUCKET_BITS)
            places = range(first, first + 1)
        else:
            spare = BUCKET_BITS - region.length
            places = range(region.prefix << spare, (region.prefix + 1) << spare)
        buckets = self._buckets
        return (buckets[place] for place in places if place in buckets)


def _bucket_of(key: int) -> int:
    return key >> (KEY_BITS - BUCKET_BITS)


def _split(multihash: bytes) -> tuple[tuple[bytes, int], bytes]:
    """Return what a multihash shares with others of its kind, and its digest."""
    if multihash[:2] == b"\x12\x20" and len(multihash) == 34:  # SHA-256: nearly all there are
        return _SHA256, multihash[2:]
    digest = unwrap(multihash)[1]
    return (multihash[: len(multihash) - len(digest)], len(digest)), digest


def _find(packed: bytearray, digest: bytes) -> int:
    """Return where a digest begins, -1 if it is not there; it may also be found across two."""
    size = len(digest)
    at = packed.find(digest)
    while at >= 0 and at % size:
        at = packed.find(digest, at + 1)
    return at


def _unpacked(bucket: _Bucket) -> Iterator[bytes]:
    for (head, size), packed in bucket.items():
        for at in range(0, len(packed), size):
            yield head + packed[at : at + size]
