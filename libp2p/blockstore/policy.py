"""Which blocks a cache keeps, and a filter that knows what a store has not (sans-I/O)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: The part of a cache for what has been asked for once.
PROBATION: Final = 0.25
#: Multihashes that are remembered of blocks that are gone from the cache, for each one that is in.
GHOSTS: Final = 2

#: Bits of the filter for each block, and how many of them one block sets: one answer in a hundred
#: is "perhaps" for a block that is not here.
BITS_PER_BLOCK: Final = 10
_HASHES: Final = 7


class TwoQueues:
    """
    Blocks by multihash, at most so many bytes: the 2Q policy of Johnson and Shasha.

    A DAG is walked once by most readers, and each walk asks for every block once: in a plain LRU
    the first large file drives out the roots and folders that are asked for all the time. Here a
    block enters a queue of a quarter of the bytes. What is asked for again after it has left that
    queue, while its multihash is remembered, comes among those that stay. ARC also moves the border
    between the two; for that it needs entries of one size, and blocks have any.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity: Final = capacity
        self.size = 0
        self._new: OrderedDict[bytes, bytes] = OrderedDict()
        self._new_size = 0
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._ghosts: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._new) + len(self._kept)

    def get(self, key: bytes) -> bytes | None:
        data = self._kept.get(key)
        if data is not None:
            self._kept.move_to_end(key)
            return data
        return self._new.get(key)

    def put(self, key: bytes, data: bytes) -> None:
        """Take a block that was read or written; one that fills half the cache is left out."""
        if self.get(key) is not None or len(data) > self.capacity // 2:
            return
        if key in self._ghosts:
            del self._ghosts[key]
            self._kept[key] = data
        else:
            self._new[key] = data
            self._new_size += len(data)
        self.size += len(data)
        while self.size > self.capacity:
            self._evict()

    def forget(self, key: bytes) -> None:
        """Drop a block that is deleted."""
        if (data := self._kept.pop(key, None)) is not None:
            self.size -= len(data)
        elif (data := self._new.pop(key, None)) is not None:
            self.size -= len(data)
            self._new_size -= len(data)
        self._ghosts.pop(key, None)

    def _evict(self) -> None:
        if self._new_size > self.capacity * PROBATION or not self._kept:
            key, data = self._new.popitem(last=False)
            self._new_size -= len(data)
            self._ghosts[key] = None
            while len(self._ghosts) > GHOSTS * (len(self) + 1):
                self._ghosts.popitem(last=False)
        else:
            _, data = self._kept.popitem(last=False)
        self.size -= len(data)


class BloomFilter:
    """
    Says of a multihash that it was never added, or that it may have been.

    Nothing can be taken out: a deleted block answers "perhaps", and costs a look into the store.
    More blocks than expected make that answer more frequent, and never a false one.
    """

    def __init__(self, expected: int) -> None:
        """:param expected: blocks, for which it takes 10 bits each."""
        self._bits = 1 << max(10, (expected * BITS_PER_BLOCK - 1).bit_length())
        self._table = bytearray(self._bits // 8)

    def __contains__(self, key: bytes) -> bool:
        table, mask = self._table, self._bits - 1
        place, step = self._start(key)
        for _ in range(_HASHES):
            place &= mask
            if not table[place >> 3] & (1 << (place & 7)):
                return False
            place += step
        return True

    def add(self, key: bytes) -> None:
        table, mask = self._table, self._bits - 1
        place, step = self._start(key)
        for _ in range(_HASHES):
            place &= mask
            table[place >> 3] |= 1 << (place & 7)
            place += step

    @staticmethod
    def _start(key: bytes) -> tuple[int, int]:
        # Python hashes bytes with a key of this process: nobody can choose CIDs that collide.
        value = hash(key)
        return value, (value >> 32) | 1
