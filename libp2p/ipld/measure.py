"""
Measures the parts of a file whose nodes do not state their sizes (sans-I/O).

Old js-ipfs wrote nodes with links and without sizes, which Kubo reads from their beginning on. To
know where a byte is, all blocks below such a node must have been seen once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidUnixFS

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.ipld.file_node import FileNode

__all__ = ["Measure"]


class _Unsized(NamedTuple):
    data_bytes: int
    cids: Sequence[CID]
    depth: int


class Measure:
    """
    Finds out the sizes below a node without any; each block is asked for once.

    :param name: the binary CID of the node.
    :param max_depth: levels of nodes without sizes.
    :param max_links: links in all of them.
    """

    def __init__(self, name: bytes, node: FileNode, max_depth: int, max_links: int) -> None:
        self._max_depth: Final = max_depth
        self._links_left = max_links
        self._depths: dict[bytes, int] = {name: 0}
        self._sizes: dict[bytes, int] = {}
        self._unsized: dict[bytes, _Unsized] = {}
        self._todo: list[CID] = []
        self.waiting = {name}
        """The binary CIDs of what was asked for and not supplied."""
        self.supply(name, node)

    @property
    def done(self) -> bool:
        return not self._todo and not self.waiting

    def next(self) -> CID | None:
        """Return the next block to be supplied; None if there is none now."""
        if not self._todo:
            return None
        cid = self._todo.pop()
        self.waiting.add(cid.buffer)
        return cid

    def supply(self, name: bytes, node: FileNode) -> None:
        """
        Take a block into account.

        :raises InvalidUnixFS: if there is more than such a file can have.
        """
        self.waiting.discard(name)
        if node.is_sized:
            self._sizes[name] = node.size
            return
        depth = self._depths[name]
        self._links_left -= len(node.cids)
        if depth >= self._max_depth or self._links_left < 0:
            raise InvalidUnixFS("a file has too many nodes that do not state their sizes")
        self._unsized[name] = _Unsized(len(node.data), node.cids, depth)
        for cid in node.cids:
            if cid.buffer not in self._depths:
                self._depths[cid.buffer] = depth + 1
                self._todo.append(cid)

    def found(self) -> dict[bytes, tuple[int, ...]]:
        """Return the sizes below each node that has none, when all is `done`."""
        found: dict[bytes, tuple[int, ...]] = {}
        left = list(self._unsized)
        while left:
            name = left[-1]
            node = self._unsized[name]
            missing = {cid.buffer for cid in node.cids}.difference(self._sizes)
            if name not in found and missing:
                left += missing
                continue
            left.pop()
            if name not in found:
                sizes = tuple([self._sizes[cid.buffer] for cid in node.cids])
                found[name] = sizes
                self._sizes[name] = node.data_bytes + sum(sizes)
        return found
