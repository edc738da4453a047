"""The way of received blocks into the store: together what comes while the store is busy."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import MAX_UNSTORED_BYTES, STORE_BATCH_BYTES
from libp2p.bitswap.want_state import Unavailable
from libp2p.io.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libp2p.bitswap.want_state import Want


class KeeperOwner(Protocol):
    """What a keeper uses of its client."""

    async def keep(self, blocks: Sequence[tuple[Want, bytes]]) -> None:
        """Store blocks and hand them on; never raises."""

    def fail(self, outcome: Unavailable) -> None:
        """Tell who waits for a block that it does not come."""


class Keeper:
    """Blocks that are to be stored and handed on, and failures that come after them."""

    def __init__(self, owner: KeeperOwner) -> None:
        self._owner = owner
        self._queue: deque[tuple[Want, bytes] | Unavailable] = deque()
        self._bytes = 0
        self._added = Waiter()
        self._stored = trio.lowlevel.ParkingLot()

    def add(self, blocks: Iterable[tuple[Want, bytes]]) -> None:
        """Have blocks stored by `run`."""
        for block in blocks:
            self._queue.append(block)
            self._bytes += len(block[1])
        if self._queue:
            self._added.wake()

    @property
    def is_idle(self) -> bool:
        """True if nothing waits for the store."""
        return not self._queue

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

    async def _store_some(self) -> None:
        batch: list[tuple[Want, bytes]] = []
        size = 0
        for item in self._queue:
            if isinstance(item, Unavailable) or size >= STORE_BATCH_BYTES:
                break
            batch.append(item)
            size += len(item[1])
        if batch:
            await self._owner.keep(batch)
        for _ in batch:  # until now they were before what came meanwhile
            self._queue.popleft()
        self._bytes -= size
        while self._queue and isinstance(first := self._queue[0], Unavailable):
            self._owner.fail(first)
            self._queue.popleft()
        self._stored.unpark_all()
