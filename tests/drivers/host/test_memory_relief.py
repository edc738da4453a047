"""Memory goes back to the system when a burst is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import HostException
from libp2p.host import memory_relief
from libp2p.host.memory_relief import BURST_BYTES, RELIEF_DELAYS, MemoryRelief
from libp2p.resources import Resources

if TYPE_CHECKING:
    import pytest
    from trio.testing import MockClock


async def test_memory_is_given_back_twice_for_bursts_that_end_together(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    async def note() -> None:
        given.append(trio.current_time())

    monkeypatch.setattr(memory_relief, "give_back", note)
    resources = Resources()
    resources.on_fall(BURST_BYTES, MemoryRelief(nursery.start_soon).burst_is_over)
    readers, unread = resources.scope("readers"), resources.scope("unread")

    def burst() -> None:
        for scope in (readers, unread):
            scope.hold(BURST_BYTES)
            scope.release(BURST_BYTES)

    burst()
    await trio.sleep(sum(RELIEF_DELAYS) - 1)
    assert given == [RELIEF_DELAYS[0]]
    burst()
    await trio.sleep(3 * sum(RELIEF_DELAYS))
    first, second = RELIEF_DELAYS
    assert given == [first, first + second, 2 * first + second, 2 * first + 2 * second]
    burst()
    await trio.sleep(3 * sum(RELIEF_DELAYS))
    assert len(given) == 6


def test_a_burst_that_ends_with_its_host_is_nobodys_concern() -> None:
    def closed(_: object) -> None:
        raise HostException("the host is closed")

    MemoryRelief(closed).burst_is_over()
