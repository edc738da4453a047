"""
The iterator of many blocks that `BitswapSession.get_blocks` returns.

Blocks are asked for ahead of their use, up to a window. A caller that takes no blocks stops the
asking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Self

import trio

from libp2p.bitswap.config import (
    FIRST_READ_AHEAD,
    MAX_READ_AHEAD,
    MIN_READ_AHEAD,
    READ_AHEAD_BYTES,
    STEP_ITEMS,
)
from libp2p.utils.closing import AsyncClosing
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.bitswap.errors import BitswapError
    from libp2p.bitswap.net.engine import BitswapEngine
    from libp2p.bitswap.net.waiters import SessionState
    from libp2p.ipld.cid import CID


@dataclass(eq=False)
class Fetch:
    """The state of one `get_blocks`: the CIDs to come, those asked for, and the blocks here."""

    _engine: BitswapEngine
    _session: SessionState
    _source: Iterator[CID]
    _timeout: float
    _fixed_window: int | None
    _todo: list[CID] = field(default_factory=list)
    """CIDs that were taken from the source and not yet looked for."""
    _waiting: dict[bytes, list[CID]] = field(default_factory=dict)
    """The CIDs that each block is asked for, by multihash."""
    _ready: deque[tuple[CID, bytes]] = field(default_factory=deque)
    """Blocks that the iterator gives next."""
    _error: BitswapError | None = None
    _arrived: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    _exhausted: bool = False
    _blocks: int = 0
    _bytes: int = 0

    @property
    def _window(self) -> int:
        """How many blocks may be asked for or wait to be taken."""
        if self._fixed_window is not None:
            return max(self._fixed_window, 1)
        if not self._bytes:
            return FIRST_READ_AHEAD
        fitting = READ_AHEAD_BYTES * self._blocks // self._bytes
        return min(max(fitting, MIN_READ_AHEAD), MAX_READ_AHEAD)

    async def next(self) -> tuple[CID, bytes] | None:
        """Wait for the next block; None after the last one."""
        # Half a window at a time, so that one message and one look-up are for many blocks.
        if self._held <= self._window // 2:
            while not self._exhausted and self._held < self._window and self._error is None:
                await self._ask_ahead()
                if self._window > STEP_ITEMS:  # there may be more than one step
                    await trio.lowlevel.checkpoint()
        while not self._ready:
            if self._error is not None:
                raise copy(self._error)  # as in `BitswapEngine.fetch`
            if not self._waiting:
                return None
            with trio.move_on_after(self._timeout) as scope:
                await self._arrived.park()
            if scope.cancelled_caught and not self._ready and self._error is None:
                cids = next(iter(self._waiting.values()))
                raise self._engine.late(self._session.id, cids[0], self._timeout)
        return self._ready.popleft()

    async def _ask_ahead(self) -> None:
        """Look for the next blocks in the store, and ask the peers for those not found."""
        room = min(self._window - self._held, STEP_ITEMS)
        if not self._todo:
            self._todo = list(islice(self._source, room))
            self._exhausted = len(self._todo) < room
        # If this is cancelled, ``_todo`` is looked for again.
        found = await self._engine.find_all_here(self._todo)
        todo, self._todo = self._todo, []
        missing: list[CID] = []
        for cid, data in zip(todo, found, strict=True):
            key = cid.multihash
            self._expect(key, cid)
            if data is not None:
                self._take(key, [cid], data)
            elif key in self._waiting:
                self._waiting[key].append(cid)  # a file may have the same block twice
            else:
                self._waiting[key] = [cid]
                missing.append(cid)
        if missing:
            for cid in missing:
                self._session.register(self, cid.multihash)
            self._engine.want(self._session, missing)

    @property
    def _held(self) -> int:
        """How many blocks are asked for or wait to be taken."""
        return len(self._waiting) + len(self._ready)

    def _expect(self, key: bytes, cid: CID) -> None:
        """Note the next CID, in the order of the source; for `OrderedFetch`."""

    def _take(self, key: bytes, cids: list[CID], data: bytes) -> None:
        """Make a block ready for each of its CIDs."""
        self._blocks += 1
        self._bytes += len(data)
        for cid in cids:
            self._ready.append((cid, data))

    def deliver(self, key: bytes, data: bytes) -> None:
        cids = self._waiting.pop(key, None)
        if cids is not None:
            self._take(key, cids, data)
            if self._arrived:
                self._arrived.unpark()

    def fail(self, key: bytes, error: BitswapError) -> None:
        self._waiting.pop(key, None)
        self._error = error
        self._arrived.unpark()

    def close(self) -> None:
        """Take the unanswered wants back."""
        self._exhausted = True
        self._ready.clear()
        keys = list(self._waiting)
        self._waiting.clear()
        self._engine.leave(self._session, self, keys)

    def abandon(self) -> None:
        """Have the engine close this with the next change, as the iterator is gone."""
        self._engine.abandon(self.close)


@dataclass(eq=False)
class OrderedFetch(Fetch):
    """Gives blocks in order; blocks that come early count in the window until their turn."""

    _order: deque[tuple[bytes, CID]] = field(default_factory=deque)
    _uses: dict[bytes, int] = field(default_factory=dict)
    """How often each block is still to be given."""
    _early: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def _held(self) -> int:
        return len(self._order) + len(self._ready)

    def _expect(self, key: bytes, cid: CID) -> None:
        self._order.append((key, cid))
        self._uses[key] = self._uses.get(key, 0) + 1

    def _take(self, key: bytes, cids: list[CID], data: bytes) -> None:
        self._blocks += 1
        self._bytes += len(data)
        self._early[key] = data
        while self._order and (early := self._early.get(self._order[0][0])) is not None:
            first, cid = self._order.popleft()
            self._ready.append((cid, early))
            self._uses[first] -= 1
            if not self._uses[first]:
                del self._uses[first], self._early[first]


class BlockIterator(AsyncClosing):
    """An async iterator of (CID, data), returned by `get_blocks`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch: Fetch | None = fetch

    def __repr__(self) -> str:
        return shown(self, lambda: "of blocks, " + ("over" if self._fetch is None else "open"))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[CID, bytes]:
        if self._fetch is None:
            raise StopAsyncIteration
        try:
            block = await self._fetch.next()
        except Exception:  # also of the store or the user's iterable
            self.close()
            raise
        if block is None:
            self.close()
            raise StopAsyncIteration
        return block

    def __del__(self) -> None:
        # Not `close`, as this may run in the middle of any other code.
        if self._fetch is not None:
            self._fetch.abandon()

    def close(self) -> None:
        """Ask for nothing more."""
        if self._fetch is not None:
            self._fetch.close()
            self._fetch = None
