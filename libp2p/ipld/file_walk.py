"""
Walking a file from its root: which blocks come next, and the bytes in order (sans-I/O).

    while not walk.done:
        fetch(walk.wanted(limit))       # prefetch, in the order of the file
        write(walk.take())              # whatever is ready at the front
        if walk.waiting:
            walk.supply(cid, data)      # blocks in any order, already verified

Any shape of DAG is read. Below a node that does not state the sizes of its parts all blocks are
asked for once before its bytes are, so whoever has fetched them should have them at hand. Nothing
is held but a window of the file, the nodes on the way to it and a few blocks that occur more than
once. To seek, start another walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidUnixFS, NotAFile
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.file_node import NOTHING_REPEATED, FileNode, Kind, kind_of, read_file_node
from libp2p.ipld.measure import Measure

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CID

__all__ = ["FileWalk", "InvalidUnixFS", "Kind", "NotAFile", "kind_of"]

#: How far ahead of the reader blocks are asked for. 32 MiB keep a fast link busy and the process
#: small; the blocks matter for files of tiny chunks.
DEFAULT_WINDOW_BYTES: Final = 32 * 1024 * 1024
DEFAULT_WINDOW_BLOCKS: Final = 1024

#: Deeper than any file: two links per node reach 2^64 leaves. A longer chain is an attack.
MAX_DEPTH: Final = 64

#: Links held in open nodes before only the very next block is asked for, and nodes further on are
#: dropped, to be asked for again. Real files have a few thousand; a window full of nodes of tiny
#: links would fill the memory.
MAX_OPEN_LINKS: Final = 64 * 1024

#: What the nodes on the way to one place may hold: 13 levels of the widest nodes that fit into a
#: block. They cannot be dropped, so a longer chain of such nodes is refused.
MAX_PATH_LINKS: Final = 512 * 1024

#: Blocks asked for at once to find out how long they are: of the largest they make 16 MiB, and
#: nobody takes them.
MEASURED_AT_ONCE: Final = 8

#: Blocks that occur more than once are kept up to this much: a file of zeros has one leaf.
MAX_KEPT_BYTES: Final = 8 * 1024 * 1024
#: About what a link takes in memory once it is read.
_LINK_BYTES: Final = 256


class _Slot(NamedTuple):
    """A place in the file that a block will fill."""

    cid: CID
    offset: int
    size: int | None  # by the word of the node above; the root has none
    depth: int
    repeated: bool

    @property
    def block_bytes(self) -> int:
        """What the block has at most if it is data; a node above more data has less."""
        return min(self.size or 0, MAX_BLOCK_BYTES)


class _OpenNode:
    """A node whose blocks below have not all been asked for."""

    __slots__ = ("depth", "index", "node", "offsets")

    def __init__(self, node: FileNode, offset: int, depth: int) -> None:
        self.node = node
        self.depth = depth
        self.offsets = list(accumulate(node.sizes, initial=offset))
        self.index = 0

    def skip(self, start: int, end: int) -> int | None:
        """
        Move on to the next block that has bytes between ``start`` and ``end``: where it begins.

        Blocks that hold no byte of the file are passed over: a tree of nothing but them could be
        without end.
        """
        offsets = self.offsets
        while self.index < len(self.node.cids) and start < end:
            offset = offsets[self.index]
            if offset >= end:
                return None
            following = offsets[self.index + 1]
            if following > start and following > offset:
                return offset
            self.index += 1
        return None

    def take(self) -> _Slot:
        index = self.index
        self.index += 1
        node = self.node
        cid = node.cids[index]
        repeated = cid.buffer in node.repeated
        return _Slot(cid, self.offsets[index], node.sizes[index], self.depth + 1, repeated)


class _Kept:
    """Blocks that occur more than once, the longest unused dropped first."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, FileNode] = {}
        self.bytes = 0

    def get(self, name: bytes) -> FileNode | None:
        node = self.nodes.pop(name, None)
        if node is not None:
            self.nodes[name] = node
        return node

    def put(self, name: bytes, node: FileNode, limit: int) -> None:
        self.nodes[name] = node
        self.bytes += self._cost(node)
        while self.bytes > limit:
            oldest = self.nodes.pop(next(iter(self.nodes)))
            self.bytes -= self._cost(oldest)

    @staticmethod
    def _cost(node: FileNode) -> int:
        return len(node.data) + _LINK_BYTES * len(node.cids)


class FileWalk:
    """
    Reads the bytes from ``start`` to ``end`` of the file under ``root``; past its end is its end.

    Errors mean that the file cannot be read: the walk is over then.
    """

    def __init__(
        self,
        root: CID,
        start: int = 0,
        end: int | None = None,
        *,
        window_blocks: int = DEFAULT_WINDOW_BLOCKS,
        window_bytes: int = DEFAULT_WINDOW_BYTES,
        sizes: dict[bytes, Sequence[int]] | None = None,
    ) -> None:
        """
        :param sizes: what other walks of this file have found out of nodes that do not state their
            sizes; what this one finds out is put there.
        """
        if start < 0 or (end is not None and end < start):
            raise ValueError(f"no range of a file: {start} to {end}")
        if window_blocks < 1 or window_bytes < 1:
            raise ValueError("the window must have room for a block")
        self.root: Final = root
        self.node: FileNode | None = None
        """The root, once it was supplied: its size, mode and mtime."""
        self._asked_end: Final = end
        self._end = 0
        self._window_blocks: Final = window_blocks
        self._window_bytes = window_bytes
        self._position = start
        self._next_root: _Slot | None = _Slot(root, 0, None, 0, False)
        # Open nodes by where their next block begins; the number keeps nodes out of comparisons.
        self._open: list[tuple[int, int, _OpenNode]] = []
        self._open_serial = 0
        self._open_links = 0
        self._waiting: dict[bytes, list[_Slot]] = {}  # by binary CIDs
        self._waiting_slots = 0
        self.waiting = 0
        """How many blocks were asked for and not supplied yet."""
        self.waiting_bytes = 0
        """About how long they are together, by the word of the nodes above."""
        self._ready: dict[int, Buffer] = {}
        self.ready = 0
        """How many bytes of the file are at hand and were not taken yet."""
        self._kept = _Kept()
        self._sizes = {} if sizes is None else sizes
        self._measure: Measure | None = None
        self._unplaced: list[tuple[_Slot, FileNode]] = []
        """Nodes without sizes: where their blocks belong is found out by `_measure`."""

    # -- for the driver ---------------------------------------------------------------------------

    @property
    def size(self) -> int | None:
        """The size of the whole file; ``None`` until the root was supplied."""
        return None if self.node is None else self.node.size

    @property
    def position(self) -> int:
        """Where in the file the next bytes of `take` begin."""
        return self._position

    @property
    def done(self) -> bool:
        """True once every byte has been taken."""
        return self.node is not None and self._position >= self._end

    def wanted(self, limit: int = DEFAULT_WINDOW_BLOCKS) -> list[CID]:
        """
        Name the next blocks to fetch, in the order of the file, each once while it is waited for.

        Blocks at hand (in their CID, or kept because they repeat) are used instead: `take` may
        have bytes afterwards even if nothing is wanted.

        :raises NotAFile: if the root is in its CID and no file.
        :raises InvalidUnixFS: if a block at hand contradicts the node above it.
        """
        wants: list[CID] = []
        while len(wants) < limit:
            if self._measure is not None:
                if (asked := self._next_to_measure(self._measure)) is None:
                    break
                wants += asked
                continue
            slot = self._next_slot()
            if slot is None:
                break
            name = slot.cid.buffer
            slots = self._waiting.get(name)
            if slots is not None:
                slots.append(slot)
                self._waiting_slots += 1
                continue
            node = self._at_hand(slot)
            if node is not None:
                self._place(slot, node)
                continue
            self._waiting[name] = [slot]
            self._waiting_slots += 1
            self.waiting += 1
            self.waiting_bytes += slot.block_bytes
            wants.append(slot.cid)
        return wants

    def places(self, cid: CID) -> list[tuple[int, int]]:
        """Return the places of a block that is waited for, and its length by the nodes above."""
        slots = self._waiting.get(cid.buffer, ())
        return [(slot.offset, slot.size) for slot in slots if slot.size is not None]

    def supply(self, cid: CID, data: Buffer) -> None:
        """
        Take in a block that was wanted, and verified; one that is not waited for is ignored.

        :raises NotAFile: if it is the root and no file.
        :raises InvalidUnixFS: if it contradicts the node above it.
        :raises InvalidDagPb: if it is malformed.
        """
        slots = self._waiting.pop(cid.buffer, None)
        if slots is None:
            if self._measure is not None and cid.buffer in self._measure.waiting:
                self.waiting -= 1
                self._note_measured(self._measure, cid, data)
            return
        self.waiting -= 1
        self.waiting_bytes -= slots[0].block_bytes
        self._waiting_slots -= len(slots)
        node = self._read(slots[0], data)
        if slots[0].repeated or len(slots) > 1:
            self._kept.put(cid.buffer, node, self._kept_limit)
        for slot in slots:
            self._place(slot, node)
        if self._measure is not None and cid.buffer in self._measure.waiting:
            self._note_measured(self._measure, cid, data)

    def take(self, limit: float = inf) -> list[Buffer]:
        """
        Return the bytes that are ready at the front, as views into the blocks.

        :param limit: give no further block after so many bytes.
        """
        buffers: list[Buffer] = []
        end = self._position + limit
        while (
            self._position < end and (buffer := self._ready.pop(self._position, None)) is not None
        ):
            buffers.append(buffer)
            self._position += len(buffer)
            self.ready -= len(buffer)
        return buffers

    def set_window(self, size: int) -> None:
        """Set how many bytes may be held ahead of `position`; with 0 nothing more is asked for."""
        self._window_bytes = size

    @property
    def _kept_limit(self) -> int:
        """What may be kept of blocks that repeat; it is a part of the window."""
        return min(MAX_KEPT_BYTES, max(self._window_bytes, 0) // 2)

    # -- deciding ---------------------------------------------------------------------------------

    def _next_slot(self) -> _Slot | None:
        """Return the next place to fill, if the window has room for it."""
        if self._next_root is not None:
            slot, self._next_root = self._next_root, None
            return slot
        if not self._open or self._waiting_slots + len(self._ready) >= self._window_blocks:
            return None
        ahead = self._open[0][0] - self._position
        room = self._window_bytes - (self._kept.bytes if ahead > 0 else 0)
        if ahead >= room or (ahead > 0 and self._open_links > MAX_OPEN_LINKS):
            return None
        open_node = self._open[0][2]
        slot = open_node.take()
        offset = open_node.skip(self._position, self._end)
        if offset is None:
            heappop(self._open)
            self._open_links -= len(open_node.node.cids)
        else:
            self._open_serial += 1
            heapreplace(self._open, (offset, self._open_serial, open_node))
        return slot

    def _push(self, open_node: _OpenNode) -> None:
        """Open a node, if there are blocks below it to be asked for."""
        offset = open_node.skip(self._position, self._end)
        if offset is not None:
            self._open_serial += 1
            self._open_links += len(open_node.node.cids)
            heappush(self._open, (offset, self._open_serial, open_node))

    def _at_hand(self, slot: _Slot) -> FileNode | None:
        if slot.cid.is_identity:
            return self._read(slot, slot.cid.digest)
        return self._kept.get(slot.cid.buffer) if self._kept.nodes else None

    def _read(self, slot: _Slot, data: Buffer) -> FileNode:
        try:
            return read_file_node(slot.cid, data)
        except NotAFile as error:
            if slot.depth == 0:
                raise
            raise InvalidUnixFS(f"inside the file {self.root}: {error}") from error

    def _place(self, slot: _Slot, node: FileNode) -> None:
        """Put a block where it belongs: its data to the ready bytes, its links to the open."""
        if not node.is_sized:
            name = slot.cid.buffer
            sizes = self._sizes.get(name)
            if sizes is None:
                self._unplaced.append((slot, node))
                if self._measure is None:
                    self._measure = Measure(name, node, MAX_DEPTH, MAX_PATH_LINKS)
                return
            node = node.with_sizes(sizes)
        if slot.size is None:
            self._begin(node)
        elif slot.size != node.size:
            raise InvalidUnixFS(
                f"{slot.cid} has {node.size} bytes of the file, the node above it says {slot.size}"
            )
        if node.cids and self._open_links > MAX_OPEN_LINKS and slot.offset > self._position:
            self._ask_again(slot, node.size)
            return
        self._make_ready(slot.offset, node.data)
        if node.cids:
            if slot.depth >= MAX_DEPTH:
                raise InvalidUnixFS(f"{self.root} is deeper than {MAX_DEPTH} levels")
            if self._open_links + len(node.cids) > MAX_PATH_LINKS:
                raise InvalidUnixFS(f"{self.root} has too many links on the way to {slot.cid}")
            self._push(_OpenNode(node, slot.offset + len(node.data), slot.depth))

    def _next_to_measure(self, measure: Measure) -> list[CID] | None:
        """Return the next block to be measured, or nothing if it is here or asked for already."""
        if len(measure.waiting) >= MEASURED_AT_ONCE or (cid := measure.next()) is None:
            return None
        if cid.is_identity:
            self._note_measured(measure, cid, cid.digest)
        elif cid.buffer not in self._waiting:
            self.waiting += 1
            return [cid]
        return []

    def _note_measured(self, measure: Measure, cid: CID, data: Buffer) -> None:
        measure.supply(cid.buffer, self._read(_Slot(cid, 0, None, 1, False), data))
        if measure.done:
            self._sizes.update(measure.found())
            self._measure = None
            unplaced, self._unplaced = self._unplaced, []
            for slot, node in unplaced:
                self._place(slot, node)

    def _ask_again(self, slot: _Slot, size: int) -> None:
        only = FileNode(b"", (slot.cid,), (size,), size, NOTHING_REPEATED)
        self._push(_OpenNode(only, slot.offset, slot.depth - 1))

    def _make_ready(self, offset: int, data: Buffer) -> None:
        low, high = offset, offset + len(data)
        if low < self._position:
            low = self._position
        if high > self._end:
            high = self._end
        if low < high:
            self._ready[low] = memoryview(data)[low - offset : high - offset]
            self.ready += high - low

    def _begin(self, root: FileNode) -> None:
        self.node = root
        asked = root.size if self._asked_end is None else self._asked_end
        self._end = min(asked, root.size)
        self._position = min(self._position, self._end)
