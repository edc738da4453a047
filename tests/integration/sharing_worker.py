"""
One of several processes on a repo. Its arguments are the repo, a role, a seed, and seconds.

It prints ``ready`` and at last the number of its rounds. Content is made from its name, which is
the name of its pin, so whoever reads it knows what it must be.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.errors import BitswapError
from libp2p.blockstore import MemoryBlockStore
from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.errors import NotPinnedError
from libp2p.ipfs_lite.repo import Repo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libp2p.ipfs_lite.pin_table import Pin

#: Pins that an adder keeps; then it removes its oldest one.
KEPT = 10
SMALL = "size-4096"


def content(name: str) -> bytes:
    _, size = name.split()
    return random.Random(name).randbytes(int(size))


class Role:
    def __init__(self, peer: Peer, chance: random.Random) -> None:
        self.peer = peer
        self.chance = chance
        self.mine: list[Pin] = []

    def new_name(self) -> str:
        return f"{self.chance.getrandbits(60)} {self.chance.choice([100, 9_000, 200_000])}"

    async def add(self) -> None:
        name = self.new_name()
        added = await self.peer.add_file(content(name), chunker=SMALL, name=name)
        self.mine.append(await self.peer.pins.find(added.cid))
        if len(self.mine) > KEPT:
            await self.peer.pins.rm(self.mine.pop(0).cid)

    async def loose(self) -> None:
        await self.peer.add_file(content(self.new_name()), chunker=SMALL, pin=False)

    async def pin(self) -> None:
        """Pin what was added without a pin, and move the pin on."""
        names = [self.new_name(), self.new_name()]
        with self.peer.lease():
            first, second = [
                (await self.peer.add_file(content(name), chunker=SMALL, pin=False)).cid
                for name in names
            ]
            await self.peer.pins.add(first)
            await self.peer.pins.update(first, second)
            await self.peer.pins.add(second, name=names[1])
        self.mine.append(await self.peer.pins.find(second))
        if len(self.mine) > KEPT:
            await self.peer.pins.rm(self.mine.pop(0).cid)

    async def cat(self) -> None:
        """Read what is pinned, by whomever."""
        named = [pin async for pin in self.peer.pins.ls("recursive") if pin.name]
        if not named:
            await trio.sleep(0.01)  # time: until somebody has added something
            return
        pin = self.chance.choice(named)
        try:
            async with await self.peer.get_file(pin.cid) as file:
                assert await file.read() == content(pin.name), pin
        except BitswapError:
            try:
                await self.peer.pins.find(pin.cid, "recursive")
            except NotPinnedError:  # it was unpinned and collected before it was read
                return
            raise

    async def gc(self) -> None:
        async for _ in self.peer.gc():
            pass


async def work(role: str, peer: Peer, seed: int, seconds: float) -> None:
    acting = Role(peer, random.Random(seed))
    act: Callable[[], Awaitable[None]] = getattr(acting, {"get": "cat"}.get(role, role))
    rounds, end = 0, trio.current_time() + seconds
    while trio.current_time() < end:
        await act()
        rounds += 1
    say(rounds)


def say(value: object) -> None:
    print(value, flush=True)


async def serve(repo: str) -> None:
    async with Peer.open(repo, listen="/ip4/127.0.0.1/tcp/0", dht="off", bootstrap=[]) as peer:
        say(peer.addrs[0])
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        say(1)


async def fetch(repo: str, address: str, seed: int, seconds: float) -> None:
    """Fetch what is pinned there from the peer that serves it, into a store of its own."""
    chance, rounds, end = random.Random(seed), 0, trio.current_time() + seconds
    async with (
        Peer.open(repo, online=False) as shown,
        Peer.open(block_store=MemoryBlockStore(), dht="off", bootstrap=[]) as peer,
    ):
        await peer.connect(address)
        say("ready")
        while trio.current_time() < end:
            named = [pin async for pin in shown.pins.ls("recursive") if pin.name]
            pin = chance.choice(named) if named else None
            if pin is None:
                await trio.sleep(0.01)  # time: until somebody has added something
                continue
            try:
                async with await peer.get_file(pin.cid, timeout=20) as file:
                    assert await file.read() == content(pin.name), pin
                rounds += 1
            except BitswapError:
                try:
                    await shown.pins.find(pin.cid, "recursive")
                except NotPinnedError:
                    continue
                raise
    say(rounds)


async def main(repo: str, role: str, seed: str, seconds: str) -> None:
    if role == "serve":
        await serve(repo)
    elif role.startswith("/"):
        await fetch(repo, role, int(seed), float(seconds))
    else:
        online = {"dht": "off", "bootstrap": []} if role == "get" else {"online": False}
        async with Peer.open(repo, **online) as peer:
            say("ready")
            await work(role, peer, int(seed), float(seconds))


if __name__ == "__main__":
    assert Repo.exists(Path(sys.argv[1]))
    repo, role, seed, seconds = sys.argv[1:]
    trio.run(main, repo, role, seed, seconds)
