"""How large things are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.ipld.block import Block
from libp2p.ipld.codec import RAW
from libp2p.ipld.file_node import Kind, kind_of, read_file_node
from libp2p.pinning.block_set import BlockSet
from libp2p.pinning.reach import Reach

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipld.cid import CID

#: Nodes that are read at once: 64 MiB at most.
NODES_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class ContentStat:
    """
    What ``ipfs files stat`` and ``ipfs dag stat`` tell of a DAG.

    :param kind: "file", "raw" (a file of one block), "directory", "hamt" (a directory over many
        blocks), "symlink" or "other".
    :param size: bytes of the file; None for anything else.
    :param dag_size: bytes of all blocks, each counted once.
    :param blocks: how many these are.
    """

    cid: CID
    kind: str
    size: int | None
    dag_size: int
    blocks: int


async def stat(cid: CID, source: BlockSource, store: BlockStore) -> ContentStat:
    """Read all nodes of a DAG, and fetch what is not here; see `Peer.stat`."""
    [data] = await source.fetch([cid])
    kind = kind_of(Block(cid, data))
    size = read_file_node(cid, data).size if kind in (Kind.FILE, Kind.RAW) else None
    blocks, total = await measure([cid], source, store)
    return ContentStat(cid, kind, size, total, blocks)


@dataclass(frozen=True, slots=True)
class DagStats:
    """What ``ipfs dag stat`` tells of some DAGs, which may share blocks."""

    dags: tuple[tuple[CID, int, int], ...]
    """The root of each, how many blocks it has, and their bytes; each block counts once."""
    blocks: int
    """All blocks, each counted once, and ``size`` is the bytes of these."""
    size: int

    @property
    def shared(self) -> int:
        """The bytes that are saved by blocks in common."""
        return sum(size for _, _, size in self.dags) - self.size


async def dag_stats(roots: Sequence[CID], source: BlockSource, store: BlockStore) -> DagStats:
    """Measure DAGs, each alone and then all together; see `DAGService.stat`."""
    dags = [(root, *await measure([root], source, store)) for root in roots]
    if len(dags) == 1:
        return DagStats(tuple(dags), *dags[0][1:])
    return DagStats(tuple(dags), *await measure(roots, source, store))


class _EveryCID(Reach):
    """Counts as Kubo does: each CID once, also those that hold their block."""

    def _is_new(self, cid: CID) -> bool:
        return self.seen.add(cid.buffer)


async def measure(roots: Sequence[CID], source: BlockSource, store: BlockStore) -> tuple[int, int]:
    """Return how many blocks there are at and below roots, and their bytes; each counts once."""
    walk = _EveryCID(BlockSet(os.urandom(32)))
    reached = walk.add(roots)
    blocks, total = len(reached), await _raw_bytes(reached, source, store)
    while nodes := walk.next(NODES_AT_ONCE):
        for node, data in zip(nodes, await source.fetch(nodes), strict=True):
            reached = walk.take(node, data)
            blocks += len(reached)
            total += len(data) + await _raw_bytes(reached, source, store)
    return blocks, total


async def _raw_bytes(reached: list[CID], source: BlockSource, store: BlockStore) -> int:
    """Return the bytes of the raw blocks among these; what is here is not read."""
    raw = [cid for cid in reached if cid.codec_code == RAW]
    sizes = await store.get_sizes(raw)
    missing = [cid for cid, size in zip(raw, sizes, strict=True) if size is None]
    total = sum(size or 0 for size in sizes)
    for start in range(0, len(missing), NODES_AT_ONCE):
        total += sum(map(len, await source.fetch(missing[start : start + NODES_AT_ONCE])))
    return total
