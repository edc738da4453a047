"""Programs written for py-ipfs-lite 0.1.1, on this library, with other imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.dag import MerkleDag
from libp2p.bitswap.errors import BlockUnavailableError
from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import NotAFile
from libp2p.ipfs_lite.compat.py_ipfs_lite import AddParams, Config, Peer
from libp2p.ipfs_lite.compat.py_ipfs_lite.exceptions import PeerNotStartedError
from libp2p.ipld.cid import CID

QUICKSTART = """
import trio
from py_ipfs_lite.peer import Peer
from py_ipfs_lite.config import Config

async def main():
    # Start an ephemeral in-memory peer
    peer = Peer(Config(blockstore_type="memory"), listen_addrs=["/ip4/127.0.0.1/tcp/0"])
    await peer.start()

    # Add a file
    cid = await peer.add_file("/path/to/my/file.txt")
    print(f"Added file with CID: {cid}")

    # Build an IPLD DAG
    node_cid = await peer.add_node({"title": "Hello World", "author": "py-ipfs-lite"}, \
codec="dag-cbor")
    print(f"Added DAG node with CID: {node_cid}")

    # Publish to IPNS
    ipns_name = await peer.publish_name(f"/ipfs/{node_cid}")
    print(f"Published to IPNS: {ipns_name}")

    await peer.close()

if __name__ == "__main__":
    trio.run(main)
"""
"""The example of its README, as it stands there."""

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]
MEMORY = Config(blockstore_type="memory", reprovide_interval_seconds=-1)


def test_the_quickstart_runs(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("hello, world\n")
    program = QUICKSTART.replace("from py_ipfs_lite", "from libp2p.ipfs_lite.compat.py_ipfs_lite")
    program = program.replace("/path/to/my/file.txt", str(file))
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [added, node, published] = done.stdout.splitlines()
    assert added.endswith(str(CID.for_block(b"hello, world\n")))
    assert node.startswith("Added DAG node with CID: bafyrei")
    assert published.startswith("Published to IPNS: 12D3KooW")


async def test_files_nodes_and_cars_go_from_peer_to_peer(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    async with Peer(MEMORY, listen_addrs=LOOPBACK) as first, Peer(MEMORY) as second:
        told: list[tuple[int, int]] = []
        cid = await first.add_file(content, progress_callback=lambda *step: told.append(step))
        assert told[-1] == (len(content), len(content))
        address = str(first.host.get_addrs()[0])
        assert await second.get_file(cid, provider_addr=address) == content
        pieces = await second.get_file(cid, stream=True)
        assert not isinstance(pieces, bytes | None)
        assert b"".join([piece async for piece in pieces]) == content
        assert await second.get_file(cid, output_path=str(tmp_path / "out")) is None
        assert (tmp_path / "out").read_bytes() == content
        assert await second.has_block(cid)

        link = CID.of(cid)
        nodes = [
            await first.add_node({"file": link}, codec="dag-cbor"),
            await first.add_node({"file": link}),
        ]
        assert [await second.get_node(node) for node in nodes] == [{"file": link}] * 2
        assert await second.get_node(await first.add_node("text", codec="raw")) == b"text"
        async with second.session() as session:
            assert (await session.get(nodes[0])).links == [link]
        await second.export_car(nodes[0], str(tmp_path / "car"))
        async with Peer(Config(blockstore_type="memory", offline=True)) as third:
            assert await third.import_car(str(tmp_path / "car")) == [nodes[0]]
            assert await third.get_file(cid) == content
            assert third.exchange() is None
            await third.remove_node(nodes[0])
            with pytest.raises(BlockUnavailableError):
                await third.get_node(nodes[0])
        assert isinstance(second.exchange(), BitswapClient)
        assert await second.block_service().get_block(cid) is not None
        assert await second.block_store().has_block(CID.of(cid).buffer)


async def test_its_cids_are_those_of_its_own_adds() -> None:
    """Its `add_file` is `MerkleDag.add_bytes`, with the same chunks, leaves and links."""
    content = bytes(700_000)
    async with Peer(MEMORY) as peer:
        cid = await peer.add_file(content)
        dag = MerkleDag(peer.exchange())  # type: ignore[arg-type]
        assert await dag.add_bytes(content) == CID.of(cid).buffer
        other = await peer.add_file(content, AddParams(chunker="size-1000", raw_leaves=False))
        assert other != cid


async def test_a_folder_keeps_what_it_has(tmp_path: Path) -> None:
    config = Config(blockstore_path=str(tmp_path / "blocks"), offline=True)
    (tmp_path / "folder").mkdir()
    async with Peer(config) as peer:
        cid = await peer.add_file(b"kept")
        folder = await peer.lite.add_tree(tmp_path / "folder")
        with pytest.raises(NotAFile):
            await peer.get_file(str(folder.cid))
    async with Peer(config) as peer:
        assert await peer.get_file(cid) == b"kept"


async def test_it_has_to_be_started() -> None:
    peer = Peer(MEMORY, blockstore=MemoryBlockStore())
    with pytest.raises(PeerNotStartedError):
        await peer.add_file(b"data")
    await peer.start()
    await peer.start()
    await peer.add_file(b"data")
    await peer.close()
    await peer.close()
    with pytest.raises(PeerNotStartedError):
        await peer.add_file(b"data")
    with pytest.raises(ValueError, match="blockstore_type"):
        Peer(Config(blockstore_type="tape"))


async def test_pins_and_a_collection() -> None:
    async with Peer(MEMORY) as peer:
        kept = await peer.add_file(bytes(600_000))
        gone = await peer.add_file(b"gone")
        await peer.remove_pin(gone)
        assert await peer.list_pins("recursive") == {kept: "recursive"}
        assert set((await peer.list_pins()).values()) == {"recursive", "indirect"}
        with pytest.raises(ValueError, match="type_filter"):
            await peer.list_pins("some")
        result = await peer.gc()
        assert (result.reclaimed_blocks, result.retained_blocks) == (1, 3)
        node = await peer.add_node({"a": 1})
        await peer.add_pin(node, recursive=False)
        assert await peer.list_pins("direct") == {node: "direct"}
        assert not await peer.has_block(gone)


async def test_a_name_is_resolved_where_it_was_published() -> None:
    async with Peer(MEMORY) as peer:
        name = await peer.publish_name("/ipfs/bafkqaaa")
        assert await peer.resolve_name(name) == "/ipfs/bafkqaaa"
