"""What one get costs the scheduler, on real hosts over loopback."""

from __future__ import annotations

from collections import Counter

import trio

from libp2p.bitswap import BitswapClient, MemoryBlockStore
from tests.support.blocks import blocks
from tests.support.hosts import info_of, running_host

GETS = 50


class Steps(trio.abc.Instrument):
    """Counts how often each task is resumed."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count[task.name] += 1


async def test_a_lone_get_wakes_two_readers_and_whoever_waits_and_nobody_else() -> None:
    content = blocks(GETS + 1, 1024)
    store = MemoryBlockStore()
    await store.put_blocks(list(content.items()))
    async with (
        running_host() as there,
        running_host() as here,
        BitswapClient(there, store).run(),
        BitswapClient(here, MemoryBlockStore()).run() as client,
    ):
        await here.connect(info_of(there))
        first, *others = content
        await client.get_block(first)
        await trio.testing.wait_all_tasks_blocked(0.1)
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        for cid in others:
            assert await client.get_block(cid) == content[cid]
        trio.lowlevel.remove_instrument(steps)
    woken = sum(
        count
        for name, count in steps.count.items()
        if name.startswith("libp2p.bitswap") and not name.endswith("_watch_time")
    )
    assert woken < GETS / 10
    assert steps.count.total() < 4 * GETS
