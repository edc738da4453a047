"""
The balanced layout: joins leaves under nodes, as these become complete (sans-I/O).

Every leaf is at the same depth, and a lone last child is wrapped like any other. Holds one open
node per level: at most depth x links records, whatever the size of the file.

        root                    open, gets its metadata when the file ends
       /    \\
      n1     n2                 n1 given out when the leaf after its last one came
     /|\\     |
    l l l    l                  leaves are the caller's
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidImportOptions
from libp2p.ipld.block import MAX_BLOCK_BYTES, Block
from libp2p.ipld.unixfs import FileChild, Mtime, file_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.ipld.cid import CID

__all__ = ["BalancedLayout"]


class BalancedLayout:
    """Joins the leaves of one file; ``make_block`` names the nodes."""

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
        data = file_node(children, mode, mtime)
        if len(data) > MAX_BLOCK_BYTES:
            raise InvalidImportOptions(
                f"{len(children)} links make a node of {len(data)} bytes, more than a block can "
                "have: lower max_file_links"
            )
        block = self._make_block(data)
        blocks.append(block)
        node = FileChild(
            block.cid,
            sum(child.file_size for child in children),
            len(data) + sum(child.dag_size for child in children),
        )
        self._levels[level] = []
        return node
