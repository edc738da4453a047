"""
Our DHT servers among servers of go-libp2p-kad-dht: what one announces or stores, all others find.

``KEYS`` keys of each kind; all of them have to be found.
"""

from __future__ import annotations

import os
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p import create_new_ed25519_key_pair
from libp2p.ipld.cid import CID
from libp2p.kad_dht.kad_dht import DHTMode
from libp2p.peer.id import ID
from libp2p.records.pubkey import public_key_record_key

from .child import ChildError
from .dht_network import joined, running_node
from .files import random_bytes
from .go_dht import GoDht
from .need import need
from .ours import in_thread
from .waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from .dht_network import OurNode

GO_SERVERS = 25
OUR_SERVERS = 5
KEYS = int(os.environ.get("DHT_KEYS", "25"))
MOST_TIMES_SLOWER = 20
"""As against Go: about two on a machine that does nothing else."""
AT_ONCE = 5
"""Keys that are looked up at the same time."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def go() -> Iterator[GoDht]:
    """The Go servers."""
    need("dht-peer")
    with GoDht(GO_SERVERS) as servers:
        yield servers


@pytest.fixture
async def ours(go: GoDht) -> AsyncIterator[list[OurNode]]:
    """Our servers, which have joined."""
    async with joined(go, OUR_SERVERS) as nodes:
        yield nodes


def transport(addr: str) -> str:
    """A full multiaddr without the peer's id."""
    return addr.rpartition("/p2p/")[0]


def some_cid(text: str, number: int) -> CID:
    """A CID that no other test has."""
    return CID.for_block(random_bytes(f"{text} {number}", 64))


async def for_each_key(work: Callable[[int], Awaitable[None]]) -> None:
    """Do something for each key, a few at a time."""
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def one(number: int) -> None:
        async with limiter:
            await work(number)

    async with trio.open_nursery() as nursery:
        for number in range(KEYS):
            nursery.start_soon(one, number)


async def test_providers_are_found_both_ways(go: GoDht, ours: list[OurNode]) -> None:
    found_by_go = found_by_us = 0

    async def one(number: int) -> None:
        nonlocal found_by_go, found_by_us
        node, server = number % OUR_SERVERS, number % GO_SERVERS
        cid = some_cid("ours", number)
        assert await ours[node].dht.provide(cid)
        providers, _ = await in_thread(go.find_providers, server, str(cid), 1)
        found_by_go += providers == [ours[node].id]

        cid = some_cid("theirs", number)
        await in_thread(go.provide, server, str(cid))
        [provider] = await ours[node].dht.find_providers(str(cid), 1)
        found_by_us += str(provider.peer_id) == go.nodes[server].id
        assert transport(go.nodes[server].addr) in map(str, provider.addrs)

    await for_each_key(one)
    assert (found_by_go, found_by_us) == (KEYS, KEYS)
    assert await ours[0].dht.find_providers(some_cid("nobody", 0)) == []


async def test_values_are_found_both_ways(go: GoDht, ours: list[OurNode]) -> None:
    found_by_go = found_by_us = 0

    async def one(number: int) -> None:
        nonlocal found_by_go, found_by_us
        node, server = number % OUR_SERVERS, number % GO_SERVERS
        public_key = create_new_ed25519_key_pair().public_key
        key, value = public_key_record_key(ID.from_pubkey(public_key)), public_key.serialize()
        await ours[node].dht.put_value(key, value)
        got, _ = await in_thread(go.get_value, server, key)
        found_by_go += got == value

        path = "" if number % 2 else f"/ipfs/{some_cid('value', number)}"
        key, value = await in_thread(go.make_record, path)
        await in_thread(go.put_value, server, key, value)
        ours_got = await ours[node].dht.get_value(key)
        found_by_us += ours_got == value

    await for_each_key(one)
    assert (found_by_go, found_by_us) == (KEYS, KEYS)
    key, _ = await in_thread(go.make_record)
    assert await ours[0].dht.get_value(key) is None
    with pytest.raises(ChildError, match="not found"):
        await in_thread(go.get_value, 0, key)


async def test_a_client_of_ours_finds_and_provides(go: GoDht, ours: list[OurNode]) -> None:
    async with running_node([go.nodes[3].addr], DHTMode.CLIENT) as client:
        await until(partial(_has_peers, client), "the client knows peers")
        theirs, own = some_cid("client", 0), some_cid("client", 1)
        await in_thread(go.provide, 7, str(theirs))
        [provider] = await client.dht.find_providers(theirs, 1)
        assert str(provider.peer_id) == go.nodes[7].id
        assert await client.dht.provide(own)
        assert (await in_thread(go.find_providers, 9, str(own), 1))[0] == [client.id]
        for server in range(GO_SERVERS):
            assert client.id not in await in_thread(go.table, server)
        assert all(client.host.get_id() not in node.dht.table for node in ours)


async def _has_peers(node: OurNode) -> bool:
    return len(node.dht.table) > 0


async def test_peers_are_found_both_ways(go: GoDht, ours: list[OurNode]) -> None:
    for number, node in enumerate(ours):
        server = go.nodes[-1 - number]
        peer = ID.from_string(server.id)
        # What is known of it already is forgotten, so that others have to be asked.
        await node.host.disconnect(peer)
        node.host.get_peerstore().clear_addrs(peer)
        info = await node.dht.find_peer(peer)
        assert info is not None
        assert transport(server.addr) in map(str, info.addrs)
        asker = (number * 5 + 1) % GO_SERVERS
        await in_thread(go.disconnect, asker, node.id)
        addrs, _ = await in_thread(go.find_peer, asker, node.id)
        assert transport(node.addr) in addrs


async def test_the_closest_peers_are_the_same_and_found_in_similar_time(
    go: GoDht, ours: list[OurNode], capsys: pytest.CaptureFixture[str]
) -> None:
    everybody = {*(server.id for server in go.nodes), *(node.id for node in ours)}
    ours_took: list[float] = []
    go_took: list[float] = []
    for number in range(KEYS):
        key = bytes(some_cid("closest", number).multihash)
        began = time.perf_counter()
        infos = await ours[number % OUR_SERVERS].dht.get_closest_peers(key)
        ours_took.append(time.perf_counter() - began)
        from_go, seconds = await in_thread(go.closest, number % GO_SERVERS, key)
        go_took.append(seconds)
        found = {str(info.peer_id) for info in infos}
        assert len(found) == 20
        assert found <= everybody
        # Nobody finds itself, so two answers may differ in one peer, and in the one that follows.
        assert len(found.intersection(from_go)) >= 18
    ours_median, go_median = statistics.median(ours_took), statistics.median(go_took)
    with capsys.disabled():
        print(
            f"\n  a lookup of the 20 closest peers: ours {ours_median * 1000:.1f} ms, "
            f"go {go_median * 1000:.1f} ms, ratio {ours_median / go_median:.1f}"
        )
    assert ours_median < MOST_TIMES_SLOWER * go_median
