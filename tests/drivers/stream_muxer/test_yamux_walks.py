"""
Two connections whose users do by chance what users do, and are cancelled while they do it.

Time is virtual, so whoever is not woken shows as a task that has not ended long after all others.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import inf
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.exceptions import MuxedConnUnavailable, MuxedStreamError
from libp2p.stream_muxer.yamux.config import CLOSE_GRACE, DEFAULT_CONFIG
from tests.support.memory_session import joined, numbered

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.yamux import Yamux
    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
    from tests.support.channels import MemoryConnection

KIB = 1024
LINES = {"dialler": numbered(600 * KIB), "listener": numbered(600 * KIB)[::-1]}
"""What each side writes on every stream, as far as it gets: more than two windows."""
SIZES = [1, 1000, 65_507, 65_508, 300 * KIB]
#: The real ones, and some that a few streams reach.
LIMITS = {"max_unacknowledged": [1, 256], "max_send_queue": [40_000, 512 * KIB]}
#: Of the clock, in seconds; all pauses together come nowhere near it.
LONG_AFTER = 1000


class Walk:
    """One connection, its users, and what each direction of each stream has come to."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        limits = {name: self.rng.choice(values) for name, values in LIMITS.items()}
        self.config = replace(DEFAULT_CONFIG, **limits)
        #: By stream and writing side: bytes of those that were written whole and then closed.
        self.complete: dict[tuple[int, str], int] = {}
        self.ended_cleanly: dict[tuple[int, str], int] = {}

    async def pause(self) -> None:
        if self.rng.random() < 0.3:
            await trio.sleep(self.rng.random())

    def patience(self) -> trio.CancelScope:
        """Mostly without end, and sometimes over in the middle of something."""
        return trio.move_on_after(self.rng.random() * 3 if self.rng.random() < 0.3 else inf)

    async def write(self, stream: YamuxStream, side: str) -> None:
        written = 0
        with self.patience() as patience:
            for _ in range(self.rng.randrange(4)):
                size = min(self.rng.choice(SIZES), len(LINES[side]) - written)
                await stream.write(LINES[side][written : written + size])
                written += size
                await self.pause()
        await self.end(stream)
        if not patience.cancelled_caught:
            self.complete[stream.stream_id, side] = written

    async def read(self, stream: YamuxStream, writer: str) -> None:
        data = bytearray()
        while True:
            with self.patience() as patience:
                if not (pieces := await stream.receive()):
                    break
                data += b"".join(pieces)
                await self.pause()
            if patience.cancelled_caught and self.rng.random() < 0.5:
                await stream.close()
                break  # others go on where they were interrupted
        assert LINES[writer].startswith(data)
        if not patience.cancelled_caught:
            self.ended_cleanly[stream.stream_id, writer] = len(data)

    async def end(self, stream: YamuxStream) -> None:
        match self.rng.randrange(8):
            case 0:
                await stream.reset(self.rng.randrange(2**32))
            case 1:
                await stream.close()
            case _:
                await stream.close_write()

    async def use(self, stream: YamuxStream, side: str, other: str) -> None:
        """Write and read at the same time; either ends with the stream at the latest."""

        async def quietly(act: object, *args: object) -> None:
            with suppress(MuxedStreamError):
                await act(*args)  # type: ignore[operator]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(quietly, self.write, stream, side)
            nursery.start_soon(quietly, self.read, stream, other)

    async def open_some(self, connection: Yamux, side: str, other: str) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(self.rng.randrange(1, 5)):
                await self.pause()
                with self.patience(), suppress(MuxedConnUnavailable):
                    nursery.start_soon(self.use, await connection.open_stream(), side, other)

    async def accept_all(self, connection: Yamux, side: str, other: str) -> None:
        async with trio.open_nursery() as nursery:
            with suppress(MuxedConnUnavailable):
                while True:
                    nursery.start_soon(self.use, await connection.accept_stream(), side, other)

    async def run(self) -> None:
        async with joined(self.rng.choice([5000, 64 * KIB]), self.config) as (a, b):
            for connection in (a, b):
                raw: MemoryConnection = connection.secured_conn.raw_conn  # type: ignore[assignment]
                raw.piece_bytes = self.rng.choice([None, 3000, 70_000])
            sides = ((a, "dialler", "listener"), (b, "listener", "dialler"))
            with trio.fail_after(LONG_AFTER):
                async with trio.open_nursery() as accepting:
                    for ends in sides:
                        accepting.start_soon(self.accept_all, *ends)
                    async with trio.open_nursery() as opening:
                        for ends in sides:
                            opening.start_soon(self.open_some, *ends)
                        if self.rng.random() < 0.3:
                            await trio.sleep(self.rng.random() * 3)
                            await self.rng.choice((a, b)).close()
                    await self.check_what_is_left(a, b)
                    if not a.is_closed:
                        accepting.cancel_scope.cancel()

    async def check_what_is_left(self, a: Yamux, b: Yamux) -> None:
        if not a.is_closed:
            await trio.sleep(300)  # the other side's users have to end as well
            assert not a.is_closed
            assert not b.is_closed
        await trio.sleep(CLOSE_GRACE)
        await wait_all_tasks_blocked()
        for connection in (a, b):
            assert not connection.session.streams
            assert not connection.session._lingering
            assert not connection._scheduler._line.is_busy, "nobody waits in line or has a turn"
            assert not connection._scheduler._openers
            assert connection.session._holdings.windows.held == 0
        for direction, size in self.ended_cleanly.items():
            assert self.complete.get(direction, size) == size


@pytest.mark.slow
@settings(max_examples=settings().max_examples // 2)  # each is a dozen tasks with megabytes
@given(seed=st.integers(0, 2**64))
def test_nobody_is_left_waiting_whoever_is_cancelled(seed: int) -> None:
    trio.run(Walk(seed).run, clock=MockClock(autojump_threshold=0))
