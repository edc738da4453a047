"""
Garbage collection: mark what pins, the mutable tree and running operations need, then remove the
rest in batches.

A run may be ended between two batches, and another goes on with what is left. What is pinned or
leased meanwhile is marked before the next batch, so nothing else has to wait for a collection.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from libp2p.blockstore import read_blocks
from libp2p.exceptions import ParseError, UnknownCodec
from libp2p.ipfs_lite.errors import NotPinnedError, PinError
from libp2p.ipfs_lite.leases import moment
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.pinning.block_set import BlockSet
from libp2p.pinning.reach import Reach
from libp2p.pinning.sweep import horizon_of, may_go
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipfs_lite.files_root import FilesRoot
    from libp2p.ipfs_lite.leases import Lease, Leases
    from libp2p.ipfs_lite.pin_table import Pin, PinTable
    from libp2p.ipfs_lite.pins import Pins

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Removal:
    """What a collection will free, because nothing else needs it: blocks, and their bytes."""

    blocks: int
    size: int


#: Nodes that are read at once while marking: 64 MiB at most.
NODES_AT_ONCE: Final = 32
#: Attempts to mark all needed blocks while other tasks store more. If new blocks are needed after
#: each attempt, they are marked while the other tasks wait: these blocks are few, and without that
#: a collection might never end.
MARKED_APART: Final = 3


async def remove_block(cid: CID, store: BlockStore, pins: Pins, leases: Leases) -> bool:
    """
    Remove a block that no pin needs; return whether it was here.

    :raises PinError: if the block is pinned, or is below a block that is.
    """
    async with leases.removal():
        try:
            pin = await pins.find(cid)
        except NotPinnedError:
            pass
        else:
            raise PinError(f"pinned: {f'via {pin.through}' if pin.through else pin.kind}")
        was_here = await store.has_block(cid.buffer)
        await store.delete_block(cid.buffer)
        return was_here


class Collection:
    """One run over a store."""

    def __init__(
        self, store: BlockStore, pins: PinTable, files_root: FilesRoot, leases: Leases
    ) -> None:
        self._store = store
        self._pins = pins
        self._files_root = files_root
        self._leases = leases
        self._marked = BlockSet(os.urandom(32))
        self._walk = Reach(self._marked)
        self._direct = BlockSet(os.urandom(32))  # apart, for walks end at what is marked
        self._last_pin = 0
        self._began = moment()
        self._horizon = inf
        self._seen_leases: set[Lease] = set()
        self._seen_root: CID | None = None

    async def batches(self) -> AsyncGenerator[list[tuple[CID, int]], None]:
        """
        Yield what was removed: CIDs as the store lists them, and their bytes.

        :raises RepoError: if the pins cannot be read.
        :raises BlockStoreError: if blocks cannot be listed, read or removed.
        """
        begun, has_live = self._leases.begun, bool(self._live_leases())
        await trio.to_thread.run_sync(self._pins.drop_expired)
        await self._mark_new()
        infos = self._store.block_infos()
        async with aclosing(infos):
            async for batch in infos:
                if removed := await self._sweep(batch, begun, has_live):
                    yield removed
        logger.info(
            "collected in %.2f s, %d blocks stay",
            moment().ticks - self._began.ticks,
            len(self._marked),
        )

    async def only_below(self, root: CID) -> Removal:
        """Count what is here of a DAG and needed by nothing else; nothing is removed."""
        await self._mark_new()
        reached = self._walk.add([root])
        blocks = size = 0
        while True:
            left = [cid for cid in reached if cid.multihash not in self._direct]
            sizes = [one for one in await self._store.get_sizes(left) if one is not None]
            blocks, size = blocks + len(sizes), size + sum(sizes)
            nodes = self._walk.next(NODES_AT_ONCE)
            if not nodes:
                return Removal(blocks, size)
            reached = await self._follow(nodes)

    async def _sweep(
        self, batch: list[BlockInfo], begun: int, has_live: bool
    ) -> list[tuple[CID, int]]:
        for attempt in count(1):
            await self._mark_new()
            if not self._may_go(batch):
                break
            async with self._leases.removal():
                if await self._is_more_needed():  # then mark what is new first
                    if attempt < MARKED_APART:
                        continue
                    await self._mark_new()
                left = self._may_go(batch)
                if has_live or self._leases.begun != begun:
                    # An operation may have just written the blocks whose times are not known.
                    left = [block for block in left if block[2] is not None]
                cids = {RAW_CID_START + multihash: size for multihash, size, _ in left}
                removed = await self._store.delete_blocks(list(cids), older_than=self._horizon)
                return [(CID.of(cid), cids[cid]) for cid in removed]
        return []

    def _may_go(self, batch: list[BlockInfo]) -> list[BlockInfo]:
        left = may_go(batch, self._marked, self._horizon)
        return [block for block in left if block[0] not in self._direct]

    async def _is_more_needed(self) -> bool:
        if self._new_leases() or await self._new_pins():
            return True
        return await trio.to_thread.run_sync(self._files_root.read) != self._seen_root

    def _new_leases(self) -> list[Lease]:
        leases = self._live_leases()
        return [lease for lease in leases if lease.roots and lease not in self._seen_leases]

    def _live_leases(self) -> list[Lease]:
        """Return the live leases; the horizon is before all that they have written."""
        leases = self._leases.live()
        begun = [self._began, *(lease.began for lease in leases)]
        self._horizon = min(self._horizon, horizon_of(moment(), begun))
        return leases

    async def _new_pins(self) -> list[tuple[int, Pin]]:
        return await trio.to_thread.run_sync(self._pins.batch, self._last_pin)

    async def _mark_new(self) -> None:
        """Mark what is below new pins, leases and the newest root of the files."""
        for lease in self._new_leases():
            self._seen_leases.add(lease)
            await self._mark(lease.roots)
        while pins := await self._new_pins():
            for number, pin in pins:
                if pin.kind == "recursive":
                    await self._mark([pin.cid])
                else:
                    self._direct.add(pin.cid.multihash)
                self._last_pin = number
        root = await trio.to_thread.run_sync(self._files_root.read)
        if root is not None and root != self._seen_root:
            await self._mark([root])
        self._seen_root = root

    async def _mark(self, roots: Iterable[CID]) -> None:
        self._walk.add(roots)
        while nodes := self._walk.next(NODES_AT_ONCE):
            await self._follow(nodes)

    async def _follow(self, nodes: list[CID]) -> list[CID]:
        """Follow the links of nodes that are here; return the blocks that are new."""
        new: list[CID] = []
        for cid, data in zip(nodes, (await read_blocks(self._store, nodes))[0], strict=True):
            if data is not None:
                try:
                    new += self._walk.take(cid, data)
                except (ParseError, UnknownCodec) as error:
                    logger.info("%s stays, but nothing below it is known: %s", cid, error)
        return new
