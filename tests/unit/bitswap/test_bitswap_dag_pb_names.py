"""py-libp2p's dag-pb functions write and read what Kubo writes."""

from __future__ import annotations

import pytest

from libp2p.bitswap import dag_pb as names
from libp2p.exceptions import InvalidDagPb
from libp2p.ipld.cid import CID
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.profiles import ImportOptions

A, B = (CID.for_block(name) for name in (b"a", b"b"))


def test_links_take_cids_in_any_form() -> None:
    for form in (A, A.buffer, str(A), A.buffer.hex(), A.to_py_cid()):
        assert names.Link(form) == names.Link(A.buffer, "", 0)


@pytest.mark.parametrize("kind", list(names.UnixFSData.TYPE_MAP))
def test_nodes_go_through_bytes_unchanged(kind: str) -> None:
    node = names.UnixFSData(kind, b"data", 9, [4, 5], 34, 256)
    links = [names.Link(A, "a", 1), names.Link(B, "b", 2)]
    encoded = names.encode_dag_pb(links, node)
    assert names.decode_dag_pb(encoded) == (links, node)
    assert names.is_file_node(encoded) == (kind == "file")
    assert names.is_directory_node(encoded) == (kind == "directory")
    assert names.get_file_size(encoded) == (9 if kind == "file" else 0)


def test_links_are_sorted_by_name() -> None:
    encoded = names.create_directory_node([("b", B, 2), ("a", A, 1)])
    assert [link.name for link in names.decode_dag_pb(encoded)[0]] == ["a", "b"]


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="'folder'"):
        names.UnixFSData("folder")


def test_the_empty_directory_and_the_empty_file_are_kubos() -> None:
    def cid(block: bytes) -> str:
        return str(CID.for_block(block, "dag-pb", 0))

    directory = names.encode_dag_pb([], names.UnixFSData("directory"))
    assert cid(directory) == "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
    assert cid(names.create_leaf_node(b"")) == "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
    empty = names.encode_dag_pb([], names.UnixFSData("file"))
    assert empty == names.create_leaf_node(b"")


def test_what_is_no_unixfs_has_none() -> None:
    assert names.decode_dag_pb(b"") == ([], None)
    assert names.decode_dag_pb(b"\x0a\x01?") == ([], None)
    with pytest.raises(InvalidDagPb):
        names.decode_dag_pb(b"?")
    assert not names.is_file_node(b"?")
    assert not names.is_directory_node(b"?")
    assert names.get_file_size(b"?") == 0


def test_a_file_of_raw_chunks_has_one_node() -> None:
    chunks = [(CID.for_block(b"x" * 10), 10), (CID.for_block(b"y" * 5), 5)]
    node = names.create_file_node(chunks)
    links, data = names.decode_dag_pb(node)
    assert [link.size for link in links] == [10, 5]
    assert data == names.UnixFSData("file", b"", 15, [10, 5])


@pytest.mark.parametrize("count", [1, 2, 174, 175, 349, 30277])
def test_layouts_are_those_of_the_importer(count: int) -> None:
    importer = FileImporter(ImportOptions(chunker="size-1", max_file_links=174))
    importer.feed([b"x" * count])
    importer.finish()
    told: list[bytes] = []
    leaf = CID.for_block(b"x").buffer
    root, block, size = names.balanced_layout(
        [(leaf, None, 1)] * count, put_block_callback=lambda cid, _: told.append(cid)
    )
    assert root == importer.root.buffer
    assert size == importer.dag_size
    assert (block is None) == (count == 1)
    assert told[-1:] == ([root] if count > 1 else [])


def test_a_file_without_leaves_is_refused() -> None:
    with pytest.raises(ValueError, match="leaf"):
        names.balanced_layout([])


def test_leaves_may_come_with_their_blocks() -> None:
    block = names.create_leaf_node(b"x")
    cid = CID.for_block(block, "dag-pb").buffer
    assert names.balanced_layout([(cid, block, 1)]) == (cid, block, len(block))
    root, node, size = names.balanced_layout([(cid, block, 1)] * 2)
    assert node is not None
    assert CID.of(root).matches(node)
    assert size == len(node) + 2 * len(block)
