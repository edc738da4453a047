"""
Changes of a directory: entries are added, replaced and removed as Kubo does it (sans-I/O).

A directory becomes sharded when an entry makes it too large, and one block again when a change
makes it small enough. Only the shards on the way to a name are read, and the first few when a
sharded directory gets smaller. What needs blocks is a generator, see `hamt_edit`:

    steps = editor.remove("name")
    wanted = next(steps)                                # raises StopIteration with the result
    wanted = steps.send([blocks[cid] for cid in wanted])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Self

from libp2p.exceptions import LocalProtocolError, NameNotInDirectory, NotADirectory
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB
from libp2p.ipld.directory import (
    DirectoryEntry,
    basic_block,
    estimated_size,
    frame_size,
    is_too_large,
    name_bytes,
)
from libp2p.ipld.hamt import HashedEntry, hash_of
from libp2p.ipld.hamt_edit import ShardEditor
from libp2p.ipld.importer import name_block
from libp2p.ipld.profiles import BLOCK_BYTES, LINKS_BYTES
from libp2p.ipld.unixfs import DataType

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.block import Block
    from libp2p.ipld.hamt_edit import Steps
    from libp2p.ipld.profiles import ImportOptions
    from libp2p.ipld.unixfs import Mtime


class DirectoryEditor:
    """
    A directory that is being changed.

    :param options: ``mode`` and ``mtime`` are the directory's own.
    """

    def __init__(self, options: ImportOptions) -> None:
        self._options: Final = options
        self._mode = options.mode
        self._mtime = options.mtime
        self._entries: dict[bytes, HashedEntry] = {}
        self._shard: ShardEditor | None = None
        self._size = self._frame_size()  # of what is compared with the threshold, if not sharded
        # Kubo asks whether a sharded directory can be one block only if it is smaller than when it
        # was read or made, and counts names and CIDs for that, whatever the estimation.
        self._growth = 0
        self._root: Block | None = None
        self.dag_size = 0
        """Bytes of all blocks, once `blocks` has yielded the last."""

    @classmethod
    def read(cls, cid: CID, block: Buffer, options: ImportOptions) -> Self:
        """
        Begin with a directory that exists, and that keeps its mode and time.

        :raises NotADirectory: if the block is none's root.
        :raises InvalidUnixFS: if it is malformed.
        """
        editor = cls(options)
        if cid.codec_code != DAG_PB:
            raise NotADirectory(f"{cid} is no directory: its codec is {cid.codec}")
        node = dag_pb.decode(block)
        message = unixfs.decode(b"" if node.data is None else node.data)
        editor.set_metadata(message.mode, message.mtime)
        if message.type is DataType.HAMT_SHARD:
            editor._shard = ShardEditor.read(node.links, message)
        elif message.type is DataType.DIRECTORY:
            for link in node.links:
                name = (link.name or "").encode("utf-8", "surrogateescape")
                entry = HashedEntry(0, name, link.cid.buffer, link.tsize or 0)
                if editor._entries.setdefault(name, entry) is entry:
                    editor._size += editor._size_of(entry)
        else:
            raise NotADirectory(f"{cid} is no directory, but a {message.type.name.lower()}")
        return editor

    def set_metadata(self, mode: int | None, mtime: Mtime | None) -> None:
        """Set the directory's own mode and time."""
        self._size -= self._frame_size()
        self._mode, self._mtime = mode, mtime
        self._size += self._frame_size()

    @property
    def root(self) -> CID:
        """:raises LocalProtocolError: before `blocks` has yielded the last one."""
        if self._root is None:
            raise LocalProtocolError("the directory has changes that are not written")
        return self._root.cid

    def find(self, name: str) -> Steps[DirectoryEntry | None]:
        """Return the entry of a name; None if there is none."""
        found = yield from self._find(name_bytes(name))
        return (
            None if found is None else DirectoryEntry(name, CID.decode(found.cid), found.dag_size)
        )

    def put(self, entry: DirectoryEntry) -> Steps[None]:
        """
        Add an entry, or replace the one of that name.

        :raises InvalidUnixFS: if nothing can be called so, or a shard is malformed.
        """
        name = name_bytes(entry.name)
        old = yield from self._find(name)
        new = HashedEntry(0, name, entry.cid.buffer, entry.dag_size)
        if self._shard is None and self._is_too_large_with(old, new):
            shard = ShardEditor(self._options.hamt_fanout)
            for each in self._entries.values():
                yield from shard.put(each._replace(hash=hash_of(each.name)))
            self._shard, self._growth = shard, 0
            self._entries.clear()
        yield from self._change(name, old, new)

    def remove(self, name: str) -> Steps[None]:
        """
        Remove an entry.

        :raises NameNotInDirectory: if there is none of that name.
        :raises InvalidUnixFS: if a shard is malformed.
        """
        key = name_bytes(name)
        old = yield from self._find(key)
        if old is None:
            raise NameNotInDirectory(f"{name!r:.200} is not in the directory")
        yield from self._change(key, old, None)

    def blocks(self) -> Iterator[Block]:
        """
        Yield the blocks that are new, the root last.

        They must be stored before the next change: what is below the root is let go.
        """
        make = self._name_block
        if self._shard is None:
            entries = sorted(
                (each.name, each.cid, each.dag_size) for each in self._entries.values()
            )
            root = make(basic_block(entries, self._mode, self._mtime))
            size_below = sum(size for _, _, size in entries)
            yield root
        else:
            for root in self._shard.blocks(make, self._mode, self._mtime):
                yield root
            size_below = self._shard.size_below
        self._root, self.dag_size = root, len(root.data) + size_below

    def _name_block(self, data: bytes) -> Block:
        return name_block(data, "dag-pb", self._options)

    # -- changing ---------------------------------------------------------------------------------

    def _find(self, name: bytes) -> Steps[HashedEntry | None]:
        if self._shard is None:
            return self._entries.get(name)
        return (yield from self._shard.find(name))

    def _change(self, name: bytes, old: HashedEntry | None, new: HashedEntry | None) -> Steps[None]:
        """Replace an entry by another; ``None`` is no entry, before or after."""
        self._root = None
        if self._shard is not None:
            yield from self._unshard_if_small(self._shard, old, new)
        if self._shard is None:
            self._size += self._size_change(old, new)
            self._entries.pop(name, None)
            if new is not None:
                self._entries[name] = new
            return
        self._growth += _links_bytes(new) - _links_bytes(old)
        if new is None:
            yield from self._shard.remove(hash_of(name))
        else:
            yield from self._shard.put(new._replace(hash=hash_of(name)))

    def _unshard_if_small(
        self, shard: ShardEditor, old: HashedEntry | None, new: HashedEntry | None
    ) -> Steps[None]:
        """Become one block, if the directory will be small enough."""
        options = self._options
        most = options.max_directory_links
        if options.hamt_estimation in (LINKS_BYTES, BLOCK_BYTES):
            change = self._size_change(old, new)
            if not options.hamt_threshold or self._growth + change >= 0:
                return
            limit = options.hamt_threshold - change - self._frame_size()
            collected = yield from shard.collect(self._size_of, limit)
        elif most:
            limit = most + (old is not None) - (new is not None)
            collected = yield from shard.collect(lambda _: 1, limit)
        else:
            return
        count = len(collected.entries) - (old is not None) + (new is not None)
        if collected.size <= limit and not 0 < most < count:
            self._entries = {entry.name: entry for entry in collected.entries}
            self._size = self._frame_size() + sum(map(self._size_of, collected.entries))
            self._shard = None

    # -- sizes ------------------------------------------------------------------------------------

    def _is_too_large_with(self, old: HashedEntry | None, new: HashedEntry) -> bool:
        # Kubo counts entries when there is a new one, so not if it replaces another.
        count = len(self._entries) + 1 if old is None else 0
        return is_too_large(self._options, self._size + self._size_change(old, new), count)

    def _size_change(self, old: HashedEntry | None, new: HashedEntry | None) -> int:
        return (0 if new is None else self._size_of(new)) - (
            0 if old is None else self._size_of(old)
        )

    def _size_of(self, entry: HashedEntry) -> int:
        return estimated_size(self._options, entry.name, entry.cid, entry.dag_size)

    def _frame_size(self) -> int:
        return frame_size(self._options, self._mode, self._mtime)


def _links_bytes(entry: HashedEntry | None) -> int:
    return 0 if entry is None else len(entry.name) + len(entry.cid)
