"""The blocks of one thing: of a file, of a range of it, of a folder's listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidArgument
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter, symlink_block
from libp2p.ipld.entity_walk import ByteRange, EntityWalk
from libp2p.ipld.file_node import read_file_node
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.node import Node
from libp2p.ipld.profile_names import TRICKLE
from libp2p.ipld.profiles import ImportOptions
from libp2p.ipld.unixfs import DataType, UnixFSData

if TYPE_CHECKING:
    from libp2p.ipld.block import Block

CONTENT = b"".join(number.to_bytes(2, "big") for number in range(300))
BLOCKS: dict[bytes, bytes] = {}


def store(*blocks: Block | Node) -> CID:
    for block in blocks:
        BLOCKS[block.cid.multihash] = block.data
    return blocks[-1].cid


def file_of(content: bytes, layout: str = "balanced") -> CID:
    options = ImportOptions(
        chunker="size-10", max_file_links=3, layout=layout, raw_leaves=layout != TRICKLE
    )
    importer = FileImporter(options)
    store(*importer.feed([content]), *importer.finish())
    return importer.root


FILES = {layout: file_of(CONTENT, layout) for layout in ("balanced", TRICKLE)}
ZEROS = file_of(bytes(600))


def walk(root: CID, byte_range: ByteRange | None = None, *, duplicates: bool = False) -> list[CID]:
    walk = EntityWalk(root, byte_range, duplicates=duplicates)
    order = []
    while not walk.is_over:
        [first, *_] = walk.next(3)
        assert walk.take(BLOCKS[first.multihash]) == first
        if not walk.is_again:
            order.append(first)
    return order


def needed(root: CID, first: int, end: int) -> set[CID]:
    """Return the blocks with a byte of a range, found out the plain way, and those above them."""

    def visit(cid: CID, start: int) -> set[CID]:
        node = read_file_node(cid, BLOCKS[cid.multihash])
        found = {cid}
        at = start + len(node.data)
        for child, size in zip(node.cids, node.sizes, strict=True):
            if at < end and at + size > first:
                found |= visit(child, at)
            at += size
        return found

    return visit(root, 0)


@pytest.mark.parametrize("layout", FILES)
@given(st.integers(-700, 700), st.integers(-700, 700) | st.none())
def test_a_range_needs_the_blocks_that_have_its_bytes(
    layout: str, first: int, last: int | None
) -> None:
    order = walk(FILES[layout], ByteRange(first, last))
    start, end = ByteRange(first, last).within(len(CONTENT))
    assert set(order) == needed(FILES[layout], start, end)
    assert len(set(order)) == len(order)


@given(st.integers(0, 600), st.integers(0, 600))
def test_a_range_of_a_file_of_equal_parts(first: int, last: int) -> None:
    order = walk(ZEROS, ByteRange(first, last))
    assert set(order) == needed(ZEROS, *ByteRange(first, last).within(600))
    assert len(set(order)) == len(order)
    assert walk(ZEROS) == walk(ZEROS, ByteRange())


def test_duplicates() -> None:
    assert len(walk(ZEROS)) < len(walk(ZEROS, duplicates=True))


def test_a_file_without_sizes_is_needed_whole() -> None:
    leaf = store(Node.of(b"ten bytes."))
    data = unixfs.encode(UnixFSData(DataType.FILE, filesize=20))
    block = dag_pb.encode([PBLink(leaf), PBLink(leaf)], data)
    root = CID.for_block(block, "dag-pb")
    BLOCKS[root.multihash] = block
    assert walk(root, ByteRange(0, 1)) == [root, leaf]


def test_of_a_folder_its_listing_is_needed() -> None:
    leaf = store(Node.of(b"leaf"))
    for links, blocks in ((0, 1), (10, 20)):
        importer = DirectoryImporter(ImportOptions(max_directory_links=links, hamt_fanout=8))
        for number in range(50):
            importer.add(DirectoryEntry(f"{number}", leaf, 1))
        own = list(importer.finish())
        root = store(*own)
        assert set(walk(root)) == {block.cid for block in own}
        assert len(own) >= blocks
        assert walk(root, ByteRange(0, 1)) == walk(root)


def test_of_anything_else_its_block_is_needed() -> None:
    leaf = store(Node.of(b"leaf"))
    link = symlink_block("target", ImportOptions())
    for root in (leaf, store(link), store(Node.of({"a": leaf}))):
        assert walk(root) == [root]


@pytest.mark.parametrize(
    ("text", "extent"),
    [
        ("0:*", (0, 10)),
        ("2:4", (2, 5)),
        ("2:2", (2, 3)),
        ("5:100", (5, 10)),
        ("-3:*", (7, 10)),
        ("-3:-2", (7, 9)),
        ("-30:-2", (0, 9)),
        ("2:-2", (2, 9)),
        ("100:*", (100, 10)),
    ],
)
def test_ranges(text: str, extent: tuple[int, int]) -> None:
    assert ByteRange.parse(text).within(10) == extent


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "a:b", "1:", ":1", "4:2", "-2:-3", "*:*", "1:2:3",
        " 0:1", "0:1\n", "1_0:20", "٣:٤", "0:**", "--1:*", "9" * 5000 + ":*",
    ],
)  # fmt: skip
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(InvalidArgument, match="range of bytes"):
        ByteRange.parse(text)
