"""
How the server reads the block store: no block twice, and no answer that the store did not give.

A store of the user's may raise anything, return what is no block, or hang. What it fails at is not
taken for "not here": such wants are put aside and looked up again later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import trio

from libp2p.bitswap.config import (
    MAX_DOUBLINGS,
    MAX_STORE_RETRY_SECONDS,
    STORE_RETRY_SECONDS,
    STORE_SECONDS,
)
from libp2p.bitswap.serve.peer_wants import by_priority
from libp2p.bitswap.wire.entry import WantType
from libp2p.blockstore import BlockStore
from libp2p.blockstore.base import for_each
from libp2p.exceptions import BlockStoreError
from libp2p.utils.lazy_heap import LazyHeap

if TYPE_CHECKING:
    from libp2p.bitswap.serve.ledger import Ledger, PeerWant
    from libp2p.utils.fault_log import FaultLog

Found: TypeAlias = "int | bytes | None"
"""A block, or its size, or that it is not here."""

_F = TypeVar("_F", bound=Found)
_Call: TypeAlias = "Callable[[Sequence[bytes]], Awaitable[Sequence[_F]]]"


class StoreReader:
    """
    Looks wants up, and reads their blocks.

    :param store: returns the block store.
    :param call_at: called with the time at which `retry` is to be called.
    """

    def __init__(
        self,
        store: Callable[[], BlockStore],
        ledger: Ledger,
        faults: FaultLog,
        call_at: Callable[[float], object],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._faults = faults
        self._call_at = call_at
        self._aside: LazyHeap[PeerWant] = LazyHeap()  # by the time of their next look-up

    @property
    def knows_sizes(self) -> bool:
        """True if sizes can be had without reading the blocks."""
        kind = type(self._store())
        own_list = getattr(kind, "get_sizes", None) is not BlockStore.get_sizes
        return own_list or getattr(kind, "get_size", None) is not BlockStore.get_size

    @property
    def takes_no_time(self) -> bool:
        """True if blocks are read as quickly as their sizes."""
        return self.read_now(()) is not None

    def read_now(self, wants: Sequence[PeerWant]) -> list[bytes | None] | None:
        """Read blocks if that takes no time; return None if it does, or if the store fails."""
        try:
            found = self._store().get_blocks_now([want.cid for want in wants])
            if found is not None:
                _check(wants, found, bytes)
        except Exception as error:  # noqa: BLE001 - task's edge: a store of the user's
            self._faults.note("reading from the block store", error)
            return None
        return found

    async def look_up(self, wants: list[PeerWant], limit: int) -> Mapping[PeerWant, Found]:
        """
        Return for each want the block or its length; None for a block that is not here.

        Up to ``limit`` bytes of blocks are read where a block is wanted, those of the highest
        priority: they go into the next reply. Of other blocks the length alone is looked up, where
        that is less work. What the store fails at is put aside and left out.
        """
        if (now := self.read_now(wants)) is not None:
            return dict(zip(wants, now, strict=True))
        store = self._store()
        if not self.knows_sizes:
            return await self.read(wants)
        found: dict[PeerWant, Found] = {}
        if limit > 0:
            first = [want for want in wants if want.want_type is WantType.Block]
            first.sort(key=by_priority)
            call = partial(store.get_blocks_or_sizes, limit=limit)
            found |= await self._ask(first, call, (int, bytes), alone=store.get_sizes)
            wants = [want for want in wants if want.want_type is not WantType.Block]
        return found | await self._ask(wants, store.get_sizes, (int,))

    async def read(self, wants: Sequence[PeerWant]) -> dict[PeerWant, bytes | None]:
        """Read blocks; what the store fails at is put aside and left out."""
        if (found := self.read_now(wants)) is not None:
            return dict(zip(wants, found, strict=True))
        return await self._ask(wants, self._store().get_blocks, (bytes,))

    async def _ask(
        self,
        wants: Sequence[PeerWant],
        call: _Call[_F],
        kinds: tuple[type, ...],
        alone: _Call[_F] | None = None,
    ) -> dict[PeerWant, _F]:
        """Call the store for all wants; if that fails, call ``alone`` for each of them."""
        if not wants:
            return {}
        try:
            with trio.CancelScope(deadline=trio.current_time() + STORE_SECONDS) as limit:
                found = await call([want.cid.buffer for want in wants])
            if limit.cancelled_caught:
                raise trio.TooSlowError(f"no answer within {STORE_SECONDS:.0f} s")
            _check(wants, found, kinds)
            return dict(zip(wants, found, strict=True))
        except Exception as error:  # noqa: BLE001 - task's edge: a store of the user's
            self._faults.note("reading from the block store", error)
            if len(wants) == 1 or isinstance(error, trio.TooSlowError):
                self._put_aside(wants)
                return {}
        # One of them may be what it fails at.
        answers: dict[PeerWant, _F] = {}
        one_by_one = alone or call
        for answer in await for_each(wants, lambda want: self._ask([want], one_by_one, kinds)):
            answers |= answer
        return answers

    # -- what it fails at -----------------------------------------------------------------------

    def _put_aside(self, wants: Iterable[PeerWant]) -> None:
        """Have wants looked up again after a while."""
        now = trio.current_time()
        for want in wants:
            failures = self._ledger.put_aside(want)
            if failures is not None:
                seconds = STORE_RETRY_SECONDS * 2.0 ** min(failures, MAX_DOUBLINGS)
                self._aside.push(want, now + min(seconds, MAX_STORE_RETRY_SECONDS))
        self._call_at_next()

    def retry(self, now: float) -> list[PeerWant]:
        """Return the wants that are to be looked up again now."""
        due = []
        while (first := self._aside.first()) is not None and first[0] <= now:
            due.append(self._aside.pop())
        self._call_at_next()
        return due

    def _call_at_next(self) -> None:
        if (first := self._aside.first()) is not None:
            self._call_at(first[0])


def _check(
    wants: Sequence[PeerWant], found: Sequence[object], kinds: type | tuple[type, ...]
) -> None:
    if len(found) != len(wants):
        raise BlockStoreError(f"the block store gave {len(found)} answers for {len(wants)} CIDs")
    for one in found:
        if one is not None and not isinstance(one, kinds):
            raise BlockStoreError(f"the block store gave a {type(one).__name__} for a block")
