"""Which blocks a garbage collection may take (sans-I/O)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from libp2p.blockstore.base import BlockInfo
    from libp2p.pinning.block_set import BlockSet

#: Seconds by which a block must be older than whatever may need it. Times of files come from one
#: clock, but one that Linux advances every 10 ms.
MARGIN_SECONDS: Final = 0.05


class Moment(NamedTuple):
    """A moment by two clocks, both in seconds."""

    time: float
    """Since 1970, by the clock that blocks get their times from; it may be set back."""
    ticks: float
    """By a clock that nobody sets, and that is the same in all processes of a machine."""


def horizon_of(now: Moment, begun: Iterable[Moment]) -> float:
    """
    Return the time before which a block must have been written to be taken.

    Who writes blocks begins a lease first, so its blocks are younger than the lease. If the clock
    was set back since, they may have earlier times than the lease. These are then not before what
    the clock would have said when the lease began, if it had been right.

    :param begun: when the collection and the live leases began.
    """
    began = (min(moment.time, now.time - (now.ticks - moment.ticks)) for moment in begun)
    return min([now.time, *began]) - MARGIN_SECONDS


def may_go(blocks: Iterable[BlockInfo], marked: BlockSet, horizon: float) -> list[BlockInfo]:
    """Return the blocks that are not marked, and not known to be younger than the horizon."""
    return [
        block
        for block in blocks
        if (block[2] is None or block[2] < horizon) and block[0] not in marked
    ]
