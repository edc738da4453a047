"""What docs/stores.rst promises to who writes a store, shown on its example."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from examples.own_store import SqliteStore
from libp2p.bitswap import BitswapClient
from libp2p.exceptions import BlockStoreError
from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID
from tests.support.hosts import info_of, running_host

CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(str(tmp_path / "blocks.sqlite"))
    yield store
    await store.close()


async def test_a_block_is_found_under_each_of_its_cids(store: SqliteStore) -> None:
    v0 = CID.for_block(b"data", "dag-pb", 0)
    await store.put_block(v0.buffer, b"data")
    for cid in (v0, v0.to_v1(), CID.for_block(b"data", "raw")):
        assert await store.get_block(cid.buffer) == b"data"
        assert await store.get_size(cid.buffer) == 4
    assert await store.get_block(CID.for_block(b"other")) is None
    await store.delete_block(v0)
    await store.delete_block(v0)
    assert not await store.has_block(v0)


async def test_a_peer_adds_reads_and_serves_from_it_and_leaves_it_open(
    store: SqliteStore, tmp_path: Path
) -> None:
    listen = ["/ip4/127.0.0.1/tcp/0"]
    async with Peer.open(block_store=store, listen=listen) as peer:
        added = await peer.add_file(CONTENT)
        async with Peer.open(tmp_path / "other") as other:
            await other.connect(peer.addrs[0])
            async with await other.get_file(added.cid) as file:
                assert await file.read() == CONTENT
    assert await store.has_block(added.cid)  # it is open still
    async with (
        Peer.open(block_store=store, online=False) as peer,
        await peer.get_file(added.cid) as file,
    ):
        assert await file.read() == CONTENT


async def test_many_tasks_share_it(store: SqliteStore) -> None:
    batch = [(CID.for_block(bytes([n])), bytes([n])) for n in range(50)]
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(store.put_blocks, batch)
    assert await store.get_blocks([cid for cid, _ in batch]) == [data for _, data in batch]


async def test_its_failure_is_raised_and_no_peer_is_asked_or_told(
    store: SqliteStore, tmp_path: Path
) -> None:
    cid = CID.for_block(b"data")
    good = SqliteStore(str(tmp_path / "good.sqlite"))
    async with (
        running_host() as host,
        running_host() as other,
        BitswapClient(host, store).run() as broken,
        BitswapClient(other, good).run() as client,
    ):
        await good.put_block(cid, b"data")
        await host.connect(info_of(other))
        await store.close()
        with pytest.raises(BlockStoreError) as raised:
            await broken.get_block(cid)
        assert isinstance(raised.value.__cause__, sqlite3.Error)
        missing = CID.for_block(b"nobody has this")
        with pytest.raises(TimeoutError):  # silence, and no DONT_HAVE
            await client.get_block(missing, host.get_id(), timeout=0.5)
    async with Peer.open(block_store=store, online=False) as peer:
        with pytest.raises(BlockStoreError):
            await peer.add_file(CONTENT)
    await good.close()
