"""Many peers in a process of their own: attackers, honest clients, idle strangers."""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import trio
from multiaddr import Multiaddr

from libp2p import BasicHost, new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.config import SwarmConfig
from libp2p.peer.peerinfo import info_from_p2p_addr
from tests.interop.child import JsonChild
from tests.support.attacks import Plan, attack, half_opened, source_of
from tests.support.blocks import block
from tests.support.commands import serve_commands
from tests.support.hosts import ECHO
from tests.support.watched_host import BLOCK_SIZE

ROOT: Final = Path(__file__).resolve().parents[2]


class Crowd(JsonChild):
    """The process, as its parent sees it; see `Members` for its commands."""

    def __init__(self, address: str) -> None:
        super().__init__([sys.executable, "-m", "tests.support.crowd", address], cwd=ROOT)

    def arrive(self, command: str, **fields: object) -> dict[str, Any]:
        """Let members come; they stay until `leave`."""
        return self.request(command, wait=300.0, **fields)

    def leave(self) -> None:
        """End at once, as a process does that is killed: nothing is said to the host."""
        self.kill()


class Members:
    """What the crowd can do."""

    def __init__(self, address: str, nursery: trio.Nursery) -> None:
        self._address = address
        self._nursery = nursery

    async def attack(
        self, first: int, count: int, seconds: float, plan: dict[str, Any]
    ) -> dict[str, Any]:
        """Let so many attackers come at once, and answer after so many seconds; they go on."""
        for number in range(first, first + count):
            self._nursery.start_soon(attack, self._address, Plan(**plan), number)
        await trio.sleep(seconds)
        return {}

    async def connect(
        self,
        count: int,
        *,
        at: float = 0.0,
        pause: float = 0.0,
        served: bool = True,
        patience: float = 120.0,
    ) -> dict[str, Any]:
        """
        Let so many hosts dial in one moment, and be served a block and an echo each.

        :param at: the moment, by ``time.monotonic``, which all processes share.
        :param pause: seconds between one and the next.
        :param served: if not, they are connected and identified, and idle from then on.
        :param patience: seconds after which the answer does not wait for the rest of them.
        """
        tally: Counter[str] = Counter()
        seconds: list[float] = []
        # Hundreds that share a processor take longer than one that has it alone.
        config = SwarmConfig(dial_timeout=patience, dial_peer_timeout=patience)
        hosts = [new_host(connection_config=config) for _ in range(count)]
        at = trio.current_time() + max(at - time.monotonic(), 0.5)

        async def one(number: int, done: trio.Event) -> None:
            host = hosts[number]
            try:
                async with host.run(listen_addrs=[]):
                    await trio.sleep_until(at + number * pause)
                    try:
                        await self._visit(host, number, tally, served=served)
                    except BaseLibp2pError as error:
                        tally[f"{type(error).__name__}: {str(error)[:200]}"] += 1
                    seconds.append(trio.current_time() - at)
                    done.set()
                    await trio.sleep_forever()
            except Exception as error:  # noqa: BLE001 - the parent is told
                tally[f"host died: {error!r}"[:200]] += 1
            finally:
                done.set()

        all_done = [trio.Event() for _ in range(count)]
        for number, done in enumerate(all_done):
            self._nursery.start_soon(one, number, done)
        with trio.move_on_after(patience):
            for done in all_done:
                await done.wait()
        return {"tally": tally, "seconds": max(seconds)}

    async def _visit(
        self, host: BasicHost, number: int, tally: Counter[str], *, served: bool
    ) -> None:
        info = info_from_p2p_addr(Multiaddr(self._address))
        await host.connect(info)
        tally["connected"] += 1
        if ECHO in host.get_peerstore().get_protocols(info.peer_id):
            tally["identified"] += 1
        if not served:
            return
        stream = await host.new_stream(info.peer_id, [ECHO])
        await stream.write(b"%d" % number)
        await stream.close_write()
        if await stream.read() == b"%d" % number:
            tally["echoed"] += 1
        cid, data = block(number % 16, BLOCK_SIZE)
        async with BitswapClient(host, MemoryBlockStore()).run() as client:
            if await client.get_block(cid, timeout=60) == data:
                tally["fetched"] += 1

    async def time_connects(self, count: int) -> dict[str, Any]:
        """Let so many hosts dial, one after the other; the seconds that each took."""
        info = info_from_p2p_addr(Multiaddr(self._address))
        seconds: list[float] = []
        for _ in range(count):
            host = new_host()
            async with host.run(listen_addrs=[]):
                began = trio.current_time()
                await host.connect(info)
                seconds.append(trio.current_time() - began)
        return {"seconds": seconds}

    async def half_open(self, count: int, *, source: str = "", pause: float) -> dict[str, Any]:
        """
        Hold so many handshakes open that never go on, and begin one anew for each that is cut off.

        :param source: the address that they come from; by default many.
        :param pause: seconds before it is begun anew.
        """

        async def strange(number: int) -> None:
            while True:
                with suppress(OSError):
                    await half_opened(self._address, source or source_of(number), b"")
                await trio.sleep(pause)

        for number in range(count):
            self._nursery.start_soon(strange, number)
        await trio.sleep(0.5)
        return {}


async def main(address: str) -> None:
    async with trio.open_nursery() as nursery:
        members = Members(address, nursery)
        await serve_commands(
            {},
            {
                name: getattr(members, name)
                for name in ("attack", "connect", "half_open", "time_connects")
            },
        )
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
