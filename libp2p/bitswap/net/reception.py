"""
Whose bytes are decoded next, of all peers.

One task does it for the client, a turn of one peer at a time, so that what a hundred peers send at
once is not all decoded in one step of the event loop. Peers that are to send us a block have more
turns than the others, or a flood of messages from strangers would stop every fetch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import (
    INTAKE_TURN_BYTES,
    MAX_INBOUND_STREAMS_TOTAL,
    MAX_INTAKE_TOTAL,
    MAX_UNFINISHED_BYTES,
    NOW_SECONDS,
    WANTED_TURNS,
)
from libp2p.io.waiter import Waiter

if TYPE_CHECKING:
    from libp2p.bitswap.net.block_writer import BlockWriter
    from libp2p.bitswap.net.intake import Intake
    from libp2p.resources import Resources


class ReceptionOwner(Protocol):
    """What a reception uses of its client."""

    keeper: BlockWriter
    resources: Resources


class Reception:
    """What has come of all peers and waits, and the budgets of it."""

    def __init__(self, owner: ReceptionOwner) -> None:
        self._keeper = owner.keeper
        self.unfinished = owner.resources.scope("bitswap unfinished messages", MAX_UNFINISHED_BYTES)
        self.waiting = owner.resources.scope("bitswap intake", MAX_INTAKE_TOTAL)
        self.streams = owner.resources.scope("bitswap inbound streams", MAX_INBOUND_STREAMS_TOTAL)
        self._wanted: deque[Intake] = deque()
        self._others: deque[Intake] = deque()
        self._turns = 0
        self._added = Waiter()
        self._held_up: list[Intake] = []  # that wait for room of all
        self._since = self._spent = 0.0  # what was decoded where it arrived

    def add(self, intake: Intake) -> None:
        """Something waits of a peer, which is not queued yet."""
        (self._wanted if intake.is_wanted else self._others).append(intake)
        self._added.wake()

    def may_take_now(self, now: float) -> bool:
        """Tell whether a little may be decoded where it arrives."""
        if now > self._since + NOW_SECONDS:
            self._since, self._spent = now, 0.0
        return self._spent < INTAKE_TURN_BYTES and self._keeper.has_room

    def spend(self, cost: int) -> None:
        """Something was."""
        self._spent += cost

    @property
    def is_full(self) -> bool:
        """True while too much of all peers waits."""
        return self.waiting.held >= MAX_INTAKE_TOTAL

    def hold_up(self, intake: Intake) -> None:
        """Tell a peer's intake when there is room again."""
        self._held_up.append(intake)

    def made_room(self) -> None:
        """Less waits than before."""
        if self._held_up and not self.is_full:
            held_up, self._held_up = self._held_up, []
            for intake in held_up:
                intake.read_on()

    async def run(self) -> None:
        """Take turns, for as long as the client works."""
        while True:
            intake = self._next()
            if intake is None:
                await self._added.wait()
                continue
            await self._keeper.until_stored()
            if await intake.take_turn():
                self.add(intake)
            if self._wanted or self._others:  # else it waits anyway
                await trio.lowlevel.checkpoint()

    def _next(self) -> Intake | None:
        self._turns += 1
        first, second = self._wanted, self._others
        if self._turns % (WANTED_TURNS + 1) == 0:
            first, second = second, first
        return first.popleft() if first else second.popleft() if second else None
