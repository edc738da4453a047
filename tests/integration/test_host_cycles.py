"""A host that is run and ended a hundred times in one process leaves nothing behind."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from typing import NamedTuple

import psutil
import trio

from libp2p import new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from tests.support.blocks import block
from tests.support.hosts import ECHO, LOOPBACK, echo, echoed, info_of

CYCLES = 100
#: Cycles after which all that is loaded and cached once is there.
WARM = 20
#: What the process may grow by in the other 80: a host and its connection take ten times as much.
MAX_GROWTH_BYTES = 8 * 2**20


class Held(NamedTuple):
    """What the process holds between two cycles."""

    sockets: int
    descriptors: int
    tasks: int
    threads: int


def held() -> Held:
    process, root = psutil.Process(), trio.lowlevel.current_root_task()
    assert root is not None
    return Held(len(process.net_connections()), process.num_fds(), _tasks(root), _threads())


def _threads() -> int:
    """Count threads, but for those that trio keeps for its next calls."""
    return sum("Trio" not in thread.name for thread in threading.enumerate())


def _tasks(task: trio.lowlevel.Task) -> int:
    return 1 + sum(
        _tasks(child) for nursery in task.child_nurseries for child in nursery.child_tasks
    )


async def cycle() -> None:
    """Let two hosts connect, echo and trade a block."""
    cid, data = block(1)
    one, two = new_host(), new_host()
    two.set_stream_handler(ECHO, echo)
    server, client = (BitswapClient(host, MemoryBlockStore()) for host in (two, one))
    await server.block_store.put_block(cid, data)
    async with one.run([LOOPBACK]), two.run([LOOPBACK]), server.run(), client.run():
        await one.connect(info_of(two))
        stream = await one.new_stream(two.get_id(), [ECHO])
        assert await echoed(stream, bytes(1000)) == bytes(1000)
        assert await client.get_block(cid, timeout=30) == data


def objects() -> Counter[str]:
    """Count the objects of this library's classes that are alive."""
    gc.collect()
    found = Counter(type(one) for one in gc.get_objects())
    return Counter({repr(kind): n for kind, n in found.items() if "libp2p." in repr(kind)})


async def test_a_hundred_runs_leave_no_socket_task_thread_or_memory() -> None:
    process = psutil.Process()
    for _ in range(WARM):
        await cycle()
    before, alive, memory = held(), objects(), process.memory_info().rss
    for _ in range(CYCLES - WARM):
        await cycle()
    assert objects() - alive == Counter()
    assert process.memory_info().rss - memory < MAX_GROWTH_BYTES
    assert held() == before


async def test_one_host_can_be_run_again_and_again() -> None:
    host, before = new_host(), held()
    for _ in range(CYCLES):
        async with host.run([LOOPBACK]):
            assert len(host.get_addrs()) == 1
    assert held() == before
