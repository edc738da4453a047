"""
The server's reader of the block store.

A block store may be the user's own. It may raise anything, return a value that is not a block, or
hang. A failure is not taken for a missing block: the wants are put aside and looked up again later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
"""A block, the size of a block that is here, or None for a block that is not here."""

_F = TypeVar("_F", bound=Found)
_Call: TypeAlias = "Callable[[Sequence[bytes]], Awaitable[Sequence[_F]]]"


@dataclass(eq=False)
class StoreReader:
    """
    Looks the blocks of wants up, and reads them.

    :param _store: returns the block store.
    :param _call_at: called with the time at which `retry` is to be called.
    """

    _store: Callable[[], BlockStore]
    _ledger: Ledger
    _faults: FaultLog
    _call_at: Callable[[float], object]
    _aside: LazyHeap[PeerWant] = field(default_factory=LazyHeap)
    """Wants that the store has failed at, by the time of the next look-up."""

    @property
    def knows_sizes(self) -> bool:
        """True if the store tells sizes without reading the blocks."""
        kind = type(self._store())
        own_list = getattr(kind, "get_sizes", None) is not BlockStore.get_sizes
        return own_list or getattr(kind, "get_size", None) is not BlockStore.get_size

    @property
    def takes_no_time(self) -> bool:
        """True if the store returns blocks without waiting."""
        return self.read_now(()) is not None

    def read_now(self, wants: Sequence[PeerWant]) -> list[bytes | None] | None:
        """Read blocks without waiting; return None if the store would wait, or if it fails."""
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

        Of the want-blocks, up to ``limit`` bytes of blocks are read, the highest priority first:
        they go into the next reply. Of other blocks only the length is looked up, if the store can
        tell it. Wants that the store fails at are put aside and left out.
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
        """Read blocks; wants that the store fails at are put aside and left out."""
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
        # The store may have failed at one of the blocks only.
        answers: dict[PeerWant, _F] = {}
        one_by_one = alone or call
        for answer in await for_each(wants, lambda want: self._ask([want], one_by_one, kinds)):
            answers |= answer
        return answers

    # -- failures of the store ------------------------------------------------------------------

    def _put_aside(self, wants: Iterable[PeerWant]) -> None:
        """Have wants looked up again later: later each time."""
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
