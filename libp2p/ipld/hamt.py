"""
Sharded directories: a trie of dag-pb nodes over the hashes of names (sans-I/O).

https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory. The bytes are those of Kubo: the bits of a
hash are taken from the highest on, and the bitfield is one big-endian number without leading zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidUnixFS
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.unixfs import DataType, UnixFSData

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

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
    """An entry of a directory; sorted by hash."""

    hash: int
    name: bytes
    cid: bytes
    dag_size: int


class ShardWriter:
    """Writes the shards of one directory, the lowest first."""

    def __init__(
        self,
        entries: Sequence[HashedEntry],
        fanout: int,
        name_block: Callable[[bytes], Block],
        *,
        mode: int | None = None,
        mtime: Mtime | None = None,
    ) -> None:
        """
        :param entries: sorted, no name twice.
        :param name_block: gives a node its CID.
        :param mode: kept in the root, and so is ``mtime``.
        """
        self._entries = entries
        self._fanout = fanout
        self._bits = fanout.bit_length() - 1
        self._prefix = f"{{:0{len(f'{fanout - 1:X}')}X}}".format
        self._name_block = name_block
        self._root = UnixFSData(
            DataType.HAMT_SHARD, hash_type=MURMUR3_X64_64, fanout=fanout, mode=mode, mtime=mtime
        )
        self._inner = self._root._replace(mode=None, mtime=None)
        self.dag_size = 0
        """Bytes of all blocks below the root and of the root, once they are written."""

    def blocks(self) -> Iterator[Block]:
        """
        Yield the nodes, the root last.

        :raises InvalidUnixFS: if so many names have the same hash that no trie holds them.
        """
        shift = HASH_BITS - self._bits
        _, self.dag_size = yield from self._write(0, len(self._entries), shift, self._root)

    def _write(
        self, start: int, end: int, shift: int, message: UnixFSData
    ) -> Generator[Block, None, tuple[bytes, int]]:
        if shift < 0:
            raise InvalidUnixFS("too many names of the directory have the same hash")
        links: list[bytes] = []
        bitfield = size = 0
        while start < end:
            place = self._entries[start].hash >> shift & (self._fanout - 1)
            stop = start + 1
            while stop < end and self._entries[stop].hash >> shift & (self._fanout - 1) == place:
                stop += 1
            prefix = self._prefix(place).encode()
            if stop - start == 1:
                _, name, cid, dag_size = self._entries[start]
                links.append(dag_pb.encode_link(cid, prefix + name, dag_size))
            else:
                below = self._write(start, stop, shift - self._bits, self._inner)
                cid, dag_size = yield from below
                links.append(dag_pb.encode_link(cid, prefix, dag_size))
            bitfield |= 1 << place
            size += dag_size
            start = stop
        data = bitfield.to_bytes((bitfield.bit_length() + 7) // 8, "big")
        block = self._name_block(
            b"".join((*links, dag_pb.encode((), unixfs.encode(message._replace(data=data)))))
        )
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
        self._bits = fanout.bit_length() - 1
        self._prefix_length = len(f"{fanout - 1:X}")

    def entries(self) -> Iterator[tuple[str, PBLink]]:
        """Yield each link with the name of its entry; that of a shard below has none."""
        for link in self._links:
            name = link.name or ""
            if len(name) < self._prefix_length:
                raise InvalidUnixFS("a link of a shard does not say its place")
            yield name[self._prefix_length :], link

    def find(self, name: str, hashed: int, depth: int) -> tuple[PBLink, bool] | None:
        """
        Return the link to an entry, or to the shard below that may have it; None if neither is.

        :param hashed: the `hash_of` the name.
        :param depth: shards above this one.
        :return: the link, and whether it is the entry's.
        """
        shift = HASH_BITS - (depth + 1) * self._bits
        if shift < 0:
            raise InvalidUnixFS("shards are nested deeper than a hash has bits")
        place = hashed >> shift & ((1 << self._bits) - 1)
        for entry, link in self.entries():
            prefix = (link.name or "")[: self._prefix_length]
            if _is_place(prefix, place):
                if entry in ("", name):
                    return link, bool(entry)
                return None
        return None


def _is_place(prefix: str, place: int) -> bool:
    return prefix == f"{place:0{len(prefix)}X}"
