"""An asyncio program with a peer: the peer runs on trio, in a thread of its own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from libp2p.ipfs_lite import Peer

FILE = __file__
P = ParamSpec("P")
T = TypeVar("T")


class PeerThread:
    """``async with`` it in asyncio; `run` calls whatever belongs to the peer."""

    def __init__(self, portal: BlockingPortal, peer: Peer) -> None:
        self._portal = portal
        self.peer = peer

    async def run(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``call(…)`` in the peer's thread; cancelling this task cancels it there."""

        async def work() -> T:
            return await call(*args, **kwargs)

        return await asyncio.wrap_future(self._portal.start_task_soon(work))


async def open_peer(stack: AsyncExitStack, repo: str, *listen: str) -> PeerThread:
    """Open a peer that ends with ``stack``."""
    portal = stack.enter_context(start_blocking_portal("trio"))
    opening = portal.wrap_async_context_manager(Peer.open(repo, listen=listen))
    return PeerThread(portal, stack.enter_context(opening))


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            alice = await open_peer(stack, f"{folder}/alice", "/ip4/127.0.0.1/tcp/0")
            bob = await open_peer(stack, f"{folder}/bob")
            added = await alice.run(alice.peer.add_file, FILE)
            await bob.run(bob.peer.connect, alice.peer.addrs[0])
            file = await bob.run(bob.peer.get_file, added.cid)
            data = await bob.run(file.read)
            print(added.cid, len(data), "bytes under asyncio")


if __name__ == "__main__":
    asyncio.run(main())
