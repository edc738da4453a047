"""Which blocks a garbage collection may take (sans-I/O)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from libp2p.blockstore.base import BlockInfo
    from libp2p.pinning.block_set import BlockSet

#: Seconds by which a block must be older than whatever may need it. Times of files come from one
#: clock, but one that Linux advances every 10 ms.
MARGIN_SECONDS: Final = 0.05


def horizon_of(now: float, leases: Iterable[float]) -> float:
    """
    Return the time before which a block must have been written to be taken.

    Who writes blocks begins a lease first, so its blocks are younger than the lease.

    :param leases: when the live ones began.
    """
    return min([now, *leases]) - MARGIN_SECONDS


def may_go(blocks: Iterable[BlockInfo], marked: BlockSet, horizon: float) -> list[BlockInfo]:
    """Return the blocks that are not marked, and not known to be younger than the horizon."""
    return [
        block
        for block in blocks
        if (block[2] is None or block[2] < horizon) and block[0] not in marked
    ]
