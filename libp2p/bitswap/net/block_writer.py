"""
The writer of received blocks: it stores them, then gives them to the sessions that wait for them.

Blocks that come while the store is busy are stored together by the next call. A block is delivered
after it is stored, so that whoever gets the block also finds it in the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.config import STORE_BATCH_BYTES
from libp2p.bitswap.errors import not_stored, unavailable
from libp2p.bitswap.want.reports import Unavailable
from libp2p.exceptions import BlockStoreError
from libp2p.io.waiter import Waiter

if TYPE_CHECKING:
    from libp2p.bitswap.config import BitswapConfig
    from libp2p.bitswap.net.waiters import Sessions
    from libp2p.bitswap.serve.server import Server
    from libp2p.bitswap.want.state import Want
    from libp2p.bitswap.want.tracker import WantTracker
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CIDInput
    from libp2p.utils.fault_log import FaultLog


@dataclass(eq=False)
class BlockWriter:
    """
    Stores blocks, then tells sessions and peers; keeps the order of blocks and failures.

    :param _store: returns the block store.
    :param _said_of: returns what each router has said of a block.
    """

    _store: Callable[[], BlockStore]
    _tracker: WantTracker
    _sessions: Sessions
    _server: Server
    _faults: FaultLog
    _config: BitswapConfig
    _said_of: Callable[[bytes], Mapping[str, str]]
    _queue: deque[tuple[Want, bytes] | Unavailable] = field(default_factory=deque)
    _bytes: int = 0
    _queued: int = 0
    """How many blocks were ever queued."""
    _done: int = 0
    """How many of the queued blocks were stored or dropped."""
    _added: Waiter = field(default_factory=Waiter)
    _stored: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    _calls: set[trio.CancelScope] = field(default_factory=set)
    """Scopes around the running calls of the store."""

    def add(self, blocks: Sequence[tuple[Want, bytes]]) -> None:
        """Store blocks: at once if the store need not wait, else in `run`."""
        if not self._queue:
            try:
                if self._store().put_blocks_now([(want.cid, data) for want, data in blocks]):
                    self._hand_on(blocks)
                    return
            except Exception as error:  # noqa: BLE001 - task's edge: a store of the user's may raise anything
                self._drop(blocks, error)
                return
        self._queue += blocks
        self._queued += len(blocks)
        self._bytes += sum([len(data) for _, data in blocks])
        self._added.wake()

    def fail(self, outcome: Unavailable) -> None:
        """Report a block that does not come, after the blocks that came earlier."""
        if self._queue:
            self._queue.append(outcome)
        else:
            self._tell(outcome)

    def _tell(self, outcome: Unavailable) -> None:
        damage = self._store().damage_of(outcome.cid)
        said = None if outcome.providers is None else self._said_of(outcome.key)
        error = unavailable(outcome.cid, outcome.peers, outcome.providers, damage, said)
        self._sessions.fail((outcome.session_id,), outcome.key, error)

    @property
    def has_room(self) -> bool:
        """False while too many blocks are waiting to be stored."""
        return self._bytes < self._config.max_unstored_bytes

    async def until_room(self) -> None:
        """Wait until there is room."""
        while not self.has_room:
            await self._stored.park()

    async def until_stored(self) -> None:
        """Wait until all blocks that were added before this call are stored."""
        queued = self._queued
        while self._done < queued:
            await self._stored.park()

    async def run(self) -> None:
        """Store the added blocks, for as long as the client works."""
        while True:
            if self._queue:
                await self._store_some()
            else:
                await self._added.wait()

    def hurry(self) -> None:
        """Give running calls `store_grace_seconds` more: the client has stopped."""
        for scope in self._calls:
            scope.deadline = trio.current_time() + self._config.store_grace_seconds

    async def _store_some(self) -> None:
        batch: list[tuple[Want, bytes]] = []
        size = 0
        for item in self._queue:
            if isinstance(item, Unavailable) or size >= STORE_BATCH_BYTES:
                break
            batch.append(item)
            size += len(item[1])
        if batch:
            try:
                await self._write(batch)
            except Exception as error:  # noqa: BLE001 - task's edge: a store of the user's may raise anything
                self._drop(batch, error)
            else:
                self._hand_on(batch)
        for _ in batch:  # only now, so that what came meanwhile had to wait
            self._queue.popleft()
        self._done += len(batch)
        self._bytes -= size
        while self._queue and isinstance(first := self._queue[0], Unavailable):
            self._tell(first)
            self._queue.popleft()
        self._stored.unpark_all()

    async def _write(self, blocks: Sequence[tuple[Want, bytes]]) -> None:
        named: list[tuple[CIDInput, bytes]] = [(want.cid.buffer, data) for want, data in blocks]
        # The peers do not send these blocks again: a cancelled task must not keep them from the
        # store. When the client stops, `hurry` ends the call after a while.
        with trio.CancelScope(shield=True) as scope:
            self._calls.add(scope)
            try:
                await self._store().put_blocks(named)
            finally:
                self._calls.discard(scope)
        if scope.cancelled_caught:
            raise BlockStoreError(f"the store took too long for {len(blocks)} blocks")

    # -- news for sessions and peers ------------------------------------------------------------

    def _hand_on(self, blocks: Sequence[tuple[Want, bytes]]) -> None:
        for want, data in blocks:
            self.hand_on(want, data)
            self._server.new_block(want.cid, len(data))

    def hand_on(self, want: Want, data: bytes) -> None:
        """Give a stored block to the sessions that wait for it."""
        self._sessions.deliver(self._tracker.settle(want), want.key, data)

    def _drop(self, blocks: Sequence[tuple[Want, bytes]], error: Exception) -> None:
        """Tell the sessions that wait for blocks that the store has failed."""
        self._faults.note("keeping blocks in the block store", error)
        for want, _ in blocks:
            numbers = self._tracker.settle(want)
            self._sessions.fail(numbers, want.key, not_stored(want.cid, error))
