"""
A bitswap peer with blocks in memory and the commands of the boxo peer: JSON lines in, JSON out.

Started by path, it imports whichever ``libp2p`` its interpreter has, as ``peer.py`` does. The first
line it prints is {"id": PEER ID, "addrs": [...]}; it ends with its standard input.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.bitswap.cid import CODEC_RAW, cid_to_text, compute_cid_v1, parse_cid
from libp2p.peer.peerinfo import info_from_p2p_addr


class Peer:
    """One host, its bitswap and what it is told to do."""

    def __init__(self, host: Any, exchange: Any) -> None:
        self._host = host
        self._exchange = exchange

    async def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command; each is a method with the command's name."""
        method = getattr(self, command["command"])
        answer: dict[str, Any] = await method(command)
        return answer

    async def fill(self, command: dict[str, Any]) -> dict[str, Any]:
        """Add `count` random raw blocks of `size` bytes."""
        source, cids = random.Random(command["seed"]), []
        for _ in range(command["count"]):
            data = source.randbytes(command["size"])
            cid = compute_cid_v1(data, CODEC_RAW)
            await self._exchange.add_block(cid, data)
            cids.append(cid_to_text(cid))
        return {"cids": cids}

    async def connect(self, command: dict[str, Any]) -> dict[str, Any]:
        """Dial a full multiaddr."""
        info = info_from_p2p_addr(Multiaddr(command["addr"]))
        await self._host.connect(info)
        return {"peer": str(info.peer_id)}

    async def get_many(self, command: dict[str, Any]) -> dict[str, Any]:
        """Fetch all of `cids` in one call."""
        return await self._measured(self._together(command["cids"], command["timeout"]))

    async def get_each(self, command: dict[str, Any]) -> dict[str, Any]:
        """Fetch `cids` one after the other."""
        return await self._measured(self._apart(command["cids"], command["timeout"]))

    async def _together(self, cids: list[str], timeout: float) -> AsyncIterator[int]:
        session = self._exchange.new_session()
        wanted = [parse_cid(cid) for cid in cids]
        if hasattr(session, "get_blocks"):
            async for _, data in session.get_blocks(wanted, timeout=timeout):
                yield len(data)
        else:
            for data in (await session.get_blocks_batch(wanted, timeout=timeout)).values():
                yield len(data)

    async def _apart(self, cids: list[str], timeout: float) -> AsyncIterator[int]:
        session = self._exchange.new_session()
        for cid in cids:
            yield len(await session.get_block(parse_cid(cid), timeout=timeout))

    async def _measured(self, sizes: AsyncIterator[int]) -> dict[str, Any]:
        cpu, start, count, total = time.process_time(), time.perf_counter(), 0, 0
        async for size in sizes:
            count += 1
            total += size
        seconds = time.perf_counter() - start
        cost = time.process_time() - cpu
        return {"count": count, "bytes": total, "seconds": seconds, "cpu_seconds": cost}


async def main() -> None:
    """Serve bitswap and carry out commands until the input ends."""
    host = new_host()
    async with (
        host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]),
        trio.open_nursery() as nursery,
    ):
        exchange = BitswapClient(host, MemoryBlockStore())
        exchange.set_nursery(nursery)
        await exchange.start()
        peer = Peer(host, exchange)
        hello = {"id": str(host.get_id()), "addrs": [str(addr) for addr in host.get_addrs()]}
        # Else it is chance whether a full collection of what the start allocated, of 20 ms,
        # falls into a row of 50 ms.
        gc.collect()
        print(json.dumps(hello), flush=True)
        async with trio.wrap_file(sys.stdin) as commands:
            async for line in commands:
                command = json.loads(line)
                answer = await peer.do(command)
                print(json.dumps({**answer, "id": command["id"]}), flush=True)
        await exchange.stop()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
