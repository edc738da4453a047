"""
The order in which the blocks of a DAG are visited (sans-I/O): a node, then what its links lead to.

It is the order of CAR files: the same DAG and options give the same file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidArgument
from libp2p.ipld.links import links_of

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """

    def __init__(self, roots: Iterable[CID], *, duplicates: bool = False) -> None:
        self._duplicates = duplicates
        self._waiting = list(roots)[::-1]  # the next one is the last
        self._seen: set[bytes] = set()  # multihashes
        self._visited = 0

    @property
    def is_over(self) -> bool:
        return not self._waiting

    def next(self, count: int) -> list[CID]:
        """
        Return the next block, and those that are most likely needed after it.

        :param count: blocks at most.
        """
        found: dict[bytes, CID] = {}
        for cid in self._waiting[: -4 * count - 1 : -1]:
            if cid.multihash not in self._seen:
                found.setdefault(cid.multihash, cid)
        return list(found.values())[:count]

    def take(self, data: Buffer) -> CID:
        """
        Take the first of the blocks that `next` returns; return its CID.

        :raises ParseError: if it is not in the codec that its CID says.
        :raises UnknownCodec: if its links cannot be read.
        :raises InvalidArgument: if the DAG has too many blocks or links.
        """
        cid = self._waiting.pop()
        self._visited += 1
        if self._visited > MAX_VISITED:
            raise InvalidArgument(f"the DAG has more than {MAX_VISITED:,} blocks")
        if not self._duplicates:
            self._seen.add(cid.multihash)
        self._waiting += reversed(links_of(cid, data))
        if len(self._waiting) > MAX_WAITING:
            raise InvalidArgument(f"more than {MAX_WAITING:,} links of the DAG are waiting")
        while self._waiting and self._waiting[-1].multihash in self._seen:
            self._waiting.pop()
        return cid
