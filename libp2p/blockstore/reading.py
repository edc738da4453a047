"""Reading blocks that are used here: those of a store that does not verify them are hashed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from libp2p.blockstore.verify import is_block
from libp2p.exceptions import BlockStoreError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.blockstore.base import BlockStore
    from libp2p.ipld.cid import CID

#: Bytes that are hashed without a thread, as long as a hop to one takes.
HASHED_IN_LOOP: Final = 128 * 1024

logger = get_logger(__name__)


async def read_blocks(
    store: BlockStore, cids: Sequence[CID]
) -> tuple[list[bytes | None], set[CID]]:
    """
    Read and verify blocks; return them and the CIDs of those for which the store has other bytes.

    A damaged block is None in the list. Whether it is replaced when it is put again is up to the
    store.

    :raises BlockStoreError: if what the store returns is no list of blocks, or cannot be verified.
    """
    found = await store.get_blocks([cid.buffer for cid in cids])
    if store.verifies:
        return found, set()
    if len(found) != len(cids):
        raise BlockStoreError(f"the block store gave {len(found)} answers for {len(cids)} CIDs")
    for data in found:
        if data is not None and not isinstance(data, bytes):
            raise BlockStoreError(f"the block store gave a {type(data).__name__} for a block")
    if sum(len(data) for data in found if data) <= HASHED_IN_LOOP:
        damaged = _damaged(cids, found)
    else:
        damaged = await trio.to_thread.run_sync(_damaged, cids, found)
    for cid in damaged:
        logger.warning("block %s is damaged: the store gave other bytes", cid)
    return [
        None if cid in damaged else data for cid, data in zip(cids, found, strict=True)
    ], damaged


def damage_of(store: BlockStore, cid: CID, damaged: set[CID]) -> str | None:
    """Say what is known of a block that `read_blocks` did not return; None if it was not here."""
    return "the store gave other bytes" if cid in damaged else store.damage_of(cid)


def _damaged(cids: Sequence[CID], found: Sequence[bytes | None]) -> set[CID]:
    damaged = set()
    for cid, data in zip(cids, found, strict=True):
        if data is not None and not (is_right := is_block(cid.multihash, data)):
            if is_right is None:
                raise BlockStoreError(f"block {cid} cannot be verified: unknown hash")
            damaged.add(cid)
    return damaged
