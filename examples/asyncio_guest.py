"""An asyncio program with a peer: trio is a guest in asyncio's own loop, without a thread."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from outcome import Outcome

from libp2p.ipfs_lite import Peer

FILE = __file__
T = TypeVar("T")


async def as_guest(call: Callable[[], Awaitable[T]]) -> T:
    """Await ``call()`` on trio, within asyncio; cancelling this task cancels it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Outcome[T | None]] = loop.create_future()
    token: asyncio.Future[trio.lowlevel.TrioToken] = loop.create_future()
    scope = trio.CancelScope()

    async def run() -> T | None:
        token.set_result(trio.lowlevel.current_trio_token())
        with scope:
            return await call()
        return None

    trio.lowlevel.start_guest_run(
        run,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        done_callback=ended.set_result,
        host_uses_signal_set_wakeup_fd=True,
    )
    try:
        result = (await asyncio.shield(ended)).unwrap()
    except asyncio.CancelledError:
        (await token).run_sync_soon(scope.cancel)
        await ended
        raise
    assert result is not None
    return result


async def trade() -> str:
    """Two peers trade a file: all of this is trio."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Peer.open(f"{folder}/alice", listen=["/ip4/127.0.0.1/tcp/0"]) as alice,
            Peer.open(f"{folder}/bob") as bob,
        ):
            added = await alice.add_file(FILE)
            await bob.connect(alice.addrs[0])
            async with await bob.get_file(added.cid) as file:
                return f"{added.cid} {len(await file.read())} bytes as a guest of asyncio"


async def main() -> None:
    told, _ = await asyncio.gather(as_guest(trade), asyncio.sleep(0.1))
    print(told)


if __name__ == "__main__":
    asyncio.run(main())
