"""
Sharded directories: a trie of dag-pb nodes over the hashes of names (sans-I/O).

https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory. The bytes are those of Kubo: the bits of a
hash are taken from the highest on, and the bitfield is one big-endian number without leading zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidUnixFS
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.unixfs import DataType, UnixFSData

if TYPE_CHECKING:
    from libp2p.ipld.block import Block
    from libp2p.ipld.dag_pb import PBLink
    from libp2p.ipld.unixfs import Mtime

#: The code of MurmurHash3 x64, of which the first 64 bits are taken; there is no other.
MURMUR3_X64_64: Final = 0x22
HASH_BITS: Final = 64

#: A reader that took any fan-out could be made to allocate a bitfield of any size (CVE-2023-23625).
MAX_FANOUT: Final = 1024
_MIN_FANOUT: Final = 8


def hash_of(name: bytes) -> int:
    """Return the 64 bits that place a name."""
    import mmh3  # directories without shards need it not

    hashed: int = mmh3.hash64(name, signed=False)[0]
    return hashed


def is_fanout(fanout: int) -> bool:
    """Return whether shards may have so many places: a power of two from 8 to 1024."""
    return _MIN_FANOUT <= fanout <= MAX_FANOUT and fanout & (fanout - 1) == 0


# -- writing --------------------------------------------------------------------------------------


class HashedEntry(NamedTuple):
    """An entry of a directory, with the `hash_of` its name."""

    hash: int
    name: bytes
    cid: bytes
    dag_size: int

    def pack(self) -> bytes:
        """Return it in the fewest bytes; sorted, such records are in the order of the hashes."""
        return _RECORD.pack(self.hash, self.dag_size, len(self.cid)) + self.cid + self.name

    @classmethod
    def unpack(cls, record: bytes) -> HashedEntry:
        """Return what was packed."""
        hashed, dag_size, size = _RECORD.unpack_from(record)
        name_at = _RECORD.size + size
        return cls(hashed, record[name_at:], record[_RECORD.size : name_at], dag_size)


_RECORD: Final = Struct(">QQB")


def _hash_in(record: bytes) -> int:
    return int.from_bytes(record[:8], "big")


@cache  # of the few fan-outs that there are
def place_names(fanout: int) -> tuple[bytes, ...]:
    """Return what links begin with: their places, in as many digits as the last one has."""
    digits = len(f"{fanout - 1:X}")
    return tuple([f"{place:0{digits}X}".encode() for place in range(fanout)])


def encode_shard(
    links: Sequence[bytes],
    bitfield: int,
    fanout: int,
    mode: int | None = None,
    mtime: Mtime | None = None,
) -> bytes:
    """Write a shard; ``bitfield`` has a bit for each place that is taken."""
    data = bitfield.to_bytes((bitfield.bit_length() + 7) // 8, "big")
    message = UnixFSData(  # Kubo leaves out the bitfield if there is no entry
        DataType.HAMT_SHARD,
        data or None,
        hash_type=MURMUR3_X64_64,
        fanout=fanout,
        mode=mode,
        mtime=mtime,
    )
    return b"".join((*links, dag_pb.encode((), unixfs.encode(message))))


class ShardWriter:
    """Writes the shards of one directory, the lowest first."""

    def __init__(
        self,
        records: Sequence[bytes],
        fanout: int,
        name_block: Callable[[bytes], Block],
        *,
        mode: int | None = None,
        mtime: Mtime | None = None,
    ) -> None:
        """
        :param records: packed entries, sorted, no name twice.
        :param name_block: gives a node its CID.
        :param mode: kept in the root, and so is ``mtime``.
        """
        self._records = records
        self._fanout = fanout
        self._bits = fanout.bit_length() - 1
        self._name_block = name_block
        self._metadata = mode, mtime
        self.dag_size = 0
        """Bytes of all blocks below the root and of the root, once they are written."""

    def blocks(self) -> Iterator[Block]:
        """
        Yield the nodes, the root last.

        :raises InvalidUnixFS: if so many names have the same hash that no trie holds them.
        """
        shift = HASH_BITS - self._bits
        _, self.dag_size = yield from self._write(0, len(self._records), shift, *self._metadata)

    def _write(
        self,
        start: int,
        end: int,
        shift: int,
        mode: int | None = None,
        mtime: Mtime | None = None,
    ) -> Generator[Block, None, tuple[bytes, int]]:
        if shift < 0:
            raise InvalidUnixFS("too many names of the directory have the same hash")
        links: list[bytes] = []
        prefixes = place_names(self._fanout)
        bitfield = size = 0
        while start < end:
            path = _hash_in(self._records[start]) >> shift
            place = path & (self._fanout - 1)
            stop = start + 1
            while stop < end and _hash_in(self._records[stop]) >> shift == path:
                stop += 1
            prefix = prefixes[place]
            if stop - start == 1:
                _, name, cid, dag_size = HashedEntry.unpack(self._records[start])
                links.append(dag_pb.encode_link(cid, prefix + name, dag_size))
            else:
                cid, dag_size = yield from self._write(start, stop, shift - self._bits)
                links.append(dag_pb.encode_link(cid, prefix, dag_size))
            bitfield |= 1 << place
            size += dag_size
            start = stop
        block = self._name_block(encode_shard(links, bitfield, self._fanout, mode, mtime))
        yield block
        return block.cid.buffer, size + len(block.data)


# -- reading --------------------------------------------------------------------------------------


class Shard:
    """
    One node of a sharded directory.

    :raises InvalidUnixFS: if it is malformed.
    """

    def __init__(self, links: Sequence[PBLink], message: UnixFSData) -> None:
        fanout = message.fanout or 0
        if message.hash_type != MURMUR3_X64_64:
            raise InvalidUnixFS(f"shard with the unknown hash {message.hash_type}")
        if not is_fanout(fanout):
            raise InvalidUnixFS(f"shard with {fanout} places")
        self._links = links
        self._fanout = fanout
        self.bits: Final = fanout.bit_length() - 1
        """Bits of a hash that say the place."""

    def places(self) -> Iterator[tuple[int, str, PBLink]]:
        """Yield the place of each link, and its entry's name: that of a shard below has none."""
        digits = len(f"{self._fanout - 1:X}")
        places = _places(self._fanout)
        for link in self._links:
            name = link.name or ""
            place = places.get(name[:digits])
            if place is None:
                raise InvalidUnixFS("a link of a shard does not say its place")
            yield place, name[digits:], link

    def find(self, name: str, hashed: int, left: int) -> tuple[PBLink, bool] | None:
        """
        Return the link to an entry, or to the shard below that may have it; None if neither is.

        :param hashed: the `hash_of` the name.
        :param left: bits of the hash that shards above this one have not used.
        :return: the link, and whether it is the entry's.
        """
        shift = left - self.bits
        if shift < 0:
            raise InvalidUnixFS("shards are nested deeper than a hash has bits")
        wanted = hashed >> shift & (self._fanout - 1)
        for place, entry, link in self.places():
            if place == wanted:
                return (link, bool(entry)) if entry in ("", name) else None
        return None


@cache
def _places(fanout: int) -> dict[str, int]:
    return {name.decode(): place for place, name in enumerate(place_names(fanout))}
