"""
The turns in which peers' messages are decoded, and the budgets of all peers.

One task decodes for the client, in turns of one peer at a time, so that the messages of a hundred
peers are not all decoded in one step of the event loop. Peers that are to send us a block have more
turns than the others, so that a flood of messages from strangers does not stop a fetch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import (
    INTAKE_TURN_BYTES,
    NOW_SECONDS,
    WANTED_TURNS,
)
from libp2p.io.waiter import Waiter

if TYPE_CHECKING:
    from libp2p.bitswap.config import BitswapConfig
    from libp2p.bitswap.net.block_writer import BlockWriter
    from libp2p.resources import Resources


class TurnTaker(Protocol):
    """One peer, as `Receiver` sees it."""

    @property
    def is_wanted(self) -> bool:
        """True if the peer is to send us a block."""

    @property
    def is_full(self) -> bool:
        """True while so many bytes of the peer wait that none of its messages is decoded."""

    def take_turn(self) -> None:
        """Decode some messages and act on them; ask for another turn if messages are left."""


class Receiver:
    """Gives turns to the peers that have sent messages, and has the budgets of all peers."""

    def __init__(self, writer: BlockWriter, resources: Resources, config: BitswapConfig) -> None:
        self._writer = writer
        self.config = config
        self.unfinished = resources.scope(
            "bitswap unfinished messages", config.max_unfinished_bytes
        )
        self.waiting = resources.scope("bitswap intake", config.max_intake)
        self.streams = resources.scope("bitswap inbound streams", config.max_inbound_streams)
        self._wanted: deque[TurnTaker] = deque()
        self._others: deque[TurnTaker] = deque()
        self._turns = 0
        self._added = Waiter()
        self._held_up: dict[TurnTaker, None] = {}
        # The cost of the messages decoded in read loops since the period of `NOW_SECONDS` began.
        self._since = self._spent = 0.0

    def add(self, peer: TurnTaker) -> None:
        """Queue a peer for a turn; it must not be queued already."""
        (self._wanted if peer.is_wanted else self._others).append(peer)
        self._added.wake()

    def hold_up(self, peer: TurnTaker) -> None:
        """Queue a peer for a turn once it is no longer full."""
        self._held_up[peer] = None

    def made_room(self) -> None:
        """Queue the held-up peers that are no longer full; called when fewer bytes wait."""
        if self._held_up:
            for peer in [peer for peer in self._held_up if not peer.is_full]:
                del self._held_up[peer]
                self.add(peer)

    @property
    def is_full(self) -> bool:
        """True while so many bytes of all peers wait that nothing is read outside turns."""
        return self.waiting.held >= self.config.max_intake

    def may_decode_now(self, now: float) -> bool:
        """Return whether a small message may be decoded in a connection's read loop."""
        if now > self._since + NOW_SECONDS:
            self._since, self._spent = now, 0.0
        return self._spent < INTAKE_TURN_BYTES and self._writer.has_room

    def spend(self, cost: int) -> None:
        """Count the cost of messages that were decoded in a read loop."""
        self._spent += cost

    async def run(self) -> None:
        """Give turns for as long as the client works."""
        while True:
            peer = self._next()
            if peer is None:
                await self._added.wait()
                continue
            await self._writer.until_room()
            peer.take_turn()
            if self._wanted or self._others:  # else `_added.wait` is next
                await trio.lowlevel.checkpoint()

    def _next(self) -> TurnTaker | None:
        self._turns += 1
        first, second = self._wanted, self._others
        if self._turns % (WANTED_TURNS + 1) == 0:
            first, second = second, first
        return first.popleft() if first else second.popleft() if second else None
