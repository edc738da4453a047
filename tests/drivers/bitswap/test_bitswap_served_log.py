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
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

FIRST, OTHER = CID.for_block(b"first"), CID.for_block(b"other")
ANN, BOB = peer_id("ann"), peer_id("bob")


async def test_each_burst_is_told_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with trio.open_nursery() as nursery:
        log = ServedLog(nursery.start_soon)
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
        log = ServedLog(nursery.start_soon)
        for _ in range(int(3 * LONG_SECONDS)):
            log.note(ANN, FIRST, 1, 1, trio.current_time())
            await trio.sleep(0.6)
    assert len(caplog.messages) in (2, 3)


async def test_a_task_that_was_not_started_is_started_later(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    running: list[trio.Nursery] = []

    def start(task: Callable[[], Awaitable[None]]) -> None:
        for nursery in running:  # a client that is stopped starts nothing
            nursery.start_soon(task)

    log = ServedLog(start)
    log.note(ANN, FIRST, 1, 1, trio.current_time())
    await trio.sleep(10)
    async with trio.open_nursery() as nursery:
        running.append(nursery)
        log.note(BOB, FIRST, 1, 1, trio.current_time())
    assert len(caplog.messages) == 2


async def test_nothing_is_counted_where_the_log_is_off() -> None:
    log = ServedLog(lambda task: pytest.fail("a task was started"))
    log.note(ANN, FIRST, 1, 1, trio.current_time())
    log.forget(ANN)
