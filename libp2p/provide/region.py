"""Regions of the key space: all keys that begin with the same bits (sans-I/O)."""

from __future__ import annotations

from typing import NamedTuple

from libp2p.kad_dht.keyspace import KEY_BITS

_LENGTH_BYTES = 1


class Region(NamedTuple):
    """
    All keys whose first ``length`` bits are those of the number ``prefix``.

    Regions are nested or have no key in common. ``Region(0, 0)`` is the whole key space.
    """

    prefix: int
    length: int

    @classmethod
    def of(cls, key: int, length: int) -> Region:
        """Return the region of a length that a key is in."""
        return cls(key >> (KEY_BITS - length), length)

    @classmethod
    def decode(cls, data: bytes) -> Region:
        """:raises ValueError: unless these are bytes that `encode` returns."""
        length = data[0] if data else KEY_BITS
        prefix = int.from_bytes(data[_LENGTH_BYTES:], "big")
        region = cls(prefix, length)
        if not data or prefix >> length or region.encode() != data:
            raise ValueError(f"{data!r:.80} is no region of the key space")
        return region

    def encode(self) -> bytes:
        """Return the length in one byte, then the prefix in as many bytes as it needs."""
        size = (self.length + 7) // 8
        return self.length.to_bytes(_LENGTH_BYTES, "big") + self.prefix.to_bytes(size, "big")

    @property
    def start(self) -> int:
        """The first key."""
        return self.prefix << (KEY_BITS - self.length)

    @property
    def end(self) -> int:
        """The first key behind it."""
        return (self.prefix + 1) << (KEY_BITS - self.length)

    @property
    def parent(self) -> Region:
        """The region of twice the size that this one is a half of."""
        return Region(self.prefix >> 1, self.length - 1)

    @property
    def halves(self) -> tuple[Region, Region]:
        """The two regions that it consists of."""
        return Region(self.prefix << 1, self.length + 1), Region(
            (self.prefix << 1) | 1, self.length + 1
        )

    def holds(self, key: int) -> bool:
        """Tell whether a key is in the region."""
        return key >> (KEY_BITS - self.length) == self.prefix

    def __str__(self) -> str:
        return f"{self.prefix:0{self.length}b}*" if self.length else "*"


WHOLE = Region(0, 0)
"""The whole key space."""
