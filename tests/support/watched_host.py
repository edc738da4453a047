"""
A default host with a bitswap server in a process of its own, watched from within and without.

From within: the longest step of its event loop, in processor time of the loop's thread, so that a
busy machine does not count. From without: memory, processor time, and how long the process waited
for a processor.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.bitswap import BitswapClient, FilesystemBlockStore, MemoryBlockStore
from libp2p.network.config import SwarmConfig
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.utils.short_collections import short_collections
from tests.interop.child import JsonChild
from tests.support.blocks import block, blocks
from tests.support.commands import serve_commands
from tests.support.hosts import ECHO, HOLD, LOOPBACK, echo, hold
from tests.support.victim import POUR, pour

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.ipld.cid import CID

ROOT: Final = Path(__file__).resolve().parents[2]
#: What the server has: 32 MiB.
BLOCKS: Final = 128
BLOCK_SIZE: Final = 256 * 1024


def content() -> dict[CID, bytes]:
    """The blocks that every watched host has."""
    return blocks(BLOCKS, BLOCK_SIZE)


class StepWatch(trio.abc.Instrument):
    """
    Notes the longest step between two waits of any task, and the longest garbage collection.

    :param with_collections: count the collections that fell into a step as part of it: nothing else
        runs meanwhile. Without them it is what the task itself does.
    """

    def __init__(self, *, with_collections: bool = False) -> None:
        self._with_collections = with_collections
        self._began = self._collecting_since = self._collected = 0.0
        self.longest = self.longest_collection = 0.0
        self.where = ""
        gc.callbacks.append(self._on_collection)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began, self._collected = time.thread_time(), 0.0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        spent = time.thread_time() - self._began - self._collected
        if spent > self.longest and not task.name.startswith("tests.support.commands."):
            self.longest = spent
            self.where = task.name

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        now = time.thread_time()
        if phase == "start":
            self._collecting_since = now
        else:
            spent = now - self._collecting_since
            if not self._with_collections:
                self._collected += spent
            self.longest_collection = max(self.longest_collection, spent)

    def forget(self) -> None:
        self.longest, self.where, self.longest_collection = 0.0, "", 0.0

    def stop(self) -> None:
        """Watch collections no longer, in a process that goes on."""
        gc.callbacks.remove(self._on_collection)


class WatchedHost(JsonChild):
    """The process, as its parent sees it."""

    def __init__(self, **options: int) -> None:
        """:param options: see `main`."""
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        super().__init__([sys.executable, "-m", "tests.support.watched_host", *words], cwd=ROOT)
        self.address: str = self.hello["address"]
        self.info = info_from_p2p_addr(Multiaddr(self.address))

    def resident_bytes(self) -> int:
        """The memory that it has now (Linux only)."""
        return self._memory("VmRSS:")

    def peak_bytes(self) -> int:
        """The most memory since `forget_peak`."""
        return self._memory("VmHWM:")

    def forget_peak(self) -> None:
        """Let `peak_bytes` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def ask(self) -> dict[str, Any]:
        """How it stands: see `Watched.stand`."""
        return self.request("stand")

    def _memory(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise LookupError(name)


# -- in the process -------------------------------------------------------------------------------


class Watched:
    """What the parent may ask."""

    def __init__(self, client: BitswapClient, watch: StepWatch) -> None:
        self._client = client
        self._watch = watch

    async def stand(self) -> dict[str, Any]:
        """Connections, tasks, descriptors, and the longest step since `forget`."""
        root = trio.lowlevel.current_root_task()
        assert root is not None
        return {
            "connections": len(self._client.host.get_connected_peers()),
            "tasks": _count_tasks(root),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "longest_step": self._watch.longest,
            "longest_step_of": self._watch.where,
            "longest_collection": self._watch.longest_collection,
        }

    async def forget(self) -> dict[str, Any]:
        """Let the longest step begin anew."""
        gc.collect()
        self._watch.forget()
        return {}

    async def store(self, number: int) -> dict[str, Any]:
        """Store one more block and read it again."""
        cid, data = block(number, 4096)
        await self._client.block_store.put_block(cid, data)
        return {"same": await self._client.block_store.get_block(cid) == data}


def _count_tasks(task: trio.lowlevel.Task) -> int:
    return 1 + sum(
        _count_tasks(child) for nursery in task.child_nurseries for child in nursery.child_tasks
    )


async def serve(options: argparse.Namespace, watch: StepWatch, folder: str) -> None:
    limits = {"max_connections": options.max_connections} if options.max_connections else {}
    host = new_host(connection_config=SwarmConfig(**limits))
    for protocol, handler in ((ECHO, echo), (HOLD, hold), (POUR, pour)):
        host.set_stream_handler(protocol, handler)
    store = FilesystemBlockStore(folder) if options.files else MemoryBlockStore()
    for cid, data in content().items():
        await store.put_block(cid, data)
    client = BitswapClient(host, store)
    async with host.run(listen_addrs=[LOOPBACK]), client.run():
        watched = Watched(client, watch)
        commands: dict[str, Callable[..., Any]] = {
            name: getattr(watched, name) for name in ("stand", "forget", "store")
        }
        await serve_commands({"address": str(host.get_addrs()[0])}, commands)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-connections", type=int, default=0, help="0 for the default")
    parser.add_argument("--files", type=int, default=0, help="1: the store is a folder")
    parser.add_argument("--descriptors", type=int, default=0, help="hard limit; 0 for the system's")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if options.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    watch = StepWatch(with_collections=True)
    with TemporaryDirectory() as folder, short_collections():
        trio.run(serve, options, watch, folder, instruments=[watch])


if __name__ == "__main__":
    main()
