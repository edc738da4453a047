"""
The blocks that one thing needs, as ``dag-scope=entity`` of gateways counts them (sans-I/O).

https://specs.ipfs.tech/http-gateways/trustless-gateway/: all blocks of a file, or those of a range
of its bytes; the blocks that list a folder, without what is in it; of anything else its block.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidArgument
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.block import Block
from libp2p.ipld.dag_walk import DagWalk
from libp2p.ipld.file_node import Kind, kind_of, read_file_node
from libp2p.ipld.hamt import Shard

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CID

#: Numbers as gateways read them; `int` would read blanks and digits of any script too.
_RANGE: Final = re.compile(r"(-?[0-9]{1,19}):(-?[0-9]{1,19}|\*)")
#: Stands for a block of which all below counts; other numbers are where a block's bytes begin.
_WHOLE: Final = -1


class ByteRange(NamedTuple):
    """Bytes of a file, the last one included; negative numbers count from the end."""

    first: int = 0
    last: int | None = None
    """None is the file's last byte."""

    @staticmethod
    def parse(text: str) -> ByteRange:
        """
        Read ``FROM:TO``, in which TO may be ``*``.

        :raises InvalidArgument: if it is none.
        """
        numbers = _RANGE.fullmatch(text)
        if numbers is None:
            raise InvalidArgument(f"{text!r:.80} is no range of bytes: write FROM:TO")
        first, last = numbers.groups()
        found = ByteRange(int(first), None if last == "*" else int(last))
        same_sign = found.last is not None and (found.first < 0) == (found.last < 0)
        if found.last is not None and same_sign and found.last < found.first:
            raise InvalidArgument(f"the range of bytes {text!r:.80} ends before it begins")
        return found

    def within(self, size: int) -> tuple[int, int]:
        """Return the first byte of a file of ``size`` bytes, and where the range ends."""
        first = self.first if self.first >= 0 else max(size + self.first, 0)
        last = size - 1 if self.last is None else self.last
        return first, min(last + 1 if last >= 0 else size + last + 1, size)


class EntityWalk(DagWalk):
    """
    Visits the blocks of one thing; it is used as a `DagWalk`.

    :param byte_range: the bytes of a file that count. It has no effect on other things.
    """

    def __init__(
        self, root: CID, byte_range: ByteRange | None = None, *, duplicates: bool = False
    ) -> None:
        super().__init__([root], duplicates=duplicates)
        self._byte_range = byte_range
        self._extent: tuple[int, int] | None = None
        self._kind: Kind | None = None  # of the root

    def _is_done(self, cid: CID, number: int) -> bool:
        # A node of which a part counts may be met again, where another part does.
        return self._seen.get(cid.buffer) == _WHOLE

    def _below(self, cid: CID, data: Buffer, number: int) -> list[tuple[CID, int]]:
        is_root = self._kind is None
        if self._kind is None:
            self._kind = kind_of(Block(cid, bytes(data)))
        if self._kind is Kind.FILE:
            return self._parts(cid, data, is_root, number)
        if self._kind is Kind.HAMT:
            node = dag_pb.decode(data)
            message = unixfs.decode(b"" if node.data is None else node.data)
            places = Shard(node.links, message).places()
            return [(link.cid, _WHOLE) for _, name, link in places if not name]
        return []

    def _parts(self, cid: CID, data: Buffer, is_root: bool, start: int) -> list[tuple[CID, int]]:
        node = read_file_node(cid, data)
        if is_root and self._byte_range is not None:
            self._extent = self._byte_range.within(node.size)
        if self._extent is None or start == _WHOLE or not node.is_sized:
            return [(child, _WHOLE) for child in node.cids]
        first, end = self._extent
        parts = []
        start += len(node.data)
        for child, size in zip(node.cids, node.sizes, strict=True):
            if start < end and start + size > first:
                is_whole = first <= start and start + size <= end
                parts.append((child, _WHOLE if is_whole else start))
            start += size
        return parts
