"""
What a log at INFO says of serving: a line for each burst of blocks to a peer.

Bitswap knows no files. Who fetches one asks for its blocks without a pause, so that blocks with no
pause between them are told of together.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

#: Seconds without a block that end a burst.
QUIET_SECONDS: Final = 1.0
#: A longer burst is told of in parts.
LONG_SECONDS: Final = 60.0

logger = get_logger(__name__)


@dataclass(slots=True)
class _Burst:
    first: CID
    began_at: float
    last_at: float
    blocks: int = 0
    size: int = 0


class ServedLog:
    """Counts what each peer gets, if the log is on; ``start`` runs a task for it."""

    def __init__(self, start: Callable[[Callable[[], Awaitable[None]]], object]) -> None:
        self._start = start
        self._bursts: dict[ID, _Burst] = {}
        self._wakes_at = -math.inf  # the task

    def note(self, peer_id: ID, first: CID, blocks: int, size: int, now: float) -> None:
        """Blocks have been written, ``first`` before the others."""
        if not logger.isEnabledFor(logging.INFO):
            return
        burst = self._bursts.get(peer_id)
        if burst is None:
            burst = self._bursts[peer_id] = _Burst(first, now, now)
        burst.last_at = now
        burst.blocks += blocks
        burst.size += size
        if now > self._wakes_at + QUIET_SECONDS:  # it does not run, or was not started
            self._wakes_at = now + QUIET_SECONDS
            self._start(self._run)

    def forget(self, peer_id: ID) -> None:
        """The peer has gone: tell what it got."""
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

    async def _run(self) -> None:
        try:
            while self._bursts:
                self._wakes_at = trio.current_time() + QUIET_SECONDS
                await trio.sleep_until(self._wakes_at)
                self._tell(trio.current_time())
        finally:
            self._wakes_at = -math.inf
            self._tell(math.inf)

    def _tell(self, now: float) -> None:
        for peer_id, burst in list(self._bursts.items()):
            if now >= burst.last_at + QUIET_SECONDS or now >= burst.began_at + LONG_SECONDS:
                self.forget(peer_id)
