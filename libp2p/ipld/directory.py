"""Directories of UnixFS: written as Kubo does, read in one block or in many (sans-I/O)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import (
    InvalidUnixFS,
    LocalProtocolError,
    NameNotInDirectory,
    NotADirectory,
)
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.codec import DAG_PB
from libp2p.ipld.hamt import HASH_BITS, HashedEntry, Shard, ShardWriter, hash_of
from libp2p.ipld.importer import name_block
from libp2p.ipld.profiles import BLOCK_BYTES, LINKS_BYTES
from libp2p.ipld.unixfs import DataType, UnixFSData

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.block import Block
    from libp2p.ipld.cid import CID
    from libp2p.ipld.dag_pb import PBLink
    from libp2p.ipld.profiles import ImportOptions
    from libp2p.ipld.unixfs import Mtime

__all__ = ["DirectoryEntry", "DirectoryImporter", "DirectoryWalk", "NameLookup", "symlink_block"]

#: Shards of a directory that wait to be read: a shard has 1,024 places at most.
MAX_WAITING: Final = 64 * 1024


class DirectoryEntry(NamedTuple):
    """A name in a directory. Names that are not UTF-8 are decoded as by `os.fsdecode`."""

    name: str
    cid: CID
    dag_size: int
    """Bytes of all blocks below, as the directory says; nobody has checked it."""


# -- writing --------------------------------------------------------------------------------------


def symlink_block(target: str, options: ImportOptions) -> Block:
    """
    Return the block of a symbolic link; it has a time, if the options say one, but no mode.

    :raises InvalidUnixFS: if the target has surrogates that stand for no byte.
    """
    encoded = _encoded(target, "the target of a link")
    message = UnixFSData(DataType.SYMLINK, encoded, mtime=options.mtime)
    return name_block(dag_pb.encode((), unixfs.encode(message)), "dag-pb", options)


def name_bytes(name: str) -> bytes:
    """
    Return the bytes of an entry's name.

    :raises InvalidUnixFS: if nothing in a directory can be called so.
    """
    encoded = _encoded(name, "a name in a directory")
    if encoded in (b"", b".", b"..") or b"/" in encoded or b"\0" in encoded:
        raise InvalidUnixFS(f"{name!r:.200} cannot be a name in a directory")
    return encoded


def _encoded(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidUnixFS(f"{text!r:.200} cannot be {what}") from None


def basic_block(
    entries: Iterable[tuple[bytes, bytes, int]], mode: int | None, mtime: Mtime | None
) -> bytes:
    """Write a directory in one block; the entries are names, binary CIDs and sizes, sorted."""
    message = UnixFSData(DataType.DIRECTORY, mode=mode, mtime=mtime)
    links = [dag_pb.encode_link(cid, name, size) for name, cid, size in entries]
    return b"".join((*links, dag_pb.encode((), unixfs.encode(message))))


def estimated_size(options: ImportOptions, name: bytes, cid: bytes, dag_size: int) -> int:
    """Return what an entry adds to the size that is compared with the threshold for shards."""
    if options.hamt_estimation == BLOCK_BYTES:
        return len(dag_pb.encode_link(cid, name, dag_size))
    return len(name) + len(cid)


def is_too_large(options: ImportOptions, size: int, entries: int) -> bool:
    """Tell whether a directory of that estimated size has to be sharded."""
    estimates = options.hamt_estimation in (LINKS_BYTES, BLOCK_BYTES)
    if estimates and not options.hamt_threshold:
        return False  # then Kubo does not count links either
    if 0 < options.max_directory_links < entries:
        return True
    return estimates and size > options.hamt_threshold


def frame_size(options: ImportOptions, mode: int | None, mtime: Mtime | None) -> int:
    """Return the estimated size of a directory without entries."""
    return len(basic_block((), mode, mtime)) if options.hamt_estimation == BLOCK_BYTES else 0


class DirectoryImporter:
    """
    Collects the entries of one directory, then writes it: one block, or shards.

    From the entry on that makes it too large for one block, it holds little more than their bytes.
    """

    def __init__(self, options: ImportOptions) -> None:
        """:param options: ``mode`` and ``mtime`` are the directory's own."""
        self._options = options
        self._entries: dict[bytes, tuple[bytes, int]] = {}
        self._size = frame_size(options, options.mode, options.mtime)
        self._records: list[bytes] | None = None  # once it is sharded
        self._root: Block | None = None
        self.dag_size = 0
        """Bytes of all blocks, once finished; a block that occurs twice counts twice."""

    @property
    def root(self) -> CID:
        """:raises LocalProtocolError: before `finish` has returned its last block."""
        if self._root is None:
            raise LocalProtocolError("the directory is not finished")
        return self._root.cid

    def add(self, entry: DirectoryEntry) -> None:
        """
        Add an entry, in any order.

        :raises InvalidUnixFS: if the name is none or the size impossible; or if the name is there
            already, which of a large directory `finish` tells.
        """
        name, cid, size = name_bytes(entry.name), entry.cid.buffer, entry.dag_size
        if not 0 <= size < 2**64:
            raise InvalidUnixFS(f"{entry.name!r:.200} cannot have {size} bytes")
        if self._records is not None:
            self._records.append(HashedEntry(hash_of(name), name, cid, size).pack())
            return
        if name in self._entries:
            raise InvalidUnixFS(f"{entry.name!r:.200} is in the directory twice")
        self._entries[name] = cid, size
        self._size += estimated_size(self._options, name, cid, size)
        if is_too_large(self._options, self._size, len(self._entries)):
            self._records = [
                HashedEntry(hash_of(name), name, *what).pack()
                for name, what in self._entries.items()
            ]
            self._entries.clear()

    def finish(self) -> Iterator[Block]:
        """
        Yield the directory's own blocks, the root last.

        :raises InvalidUnixFS: if a name is there twice.
        """
        if self._records is not None:
            yield from self._finish_shards(self._records)
            return
        entries = ((name, cid, size) for name, (cid, size) in sorted(self._entries.items()))
        basic = basic_block(entries, self._options.mode, self._options.mtime)
        self._root = name_block(basic, "dag-pb", self._options)
        self.dag_size = len(basic) + sum(size for _, size in self._entries.values())
        yield self._root

    def _finish_shards(self, records: list[bytes]) -> Iterator[Block]:
        records.sort()
        for one, other in pairwise(records):
            if one[:8] == other[:8]:  # of the same hash
                name = HashedEntry.unpack(one).name
                if name == HashedEntry.unpack(other).name:
                    text = name.decode("utf-8", "surrogateescape")
                    raise InvalidUnixFS(f"{text!r:.200} is in the directory twice")
        writer = ShardWriter(
            records,
            self._options.hamt_fanout,
            lambda data: name_block(data, "dag-pb", self._options),
            mode=self._options.mode,
            mtime=self._options.mtime,
        )
        for block in writer.blocks():
            self._root = block
            yield block
        self.dag_size = writer.dag_size


# -- reading --------------------------------------------------------------------------------------


def _entry(name: str, link: PBLink) -> DirectoryEntry:
    return DirectoryEntry(name, link.cid, link.tsize or 0)


def _read(cid: CID, block: Buffer) -> Shard | tuple[PBLink, ...]:
    """Return a directory's block: a shard, or the links of a directory in one block."""
    if cid.codec_code != DAG_PB:
        raise NotADirectory(f"{cid} is no directory: its codec is {cid.codec}")
    node = dag_pb.decode(block)
    message = unixfs.decode(b"" if node.data is None else node.data)
    if message.type is DataType.HAMT_SHARD:
        return Shard(node.links, message)
    if message.type is not DataType.DIRECTORY:
        raise NotADirectory(f"{cid} is no directory, but a {message.type.name.lower()}")
    return node.links


class _Waiting(NamedTuple):
    """A block that waits to be read: for a shard, the part of the hash that leads to it."""

    cid: CID
    path: int = 0
    left: int = HASH_BITS


class DirectoryWalk:
    """
    Lists a directory, one block after the other; a name that is there twice counts once.

    Nothing is remembered of entries: each must be where its hash says, so that none comes twice.
    """

    def __init__(self, root: CID) -> None:
        self._waiting = [_Waiting(root)]  # the next one is the last
        self._is_begun = False

    @property
    def is_over(self) -> bool:
        return not self._waiting

    def next(self, count: int) -> list[CID]:
        """Return the next block, and those that are needed after it, ``count`` at most."""
        return list(dict.fromkeys([each.cid for each in self._waiting[: -count - 1 : -1]]))

    def take(self, block: Buffer) -> list[DirectoryEntry]:
        """
        Take the first of the blocks that `next` returns; return the entries in it.

        :raises NotADirectory: if the root is none.
        :raises InvalidUnixFS: if a shard is malformed, or there are too many.
        """
        waiting = self._waiting.pop()
        is_root, self._is_begun = not self._is_begun, True
        node = _read(waiting.cid, block)
        if isinstance(node, Shard):
            return self._take_shard(node, waiting, is_root)
        if not is_root:
            raise InvalidUnixFS("a block of a sharded directory is no shard")
        entries: dict[str, DirectoryEntry] = {}
        for link in node:
            name = link.name or ""
            entries.setdefault(name, _entry(name, link))
        return list(entries.values())

    def _take_shard(self, shard: Shard, above: _Waiting, is_root: bool) -> list[DirectoryEntry]:
        left = above.left - shard.bits
        if left < 0:
            raise InvalidUnixFS("shards are nested deeper than a hash has bits")
        entries: dict[str, DirectoryEntry] = {}
        below: list[_Waiting] = []
        for place, name, link in shard.places():
            path = above.path << shard.bits | place
            if not name:
                below.append(_Waiting(link.cid, path, left))
                continue
            if hash_of(name.encode("utf-8", "surrogateescape")) >> left != path:
                raise InvalidUnixFS(f"the entry {name!r:.200} is not where its hash says")
            entries.setdefault(name, _entry(name, link))
        # Otherwise a few blocks could be read for ever, each linked to a thousand times.
        if not is_root and not entries and not below:
            raise InvalidUnixFS("a shard has no entries")
        self._waiting += reversed(below)
        if len(self._waiting) > MAX_WAITING:
            raise InvalidUnixFS(f"more than {MAX_WAITING:,} shards wait to be read")
        return list(entries.values())


class NameLookup:
    """Finds one name in a directory: one block, or one for each level of shards."""

    def __init__(self, root: CID, name: str) -> None:
        self.wanted = root
        """The block to `take` next."""
        self._name = name
        self._hash = 0
        self._left = HASH_BITS

    def take(self, block: Buffer) -> DirectoryEntry | None:
        """
        Take the wanted block; return the entry. None if another block is wanted.

        :raises NameNotInDirectory: if the name is not there.
        :raises NotADirectory: if the root is none.
        :raises InvalidUnixFS: if a shard is malformed.
        """
        node = _read(self.wanted, block)
        if not isinstance(node, Shard):
            for link in () if self._left < HASH_BITS else node:
                if link.name == self._name:
                    return _entry(self._name, link)
            raise NameNotInDirectory(f"{self._name!r:.200} is not in the directory {self.wanted}")
        if self._left == HASH_BITS:
            try:
                self._hash = hash_of(self._name.encode("utf-8", "surrogateescape"))
            except UnicodeEncodeError:
                raise NameNotInDirectory(f"{self._name!r:.200} is not in the directory") from None
        found = node.find(self._name, self._hash, self._left)
        if found is None:
            raise NameNotInDirectory(f"{self._name!r:.200} is not in the directory")
        link, is_entry = found
        if is_entry:
            return _entry(self._name, link)
        self.wanted = link.cid
        self._left -= node.bits
        return None
