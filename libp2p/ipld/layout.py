"""
Layouts: join leaves under nodes, as these become complete (sans-I/O).

The balanced one: every leaf is at the same depth, and a lone last child is wrapped like any other.
It holds one open node per level: at most depth x links records, whatever the size of the file.

        root                    open, gets its metadata when the file ends
       /    \\
      n1     n2                 n1 given out when the leaf after its last one came
     /|\\     |
    l l l    l                  leaves are the caller's

The trickle layout, in which the first bytes are near the root: a node has leaves of its own, then
four nodes with leaves alone, four with one more level, and so on, up to one level less than it has
itself; the root goes on without end. It holds the open nodes from the root to the last leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidImportOptions
from libp2p.ipld.block import MAX_BLOCK_BYTES, Block
from libp2p.ipld.profile_names import TRICKLE
from libp2p.ipld.unixfs import FileChild, Mtime, file_node

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID

__all__ = ["BalancedLayout", "TrickleLayout", "make_layout"]

#: Nodes of the same depth that a node of the trickle layout has.
_DEPTH_REPEAT: Final = 4


class BalancedLayout:
    """Joins the leaves of one file; ``make_block`` names the nodes."""

    lone_leaf_is_root: Final = True

    def __init__(self, max_links: int, make_block: Callable[[bytes], Block]) -> None:
        self._max_links: Final = max_links
        self._make_block: Final = make_block
        self._levels: list[list[FileChild]] = [[]]
        self.leaf_count = 0

    def add_leaf(self, cid: CID, file_size: int, block_size: int) -> list[Block]:
        """Add the next leaf; return the nodes that are complete without it."""
        blocks: list[Block] = []
        self._push(0, FileChild(cid, file_size, block_size), blocks)
        self.leaf_count += 1
        return blocks

    def finish(
        self, mode: int | None = None, mtime: Mtime | None = None
    ) -> tuple[FileChild, list[Block]]:
        """
        End the file; return its root, and the nodes that remain, the root last.

        A lone leaf is the root itself; then there are no nodes, and the metadata is the caller's.
        """
        if self.leaf_count == 1:
            return self._levels[0][0], []
        blocks: list[Block] = []
        level = 0
        while level + 1 < len(self._levels):
            self._push(level + 1, self._close(level, blocks), blocks)
            level += 1
        return self._close(level, blocks, mode, mtime), blocks

    def _push(self, level: int, child: FileChild, blocks: list[Block]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        elif len(self._levels[level]) == self._max_links:
            self._push(level + 1, self._close(level, blocks), blocks)
        self._levels[level].append(child)

    def _close(
        self,
        level: int,
        blocks: list[Block],
        mode: int | None = None,
        mtime: Mtime | None = None,
    ) -> FileChild:
        """Return the node of a level's children, and empty the level."""
        children = self._levels[level]
        self._levels[level] = []
        return _join(children, self._make_block, blocks, mode, mtime)


class _OpenNode:
    """A node of the trickle layout that may get further children."""

    def __init__(self, depth: float) -> None:
        self._depth: Final = depth  # of the nodes below it, those with leaves alone have 1
        self._nodes = 0
        self.children: list[FileChild] = []

    def next_depth(self) -> float | None:
        """Return the depth of the next node below, which is counted; None if it is full."""
        depth = 1 + self._nodes // _DEPTH_REPEAT
        if depth >= self._depth:
            return None
        self._nodes += 1
        return depth


class TrickleLayout:
    """Joins the leaves of one file; even a lone one, or none, has a node above it."""

    lone_leaf_is_root: Final = False

    def __init__(self, max_links: int, make_block: Callable[[bytes], Block]) -> None:
        """:param max_links: leaves of a node; the nodes below it are besides."""
        self._max_links: Final = max_links
        self._make_block: Final = make_block
        self._open = [_OpenNode(inf)]
        self.leaf_count = 0

    def add_leaf(self, cid: CID, file_size: int, block_size: int) -> list[Block]:
        """Add the next leaf; return the nodes that are complete without it."""
        blocks: list[Block] = []
        while len(self._open[-1].children) >= self._max_links:
            depth = self._open[-1].next_depth()
            if depth is None:
                node = _join(self._open.pop().children, self._make_block, blocks)
                self._open[-1].children.append(node)
            else:
                self._open.append(_OpenNode(depth))
        self._open[-1].children.append(FileChild(cid, file_size, block_size))
        self.leaf_count += 1
        return blocks

    def finish(
        self, mode: int | None = None, mtime: Mtime | None = None
    ) -> tuple[FileChild, list[Block]]:
        """End the file; return its root, and the nodes that remain, the root last."""
        blocks: list[Block] = []
        while len(self._open) > 1:
            node = _join(self._open.pop().children, self._make_block, blocks)
            self._open[-1].children.append(node)
        return _join(self._open[0].children, self._make_block, blocks, mode, mtime), blocks


def make_layout(
    name: str, max_links: int, make_block: Callable[[bytes], Block]
) -> BalancedLayout | TrickleLayout:
    """Return the layout that import options name."""
    return (TrickleLayout if name == TRICKLE else BalancedLayout)(max_links, make_block)


def _join(
    children: list[FileChild],
    make_block: Callable[[bytes], Block],
    blocks: list[Block],
    mode: int | None = None,
    mtime: Mtime | None = None,
) -> FileChild:
    """Return the node above some children; add its block to those that are complete."""
    data = file_node(children, mode, mtime)
    if len(data) > MAX_BLOCK_BYTES:
        raise InvalidImportOptions(
            f"{len(children)} links make a node of {len(data)} bytes, more than a block can "
            "have: lower max_file_links"
        )
    block = make_block(data)
    blocks.append(block)
    return FileChild(
        block.cid,
        sum(child.file_size for child in children),
        len(data) + sum(child.dag_size for child in children),
    )
