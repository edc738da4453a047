"""
The log of served blocks, at INFO: one line for each burst of blocks to a peer.

Bitswap does not know which blocks make up a file. A client that fetches a file asks for its blocks
without a pause, so blocks with no pause between them are logged in one line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

#: Seconds without a block that end a burst.
QUIET_SECONDS: Final = 1.0
#: A longer burst is logged in parts.
LONG_SECONDS: Final = 60.0

logger = get_logger(__name__)


@dataclass(slots=True)
class _Burst:
    """Blocks that one peer was sent without a pause."""

    first: CID
    began_at: float
    last_at: float
    blocks: int = 0
    size: int = 0

    def add(self, blocks: int, size: int, now: float) -> None:
        self.last_at = now
        self.blocks += blocks
        self.size += size

    def is_over(self, now: float) -> bool:
        return now >= self.last_at + QUIET_SECONDS or now >= self.began_at + LONG_SECONDS


class ServedLog:
    """Counts the blocks sent to each peer while the log is on; ``call_at`` has `tell` called."""

    def __init__(self, call_at: Callable[[float], object]) -> None:
        self._call_at = call_at
        self._bursts: dict[ID, _Burst] = {}

    def note(self, peer_id: ID, first: CID, blocks: int, size: int, now: float) -> None:
        """Count blocks that have been written; ``first`` is the CID of the first one."""
        if not logger.isEnabledFor(logging.INFO):
            return
        burst = self._bursts.get(peer_id)
        if burst is None:
            burst = self._bursts[peer_id] = _Burst(first, now, now)
            self._call_at(now + QUIET_SECONDS)
        burst.add(blocks, size, now)

    def forget(self, peer_id: ID) -> None:
        """Log and drop the burst of a peer, if it has one."""
        burst = self._bursts.pop(peer_id, None)
        if burst is not None:
            logger.info(
                "served: %s got %d blocks of %d bytes in %.2f s, the first was %s",
                peer_id,
                burst.blocks,
                burst.size,
                burst.last_at - burst.began_at,
                burst.first,
            )

    def tell(self, now: float) -> None:
        """Log the bursts that are over."""
        for peer_id, burst in list(self._bursts.items()):
            if burst.is_over(now):
                self.forget(peer_id)
        if self._bursts:
            self._call_at(now + QUIET_SECONDS)
