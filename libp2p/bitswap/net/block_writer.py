"""The way of received blocks into the store: together what comes while the store is busy."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import MAX_UNSTORED_BYTES, STORE_BATCH_BYTES, STORE_GRACE_SECONDS
from libp2p.bitswap.want.reports import Unavailable
from libp2p.exceptions import BlockStoreError
from libp2p.io.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libp2p.bitswap.net.faults import FaultLog
    from libp2p.bitswap.want.state import Want
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CIDInput


class BlockWriterOwner(Protocol):
    """What a keeper uses of its client."""

    block_store: BlockStore
    faults: FaultLog

    def hand_on(self, blocks: Iterable[tuple[Want, bytes]]) -> None:
        """Give blocks that are stored to who waits for them."""

    def not_kept(self, blocks: Iterable[tuple[Want, bytes]], error: Exception) -> None:
        """Tell who waits for blocks that they came and could not be stored."""

    def fail(self, outcome: Unavailable) -> None:
        """Tell who waits for a block that it does not come."""


class BlockWriter:
    """Blocks that are to be stored and handed on, and failures that come after them."""

    def __init__(self, owner: BlockWriterOwner) -> None:
        self._owner = owner
        self._queue: deque[tuple[Want, bytes] | Unavailable] = deque()
        self._bytes = 0
        self._added = Waiter()
        self._stored = trio.lowlevel.ParkingLot()
        self._calls: set[trio.CancelScope] = set()  # in which the store is being called

    def add(self, blocks: Sequence[tuple[Want, bytes]]) -> None:
        """Have blocks stored: at once if that takes no time, else by `run`."""
        if not self._queue and self._keep_now(blocks):
            return
        for block in blocks:
            self._queue.append(block)
            self._bytes += len(block[1])
        if self._queue:
            self._added.wake()

    def fail(self, outcome: Unavailable) -> None:
        """Tell of a failure, but not before the blocks that came earlier."""
        if self._queue:
            self._queue.append(outcome)
        else:
            self._owner.fail(outcome)

    @property
    def has_room(self) -> bool:
        """False while too many blocks are waiting to be stored."""
        return self._bytes < MAX_UNSTORED_BYTES

    async def until_stored(self) -> None:
        """Wait until there is room."""
        while not self.has_room:
            await self._stored.park()

    async def run(self) -> None:
        """Store what is added, for as long as the client works."""
        while True:
            if self._queue:
                await self._store_some()
            else:
                await self._added.wait()

    def hurry(self) -> None:
        """The client has stopped: the store gets a little more time, and no more."""
        for scope in self._calls:
            scope.deadline = trio.current_time() + STORE_GRACE_SECONDS

    async def keep(self, blocks: Sequence[tuple[Want, bytes]]) -> None:
        """Store blocks, then hand them on: who gets a block can rely on finding it again."""
        named: list[tuple[CIDInput, bytes]] = [(want.cid.buffer, data) for want, data in blocks]
        try:
            # The blocks have come, and nobody asks for them again: a lost connection must not
            # keep them from the store. The end of the client does after a while, by `hurry`.
            with trio.CancelScope(shield=True) as scope:
                self._calls.add(scope)
                try:
                    await self._owner.block_store.put_blocks(named)
                finally:
                    self._calls.discard(scope)
            if scope.cancelled_caught:
                raise BlockStoreError(f"the store took too long for {len(blocks)} blocks")
        except Exception as error:  # noqa: BLE001 - task's edge: a store of the user's may raise anything
            self._not_kept(blocks, error)
        else:
            self._owner.hand_on(blocks)

    def _keep_now(self, blocks: Sequence[tuple[Want, bytes]]) -> bool:
        """Do the same with a store that needs no time; return False with another one."""
        try:
            if not self._owner.block_store.put_blocks_now([(w.cid, data) for w, data in blocks]):
                return False
        except Exception as error:  # noqa: BLE001 - task's edge: a store of the user's may raise anything
            self._not_kept(blocks, error)
        else:
            self._owner.hand_on(blocks)
        return True

    def _not_kept(self, blocks: Sequence[tuple[Want, bytes]], error: Exception) -> None:
        self._owner.faults.note("keeping blocks in the block store", error)
        self._owner.not_kept(blocks, error)

    async def _store_some(self) -> None:
        batch: list[tuple[Want, bytes]] = []
        size = 0
        for item in self._queue:
            if isinstance(item, Unavailable) or size >= STORE_BATCH_BYTES:
                break
            batch.append(item)
            size += len(item[1])
        if batch:
            await self.keep(batch)
        for _ in batch:  # until now they were before what came meanwhile
            self._queue.popleft()
        self._bytes -= size
        while self._queue and isinstance(first := self._queue[0], Unavailable):
            self._owner.fail(first)
            self._queue.popleft()
        self._stored.unpark_all()
