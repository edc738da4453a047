"""
The blocks that a change of the tree reads and makes.

A change is a generator: it yields the CID of a block that it needs and is sent the block's bytes.
Whoever runs it does the I/O.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar

from libp2p.exceptions import InvalidUnixFS, NotAFile
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID, cid_maker
from libp2p.ipld.codec import DAG_PB, RAW
from libp2p.ipld.links import links_of
from libp2p.ipld.unixfs import DataType, UnixFSData

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

_T = TypeVar("_T")
Step: TypeAlias = Generator[CID, bytes, _T]

#: What an identity CID can carry; a node that grows beyond is named by `_INSTEAD`.
_MAX_INLINE_BYTES: Final = 128
_INSTEAD: Final = "sha2-256"


class Format(NamedTuple):
    """How the CIDs of new nodes are made."""

    version: int
    hash: str

    @classmethod
    def of(cls, cid: CID) -> Format:
        """Return the format of a CID."""
        return cls(cid.version, cid.hash_name)


#: What Kubo falls back to where it forgets a node's own format.
VERSION_0: Final = Format(0, "sha2-256")


class Node(NamedTuple):
    """A block of UnixFS; one that is raw has neither links nor a ``message``."""

    cid: CID
    links: tuple[dag_pb.PBLink, ...]
    message: UnixFSData | None
    data: Buffer
    """The bytes of the file that are in the block itself."""
    dag_size: int
    """The bytes of all blocks below, by the links' word, with the block's own."""

    @property
    def type(self) -> DataType | None:
        """None for a raw block."""
        return None if self.message is None else self.message.type

    @property
    def is_directory(self) -> bool:
        return self.type in (DataType.DIRECTORY, DataType.HAMT_SHARD)

    @property
    def file_size(self) -> int:
        """The bytes of the file here and below; 0 for a directory, as Kubo says."""
        if self.message is None:
            return len(self.data)
        sizes = self.message.blocksizes
        return len(self.data) + sum(sizes) if self.type is not DataType.SYMLINK else len(self.data)

    def file_message(self) -> UnixFSData:
        """
        Return the message of a file's node.

        :raises NotAFile: if it is no file's.
        :raises InvalidUnixFS: if it does not state the sizes below.
        """
        if self.message is None or self.type not in (DataType.FILE, DataType.RAW):
            raise NotAFile(f"{self.cid} is not a file")
        if len(self.message.blocksizes) != len(self.links):
            raise InvalidUnixFS(
                f"{self.cid} does not state the sizes of its {len(self.links)} links"
            )
        return self.message


class Workspace:
    """New blocks, over those of a store."""

    def __init__(self) -> None:
        self._new: dict[bytes, Block] = {}
        self.new_bytes = 0

    def read(self, cid: CID) -> Step[Node]:
        """
        Return a node.

        :raises NotAFile: if it is neither raw nor UnixFS.
        :raises InvalidDagPb: if it is malformed.
        """
        data = yield from self.block(cid)
        if cid.codec_code == RAW:
            return Node(cid, (), None, data, len(data))
        if cid.codec_code != DAG_PB:
            raise NotAFile(f"{cid} is {cid.codec}: files and directories are dag-pb or raw")
        node = dag_pb.decode(data)
        message = unixfs.decode(b"" if node.data is None else node.data)
        size = len(data) + sum(link.tsize or 0 for link in node.links)
        return Node(cid, node.links, message, message.data or b"", size)

    def block(self, cid: CID) -> Step[bytes]:
        """Return a block's bytes."""
        if cid.is_identity:
            return cid.digest
        new = self._new.get(cid.multihash)
        return new.data if new is not None else (yield cid)

    def put(self, data: bytes, codec: str, form: Format) -> CID:
        """Keep a new block and return its CID."""
        if form.hash == "identity" and len(data) > _MAX_INLINE_BYTES:
            form = Format(1, _INSTEAD)
        block = Block(
            cid_maker(codec, 1 if codec == "raw" else form.version, form.hash)(data), data
        )
        self.keep(block)
        return block.cid

    def put_node(
        self, message: UnixFSData, links: tuple[dag_pb.PBLink, ...], form: Format
    ) -> tuple[CID, int]:
        """Keep a new node; return its CID and the bytes of all blocks below."""
        block = dag_pb.encode(links, unixfs.encode(message))
        return self.put(block, "dag-pb", form), len(block) + sum(link.tsize or 0 for link in links)

    def empty_file(self, form: Format) -> CID:
        """Keep an empty file, which is no raw block whatever its leaves will be."""
        return self.put_node(UnixFSData(DataType.FILE, filesize=0), (), form)[0]

    def keep(self, block: Block) -> None:
        """Keep a new block."""
        if not block.cid.is_identity and block.cid.multihash not in self._new:
            self._new[block.cid.multihash] = block
            self.new_bytes += len(block.data)

    def take_new(self, *roots: CID) -> list[Block]:
        """Return the new blocks at and below the roots, and forget all."""
        new, self._new, self.new_bytes = self._new, {}, 0
        taken: list[Block] = []
        todo = list(roots)
        while todo:
            block = new.pop(todo.pop().multihash, None)
            if block is not None:
                taken.append(block)
                todo += links_of(block.cid, block.data)
        return taken
