"""
A random walk over the API of peers, in one process over loopback.

Run as a module with a number of steps, and a seed if you like, it walks further than the tests do.
"""

from __future__ import annotations

import os
import random
import sys
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

from libp2p.bitswap.errors import BitswapError
from libp2p.blockstore import MemoryBlockStore
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.ipfs_lite import Peer, PeerClosedError, UnixFSReader
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.utils.faults import consists_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
#: Errors that a user has to expect of any call.
EXPECTED = (BaseLibp2pError, trio.TooSlowError)


def tasks() -> int:
    """Count the tasks of this run."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    todo, count = [root], 0
    while todo:
        task = todo.pop()
        count += 1
        for nursery in task.child_nurseries:
            todo += nursery.child_tasks
    return count


def sockets() -> int:
    """Count the sockets of this process; 0 where the system does not tell."""
    count = 0
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


@contextmanager
def expected() -> Iterator[None]:
    """Pass over what a step may fail with, also where its cancellation has made a group of it."""
    try:
        yield
    except Exception as error:
        if not consists_of(error, (*EXPECTED, trio.BusyResourceError)):
            raise


class Walk:
    """Three peers, and what has been done with them."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.peers: list[Peer] = []
        self.readers: list[tuple[UnixFSReader, bytes]] = []
        self.files: dict[CID, bytes] = {}
        self.iterators: list[Any] = []
        self.done: dict[str, int] = {}
        """How often each step has succeeded."""
        self.steps: list[Callable[[], Awaitable[object]]] = [
            self.add,
            self.get,
            self.get,
            self.read,
            self.read,
            self.read,
            self.read_all,
            self.seek,
            self.close,
            self.drop_reader,
            self.get_block,
            self.get_absent,
            self.iterate,
            self.drop_iterators,
            self.connect,
            self.connect,
            self.connect_to_nobody,
            self.disconnect,
            self.reopen,
            self.get_of_a_stranger,
            self.get_block_of_a_stranger,
        ]

    async def walk(self, steps: int) -> None:
        """Take so many steps, each of several at once and some of them cancelled anywhere."""
        async with AsyncExitStack() as stack:
            for _ in range(2):
                self.peers.append(await stack.enter_async_context(self._open()))
            while steps > 0:
                at_once = min(self.choose.randint(1, 4), steps)
                steps -= at_once
                with trio.fail_after(30):
                    async with trio.open_nursery() as nursery:
                        for _ in range(at_once):
                            nursery.start_soon(self._step, self.choose.choice(self.steps))
            with trio.fail_after(30):
                await self._prove_that_all_live()

    @staticmethod
    def _open() -> Any:
        return Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK])

    async def _step(self, step: Callable[[], Awaitable[object]]) -> None:
        patience = self.choose.choice([10.0, 10.0, 10.0, 0.0, 0.0005, 0.002, 0.01])
        with expected(), trio.move_on_after(patience):
            await step()
            self.done[step.__name__] = self.done.get(step.__name__, 0) + 1

    async def _prove_that_all_live(self) -> None:
        for peer in self.peers:
            others = [other for other in self.peers if other is not peer]
            data = self.choose.randbytes(100_000)
            cid = (await peer.add_file(data)).cid
            for other in others:
                await other.connect(peer.addrs[0])
                async with await other.get_file(cid, peers=[peer.peer_id]) as reader:
                    assert await reader.read() == data

    # -- steps --------------------------------------------------------------------------------

    @property
    def peer(self) -> Peer:
        return self.choose.choice(self.peers)

    async def add(self) -> None:
        data = self.choose.randbytes(self.choose.choice([0, 1, 1000, 300_000]))
        added = await self.peer.add_file(data, chunker=f"size-{self.choose.choice([4096, 65536])}")
        self.files[added.cid] = data

    def _a_file(self) -> tuple[CID, bytes]:
        if not self.files:
            return CID.for_block(b""), b""
        return self.choose.choice(list(self.files.items()))

    async def get(self) -> None:
        cid, data = self._a_file()
        peer = self.peer
        peers = None if self.choose.random() < 0.7 else [p.peer_id for p in self.peers]
        self.readers.append((await peer.get_file(cid, peers, timeout=5), data))

    def _a_reader(self) -> tuple[UnixFSReader, bytes]:
        if not self.readers:
            raise BitswapError("there is no reader yet")
        return self.choose.choice(self.readers)

    async def read(self) -> None:
        reader, data = self._a_reader()
        with suppress(ValueError):  # it was closed
            got = await reader.read(self.choose.choice([0, 1, 5000, 100_000]))
            # Another task may read the same one; what is read is the file's all the same.
            assert got in data

    async def read_all(self) -> None:
        reader, data = self._a_reader()
        with suppress(ValueError):
            assert data.endswith(await reader.read())

    async def seek(self) -> None:
        reader, data = self._a_reader()
        with suppress(ValueError):
            reader.seek(self.choose.randint(0, len(data)))

    async def close(self) -> None:
        reader, _ = self._a_reader()
        reader.close()

    async def drop_reader(self) -> None:
        if self.readers:
            self.readers.pop(self.choose.randrange(len(self.readers)))

    async def get_block(self) -> None:
        cid, _ = self._a_file()
        await self.peer.get_block(cid, timeout=5)

    async def get_absent(self) -> None:
        cid = CID.for_block(self.choose.randbytes(10))
        await (await self.peer.get_file(cid, timeout=0.05)).aclose()

    async def iterate(self) -> None:
        cid, _ = self._a_file()
        blocks = self.peer.bitswap.get_blocks([cid, CID.for_block(b"absent")], timeout=0.05)
        self.iterators.append(blocks)
        await anext(blocks)
        async for _ in self.peer.bitswap.get_blocks([cid, cid, cid], timeout=5):
            break  # it is dropped as it is

    async def drop_iterators(self) -> None:
        self.iterators.clear()

    async def connect(self) -> None:
        await self.peer.connect(self.peer.addrs[0])

    async def connect_to_nobody(self) -> None:
        await self.peer.connect(f"/ip4/127.0.0.1/tcp/1/p2p/{self._stranger()}")

    async def disconnect(self) -> None:
        await self.peer.host.disconnect(self.peer.peer_id)

    async def reopen(self) -> None:
        """A peer that comes, is given a file and goes; its reader stays behind."""
        if not self.files:
            return
        cid, data = self._a_file()
        async with self._open() as guest:
            await guest.connect(self.peer.addrs[0])
            reader = await guest.get_file(cid, timeout=5)
            await reader.read(1)
        with suppress(PeerClosedError):
            assert await reader.read() == data[1:] == b""

    def _stranger(self) -> ID:
        return ID.from_pubkey(create_new_key_pair(self.choose.randbytes(32)).public_key)

    async def get_of_a_stranger(self) -> None:
        cid = CID.for_block(self.choose.randbytes(10))
        await self.peer.get_file(cid, peers=[self._stranger()], timeout=5)

    async def get_block_of_a_stranger(self) -> None:
        cid = CID.for_block(self.choose.randbytes(10))
        await self.peer.bitswap.get_block(cid, self._stranger(), timeout=5)


async def walk_and_return(steps: int, seed: int) -> dict[str, int]:
    """Walk; at the end the tasks and sockets must be those that there were."""
    before = tasks(), sockets()
    walk = Walk(seed)
    await walk.walk(steps)
    await trio.testing.wait_all_tasks_blocked(0.05)
    after = tasks(), sockets()
    assert after == before, f"tasks and sockets: {before} before, {after} after"
    return walk.done


if __name__ == "__main__":
    taken = trio.run(
        walk_and_return, int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    )
    print(taken)
