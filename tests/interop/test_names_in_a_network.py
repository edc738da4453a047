"""
Names of IPNS in a network of Go DHT servers, Kubo daemons and servers of ours.

Every name that Kubo publishes is resolved by us, and every one of ours by Kubo.
"""

from __future__ import annotations

import statistics
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
import trio

from libp2p import new_host
from libp2p.datastore import MemoryDatastore
from libp2p.ipfs_lite.keystore import generate_key
from libp2p.ipld.cid import CID
from libp2p.ipns.name import Name
from libp2p.ipns.publisher import Publisher
from libp2p.ipns.resolver import Resolver
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.peerinfo import info_from_p2p_addr
from tests.support.hosts import LOOPBACK

from .go_dht import GoDht
from .kubo import Kubo
from .need import need
from .waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

GO_SERVERS: Final = 20
OUR_SERVERS: Final = 5
LEAST_TABLE: Final = 15
NAMES: Final = 100
AT_ONCE: Final = 4
"""Commands of Kubo side by side."""


@dataclass(frozen=True)
class Network:
    """What there is."""

    kubo: Kubo
    dhts: list[KadDHT]


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    """Run the network: that of a LAN, for Kubo takes loopback addresses for such."""
    config = {"Routing.Type": "dhtserver", "Routing.LoopbackAddressesOnLanDHT": True}
    with GoDht(GO_SERVERS, prefix="/ipfs/lan") as go, Kubo(config=config) as kubo:
        async with AsyncExitStack() as stack:
            dhts = []
            for number in range(OUR_SERVERS):
                host = new_host()
                dht = KadDHT(host, DHTMode.SERVER, lan=True)
                await stack.enter_async_context(host.run(listen_addrs=[LOOPBACK]))
                await stack.enter_async_context(dht.run())
                await host.connect(info_from_p2p_addr(go.nodes[number].addr))
                dhts.append(dht)
            await trio.to_thread.run_sync(kubo.swarm_connect, go.nodes[0].addr)
            for dht in dhts:

                async def is_full(dht: KadDHT = dht) -> bool:
                    return len(dht.table) >= LEAST_TABLE

                await until(is_full, f"{dht!r} has {LEAST_TABLE} peers")
            yield Network(kubo, dhts)


@pytest.mark.timeout(600)
async def test_every_name_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    need("kubo", "dht-peer")
    async with network() as net:
        theirs = await kubo_publishes(net, NAMES)
        seconds = await we_resolve(net, theirs)
        await kubo_resolves(net, await we_publish(net, NAMES))
    with capsys.disabled():
        median = 1000 * statistics.median(seconds)
        print(f"\n{NAMES} names each way, all found; ours resolves one in {median:.0f} ms")


async def kubo_publishes(net: Network, count: int) -> dict[Name, str]:
    """Kubo makes keys and publishes their names; what each stands for."""
    names: dict[Name, str] = {}

    async def publish(number: int) -> None:
        path = path_of(f"theirs {number}")
        key = await said(net.kubo, "key", "gen", f"key-{number}")
        await said(net.kubo, "name", "publish", path, f"--key=key-{number}", "--resolve=false")
        names[Name.of(key)] = path

    await side_by_side(publish, count)
    return names


async def we_resolve(net: Network, names: dict[Name, str]) -> list[float]:
    """Each name is resolved by another of our servers; how long each took."""
    resolvers = [Resolver(dht) for dht in net.dhts]
    seconds = []
    for number, (name, path) in enumerate(names.items()):
        began = time.perf_counter()
        found = await resolvers[number % len(resolvers)].resolve(name)
        seconds.append(time.perf_counter() - began)
        assert str(found.path) == path
    return seconds


async def we_publish(net: Network, count: int) -> dict[Name, str]:
    """Our servers publish names, in turns."""
    publishers = [Publisher(dht, MemoryDatastore()) for dht in net.dhts]
    names: dict[Name, str] = {}
    for number in range(count):
        path = path_of(f"ours {number}")
        published = await publishers[number % len(publishers)].publish(generate_key(), path)
        names[published.name] = path
    return names


async def kubo_resolves(net: Network, names: dict[Name, str]) -> None:
    """Kubo resolves all of them."""
    listed = list(names)

    async def resolve(number: int) -> None:
        name = listed[number]
        assert await said(net.kubo, "name", "resolve", str(name)) == names[name]

    await side_by_side(resolve, len(listed))


async def side_by_side(work: Callable[[int], Awaitable[None]], count: int) -> None:
    """Do something with each number, some at the same time."""
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def one(number: int) -> None:
        async with limiter:
            await work(number)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)


async def said(kubo: Kubo, *args: str) -> str:
    """What a command of Kubo's prints; our servers work meanwhile."""
    return await trio.to_thread.run_sync(lambda: kubo.text(*args))


def path_of(text: str) -> str:
    """A path for each text."""
    return f"/ipfs/{CID.for_block(text.encode())}"
