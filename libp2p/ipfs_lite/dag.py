"""The blocks of a store that are reachable from a root."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from libp2p.blockstore import read_blocks
from libp2p.exceptions import ParseError, UnknownCodec
from libp2p.pinning.block_set import BlockSet
from libp2p.pinning.reach import Reach

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CID

#: Nodes that are read at once: 64 MiB at most.
NODES_AT_ONCE: Final = 32


async def blocks_below(store: BlockStore, root: CID) -> AsyncIterator[CID]:
    """
    Return a root and the blocks below it that are in the store, each once.

    A block whose links cannot be read counts as one without any.
    """
    walk = Reach(BlockSet(os.urandom(32)))
    reached = walk.add([root])
    while True:
        sizes = await store.get_sizes([cid.buffer for cid in reached])
        for cid, size in zip(reached, sizes, strict=True):
            if size is not None:
                yield cid
        nodes = walk.next(NODES_AT_ONCE)
        if not nodes:
            return
        reached = []
        for cid, data in zip(nodes, (await read_blocks(store, nodes))[0], strict=True):
            if data is not None:
                try:
                    reached += walk.take(cid, data)
                except (ParseError, UnknownCodec):
                    continue
