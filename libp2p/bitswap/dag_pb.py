"""py-libp2p's dag-pb functions, over `libp2p.ipld.dag_pb` and `libp2p.ipld.unixfs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from libp2p.exceptions import InvalidDagPb, InvalidUnixFS
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.layout import BalancedLayout
from libp2p.ipld.profiles import DEFAULT_FILE_LINKS as MAX_LINKS_PER_NODE

if TYPE_CHECKING:
    from libp2p.ipld.cid import CIDInput

__all__ = [
    "MAX_LINKS_PER_NODE",
    "Link",
    "UnixFSData",
    "balanced_layout",
    "create_directory_node",
    "create_file_node",
    "create_leaf_node",
    "decode_dag_pb",
    "encode_dag_pb",
    "get_file_size",
    "is_directory_node",
    "is_file_node",
]


@dataclass(init=False)
class Link:
    """A link to a block, its CID in binary form; ``size`` counts the bytes of all blocks below."""

    cid: bytes
    name: str = ""
    size: int = 0

    def __init__(self, cid: CIDInput, name: str = "", size: int = 0) -> None:
        self.cid = CID.of(cid).buffer
        self.name = name
        self.size = size


@dataclass
class UnixFSData:
    """What a node of UnixFS says of itself; raises `ValueError` for a type that does not exist."""

    type: str
    data: bytes = b""
    filesize: int = 0
    blocksizes: list[int] = field(default_factory=list)
    hash_type: int = 0
    fanout: int = 0

    TYPE_MAP: ClassVar[dict[str, int]] = {
        kind.name.lower().replace("_", "-"): kind.value for kind in unixfs.DataType
    }
    ENUM_TO_TYPE: ClassVar[dict[int, str]] = {code: name for name, code in TYPE_MAP.items()}

    def __post_init__(self) -> None:
        if self.type not in self.TYPE_MAP:
            raise ValueError(f"type {self.type!r} is none of {list(self.TYPE_MAP)}")


def encode_dag_pb(links: Iterable[Link], unixfs_data: UnixFSData | None = None) -> bytes:
    """Write a node in its canonical form, as Kubo does: links sorted by name."""
    return dag_pb.encode(
        [dag_pb.PBLink(CID.of(link.cid), link.name, link.size) for link in links],
        None if unixfs_data is None else unixfs.encode(_message(unixfs_data)),
    )


def _message(node: UnixFSData) -> unixfs.UnixFSData:
    kind = unixfs.DataType(UnixFSData.TYPE_MAP[node.type])
    has_size = kind in (unixfs.DataType.FILE, unixfs.DataType.RAW)  # written even if it is 0
    return unixfs.UnixFSData(
        kind,
        node.data or None,
        node.filesize if has_size else node.filesize or None,
        tuple(node.blocksizes),
        node.hash_type or None,
        node.fanout or None,
    )


def decode_dag_pb(data: bytes) -> tuple[list[Link], UnixFSData | None]:
    """
    Read a node: its links, and what it says of itself if that is UnixFS.

    :raises InvalidDagPb: if it is none.
    """
    node = dag_pb.decode(data)
    links = [Link(link.cid, link.name or "", link.tsize or 0) for link in node.links]
    if node.data is None:
        return links, None
    try:
        read = unixfs.decode(node.data)
    except InvalidUnixFS:
        return links, None
    return links, UnixFSData(
        UnixFSData.ENUM_TO_TYPE[read.type],
        bytes(read.data or b""),
        read.filesize or 0,
        list(read.blocksizes),
        read.hash_type or 0,
        read.fanout or 0,
    )


def create_file_node(chunks: Sequence[tuple[CIDInput, int]]) -> bytes:
    """Write the node of a file from the CIDs and sizes of its chunks, which are raw blocks."""
    children = [unixfs.FileChild(CID.of(cid), size, size) for cid, size in chunks]
    return unixfs.file_node(children)


def create_directory_node(entries: Sequence[tuple[str, CIDInput, int]]) -> bytes:
    """Write a directory from names, CIDs, and the sizes of all blocks below each."""
    links = [Link(cid, name, size) for name, cid, size in entries]
    return encode_dag_pb(links, UnixFSData("directory"))


def create_leaf_node(data: bytes) -> bytes:
    """Write a leaf of a file as a dag-pb block; the leaves of today are raw blocks instead."""
    return unixfs.file_leaf(data)


def _unixfs_of(data: bytes) -> UnixFSData | None:
    try:
        return decode_dag_pb(data)[1]
    except InvalidDagPb:
        return None


def is_file_node(data: bytes) -> bool:
    """
    Return whether bytes can be read as a node of a file.

    Bytes of a raw block may look like one, too: ask the CID's codec, not this, what a block is.
    """
    node = _unixfs_of(data)
    return node is not None and node.type == "file"


def is_directory_node(data: bytes) -> bool:
    """Return whether bytes can be read as a directory; see `is_file_node`."""
    node = _unixfs_of(data)
    return node is not None and node.type == "directory"


def get_file_size(data: bytes) -> int:
    """Return the size of a file by its node; 0 if it is not one."""
    node = _unixfs_of(data)
    return node.filesize if node is not None and node.type == "file" else 0


def balanced_layout(
    leaves: Sequence[tuple[bytes, bytes | None, int]],
    max_links: int = MAX_LINKS_PER_NODE,
    put_block_callback: Callable[[bytes, bytes], None] | None = None,
) -> tuple[bytes, bytes | None, int]:
    """
    Join the leaves of a file under one root, as Kubo does.

    :param leaves: of each its CID, its block (None for a raw one), and its bytes of the file.
    :param put_block_callback: is given the CID and the block of every node, the root last.
    :return: the root's CID, its block, and the bytes of all blocks.
    :raises ValueError: if there are no leaves.
    """
    if not leaves:
        raise ValueError("a file has one leaf at least")
    layout = BalancedLayout(max_links, lambda data: Block(CID.for_block(data, "dag-pb"), data))
    nodes: list[Block] = []
    for cid, block, size in leaves:
        nodes += layout.add_leaf(CID.of(cid), size, size if block is None else len(block))
    root, last = layout.finish()
    nodes += last
    for node in nodes:
        if put_block_callback is not None:
            put_block_callback(node.cid.buffer, node.data)
    root_block = nodes[-1].data if nodes else leaves[0][1]
    return root.cid.buffer, root_block, root.dag_size
