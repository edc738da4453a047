"""Fifty peers that want little beside one that wants much, on real hosts over loopback."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap import BitswapClient, MemoryBlockStore
from tests.support.blocks import blocks
from tests.support.fair_time import Stopwatch
from tests.support.hosts import info_of, running_host

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID

MODEST = 49
ROUNDS = 10
SMALL = blocks(ROUNDS, 1024)
LARGE = 64 * 1024


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_one_with_a_thousand_wants_does_not_hold_up_those_with_one() -> None:
    async with AsyncExitStack() as stack:
        server = await running_client(stack)
        large = blocks(1024, LARGE)
        for cid, data in (SMALL | large).items():
            await server.block_store.put_block(cid, data)
        clients = [await running_client(stack) for _ in range(MODEST + 1)]
        for client in clients:
            await client.host.connect(info_of(server.host))  # type: ignore[arg-type]  # our own
        greedy, *modest = clients
        await waits_of(modest)  # everything has been used once
        alone = beside = 0.0
        # Other programs on this machine disturb both; twice is enough to tell them apart.
        for _ in range(3):
            alone = p99(await waits_of(modest))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fetch_again_and_again, greedy, list(large))
                while server._engine.server.ledger.pending(greedy.host.get_id()) == 0:
                    await trio.lowlevel.checkpoint()
                beside = p99(await waits_of(modest))
                nursery.cancel_scope.cancel()
            if beside <= 3 * alone:
                break
        assert beside <= 3 * alone


async def running_client(stack: AsyncExitStack) -> BitswapClient:
    host = await stack.enter_async_context(running_host())
    return await stack.enter_async_context(BitswapClient(host, MemoryBlockStore()).run())


async def waits_of(clients: list[BitswapClient]) -> list[float]:
    """Let all of them ask for one block after the other; how long each waited for each."""
    waits: list[float] = []

    async def ask(client: BitswapClient) -> None:
        for cid in SMALL:
            watch = Stopwatch()
            await client.get_block(cid)
            waits.append(watch.seconds)
            await client.block_store.delete_block(cid)

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(ask, client)
    return waits


async def fetch_again_and_again(client: BitswapClient, cids: list[CID]) -> None:
    """Want a thousand blocks at once, for as long as it is let."""
    while True:
        async for cid, _ in client.get_blocks(cids, window=len(cids)):
            await client.block_store.delete_block(cid)


def p99(waits: list[float]) -> float:
    return sorted(waits)[len(waits) * 99 // 100]
