"""
The importer: bytes of a file in, its blocks out, the root last (sans-I/O).

Memory is one chunk and the open nodes, whatever the size of the file. Nearly all of the time goes
into hashing leaves, which needs no order; a driver may do it in threads:

    feed(buffers)   =   split(buffers)  →  leaf_block(chunk, options)  →  add_leaf(block, size)
                        in order           in any thread                  in order
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import LocalProtocolError
from libp2p.ipld import unixfs
from libp2p.ipld.block import Block
from libp2p.ipld.chunker import Chunker, SizeChunker, parse_chunker
from libp2p.ipld.cid import CID, cid_maker
from libp2p.ipld.file_node import read_file_node
from libp2p.ipld.layout import make_layout
from libp2p.ipld.profile_names import TRICKLE
from libp2p.ipld.profiles import ImportOptions
from libp2p.ipld.unixfs import DataType

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = ["FileImporter", "leaf_block", "leaf_view", "name_block"]

#: Large enough that the cost per read does not count, small enough for the CPU's caches.
_READ_BYTES: Final = 1024 * 1024


def name_block(data: bytes, codec: str, options: ImportOptions) -> Block:
    """Return a block with the CID that the options ask for; a small block may be inside its CID."""
    return Block(_name(data, codec, options), data)


def _name(data: Buffer, codec: str, options: ImportOptions) -> CID:
    if options.inline_limit is not None and len(data) <= options.inline_limit:
        return cid_maker(codec, 1, "identity")(data)
    # Raw blocks have no version 0, even under a root that has.
    version = 1 if codec == "raw" else options.cid_version
    return cid_maker(codec, version, options.hash)(data)


def leaf_block(chunk: Buffer, options: ImportOptions) -> Block:
    """Make a file's leaf; may run in any thread. Copies the chunk at most once."""
    cid, data = leaf_view(chunk, options)
    return Block(cid, bytes(data))


def leaf_view(chunk: Buffer, options: ImportOptions) -> tuple[CID, Buffer]:
    """Do the same without copying the chunk of a raw leaf."""
    if options.raw_leaves:
        return _name(chunk, "raw", options), chunk
    kind = DataType.RAW if options.layout == TRICKLE else DataType.FILE
    data = unixfs.file_leaf(chunk, kind=kind)
    return _name(data, "dag-pb", options), data


class FileImporter:
    """
    Imports one file.

    Blocks whose CID `is_identity` come out too: they need not be stored.
    """

    def __init__(self, options: ImportOptions | None = None) -> None:
        self.options: Final = ImportOptions() if options is None else options
        self._chunker: Final[Chunker] = parse_chunker(self.options.chunker)
        self._layout: Final = make_layout(
            self.options.layout,
            self.options.max_file_links,
            lambda data: name_block(data, "dag-pb", self.options),
        )
        # The first leaf: it is the root, perhaps with metadata, if no other comes.
        self._first: Block | None = None
        self._root: CID | None = None
        self.file_size = 0
        """Bytes of the file so far."""
        self.dag_size = 0
        """Bytes of all blocks, once finished; a block that occurs twice counts twice."""

    @property
    def read_bytes(self) -> int:
        """
        The size of reads that saves copying.

        Whole chunks: a chunk in several pieces is copied once more, which halves the speed of
        dag-pb leaves.
        """
        if isinstance(self._chunker, SizeChunker):
            return self._chunker.size * max(1, _READ_BYTES // self._chunker.size)
        return _READ_BYTES

    @property
    def root(self) -> CID:
        """:raises LocalProtocolError: before `finish`."""
        if self._root is None:
            raise LocalProtocolError("the import is not finished")
        return self._root

    def feed(self, buffers: Iterable[Buffer]) -> list[Block]:
        """Add the next bytes, however they are split; return the blocks that are complete."""
        blocks: list[Block] = []
        for chunk in self.split(buffers):
            blocks += self.add_leaf(leaf_block(chunk, self.options), len(chunk))
        return blocks

    def finish(self) -> list[Block]:
        """End the file; return the remaining blocks, the root last."""
        blocks: list[Block] = []
        for chunk in self.split_end():
            blocks += self.add_leaf(leaf_block(chunk, self.options), len(chunk))
        if not self._layout.leaf_count and self._layout.lone_leaf_is_root:
            self.add_leaf(leaf_block(b"", self.options), 0)
        if self._first is not None:
            root = self._with_metadata(self._first)
            blocks.append(root)
            self._root, self.dag_size = root.cid, len(root.data)
        else:
            top, nodes = self._layout.finish(self.options.mode, self.options.mtime)
            blocks += nodes
            self._root, self.dag_size = top.cid, top.dag_size
        return blocks

    # -- in parts, for hashing in threads ---------------------------------------------------------

    def split(self, buffers: Iterable[Buffer]) -> list[Buffer]:
        """Add the next bytes; return the chunks that are complete, which may be views of them."""
        self._check_unfinished()
        return self._chunker.feed(buffers)

    def split_end(self) -> list[Buffer]:
        """Return the last chunks, if there are any; `finish` does the rest."""
        self._check_unfinished()
        return self._chunker.finish()

    def add_leaf(self, block: Block, file_size: int) -> list[Block]:
        """
        Add the next leaf, in the order of the file; return the blocks that are complete.

        :param file_size: the size of the leaf's chunk.
        """
        if self._layout.leaf_count or not self._layout.lone_leaf_is_root:
            return [*self.note_leaf(block.cid, len(block.data), file_size), block]
        self.note_leaf(block.cid, len(block.data), file_size)
        self._first = block
        return []

    def note_leaf(self, cid: CID, block_size: int, file_size: int) -> list[Block]:
        """
        Add the next leaf, which the caller stores; return the other blocks that are complete.

        The first leaf goes to `add_leaf`: if no other comes, it may get metadata.
        """
        self._check_unfinished()
        nodes = self._layout.add_leaf(cid, file_size, block_size)
        self.file_size += file_size
        first, self._first = self._first, None
        return nodes if first is None else [first, *nodes]

    def _check_unfinished(self) -> None:
        if self._root is not None:
            raise LocalProtocolError("the import is finished")

    def _with_metadata(self, leaf: Block) -> Block:
        """Return a lone leaf, written again with the file's mode and mtime."""
        if not self.options.has_metadata:
            return leaf
        chunk = read_file_node(leaf.cid, leaf.data).data
        data = unixfs.file_leaf(chunk, self.options.mode, self.options.mtime)
        return name_block(data, "dag-pb", self.options)
