"""Delegated routing with Kubo: our client asks its gateway, and it asks our server."""

from __future__ import annotations

import subprocess
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from libp2p import RoutedHost, new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import RouterUnavailable
from libp2p.ipld.cid import CID
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.records.ipns_record import decode_record, make_record, routing_key
from libp2p.routing.found import FoundPeer
from libp2p.routing.http_client import HttpRouter
from libp2p.routing.http_listener import listening
from libp2p.routing.http_server import RoutingServer
from libp2p.routing.own_blocks import OwnBlocks
from libp2p.routing.parallel import ParallelRouter
from libp2p.routing.static import StaticRouter
from tests.integration.test_routing_api import command, serving
from tests.support.hosts import LOOPBACK
from tests.support.routers import ScriptedRouter

from .files import random_bytes
from .kubo import Kubo
from .need import need
from .ours import in_thread, running_bitswap
from .waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from libp2p.abc import IHost

pytestmark = pytest.mark.timeout(180)

DHT = {"Routing.Type": "dhtserver", "Routing.LoopbackAddressesOnLanDHT": True}
GATEWAY = {"Addresses.Gateway": "/ip4/127.0.0.1/tcp/0", "Gateway.ExposeRoutingAPI": True}
EXPIRES = 3600.0


def gateway_of(node: Kubo) -> str:
    """The URL of a daemon's gateway, which it has written down."""
    return (node.repo / "gateway").read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[Kubo, Kubo]]:
    """A node with a gateway, and one that only the DHT knows of: they are a network of two."""
    need("kubo")
    with Kubo(config={**DHT, **GATEWAY}) as gateway, Kubo(config=DHT) as provider:
        provider.swarm_connect(gateway.addr)
        yield gateway, provider


def announced(node: Kubo, data: bytes) -> CID:
    """Add a block to a node and announce it."""
    cid = node.text("block", "put", "--cid-codec=raw", input=data)
    node.run("routing", "provide", cid)
    return CID.parse(cid)


# -- our client -----------------------------------------------------------------------------------


async def test_a_block_is_found_through_kubos_gateway_and_fetched(
    network: tuple[Kubo, Kubo],
) -> None:
    gateway, provider = network
    data = random_bytes("found through the gateway", 4000)
    cid = await in_thread(announced, provider, data)
    async with HttpRouter(gateway_of(gateway)).run() as router:
        found = [info async for info in router.find_provider_iter(cid.buffer)]
        assert str(found[0].peer_id) == provider.id
        host = new_host()
        client = BitswapClient(host, MemoryBlockStore(), content_router=router)
        async with host.run(listen_addrs=[LOOPBACK]), client.run():
            assert await client.get_block(cid) == data
            assert [str(peer) for peer in host.get_connected_peers()] == [provider.id]
        nobody_has = CID.for_block(random_bytes("nobody has this", 100))
        assert [info async for info in router.find_provider_iter(nobody_has.buffer)] == []


async def test_a_host_finds_a_peer_through_kubos_gateway(network: tuple[Kubo, Kubo]) -> None:
    gateway, provider = network
    async with HttpRouter(gateway_of(gateway)).run() as router:
        peer_id = ID.from_string(provider.id)
        info = await router.find_peer(peer_id)
        assert info is not None
        assert info_from_p2p_addr(provider.addr).addrs[0] in info.addrs
        assert await router.find_peer(ID.from_pubkey(create_new_key_pair().public_key)) is None
        # Kubo answers this from its public DHT only, where a network on loopback has no peers.
        with pytest.raises(RouterUnavailable, match="failed to find any peer in table"):
            await router.get_closest_peers(peer_id.to_bytes())
        host = new_host(disc_opt=router)
        assert isinstance(host, RoutedHost)
        async with host.run(listen_addrs=[LOOPBACK]):
            await host.connect(PeerInfo(peer_id, []))
            assert host.is_peer_connected(peer_id)


async def test_records_of_ipns_go_both_ways_through_kubos_gateway(
    network: tuple[Kubo, Kubo],
) -> None:
    gateway, provider = network
    path = f"/ipfs/{await in_thread(announced, provider, b'published by Kubo')}"
    await in_thread(provider.run, "name", "publish", "--ttl=7m", path)
    async with HttpRouter(gateway_of(gateway)).run() as router:
        record = await router.get_value(routing_key(ID.from_string(provider.id)))
        assert record is not None
        assert decode_record(record).value.decode() == path
        assert decode_record(record).ttl == 420

        pair = create_new_key_pair()
        name = ID.from_pubkey(pair.public_key)
        assert await router.get_value(routing_key(name)) is None
        ours = make_record(pair.private_key, path, sequence=3, expires=time.time() + EXPIRES)
        await router.put_value(routing_key(name), ours.encoded)
        assert await router.get_value(routing_key(name)) == ours.encoded
        resolved = await in_thread(
            provider.text, "name", "resolve", f"/ipns/{name.to_multibase('base36')}"
        )
        assert resolved == path


# -- our server -----------------------------------------------------------------------------------


class OurNode:
    """A host with blocks, and the URL of its routing server."""

    def __init__(self, client: BitswapClient, url: str, values: ScriptedRouter) -> None:
        self.client = client
        self.url = url
        self.values = values


def own_blocks(client: BitswapClient) -> OwnBlocks:
    """A router that knows what a client has."""

    async def has(cid: CID) -> bool:
        return await client.block_store.has_block(cid)

    def info() -> PeerInfo:
        host: IHost = client.host
        return FoundPeer(host.get_id(), host.get_addrs(), ["transport-bitswap"])

    return OwnBlocks(info, has)


@asynccontextmanager
async def our_node() -> AsyncIterator[OurNode]:
    values = ScriptedRouter()
    async with running_bitswap() as client:
        routers = {"own": own_blocks(client), "friends": StaticRouter(), "values": values}
        async with (
            ParallelRouter(routers).run() as router,
            listening(RoutingServer(router), "127.0.0.1:0") as url,
        ):
            yield OurNode(client, url, values)


def custom(url: str) -> dict[str, object]:
    """Kubo's configuration to ask one server for everything, and nobody else."""
    methods = ("find-providers", "find-peers", "get-ipns", "put-ipns", "provide")
    return {
        "Routing.Type": "custom",
        "Routing.Routers": {"ours": {"Type": "http", "Parameters": {"Endpoint": url}}},
        "Routing.Methods": {method: {"RouterName": "ours"} for method in methods},
        "Provide.Enabled": False,
    }


def delegated(url: str) -> dict[str, object]:
    """The same by Kubo's simple configuration."""
    return {
        "Routing.Type": "delegated",
        "Routing.DelegatedRouters": [url],
        "Provide.Enabled": False,
    }


@pytest.mark.parametrize("configure", [custom, delegated])
async def test_kubo_fetches_a_file_that_only_we_have_found_through_our_server(
    configure: object,
) -> None:
    need("kubo")
    assert callable(configure)
    async with our_node() as ours:
        data = random_bytes("only ours", 200_000)
        cid = CID.for_block(data)
        await ours.client.add_block(cid, data)
        node = Kubo(config=configure(ours.url))
        try:
            await in_thread(node.__enter__)
            assert await in_thread(node.text, "swarm", "peers") == ""
            found = await in_thread(node.text, "routing", "findprovs", str(cid))
            assert found == str(ours.client.host.get_id())
            assert await in_thread(node.cat, str(cid), "--timeout=30s") == data
            peers = await in_thread(node.text, "swarm", "peers")
            assert str(ours.client.host.get_id()) in peers
        finally:
            await in_thread(node.close)


async def test_kubo_finds_peers_and_names_through_our_server() -> None:
    need("kubo")
    async with our_node() as ours:
        me = ours.client.host.get_id()
        node = Kubo(config=custom(ours.url))
        try:
            await in_thread(node.__enter__)
            addresses = await in_thread(node.text, "routing", "findpeer", str(me))
            known = list(map(str, ours.client.host.get_addrs()))
            assert [f"{address}/p2p/{me}" for address in addresses.splitlines()] == known

            pair = create_new_key_pair()
            name = ID.from_pubkey(pair.public_key)
            record = make_record(
                pair.private_key, "/ipfs/bafkqaaa", sequence=1, expires=time.time() + EXPIRES
            )
            ours.values.values[routing_key(name)] = [record.encoded]
            path = f"/ipns/{name.to_multibase('base36')}"
            assert await in_thread(node.text, "name", "resolve", path) == "/ipfs/bafkqaaa"

            await in_thread(node.run, "name", "publish", "--allow-offline", "/ipfs/bafkqaaa")
            key = routing_key(ID.from_string(node.id))

            async def is_published() -> bool:
                return key in ours.values.values

            await until(is_published, "the record that Kubo publishes")
            assert decode_record(ours.values.values[key][0]).value == b"/ipfs/bafkqaaa"
        finally:
            await in_thread(node.close)


@asynccontextmanager
async def dht_server(node: Kubo) -> AsyncIterator[str]:
    """The URL of our routing server over our DHT, which knows one node of a network."""
    host = new_host()
    dht = KadDHT(host, DHTMode.CLIENT, lan=True)
    async with host.run(listen_addrs=[LOOPBACK]), dht.run():
        await host.connect(info_from_p2p_addr(node.addr))

        async def is_in_the_table() -> bool:
            return dht.get_routing_table_size() > 0

        await until(is_in_the_table, "Kubo in our routing table")
        router = ParallelRouter({"dht": dht})
        async with router.run(), listening(RoutingServer(router), "127.0.0.1:0") as url:
            yield url


async def test_kubo_asks_the_dht_through_our_server(network: tuple[Kubo, Kubo]) -> None:
    gateway, provider = network
    data = random_bytes("found in the DHT through our server", 4000)
    cid = await in_thread(announced, provider, data)
    path = f"/ipfs/{cid}"
    await in_thread(provider.run, "name", "publish", path)
    async with dht_server(gateway) as url:
        node = Kubo(config=custom(url))
        try:
            await in_thread(node.__enter__)
            assert await in_thread(node.text, "routing", "findprovs", str(cid)) == provider.id
            assert await in_thread(node.cat, str(cid), "--timeout=30s") == data
            found = await in_thread(node.text, "routing", "findpeer", provider.id)
            assert str(info_from_p2p_addr(provider.addr).addrs[0]) in found.splitlines()
            name = ID.from_string(provider.id).to_multibase("base36")
            assert await in_thread(node.text, "name", "resolve", f"/ipns/{name}") == path
            async with HttpRouter(url).run() as router:
                closest = await router.get_closest_peers(ID.from_string(provider.id).to_bytes())
                assert {str(info.peer_id) for info in closest} >= {gateway.id, provider.id}
        finally:
            await in_thread(node.close)


def test_kubo_fetches_a_file_with_the_url_of_serve_alone(tmp_path: Path) -> None:
    need("kubo")
    file = tmp_path / "file"
    file.write_bytes(random_bytes("a file of ipfs-lite", 700_000))
    repo = tmp_path / "repo"
    add = subprocess.run(command(repo, "add", "-Q", file), check=True, capture_output=True)
    cid = add.stdout.decode().strip()
    with serving(repo) as places, Kubo(config=delegated(places["routing_api"])) as node:
        assert node.cat(cid, "--timeout=30s") == file.read_bytes()
