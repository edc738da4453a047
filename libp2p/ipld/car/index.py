"""
Indexes of CAR files of version 2: where each block is, by its multihash (sans-I/O).

https://ipld.io/specs/transport/car/carv2/#index-format. An index has a table for each hash function
and length of digests; a table is digests with offsets, sorted, so that a search halves it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidCar, ParseError
from libp2p.ipld import multihash
from libp2p.utils.varint import decode_uvarint, encode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: The older kind: its tables do not say their hash function.
INDEX_SORTED: Final = 0x0400
MULTIHASH_INDEX_SORTED: Final = 0x0401

#: Hash functions, and lengths of each. There are some forty functions; a count is four bytes.
MAX_TABLES: Final = 256

#: The largest value of a multiformats varint.
_MAX_CODE: Final = 2**63 - 1

_COUNT: Final = struct.Struct("<i")
_CODE: Final = struct.Struct("<Q")
_TABLE: Final = struct.Struct("<IQ")
_OFFSET: Final = struct.Struct("<Q")


class _Table(NamedTuple):
    """Digests of one length with an offset behind each, sorted."""

    code: int | None
    """The hash function; None if the index does not say."""
    width: int
    """Bytes of a digest and its offset."""
    entries: memoryview

    def find(self, digest: bytes) -> Iterator[int]:
        size = self.width - _OFFSET.size
        if size != len(digest):
            return

        def digest_at(place: int) -> bytes:
            start = place * self.width
            return bytes(self.entries[start : start + size])

        count = len(self.entries) // self.width
        place = bisect_left(range(count), digest, key=digest_at)
        while place < count and digest_at(place) == digest:
            [offset] = _OFFSET.unpack_from(self.entries, place * self.width + size)
            yield offset
            place += 1


class CarIndex:
    """Says at which offsets of the inner file of version 1 a block may be."""

    def __init__(self, tables: list[_Table]) -> None:
        self._tables = tables

    def __len__(self) -> int:
        """Entries; a block that is in the file twice has two."""
        return sum(len(table.entries) // table.width for table in self._tables)

    def find(self, multihash_: bytes) -> list[int]:
        """
        Return the offsets of blocks with a multihash; usually one, or none.

        :raises InvalidMultihash: if it is no multihash.
        """
        code, digest = multihash.unwrap(multihash_)
        return [
            offset
            for table in self._tables
            if table.code in (None, code)
            for offset in table.find(digest)
        ]

    def multihashes(self) -> Iterator[bytes]:
        """Yield each entry's multihash, as far as the index says hash functions."""
        for table in self._tables:
            if table.code is not None:
                size = table.width - _OFFSET.size
                for start in range(0, len(table.entries), table.width):
                    yield multihash.wrap(table.code, table.entries[start : start + size])

    @staticmethod
    def decode(data: Buffer) -> CarIndex:
        """
        Read an index of either kind; the bytes are kept.

        :raises InvalidCar: if it is malformed, or of another kind.
        """
        try:
            return CarIndex(_decode(memoryview(data)))
        except (ParseError, struct.error) as error:
            raise InvalidCar(f"the index of the file cannot be read: {error}") from error


class IndexBuilder:
    """Collects where the blocks of a file are."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int], list[bytes]] = defaultdict(list)

    def add(self, multihash_: bytes, offset: int) -> None:
        """:param offset: bytes from the start of the inner file of version 1."""
        code, digest = multihash.unwrap(multihash_)
        self._entries[code, len(digest)].append(digest + _OFFSET.pack(offset))

    def build(self) -> CarIndex:
        """Return an index of what has been added, without encoding it."""
        return CarIndex(
            [
                _Table(code, size + _OFFSET.size, memoryview(b"".join(_sorted(entries))))
                for (code, size), entries in self._entries.items()
            ]
        )

    def encode(self) -> bytes:
        """Return the index as a file holds it."""
        parts = [encode_uvarint(MULTIHASH_INDEX_SORTED)]
        codes = sorted({code for code, _ in self._entries})
        parts.append(_COUNT.pack(len(codes)))
        for code in codes:
            sizes = sorted(size for other, size in self._entries if other == code)
            parts += (_CODE.pack(code), _COUNT.pack(len(sizes)))
            for size in sizes:
                entries = _sorted(self._entries[code, size])
                width = size + _OFFSET.size
                parts += (_TABLE.pack(width, width * len(entries)), *entries)
        return b"".join(parts)


def _sorted(entries: list[bytes]) -> list[bytes]:
    """Sort by digests, then by offsets, which stand with their lowest byte first."""
    return sorted(entries, key=lambda entry: (entry[: -_OFFSET.size], entry[:-9:-1]))


def _decode(view: memoryview) -> list[_Table]:
    kind, offset = decode_uvarint(view)
    if kind == INDEX_SORTED:
        return _decode_tables(view, offset, None)[0]
    if kind != MULTIHASH_INDEX_SORTED:
        raise InvalidCar(f"index of the unknown kind {kind:#x}")
    tables: list[_Table] = []
    count, offset = _count(view, offset)
    for _ in range(count):
        [code] = _CODE.unpack_from(view, offset)
        if code > _MAX_CODE:
            raise InvalidCar(f"{code} is the code of no hash function")
        more, offset = _decode_tables(view, offset + _CODE.size, code)
        tables += more
    return tables


def _count(view: memoryview, offset: int) -> tuple[int, int]:
    [count] = _COUNT.unpack_from(view, offset)
    if not 0 <= count <= MAX_TABLES:
        raise InvalidCar(f"index of {count} tables")
    return count, offset + _COUNT.size


def _decode_tables(view: memoryview, offset: int, code: int | None) -> tuple[list[_Table], int]:
    tables = []
    count, offset = _count(view, offset)
    for _ in range(count):
        width, size = _TABLE.unpack_from(view, offset)
        offset += _TABLE.size
        longest = multihash.MAX_DIGEST_BYTES + _OFFSET.size
        if not _OFFSET.size <= width <= longest or size % width or offset + size > len(view):
            raise InvalidCar(f"table of {size} bytes in entries of {width}")
        tables.append(_Table(code, width, view[offset : offset + size]))
        offset += size
    return tables, offset
