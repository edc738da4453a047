"""
One block of a file, as a reader sees it: bytes of the file, then blocks below (sans-I/O).

A raw block and a UnixFS File or Raw node are the same to a reader. The sizes a node states must
agree with each other; `file_walk` checks that they agree with the blocks below. Old js-ipfs left
sizes out, or wrote 0 for a leaf's size; such sizes are measured, as Kubo does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidUnixFS, NotAFile
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.codec import DAG_PB, RAW
from libp2p.ipld.unixfs import DataType, UnixFSData

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.block import Block
    from libp2p.ipld.cid import CID

__all__ = ["FileNode", "Kind", "kind_of", "read_file_node", "unixfs_of"]


class Kind(StrEnum):
    """What a block is to a reader of files."""

    FILE = "file"
    """A UnixFS file, or the node of one."""
    RAW = "raw"
    """A raw block: a file of one block, or the leaf of one."""
    DIRECTORY = "directory"
    HAMT = "hamt"
    """A directory, or a part of one, that is spread over many blocks."""
    SYMLINK = "symlink"
    OTHER = "other"
    """Anything else: another codec, or dag-pb without UnixFS."""


_KINDS: Final = {
    DataType.FILE: Kind.FILE,
    DataType.RAW: Kind.FILE,
    DataType.DIRECTORY: Kind.DIRECTORY,
    DataType.HAMT_SHARD: Kind.HAMT,
    DataType.SYMLINK: Kind.SYMLINK,
    DataType.METADATA: Kind.OTHER,
}


NOTHING_REPEATED: Final[frozenset[bytes]] = frozenset()


class FileNode(NamedTuple):
    """A block of a file: ``data`` comes before the blocks below."""

    data: Buffer
    cids: Sequence[CID]
    sizes: Sequence[int]
    """The bytes of the file below each of ``cids``, by this node's word; none if it is silent."""
    size: int
    """The bytes of the file here and below; if it has no ``sizes``, what it states, or 0."""
    repeated: frozenset[bytes]
    """The binary forms of those of ``cids`` that stand there more than once."""
    mode: int | None = None
    mtime: unixfs.Mtime | None = None

    @property
    def is_sized(self) -> bool:
        """False if there are blocks below whose sizes are not stated."""
        return not self.cids or bool(self.sizes)

    def with_sizes(self, sizes: Sequence[int]) -> FileNode:
        """
        Return the node with measured sizes.

        :raises InvalidUnixFS: if it states another size.
        """
        size = len(self.data) + sum(sizes)
        if self.size not in (0, size):
            raise InvalidUnixFS(f"a node states {self.size} bytes and has {size}")
        return self._replace(sizes=sizes, size=size)


def kind_of(block: Block) -> Kind:
    """
    Return what a block is.

    :raises InvalidDagPb: if it says dag-pb and is not.
    """
    codec = block.cid.codec_code
    if codec == RAW:
        return Kind.RAW
    if codec != DAG_PB:
        return Kind.OTHER
    message = unixfs_of(dag_pb.decode(block.data))
    return Kind.OTHER if message is None else _KINDS[message.type]


def read_file_node(cid: CID, data: Buffer) -> FileNode:
    """
    Read a block of a file, without copying its data.

    :raises NotAFile: if it is something else.
    :raises InvalidDagPb: if it says dag-pb and is not.
    :raises InvalidUnixFS: if its sizes contradict each other.
    """
    codec = cid.codec_code
    if codec == RAW:
        return FileNode(data, (), (), len(data), NOTHING_REPEATED)
    if codec != DAG_PB:
        raise NotAFile(f"{cid} is {cid.codec}, not a file", Kind.OTHER)
    node = dag_pb.decode(data)
    message = unixfs_of(node)
    kind = Kind.OTHER if message is None else _KINDS[message.type]
    if message is None or kind is not Kind.FILE:
        raise NotAFile(f"{cid} is not a file but: {kind}", kind)
    inline = b"" if message.data is None else message.data
    size = len(inline) + sum(message.blocksizes)
    stated = message.filesize or size
    if len(message.blocksizes) != len(node.links):
        if message.blocksizes:
            raise InvalidUnixFS(
                f"{cid} has {len(node.links)} links, {len(message.blocksizes)} sizes"
            )
        size = stated = message.filesize or 0
    if stated != size:
        raise InvalidUnixFS(f"{cid} states {message.filesize} bytes and has {size}")
    cids = [link.cid for link in node.links]
    repeated = _repeated(cids) if cids else NOTHING_REPEATED
    return FileNode(inline, cids, message.blocksizes, size, repeated, message.mode, message.mtime)


def unixfs_of(node: dag_pb.PBNode) -> UnixFSData | None:
    """Return what a node says of itself; None if it is no UnixFS."""
    if node.data is None:
        return None
    try:
        return unixfs.decode(node.data)
    except InvalidUnixFS:
        return None


def _repeated(cids: Sequence[CID]) -> frozenset[bytes]:
    names = [cid.buffer for cid in cids]
    if len(set(names)) == len(names):
        return NOTHING_REPEATED
    return frozenset(name for name, count in Counter(names).items() if count > 1)
