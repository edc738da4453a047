"""The names of a peer: published with its keys, kept alive while it is open, resolved."""

from __future__ import annotations

import time
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.exceptions import NameNotFound, RoutingError
from libp2p.ipfs_lite import KeyNotFoundError, OfflineError, Peer, PeerClosedError
from libp2p.ipns.name import Name
from libp2p.records.ipns_record import decode_record
from tests.support.value_routers import MemoryRouter, ScriptedRouter

FILE, OTHER = "/ipfs/bafkqaddimvwgy3zao5xxe3debi", "/ipfs/bafkqaaa"


@pytest.fixture
def router() -> MemoryRouter:
    return MemoryRouter(time.time)


async def test_one_peer_publishes_and_another_resolves(
    tmp_path: Path, router: MemoryRouter
) -> None:
    async with (
        Peer.open(tmp_path / "one", routers=[router], dht="off") as one,
        Peer.open(block_store=MemoryBlockStore(), routers=[router], dht="off") as two,
    ):
        published = await one.names.publish(FILE, ttl=60)
        assert published.name == Name(one.peer_id)
        found = await two.names.resolve(published.name)
        assert str(found.path) == FILE
        assert found.ttl == 60
        site = await trio.to_thread.run_sync(
            one.names.keystore.add, "site", Ed25519PrivateKey.new()
        )
        await one.names.publish(published.name, "site")
        async with aclosing(two.names.resolve_iter(site.ipns_name)) as steps:
            assert [str(step.path) async for step in steps] == [FILE]
        await one.names.publish(OTHER)
        assert str((await two.names.resolve(site.ipns_name)).path) == FILE, "it was kept"
        assert str((await two.names.resolve(site.ipns_name, use_cache=False)).path) == OTHER
        assert str((await one.names.resolve(site.ipns_name)).path) == OTHER, "its own is fresh"
        report = await one.names.republish()
        assert set(report.announced) == {published.name, site.ipns_name}
    async with Peer.open(tmp_path / "one", routers=[router], dht="off") as again:
        assert (await again.names.publish(FILE)).record.sequence == 2
        assert str(again.names.keystore.folder) in repr(again.names)
    assert decode_record(router.values[published.name.routing_key]).sequence == 2


async def test_a_peer_without_a_repo_has_one_key(router: MemoryRouter) -> None:
    key = Ed25519PrivateKey.new()
    async with Peer.open(
        block_store=MemoryBlockStore(), private_key=key, routers=[router], dht="off"
    ) as peer:
        assert (await peer.names.publish(FILE)).name == Name.of(key)
        other = Ed25519PrivateKey.new()
        assert (await peer.names.publish(FILE, other)).name == Name.of(other)
        assert Name.of(key) in (await peer.names.republish()).announced
        with pytest.raises(KeyNotFoundError, match="without a repo"):
            await peer.names.publish(FILE, "site")
        with pytest.raises(KeyNotFoundError, match="without a repo"):
            _ = peer.names.keystore


async def test_a_peer_that_nobody_helps() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), dht="off") as peer:
        with pytest.raises(RoutingError):
            await peer.names.publish(FILE)
        assert str((await peer.names.resolve(Name(peer.peer_id))).path) == FILE
        with pytest.raises(NameNotFound):
            await peer.names.resolve(Name.of(Ed25519PrivateKey.new()))
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as offline:
        with pytest.raises(OfflineError):
            _ = offline.names


async def test_calls_end_with_the_peer() -> None:
    router = ScriptedRouter(float("inf"))
    outcomes: list[str] = []

    async def resolve() -> None:
        try:
            await peer.names.resolve(Name.of(Ed25519PrivateKey.new()))
        except PeerClosedError:
            outcomes.append("closed")

    async with (
        trio.open_nursery() as nursery,
        Peer.open(block_store=MemoryBlockStore(), routers=[router], dht="off") as peer,
    ):
        names = peer.names
        nursery.start_soon(resolve)
        while not router.searches:
            await trio.lowlevel.checkpoint()
    assert outcomes == ["closed"]
    with pytest.raises(PeerClosedError):
        await names.publish(FILE)
