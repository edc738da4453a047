"""A network of Go DHT servers with some of ours among them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.peerinfo import info_from_p2p_addr
from tests.support.hosts import LOOPBACK

from .ours import address_of
from .waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from libp2p import BasicHost

    from .go_dht import GoDht

LEAST_TABLE = 15
"""Peers that each table has before anything is asked, in a network of more than that."""


@dataclass(frozen=True)
class OurNode:
    """One of our servers."""

    host: BasicHost
    dht: KadDHT

    @property
    def id(self) -> str:
        """Its peer id."""
        return str(self.host.get_id())

    @property
    def addr(self) -> str:
        """Its full multiaddr."""
        return address_of(self.host)


@asynccontextmanager
async def running_node(
    bootstrap: Sequence[str] = (), mode: DHTMode = DHTMode.SERVER
) -> AsyncIterator[OurNode]:
    """Run a server that is connected to others."""
    host = new_host()
    dht = KadDHT(host, mode)
    async with host.run(listen_addrs=[LOOPBACK]), dht.run():
        for addr in bootstrap:
            await host.connect(info_from_p2p_addr(addr))
        yield OurNode(host, dht)


@asynccontextmanager
async def joined(go: GoDht, count: int = 5) -> AsyncIterator[list[OurNode]]:
    """Run servers of ours that have joined a network of Go servers, each at another of them."""
    async with AsyncExitStack() as stack:
        ours = [
            await stack.enter_async_context(running_node([go.nodes[i % len(go.nodes)].addr]))
            for i in range(count)
        ]
        least = min(LEAST_TABLE, len(go.nodes) + count - 1)
        for node in ours:
            await until(_has(node, least), f"{node.dht!r} has {least} peers")
        yield ours


def _has(node: OurNode, least: int):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return len(node.dht.table) >= least

    return check
