"""
What is below roots: which blocks are to be read next, and which are reached (sans-I/O).

Raw blocks have no links, so they are reached when a link to them is read. Only the nodes above them
wait to be read: of a file of 1 TiB in blocks of 1 MiB that are some thousand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidArgument
from libp2p.ipld.codec import RAW
from libp2p.ipld.links import links_of

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CID
    from libp2p.pinning.block_set import BlockSet

#: Nodes that wait to be read. One takes some 200 bytes. They are the siblings on one path down from
#: a root, of which a node of 2 MiB has 40,000.
MAX_WAITING: Final = 4 * 1024 * 1024


class Reach:
    """
    Goes over the blocks below roots, each once, depth first.

    A block that an identity CID holds is none to reach, but to read: it may link to others. One
    that is raw in one place and a node in another is reached once, and read.

    :param seen: the multihashes of the blocks that have been reached.
    """

    def __init__(self, seen: BlockSet) -> None:
        self.seen: Final = seen
        self._followed: Final = seen.another()  # nodes, by codec and multihash
        self._waiting: list[CID] = []  # the next one is the last

    def add(self, cids: Iterable[CID]) -> list[CID]:
        """
        Reach blocks; return those that are new.

        :raises InvalidArgument: if more than `MAX_WAITING` blocks wait to be read.
        """
        new: list[CID] = []
        nodes: list[CID] = []
        for cid in cids:
            if self._is_new(cid):
                new.append(cid)
            codec = cid.codec_code
            if codec != RAW and self._followed.add(codec.to_bytes(8) + cid.multihash):
                nodes.append(cid)
        self._waiting += reversed(nodes)
        if len(self._waiting) > MAX_WAITING:
            raise InvalidArgument(f"more than {MAX_WAITING:,} nodes of the DAG wait to be read")
        return new

    def _is_new(self, cid: CID) -> bool:
        return not cid.is_identity and self.seen.add(cid.multihash)

    def next(self, count: int) -> list[CID]:
        """Return the next blocks to read, in their order; nothing at the end."""
        some = self._waiting[: -count - 1 : -1]
        del self._waiting[-count:]
        return some

    def take(self, cid: CID, data: Buffer) -> list[CID]:
        """
        Follow the links of a block that `next` has returned; return what is new.

        :raises ParseError: if it is not in the codec that its CID says.
        :raises UnknownCodec: if its links cannot be read.
        """
        return self.add(links_of(cid, data))
