"""A private network with Kubo: blocks both ways, and nothing to do with strangers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p import new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.exceptions import ConnectionFailure
from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.pnet.key import key_file
from tests.support.hosts import LOOPBACK

from .files import random_bytes
from .kubo import Kubo
from .need import need
from .ours import address_of, dial, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = secrets.token_bytes(32)


@pytest.fixture(scope="module")
def kubo() -> Iterator[Kubo]:
    """A daemon with our text of the key in its repository."""
    need("kubo")
    with Kubo(daemon=False) as node:
        (node.repo / "swarm.key").write_text(key_file(KEY), encoding="ascii")
        node.start()
        yield node


async def test_blocks_are_exchanged_with_kubo(kubo: Kubo) -> None:
    host = new_host(psk=(kubo.repo / "swarm.key").read_text(encoding="ascii"))
    client = BitswapClient(host, MemoryBlockStore())
    theirs, ours = random_bytes("theirs", 1_000_000), random_bytes("ours", 1_000_000)
    cid = CID.parse(kubo.text("block", "put", "--cid-codec=raw", input=theirs))
    async with host.run([LOOPBACK]), client.run():
        peer = await dial(host, kubo.addr)
        assert await client.get_block(cid, peer, timeout=30) == theirs
        own = CID.for_block(ours)
        await client.add_block(own, ours)
        got = await in_thread(kubo.run, "block", "get", str(own))
        assert got.stdout == ours


async def test_kubo_can_dial(kubo: Kubo) -> None:
    host = new_host(psk=KEY)
    async with host.run([LOOPBACK]):
        await in_thread(kubo.run, "swarm", "connect", address_of(host))
        assert [str(peer) for peer in host.get_connected_peers()] == [kubo.id]


@pytest.mark.parametrize("psk", [None, bytes(32)])
async def test_kubo_does_not_let_strangers_in(kubo: Kubo, psk: bytes | None) -> None:
    host = new_host(psk=psk)
    async with host.run([LOOPBACK]):
        with trio.fail_after(60), pytest.raises(ConnectionFailure):
            await host.connect(info_from_p2p_addr(kubo.addr))


async def test_a_repo_with_the_key_trades_files_with_kubo(kubo: Kubo, tmp_path: Path) -> None:
    (tmp_path / "swarm.key").write_bytes((kubo.repo / "swarm.key").read_bytes())
    data = random_bytes("a file", 3_000_000)
    cid = kubo.text("add", "-Q", input=data)
    async with Peer.open(tmp_path, listen=LOOPBACK) as peer:
        await peer.connect(kubo.addr)
        async with await peer.get_file(cid) as reader:
            assert await reader.read() == data
        ours = (await peer.add_file(data[::-1])).cid
        assert (await in_thread(kubo.run, "cat", str(ours))).stdout == data[::-1]
