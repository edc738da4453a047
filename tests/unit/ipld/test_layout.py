from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidImportOptions
from libp2p.ipld import layout as layout_module
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.layout import BalancedLayout, TrickleLayout
from libp2p.ipld.unixfs import FileChild, Mtime, file_node


def name_node(data: bytes) -> Block:
    return Block(CID.for_block(data, "dag-pb"), data)


def leaf(index: int) -> FileChild:
    return FileChild(CID.for_block(b"%d" % index), index, index + 1)


class ByTheBook:
    """The layout as Kubo describes it: a new root adopts the old, then is filled depth first."""

    def __init__(self, leaves: list[FileChild], max_links: int) -> None:
        self._leaves = leaves[::-1]
        self._max_links = max_links
        root = self._leaves.pop()
        depth = 0
        while self._leaves:
            depth += 1
            root = self._fill([root], depth)
        self.root = root

    def _fill(self, children: list[FileChild], depth: int) -> FileChild:
        while self._leaves and len(children) < self._max_links:
            children.append(self._leaves.pop() if depth == 1 else self._fill([], depth - 1))
        data = file_node(children)
        return FileChild(
            CID.for_block(data, "dag-pb"),
            sum(child.file_size for child in children),
            len(data) + sum(child.dag_size for child in children),
        )


@given(st.integers(1, 70), st.integers(2, 5))
def test_nodes_come_out_one_by_one_as_the_book_says(count: int, max_links: int) -> None:
    layout = BalancedLayout(max_links, name_node)
    blocks: list[Block] = []
    for index in range(count):
        blocks += layout.add_leaf(*leaf(index))
        assert all(len(level) <= max_links for level in layout._levels)
    root, rest = layout.finish()
    blocks += rest
    assert root == ByTheBook([leaf(index) for index in range(count)], max_links).root
    assert layout.leaf_count == count
    if count > 1:
        assert blocks[-1].cid == root.cid
        assert root.dag_size == sum(len(b.data) for b in blocks) + sum(range(1, count + 1))
    else:
        assert blocks == []


def test_metadata_is_the_roots_alone() -> None:
    plain, dated = BalancedLayout(2, name_node), BalancedLayout(2, name_node)
    plain_blocks, dated_blocks = [], []
    for index in range(4):
        plain_blocks += plain.add_leaf(*leaf(index))
        dated_blocks += dated.add_leaf(*leaf(index))
    plain_blocks += plain.finish()[1]
    dated_blocks += dated.finish(0o600, Mtime(1))[1]
    assert plain_blocks[:-1] == dated_blocks[:-1]
    assert plain_blocks[-1] != dated_blocks[-1]


def test_a_node_that_fits_into_no_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_module, "MAX_BLOCK_BYTES", 500)
    layout = BalancedLayout(100_000, name_node)
    for index in range(12):
        layout.add_leaf(*leaf(index))
    with pytest.raises(InvalidImportOptions, match="max_file_links"):
        layout.finish()


class TrickleByTheBook:
    """The layout as Kubo describes it, by recursion."""

    def __init__(self, leaves: list[FileChild], max_links: int) -> None:
        self._leaves = leaves[::-1]
        self._max_links = max_links
        self.root = self._fill(None)

    def _fill(self, max_depth: int | None) -> FileChild:
        children: list[FileChild] = []
        while self._leaves and len(children) < self._max_links:
            children.append(self._leaves.pop())
        depth = 1
        while self._leaves and (max_depth is None or depth < max_depth):
            for _ in range(4):
                if self._leaves:
                    children.append(self._fill(depth))
            depth += 1
        data = file_node(children)
        return FileChild(
            CID.for_block(data, "dag-pb"),
            sum(child.file_size for child in children),
            len(data) + sum(child.dag_size for child in children),
        )


@given(st.integers(0, 400), st.integers(2, 4))
def test_trickle_nodes_come_out_one_by_one_as_the_book_says(count: int, max_links: int) -> None:
    layout = TrickleLayout(max_links, name_node)
    blocks: list[Block] = []
    for index in range(count):
        blocks += layout.add_leaf(*leaf(index))
    root, rest = layout.finish()
    assert root == TrickleByTheBook([leaf(index) for index in range(count)], max_links).root
    assert rest[-1].cid == root.cid
    assert len({block.cid for block in blocks + rest}) == len(blocks + rest)


def test_the_root_of_the_trickle_layout_gets_the_metadata() -> None:
    root, [block] = TrickleLayout(2, name_node).finish(0o644, Mtime(5))
    assert root.cid == block.cid
    assert block.data == file_node([], 0o644, Mtime(5))
