"""The handler of messages: wanted blocks are stored, presences go to the want tracker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.bitswap.net.block_writer import BlockWriter
    from libp2p.bitswap.net.waiters import Sessions
    from libp2p.bitswap.serve.server import Server
    from libp2p.bitswap.stats import BitswapStat
    from libp2p.bitswap.tracer import Tracing
    from libp2p.bitswap.want.state import Want
    from libp2p.bitswap.want.tracker import WantTracker
    from libp2p.bitswap.wire.message import Message
    from libp2p.peer.id import ID

logger = get_logger(__name__)


@dataclass(eq=False)
class MessageHandler:
    """
    Acts on messages; every method but `receive` is a plain call.

    :param _apply: called after each change of the tracker.
    """

    tracker: WantTracker
    server: Server
    _writer: BlockWriter
    _sessions: Sessions
    _stats: BitswapStat
    _tracing: Tracing
    _apply: Callable[[], object]

    async def receive(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Act on the messages of a peer; their blocks are stored when this returns."""
        self.heard(peer_id, messages)
        self.take(peer_id, messages, trio.current_time())
        await self._writer.until_stored()
        await self.server.receive(peer_id, messages)
        await trio.lowlevel.checkpoint()  # a flood of messages must not starve the others

    def heard(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Note that a peer has sent messages."""
        self._tracing.received(peer_id, messages)
        self.tracker.heard(peer_id, messages[-1].pending_bytes)
        self._stats.messages_received += len(messages)
        self.server.heard(peer_id)

    def take(self, peer_id: ID, messages: Sequence[Message], now: float) -> None:
        """Act on the blocks and presences of messages; `BlockWriter` stores the blocks."""
        claimed: list[tuple[Want, bytes]] = []
        for message in messages:
            if message.blocks or message.unusable:
                claimed += self._claim(peer_id, message, now)
            if message.presences:
                self.tracker.receive_presences(peer_id, message.presences, now)
        if claimed:
            self._writer.add(claimed)
        self._apply()

    def _claim(self, peer_id: ID, message: Message, now: float) -> list[tuple[Want, bytes]]:
        """Claim the wanted blocks of a message and return them; count the other blocks."""
        claimed: list[tuple[Want, bytes]] = []
        received = 0
        stats = self._stats
        unasked = message.unusable
        for cid, data in message.blocks.items():
            size = len(data)
            stats.blocks_received += 1
            stats.data_received += size
            want = self.tracker.claim(peer_id, cid, size, now)
            if want is not None:
                claimed.append((want, data))
                received += size
            elif (sessions := self.tracker.duplicate(peer_id, cid)) is not None:
                stats.dup_blks_received += 1
                stats.dup_data_received += size
                for number in sessions:
                    if (session := self._sessions.get(number)) is not None:
                        session.count_duplicate(size)
            elif self.tracker.is_late(peer_id, cid):
                stats.late_blocks_received += 1
            else:
                unasked += 1 + message.repeats.get(cid, 0)
        if unasked:
            logger.debug("%s sent %d blocks that were not asked for", peer_id, unasked)
            stats.unwanted_blocks_received += unasked
            self.tracker.unasked(peer_id, unasked)
        if claimed:
            self.server.accounts.received(peer_id, len(claimed), received, now)
            self._tracing.blocks(peer_id, claimed, now)
        return claimed
