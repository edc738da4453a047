"""Reading and hashing all blocks of a store."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import trio

from libp2p.blockstore import read_blocks
from libp2p.blockstore.reading import damage_of
from libp2p.ipld.cid import CID, RAW_CID_START

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.adder import Progress

#: Tasks that each have some blocks read and hashed in a thread.
WORKERS: Final = min(4, os.cpu_count() or 1)
#: Blocks that a worker has in memory: 64 MiB at most.
BLOCKS_AT_ONCE: Final = 32


async def verify_blocks(
    store: BlockStore,
    damaged: Callable[[CID, str], Awaitable[object]],
    progress: Progress | None = None,
) -> int:
    """
    Read and hash all blocks; return how many are damaged.

    :param damaged: awaited with each damaged block and what is known of it.
    :param progress: called with the bytes that have been read.
    :raises BlockStoreError: if blocks cannot be listed or read.
    """
    bad = done = 0
    send, receive = trio.open_memory_channel[list[CID]](0)

    async def check() -> None:
        nonlocal bad, done
        async for cids in receive:
            blocks, wrong = await read_blocks(store, cids)
            for cid, data in zip(cids, blocks, strict=True):
                reason = None if data is not None else damage_of(store, cid, wrong)
                if reason is not None:  # without one it was removed meanwhile
                    bad += 1
                    await damaged(cid, reason)
            done += sum(len(data) for data in blocks if data is not None)
            if progress is not None:
                progress(done, None)

    async with trio.open_nursery() as nursery:
        for _ in range(WORKERS):
            nursery.start_soon(check)
        async with send:
            async for batch in store.multihash_batches():
                for start in range(0, len(batch), BLOCKS_AT_ONCE):
                    some = batch[start : start + BLOCKS_AT_ONCE]
                    await send.send([CID.of(RAW_CID_START + multihash) for multihash in some])
    return bad
