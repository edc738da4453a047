"""Calls that are written together: what becomes of the others when one of them is cancelled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from libp2p.blockstore.joined_writes import JoinedWrites
from libp2p.exceptions import BlockStoreError

if TYPE_CHECKING:
    from libp2p.blockstore.joined_writes import KeyedBlocks


class Disk:
    """What is written, one list for each hop; the first hop waits until it is let on."""

    def __init__(self) -> None:
        self.hops: list[list[bytes]] = []
        self.let_on = threading.Event()

    def write(self, blocks: KeyedBlocks) -> None:
        assert self.let_on.wait(10)
        self.hops.append([key for key, _ in blocks])
        if (b"bad", b"") in blocks:
            raise BlockStoreError("no space")


@pytest.mark.parametrize("abandon", [False, True])
async def test_who_is_cancelled_in_the_moment_of_its_turn_takes_nobodys_blocks_along(
    abandon: bool,
) -> None:
    disk, cancelled = Disk(), trio.CancelScope()
    writes = JoinedWrites(abandon=abandon)

    async def write_first() -> None:
        await writes.put([(b"first", b"")], disk.write)
        cancelled.cancel()  # the second call has the lock by now, and has not run yet

    async def write_second() -> None:
        with cancelled:
            await writes.put([(b"second", b"")], disk.write)

    async def write_third() -> None:
        await writes.put([(b"third", b"")], disk.write)

    async with trio.open_nursery() as nursery:
        for task in (write_first, write_second, write_third):
            nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked()
        disk.let_on.set()
    assert cancelled.cancelled_caught
    assert disk.hops == [[b"first"], [b"second", b"third"]]


async def test_each_caller_of_a_batch_that_fails_is_told_and_the_next_one_is_written() -> None:
    disk = Disk()
    writes = JoinedWrites()
    failed: dict[bytes, str] = {}

    async def put(key: bytes) -> None:
        try:
            await writes.put([(key, b"")], disk.write)
        except BlockStoreError as error:
            failed[key] = str(error)

    async with trio.open_nursery() as nursery:
        for key in (b"first", b"bad", b"good"):
            nursery.start_soon(put, key)
            await trio.testing.wait_all_tasks_blocked()
        disk.let_on.set()
    assert failed == {b"bad": "no space", b"good": "no space"}
    await put(b"next")
    assert disk.hops == [[b"first"], [b"bad", b"good"], [b"next"]]
