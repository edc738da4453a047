"""
The order in which the blocks of a DAG are visited (sans-I/O): a node, then what its links lead to.

It is the order of CAR files: the same DAG and options give the same file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidArgument
from libp2p.ipld.links import links_of

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CID

#: Blocks of one walk. Each takes some hundred bytes of memory: without a limit, a DAG that a
#: stranger has made could take all of it.
MAX_VISITED: Final = 4 * 1024 * 1024
#: Links that are waiting to be followed. A block of 2 MiB has some 40,000.
MAX_WAITING: Final = 1024 * 1024


class DagWalk:
    """
    Says which blocks come next, and takes them one after the other.

    :param roots: where to start, one after the other.
    :param duplicates: visit a block as often as it is linked to, rather than once.
    :param max_depth: 0 is the roots alone, None all below them. A block that is met again nearer to
        a root is visited again then, for more of what is below it counts; see `is_again`.
    :param max_blocks: an error follows on more.
    """

    def __init__(
        self,
        roots: Iterable[CID],
        *,
        duplicates: bool = False,
        max_depth: int | None = None,
        max_blocks: int = MAX_VISITED,
    ) -> None:
        self._duplicates = duplicates
        self._max_depth = max_depth
        self._max_blocks = max_blocks
        # Each with a number: its depth here, whatever a subclass needs there. The next is the last.
        self._waiting: list[tuple[CID, int]] = [(root, 0) for root in roots][::-1]
        self._seen: dict[bytes, int] = {}  # the binary forms of CIDs
        self._visited = 0
        self.is_again = False
        """Tell whether the block that was taken last had been visited before."""

    @property
    def is_over(self) -> bool:
        return not self._waiting

    def next(self, count: int) -> list[CID]:
        """
        Return the next block, and those that are most likely needed after it.

        :param count: blocks at most.
        """
        found: dict[bytes, CID] = {}
        for cid, number in self._waiting[: -4 * count - 1 : -1]:
            if not self._is_done(cid, number):
                found.setdefault(cid.buffer, cid)
        return list(found.values())[:count]

    def note(self, cid: CID) -> None:
        """Count a block as visited, which somebody else has visited."""
        self._seen.setdefault(cid.buffer, self._max_depth or 0)

    def skip(self) -> CID:
        """Leave out the first of the blocks that `next` returns, and what is below; return it."""
        cid, _ = self._pop()
        self._drop_done()
        return cid

    def take(self, data: Buffer) -> CID:
        """
        Take the first of the blocks that `next` returns; return its CID.

        :raises ParseError: if it is not in the codec that its CID says.
        :raises UnknownCodec: if its links cannot be read.
        :raises InvalidArgument: if the DAG has too many blocks or links.
        """
        cid, number = self._pop()
        self._waiting += reversed(self._below(cid, data, number))
        if len(self._waiting) > MAX_WAITING:
            raise InvalidArgument(f"more than {MAX_WAITING:,} links of the DAG are waiting")
        self._drop_done()
        return cid

    def _pop(self) -> tuple[CID, int]:
        cid, number = self._waiting.pop()
        self._visited += 1
        if self._visited > self._max_blocks:
            raise InvalidArgument(f"the DAG has more than {self._max_blocks:,} blocks")
        if not self._duplicates:
            self.is_again = cid.buffer in self._seen
            self._seen[cid.buffer] = number
        return cid, number

    def _drop_done(self) -> None:
        while self._waiting and self._is_done(*self._waiting[-1]):
            self._waiting.pop()

    def _is_done(self, cid: CID, number: int) -> bool:
        before = self._seen.get(cid.buffer)
        return before is not None and (self._max_depth is None or before <= number)

    def _below(self, cid: CID, data: Buffer, number: int) -> list[tuple[CID, int]]:
        """Return what to visit below a block."""
        if number == self._max_depth:
            return []
        return [(link, number + 1) for link in links_of(cid, data)]
