"""
Work that may be too long for one step of the event loop, done a step at a time (sans-I/O).

A peer that leaves may have been asked for a hundred thousand blocks, and a session may want as
many. To move on from all of them at once would hold up every connection of the host for a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from libp2p.bitswap.config import STEP_ITEMS

_T = TypeVar("_T")


def each(items: Sequence[_T], act: Callable[[_T], object]) -> Iterator[None]:
    """Call ``act`` with every item; yield between every `STEP_ITEMS` and the next."""
    for start in range(0, len(items), STEP_ITEMS):
        if start:
            yield
        for item in items[start : start + STEP_ITEMS]:
            act(item)


class Chores:
    """Work that has begun and is not done."""

    def __init__(self) -> None:
        self.left: deque[Iterator[None]] = deque()
        """For others to see whether there is any."""

    def begin(self, work: Iterator[None]) -> None:
        """Do the first step of ``work`` now; what is left of it is done by `step`."""
        for _ in work:
            self.left.append(work)
            return

    def step(self) -> None:
        """Do one step of the work that has waited for longest."""
        self.begin(self.left.popleft())

    def finish(self) -> None:
        """Do all that is left."""
        while self.left:
            self.step()
