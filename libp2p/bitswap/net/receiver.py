"""
Whose messages are decoded next, of all peers, and what all of them may hold.

One task decodes for the client, a turn of one peer at a time, so that what a hundred peers send at
once is not all decoded in one step of the event loop. Peers that are to send us a block have more
turns than the others, or a flood of messages from strangers would stop every fetch.
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
    """One peer, as the turns see it."""

    @property
    def is_wanted(self) -> bool:
        """True if the peer is to send us a block."""

    @property
    def is_full(self) -> bool:
        """True while so much of the peer waits that none of its messages is decoded."""

    def take_turn(self) -> None:
        """Decode some messages and act on them; ask for another turn if something is left."""


class Receiver:
    """The turns of the peers that have sent something, and the budgets of all peers."""

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
        # What was decoded in the read loops in the current period of `NOW_SECONDS`.
        self._since = self._spent = 0.0

    def add(self, peer: TurnTaker) -> None:
        """Queue a peer for a turn; it must not be queued already."""
        (self._wanted if peer.is_wanted else self._others).append(peer)
        self._added.wake()

    def hold_up(self, peer: TurnTaker) -> None:
        """Queue a peer for a turn once it is no longer full."""
        self._held_up[peer] = None

    def made_room(self) -> None:
        """Queue the held-up peers that are no longer full; called when less waits than before."""
        if self._held_up:
            for peer in [peer for peer in self._held_up if not peer.is_full]:
                del self._held_up[peer]
                self.add(peer)

    @property
    def is_full(self) -> bool:
        """True while so much of all peers waits to be decoded or answered that little is read."""
        return self.waiting.held >= self.config.max_intake

    def may_decode_now(self, now: float) -> bool:
        """Tell whether a little may be decoded in a connection's read loop."""
        if now > self._since + NOW_SECONDS:
            self._since, self._spent = now, 0.0
        return self._spent < INTAKE_TURN_BYTES and self._writer.has_room

    def spend(self, cost: int) -> None:
        """Count what was decoded in a read loop."""
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
            if self._wanted or self._others:  # else the task waits anyway
                await trio.lowlevel.checkpoint()

    def _next(self) -> TurnTaker | None:
        self._turns += 1
        first, second = self._wanted, self._others
        if self._turns % (WANTED_TURNS + 1) == 0:
            first, second = second, first
        return first.popleft() if first else second.popleft() if second else None
