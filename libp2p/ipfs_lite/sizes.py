"""How large things are."""

from __future__ import annotations

import os
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
    walk = Reach(BlockSet(os.urandom(32)))
    reached = walk.add([cid])
    blocks, total = len(reached), await _raw_bytes(reached, source, store)
    while nodes := walk.next(NODES_AT_ONCE):
        for node, data in zip(nodes, await source.fetch(nodes), strict=True):
            reached = walk.take(node, data)
            blocks += len(reached)
            total += len(data) + await _raw_bytes(reached, source, store)
    return ContentStat(cid, kind, size, total, blocks)


async def _raw_bytes(reached: list[CID], source: BlockSource, store: BlockStore) -> int:
    """Return the bytes of the raw blocks among these; what is here is not read."""
    raw = [cid for cid in reached if cid.codec_code == RAW]
    sizes = await store.get_sizes(raw)
    missing = [cid for cid, size in zip(raw, sizes, strict=True) if size is None]
    total = sum(size or 0 for size in sizes)
    for start in range(0, len(missing), NODES_AT_ONCE):
        total += sum(map(len, await source.fetch(missing[start : start + NODES_AT_ONCE])))
    return total
