"""Nodes and sessions between peers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from libp2p.bitswap.errors import BlockTooLargeError, BlockUnavailableError
from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import BlockHashMismatch
from libp2p.ipfs_lite import Peer, PeerClosedError
from libp2p.ipfs_lite.errors import NotPinnedError
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink, PBNode
from libp2p.ipld.node import Node

ALONE: Final[dict[str, Any]] = {"bootstrap": [], "dht": "off"}


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Peer, Peer]]:
    """Two peers that are connected; the second one has dialled."""
    async with (
        Peer.open(
            block_store=MemoryBlockStore(), listen="/ip4/127.0.0.1/tcp/0", **ALONE
        ) as provider,
        Peer.open(block_store=MemoryBlockStore(), **ALONE) as other,
    ):
        await other.connect(provider.addrs[0])
        yield provider, other


async def test_nodes_of_all_codecs_go_from_peer_to_peer(pair: tuple[Peer, Peer]) -> None:
    provider, other = pair
    leaf = await provider.dag.put(b"leaf")
    cids = [
        leaf,
        await provider.dag.put({"leaf": leaf}),
        await provider.dag.put({"leaf": leaf}, "dag-json"),
        await provider.dag.put(PBNode((PBLink(leaf, "leaf", 4),))),
    ]
    values = [(await other.dag.get(cid)).value for cid in cids]
    assert values[:3] == [b"leaf", {"leaf": leaf}, {"leaf": leaf}]
    assert [(await other.dag.get(cid)).links for cid in cids] == [[], [leaf], [leaf], [leaf]]
    assert await other.has_block(leaf)


@pytest.mark.parametrize("of_session", [False, True])
async def test_many_nodes_come_in_order(pair: tuple[Peer, Peer], of_session: bool) -> None:
    provider, other = pair
    nodes = [Node.of({"number": number}) for number in range(1500)]
    await provider.dag.add_many(nodes)
    cids = (node.cid for node in nodes)
    if not of_session:
        assert [node.value async for node in other.dag.get_many(cids)] == [n.value for n in nodes]
        return
    async with other.session() as session:
        assert [node async for node in session.get_many(cids)] == nodes
        assert await session.get(nodes[0].cid) == nodes[0]


async def test_a_session_reads_files_nodes_and_blocks(pair: tuple[Peer, Peer]) -> None:
    provider, other = pair
    content = [bytes([n]) * 300_000 for n in range(3)]
    files = [(await provider.add_file(data)).cid for data in content]
    sessions = set()
    async with other.session([provider.peer_id]) as session:
        for cid, data in zip(files, content, strict=True):
            async with await session.get_file(cid) as file:
                assert await file.read() == data
                sessions.add(file._source.session)
        leaf = await provider.dag.put(b"leaf")
        assert await session.get_block(leaf) == b"leaf"
    [used] = sessions
    assert used is not None
    assert used.closed
    assert used.stats.blocks_received >= len(files)


async def test_without_a_network_what_is_here_is_read() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        cid = await peer.dag.put({"a": 1})
        missing = Node.of({"b": 2}).cid
        assert [node.value async for node in peer.dag.get_many([cid, cid])] == [{"a": 1}] * 2
        with pytest.raises(BlockUnavailableError):
            await peer.dag.get(missing)
        with pytest.raises(BlockUnavailableError):
            [node async for node in peer.dag.get_many([cid, missing])]
        async with peer.session() as session:
            assert (await session.get(cid)).value == {"a": 1}
        await peer.dag.remove(cid)
        await peer.dag.remove_many([cid, missing])
        assert not await peer.has_block(cid)
        service = peer.dag
    with pytest.raises(PeerClosedError):
        await service.get(cid)


async def test_nodes_that_are_not_what_they_say_are_not_stored() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        good = Node.of(b"good")
        with pytest.raises(BlockHashMismatch):
            await peer.dag.add(Node(good.cid, b"bad", b"bad"))
        with pytest.raises(BlockTooLargeError):
            await peer.dag.put(bytes(2 * 1024 * 1024 + 1))
        with pytest.raises(TypeError):
            await peer.dag.add(b"no node")  # type: ignore[arg-type]
        inline = Node.of(b"small", hash="identity")
        await peer.dag.add(inline)
        assert peer.store.get_all_cids() == []
        assert (await peer.dag.get(inline.cid)).value == b"small"


async def test_sizes_and_what_removing_frees(pair: tuple[Peer, Peer], tmp_path: Path) -> None:
    provider, other = pair
    shared, own = random.Random(1).randbytes(2_500_000), b"own"
    (tmp_path / "tree").mkdir()
    for name, data in {"shared": shared, "own": own}.items():
        (tmp_path / "tree" / name).write_bytes(data)
    file = await provider.add_file(shared)
    tree = await provider.add_tree(tmp_path / "tree")
    for peer in (other, provider):
        stat = await peer.stat(file.cid)
        assert (stat.kind, stat.size, stat.blocks) == ("file", len(shared), 4)
        assert stat.dag_size == file.dag_size
        stat = await peer.stat(tree.cid)
        assert (stat.kind, stat.size, stat.blocks) == ("directory", None, 6)
        assert stat.dag_size == tree.dag_size
    leaf = CID.for_block(own)
    assert (await provider.stat(leaf)).kind == "raw"

    freed = await provider.remove(tree.cid)
    assert freed.blocks == 2
    assert freed.size == tree.dag_size - file.dag_size
    with pytest.raises(NotPinnedError):
        await provider.remove(tree.cid)
    removed = [block async for batch in provider.gc() for block in batch]
    assert (len(removed), sum(size for _, size in removed)) == (freed.blocks, freed.size)
    last = await provider.remove(file.cid)
    assert (last.blocks, last.size) == (4, file.dag_size)
