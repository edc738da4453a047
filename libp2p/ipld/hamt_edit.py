"""
Changes of a sharded directory: only the shards on the way to a name are read (sans-I/O).

Whatever needs blocks is a generator: it yields the CIDs of blocks, each once, and is sent these
blocks in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from libp2p.base_types import Buffer
from libp2p.exceptions import InvalidUnixFS
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB
from libp2p.ipld.hamt import HASH_BITS, HashedEntry, Shard, encode_shard, hash_of, place_names
from libp2p.ipld.unixfs import DataType

if TYPE_CHECKING:
    from libp2p.ipld.block import Block
    from libp2p.ipld.dag_pb import PBLink
    from libp2p.ipld.unixfs import Mtime, UnixFSData

_T = TypeVar("_T")
Steps = Generator[list[CID], Sequence[Buffer], _T]
"""What yields the CIDs of blocks it needs, and returns a result."""

#: Shards that are asked for at once when a directory is read whole.
_SHARDS_AHEAD: Final = 32
#: From so many shards on that wait to be read, the newest come first, so that they stay few.
_MANY_SHARDS: Final = 4096


class _Below(NamedTuple):
    """A shard that has not been read, or that has not been changed since it was written."""

    cid: CID
    dag_size: int


class ShardEditor:
    """
    One shard, and those below it as far as they were read.

    Shards below may have other numbers of places: each takes its bits from the rest of the hash.
    """

    def __init__(self, fanout: int) -> None:
        self.fanout: Final = fanout
        self._bits: Final = fanout.bit_length() - 1
        self._children: dict[int, HashedEntry | _Below | ShardEditor] = {}

    @classmethod
    def read(cls, links: Sequence[PBLink], message: UnixFSData) -> ShardEditor:
        """:raises InvalidUnixFS: if the shard is malformed."""
        editor = cls(message.fanout or 0)
        for place, name, link in Shard(links, message).places():
            if place in editor._children:
                raise InvalidUnixFS("a shard has two links for one place")
            if name:
                key = name.encode("utf-8", "surrogateescape")
                entry = HashedEntry(hash_of(key), key, link.cid.buffer, link.tsize or 0)
                editor._children[place] = entry
            else:
                editor._children[place] = _Below(link.cid, link.tsize or 0)
        return editor

    @classmethod
    def _read_block(cls, cid: CID, block: Buffer) -> ShardEditor:
        if cid.codec_code == DAG_PB:
            node = dag_pb.decode(block)
            message = unixfs.decode(b"" if node.data is None else node.data)
            if message.type is DataType.HAMT_SHARD:
                return cls.read(node.links, message)
        raise InvalidUnixFS("a block of a sharded directory is no shard")

    def find(self, name: bytes) -> Steps[HashedEntry | None]:
        """Return the entry of a name, None if there is none."""
        shard, hashed, left = self, hash_of(name), HASH_BITS
        while True:
            place, left = shard._place(hashed, left)
            child = yield from shard._child(place)
            if not isinstance(child, ShardEditor):
                return child if child is not None and child.name == name else None
            shard = child

    def put(self, entry: HashedEntry, left: int = HASH_BITS) -> Steps[None]:
        """
        Add an entry, or replace the one of that name.

        :raises InvalidUnixFS: if so many names have the same hash that no trie holds them.
        """
        place, rest = self._place(entry.hash, left)
        child = yield from self._child(place)
        if isinstance(child, ShardEditor):
            yield from child.put(entry, rest)
        elif child is None or child.name == entry.name:
            self._children[place] = entry
        else:
            below = ShardEditor(self.fanout)
            yield from below.put(child, rest)
            yield from below.put(entry, rest)
            self._children[place] = below

    def remove(self, hashed: int, left: int = HASH_BITS) -> Steps[None]:
        """Remove the entry, which is there, of a name's hash; no shard keeps a single entry."""
        place, rest = self._place(hashed, left)
        child = yield from self._child(place)
        if not isinstance(child, ShardEditor):
            del self._children[place]
            return
        yield from child.remove(hashed, rest)
        remaining = list(child._children.values())
        if not remaining:
            del self._children[place]
        elif len(remaining) == 1 and isinstance(remaining[0], HashedEntry):
            self._children[place] = remaining[0]

    def collect(self, size_of: Callable[[HashedEntry], int], limit: int) -> Steps[_Collected]:
        """
        Read entries until their sizes are more than ``limit``.

        :raises InvalidUnixFS: if there is a shard without entries, or one that is too deep.
        """
        entries: list[HashedEntry] = []
        size = 0
        waiting: list[tuple[ShardEditor | _Below, int]] = [(self, HASH_BITS)]
        while waiting and size <= limit:
            # The upper ones have the most entries, but there may be any number of them.
            first = 0 if len(waiting) < _MANY_SHARDS else len(waiting) - _SHARDS_AHEAD
            batch = waiting[first : first + _SHARDS_AHEAD]
            del waiting[first : first + _SHARDS_AHEAD]
            missing = {child.cid: b"" for child, _ in batch if isinstance(child, _Below)}
            blocks = dict(zip(missing, (yield list(missing)) if missing else (), strict=True))
            for child, left in batch:
                shard = child
                if isinstance(shard, _Below):
                    shard = self._read_block(shard.cid, blocks[shard.cid])
                if left < shard._bits or not (shard._children or shard is self):
                    raise InvalidUnixFS("a shard is too deep, or has no entries")
                for below in shard._children.values():
                    if isinstance(below, HashedEntry):
                        entries.append(below)
                        size += size_of(below)
                    else:
                        waiting.append((below, left - shard._bits))
        return _Collected(entries, size, not waiting)

    def blocks(
        self, name_block: Callable[[bytes], Block], mode: int | None, mtime: Mtime | None
    ) -> Iterator[Block]:
        """Yield the shards that were changed or read, this one last; those below are let go."""
        prefixes = place_names(self.fanout)
        links = []
        bitfield = 0
        for place in sorted(self._children):
            child = self._children[place]
            if isinstance(child, ShardEditor):
                for block in child.blocks(name_block, None, None):
                    yield block
                child = _Below(block.cid, len(block.data) + child.size_below)
                self._children[place] = child
            name, cid, size = (
                (b"", child.cid.buffer, child.dag_size) if isinstance(child, _Below) else child[1:]
            )
            bitfield |= 1 << place
            links.append(dag_pb.encode_link(cid, prefixes[place] + name, size))
        yield name_block(encode_shard(links, bitfield, self.fanout, mode, mtime))

    @property
    def size_below(self) -> int:
        """Bytes of all blocks below, once they are written."""
        children = self._children.values()
        return sum(child.dag_size for child in children if not isinstance(child, ShardEditor))

    def _place(self, hashed: int, left: int) -> tuple[int, int]:
        """Return the place of a hash of which ``left`` bits are unused, and how many are then."""
        left -= self._bits
        if left < 0:
            raise InvalidUnixFS("too many names of the directory have the same hash")
        return hashed >> left & (self.fanout - 1), left

    def _child(self, place: int) -> Steps[HashedEntry | ShardEditor | None]:
        child = self._children.get(place)
        if isinstance(child, _Below):
            [block] = yield [child.cid]
            child = self._children[place] = self._read_block(child.cid, block)
        return child


class _Collected(NamedTuple):
    entries: list[HashedEntry]
    size: int
    is_all: bool
