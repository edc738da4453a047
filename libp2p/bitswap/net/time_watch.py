"""The timer task of a client: it calls the want tracker and the waiters whose time has come."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.common.timers import Timed, Timers

if TYPE_CHECKING:
    from libp2p.bitswap.want.tracker import WantTracker


class TimeWatch:
    """
    One task that sleeps until the next deadline of the want tracker or a waiter.

    :param apply: called after each call of the tracker.
    """

    def __init__(self, tracker: WantTracker, apply: Callable[[], object]) -> None:
        self._tracker = tracker
        self._apply = apply
        self._timers: Timers[Timed] = Timers()
        self._scope = trio.CancelScope()
        self._wakes_at = math.inf

    def set(self, waiter: Timed, when: float) -> None:
        """Call ``waiter.expire`` at ``when``, or earlier if it was set earlier."""
        self._timers.set(waiter, when)
        self._wake_at(when)

    def __contains__(self, waiter: Timed) -> bool:
        return waiter in self._timers

    def drop(self, waiter: Timed) -> None:
        """Do not call a waiter any more."""
        self._timers.drop(waiter)

    def check_tracker(self) -> None:
        """Wake earlier if the tracker's next deadline has moved forward."""
        if self._tracker.timers.earliest < self._wakes_at:
            deadline = self._tracker.timers.next
            if deadline is not None:
                self._wake_at(deadline)

    def _wake_at(self, when: float) -> None:
        if when < self._wakes_at:
            self._scope.deadline = self._wakes_at = when

    async def run(self) -> None:
        """Wait for the next deadline, for as long as the client works."""
        while True:
            due = [self._tracker.timers.next, self._timers.next]
            self._wakes_at = min([when for when in due if when is not None], default=math.inf)
            with trio.CancelScope(deadline=self._wakes_at) as self._scope:
                await trio.sleep_forever()
            now = trio.current_time()
            while (late := self._timers.take(now)) is not None:
                late[1].expire()
            self._tracker.tick(now)
            self._apply()
