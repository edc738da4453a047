"""A line for each burst of blocks to a peer, at INFO only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.serve.served import LONG_SECONDS, ServedLog
from libp2p.ipld.cid import CID
from tests.support.fake_host import peer_id

if TYPE_CHECKING:
    from trio.testing import MockClock

FIRST, OTHER = CID.for_block(b"first"), CID.for_block(b"other")
ANN, BOB = peer_id("ann"), peer_id("bob")


class Timed:
    """A log, and the timer that it is given."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.log = ServedLog(lambda when: nursery.start_soon(self._tell_at, when))
        self.note, self.forget = self.log.note, self.log.forget

    async def _tell_at(self, when: float) -> None:
        await trio.sleep_until(when)
        self.log.tell(trio.current_time())


async def test_each_burst_is_told_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with trio.open_nursery() as nursery:
        log = Timed(nursery)
        for _ in range(3):
            log.note(ANN, FIRST, 2, 100, trio.current_time())
            log.note(BOB, OTHER, 1, 10, trio.current_time())
            await trio.sleep(0.5)
        log.forget(BOB)  # it has gone
        await trio.sleep(10)
        log.note(ANN, OTHER, 1, 10, trio.current_time())
    assert caplog.messages == [
        f"served: {BOB} got 3 blocks of 30 bytes in 1.00 s, the first was {OTHER}",
        f"served: {ANN} got 6 blocks of 300 bytes in 1.00 s, the first was {FIRST}",
        f"served: {ANN} got 1 blocks of 10 bytes in 0.00 s, the first was {OTHER}",
    ]


async def test_what_does_not_end_is_told_in_parts(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with trio.open_nursery() as nursery:
        log = Timed(nursery)
        for _ in range(int(3 * LONG_SECONDS)):
            log.note(ANN, FIRST, 1, 1, trio.current_time())
            await trio.sleep(0.6)
    assert len(caplog.messages) in (2, 3)


async def test_what_a_peer_got_is_told_when_it_leaves(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = ServedLog(lambda when: None)  # a client that has stopped calls at no time
    log.note(ANN, FIRST, 1, 1, 0)
    log.forget(BOB)
    log.forget(ANN)
    log.tell(1000)
    assert len(caplog.messages) == 1


async def test_nothing_is_counted_where_the_log_is_off() -> None:
    log = ServedLog(lambda when: pytest.fail("a timer was set"))
    log.note(ANN, FIRST, 1, 1, trio.current_time())
    log.forget(ANN)
