"""What py-libp2p's page about bitswap shows works here, call by call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import multiaddr
import pytest
import trio

from libp2p import new_host
from libp2p.bitswap import BitswapClient, BlockStore, MemoryBlockStore
from libp2p.bitswap.cid import compute_cid
from libp2p.bitswap.config import MAX_BLOCK_SIZE, MAX_MESSAGE_SIZE
from libp2p.bitswap.errors import BitswapError
from libp2p.peer.peerinfo import info_from_p2p_addr

if TYPE_CHECKING:
    from libp2p.bitswap.wire.message import Message
    from libp2p.peer.id import ID

LISTEN = multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")
BLOCKS = [b"Block 1", b"Block 2", b"Block 3"]


async def provide(
    blocks: list[bytes], *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """The page's provider."""
    host = new_host()
    async with host.run([LISTEN]), trio.open_nursery() as nursery:
        bitswap = BitswapClient(host)
        bitswap.set_nursery(nursery)
        await bitswap.start()
        for data in blocks:
            await bitswap.add_block(compute_cid(data), data)
        task_status.started(str(host.get_addrs()[0]))
        await trio.sleep_forever()


async def test_the_basic_usage() -> None:
    host = new_host()
    async with host.run([LISTEN]), trio.open_nursery() as nursery:
        bitswap = BitswapClient(host)
        bitswap.set_nursery(nursery)
        await bitswap.start()
        cid = compute_cid(b"Hello, Bitswap!")
        await bitswap.add_block(cid, b"Hello, Bitswap!")
        assert await bitswap.get_block(cid, host.get_id(), timeout=30) == b"Hello, Bitswap!"
        await bitswap.stop()


@pytest.mark.parametrize("nursery_comes_first", [True, False])
async def test_the_provider_and_the_client(
    nursery: trio.Nursery, nursery_comes_first: bool
) -> None:
    address: Any = await nursery.start(provide, BLOCKS)
    provider_info = info_from_p2p_addr(multiaddr.Multiaddr(address))
    host = new_host()
    async with host.run([LISTEN]), trio.open_nursery() as tasks:
        bitswap = BitswapClient(host)
        if nursery_comes_first:
            bitswap.set_nursery(tasks)
        await bitswap.start()
        if not nursery_comes_first:  # as the page's program in examples/ does
            bitswap.set_nursery(tasks)
        await host.connect(provider_info)
        for data in BLOCKS:
            assert await bitswap.get_block(compute_cid(data), provider_info.peer_id) == data
        with pytest.raises(BitswapError):
            await bitswap.get_block(compute_cid(b"Block 4"), provider_info.peer_id)
        await bitswap.stop()


class FileBlockStore(BlockStore):
    """The page's store: four methods, CIDs as bytes, and an attribute of its own."""

    def __init__(self, base_path: str) -> None:
        self.base_path = Path(base_path)
        self.base_path.mkdir(exist_ok=True)

    async def get_block(self, cid: bytes) -> bytes | None:
        file = self.base_path / cid.hex()
        return file.read_bytes() if file.exists() else None

    async def put_block(self, cid: bytes, data: bytes) -> None:
        (self.base_path / cid.hex()).write_bytes(data)

    async def has_block(self, cid: bytes) -> bool:
        return (self.base_path / cid.hex()).exists()

    async def delete_block(self, cid: bytes) -> None:
        (self.base_path / cid.hex()).unlink(missing_ok=True)


async def test_the_custom_store_at_both_ends(nursery: trio.Nursery, tmp_path: Path) -> None:
    one, two = new_host(), new_host()
    async with one.run([LISTEN]), two.run([LISTEN]):
        server = BitswapClient(one, FileBlockStore(str(tmp_path / "one")))
        client = BitswapClient(two, FileBlockStore(str(tmp_path / "two")))
        async with server.run(), client.run():
            await two.connect(info_from_p2p_addr(one.get_addrs()[0]))
            cids = [compute_cid(data) for data in BLOCKS]
            for cid, data in zip(cids, BLOCKS, strict=True):
                await server.add_block(cid, data)
            assert await client.get_block(cids[0]) == BLOCKS[0]
            assert await client.get_blocks_batch(cids) == dict(zip(cids, BLOCKS, strict=True))
            assert await client.have_block(cids[1])
    assert {path.name for path in (tmp_path / "two").iterdir()} == {cid.hex() for cid in cids}


class Order:
    """A tracer that notes the order of the blocks that come."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.all_came = trio.Event()

    def message_received(self, peer_id: ID, message: Message) -> None:
        self.came += message.blocks.values()
        if len(self.came) == len(BLOCKS):
            self.all_came.set()

    def message_sent(self, peer_id: ID, message: Message) -> None: ...


async def test_the_priorities(nursery: trio.Nursery) -> None:
    address: Any = await nursery.start(provide, BLOCKS)
    optional, critical, normal = (compute_cid(data) for data in BLOCKS)
    host, order = new_host(), Order()
    async with host.run([LISTEN]), BitswapClient(host, tracer=order).run() as bitswap:
        await bitswap.want_block(optional, priority=0)
        await bitswap.want_block(critical, priority=10)
        await bitswap.want_block(normal, priority=1)
        await host.connect(info_from_p2p_addr(multiaddr.Multiaddr(address)))
        await order.all_came.wait()
    assert order.came == [BLOCKS[1], BLOCKS[2], BLOCKS[0]]


async def test_the_cancelling() -> None:
    host = new_host()
    async with host.run([LISTEN]), BitswapClient(host).run() as bitswap:
        cid = compute_cid(b"Block 4")
        await bitswap.want_block(cid)
        assert bitswap.stat().wantlist
        await bitswap.cancel_want(cid)
        assert not bitswap.stat().wantlist


def test_the_limits_and_defaults() -> None:
    assert MAX_MESSAGE_SIZE == 4 * 1024 * 1024
    assert MAX_BLOCK_SIZE >= 2 * 1024 * 1024
    assert isinstance(BitswapClient(new_host()).block_store, MemoryBlockStore)
