"""
What the server asks of the block store: no block twice, and no answer that the store did not give.

A store of the user's may raise anything, give what is no block, or hang. What it fails at is not
taken for "not here": such wants are put aside and asked for again later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import trio

from libp2p.bitswap.config import STORE_SECONDS
from libp2p.blockstore import BlockStore
from libp2p.blockstore.base import for_each
from libp2p.exceptions import BlockStoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from libp2p.bitswap.net.faults import FaultLog
    from libp2p.bitswap.serve.ledger import PeerWant

Found: TypeAlias = "int | bytes | None"
"""A block, or its size, or that it is not here."""

_Call: TypeAlias = "Callable[[Sequence[bytes]], Awaitable[Sequence[Found]]]"


class StoreOwner(Protocol):
    """What a reader uses of its client."""

    block_store: BlockStore
    faults: FaultLog


class StoreReader:
    """Reads blocks for peers."""

    def __init__(self, owner: StoreOwner) -> None:
        self._owner = owner

    @property
    def knows_sizes(self) -> bool:
        """True if sizes can be had without reading the blocks."""
        kind = type(self._owner.block_store)
        own_list = getattr(kind, "get_sizes", None) is not BlockStore.get_sizes
        return own_list or getattr(kind, "get_size", None) is not BlockStore.get_size

    @property
    def takes_no_time(self) -> bool:
        """True if blocks are read as quickly as their sizes."""
        return self.blocks_now(()) is not None

    def blocks_now(self, wants: Sequence[PeerWant]) -> list[bytes | None] | None:
        """Read blocks if that takes no time; None if it does, or if the store fails at it."""
        try:
            found = self._owner.block_store.get_blocks_now([want.cid for want in wants])
            if found is not None:
                _check(wants, found, bytes)
        except Exception as error:  # noqa: BLE001 - task's edge: a store of the user's
            self._owner.faults.note("reading from the block store", error)
            return None
        return found

    async def look_up(self, wants: Sequence[PeerWant]) -> dict[PeerWant, Found]:
        """
        Tell of each want whether its block is here, by its size or by the block itself.

        What the store fails at is left out, as in `blocks`.
        """
        if self.knows_sizes and not self.takes_no_time:
            return await self._ask(wants, self._owner.block_store.get_sizes, int)
        return await self.blocks(wants)

    async def blocks(self, wants: Sequence[PeerWant]) -> dict[PeerWant, Found]:
        """Read blocks."""
        if (found := self.blocks_now(wants)) is not None:
            return dict(zip(wants, found, strict=True))
        return await self._ask(wants, self._owner.block_store.get_blocks, bytes)

    async def _ask(
        self, wants: Sequence[PeerWant], call: _Call, kind: type[int | bytes]
    ) -> dict[PeerWant, Found]:
        try:
            with trio.fail_after(STORE_SECONDS):
                found = await call([want.cid.buffer for want in wants])
            _check(wants, found, kind)
        except Exception as error:  # noqa: BLE001 - task's edge: a store of the user's
            self._owner.faults.note("reading from the block store", error)
            if len(wants) == 1 or isinstance(error, trio.TooSlowError):
                return {}
        else:
            return dict(zip(wants, found, strict=True))
        # One of them may be what it fails at.
        answers: dict[PeerWant, Found] = {}
        for answer in await for_each(wants, lambda want: self._ask([want], call, kind)):
            answers |= answer
        return answers


def _check(wants: Sequence[PeerWant], found: Sequence[object], kind: type[int | bytes]) -> None:
    if len(found) != len(wants):
        raise BlockStoreError(f"the block store gave {len(found)} answers for {len(wants)} CIDs")
    for one in found:
        if one is not None and not isinstance(one, kind):
            raise BlockStoreError(f"the block store gave a {type(one).__name__} for a block")
