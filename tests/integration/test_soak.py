"""``make soak`` in small, and that it would notice what it is there to notice."""

from __future__ import annotations

import pytest
import trio

from bench import soak
from bench.soak import MAX_GROWTH_BYTES, MINUTE, Interval, Plan, Soak, answer, faults, quantile
from tests.support.hosts import connected_hosts, hold

#: For a test machine that is busy with other things.
LOOSE_SECONDS = 1.0
MEGABYTE = 10**6


@pytest.mark.slow
async def test_a_busy_connection_leaves_nobody_behind() -> None:
    intervals: list[Interval] = []
    async with connected_hosts() as (ours, theirs):
        answer(theirs)
        load = Soak(ours, theirs.get_id(), Plan(seconds=2, interval=0.5, opens_per_second=100))
        await load.run(intervals.append)
    assert load.stalls == []
    assert len(intervals) == 4
    assert min(min(interval.sent, interval.received) for interval in intervals) > MEGABYTE
    latencies = [latency for interval in intervals for latency in interval.latencies]
    assert len(latencies) > 100
    assert quantile(latencies, 0.99) < LOOSE_SECONDS


async def test_a_stream_that_stands_still_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "STALL_SECONDS", 0.3)
    async with connected_hosts() as (ours, theirs):
        answer(theirs)
        theirs.set_stream_handler(soak.BULK, hold)
        load = Soak(ours, theirs.get_id(), Plan(seconds=20, bulk_streams=1, opens_per_second=1))
        with trio.fail_after(10):
            await load.run(lambda _: None)
    assert {stall.split(" has stood still")[0] for stall in load.stalls} == {"pour 0", "drain 0"}


def interval(latency: float = 0.001, size: int = 50 * 2**20) -> Interval:
    return Interval(10, 0, 0, [latency] * 100, (size, size))


def test_short_streams_that_are_slow_and_memory_that_grows_are_faults() -> None:
    steady = [interval() for _ in range(3 * MINUTE)]
    assert list(faults(steady)) == []
    slow = [*steady[:-2], interval(latency=0.2), interval(latency=0.2)]
    assert list(faults(slow)) == ["p99 of the short streams is 200 ms, not 50"]
    growing = [interval(size=50 * 2**20 + MAX_GROWTH_BYTES * n // MINUTE) for n in range(20)]
    assert [fault.split(" by ")[0] for fault in faults(growing)] == [
        "memory here has grown",
        "memory there has grown",
    ]
    assert list(faults(growing[:MINUTE])) == []
