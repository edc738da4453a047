"""The write lock: whole batches on the wire, whoever writes and however little the socket takes."""

from __future__ import annotations

from collections import defaultdict

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.stream_muxer.yamux.write_scheduler import WriteLock
from tests.support.ends import DATA, parse
from tests.support.memory_session import against_raw_peer, numbered

KIB = 1024


@pytest.mark.parametrize("pipe_bytes", [1, 7, 1000, 4000])
async def test_two_tasks_that_write_batches_tear_no_frame(
    pipe_bytes: int, autojump_clock: MockClock
) -> None:
    """Both write while the socket is in the middle of a batch, and takes a part of it at a time."""
    size = min(200 * KIB, 400 * pipe_bytes)
    texts = [numbered(size), numbered(size)[::-1]]
    batch = size // 20
    async with against_raw_peer(pipe_bytes) as (connection, peer), trio.open_nursery() as nursery:
        streams = [await connection.open_stream() for _ in texts]
        writing = len(texts)
        wire = bytearray()

        async def write(number: int) -> None:
            nonlocal writing
            for start in range(0, size, batch):
                await streams[number].write(texts[number][start : start + batch])
                await trio.sleep(0.01 * (number + 1))
            writing -= 1

        async def read() -> None:
            while buffers := await peer.connection.receive():
                wire.extend(b"".join(buffers))
                await trio.sleep(0.001)

        async with trio.open_nursery() as writers:
            nursery.start_soon(read)
            for number in range(len(texts)):
                writers.start_soon(write, number)
        await connection.close()
        nursery.cancel_scope.cancel()
    assert not writing
    assert connection.undelivered_bytes == 0
    received: defaultdict[int, bytes] = defaultdict(bytes)
    for each in parse(bytes(wire)):
        if each.kind == DATA:
            received[each.stream_id] += each.body
    assert [received[stream.stream_id] for stream in streams] == texts


async def test_a_write_that_would_not_wait_still_waits_for_the_lock() -> None:
    async with against_raw_peer(pipe_bytes=100) as (connection, peer):
        await peer.receive()
        first, second = await connection.open_stream(), await connection.open_stream()
        await wait_all_tasks_blocked()
        assert first.send_nowait([bytes(1000)])
        assert connection._scheduler._write_lock.held
        assert second.send_nowait([b"short"])  # it is queued
        assert connection.statistics().bytes_queued == 12 + 5
        wire = bytearray()
        while b"short" not in wire:
            wire += b"".join(await peer.connection.receive())
        bodies = [each.body for each in parse(bytes(wire)) if each.kind == DATA]
        assert bodies == [bytes(1000), b"short"]
        await wait_all_tasks_blocked()
        assert not connection._scheduler._write_lock.held


def test_the_lock_is_held_once() -> None:
    lock = WriteLock()
    assert [lock.try_acquire(), lock.try_acquire()] == [True, False]
    lock.release()
    assert lock.try_acquire()
