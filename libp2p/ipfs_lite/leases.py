"""
Leases: what running operations of this process need of blocks that no pin holds yet.

`Leases.hold` is around an operation. A collection leaves alone what was written since the oldest
lease began, and what is below the roots that leases name.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from libp2p.ipld.cid import CID


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """One running operation."""

    began: float
    """Unix seconds, by the clock that block files get their times from."""
    roots: tuple[CID, ...]


class Leases:
    """The live leases of a peer."""

    def __init__(self) -> None:
        self._live: set[Lease] = set()
        self._begun = 0
        self._removing = trio.Lock()

    @property
    def begun(self) -> int:
        """How many there have been."""
        return self._begun

    def live(self) -> list[Lease]:
        """Return those that are held now."""
        return list(self._live)

    @asynccontextmanager
    async def removal(self) -> AsyncIterator[None]:
        """Remove blocks in this context; `settled` waits for its end."""
        async with self._removing:
            yield

    async def settled(self) -> None:
        """Wait for a removal that had begun before the lease; what is here after that stays."""
        async with self._removing:
            pass

    @contextmanager
    def hold(self, roots: Iterable[CID] = ()) -> Iterator[None]:
        """Hold a lease for the length of the block."""
        lease = Lease(time(), tuple(roots))
        self._live.add(lease)
        self._begun += 1
        try:
            yield
        finally:
            self._live.discard(lease)
