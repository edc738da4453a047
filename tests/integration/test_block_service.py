"""py-libp2p's `BlockService`: the store first, then the peers."""

from __future__ import annotations

from libp2p.bitswap.block_service import BlockService
from libp2p.blockstore import MemoryBlockStore
from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


async def test_finds_blocks_here_and_there() -> None:
    here, there, nowhere = (CID.for_block(name) for name in (b"here", b"there", b"nowhere"))
    store = MemoryBlockStore()
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as provider,
        Peer.open(block_store=store) as peer,
    ):
        await provider.add_file(b"there")
        await peer.connect(provider.addrs[0])
        service = BlockService(store, peer.bitswap)
        session = peer.bitswap.new_session()
        await service.put_block(here, b"here")
        assert service.block_store is store
        assert await service.get_block(here, session) == b"here"
        assert await service.get_blocks_batch([here], session) == {here.buffer: b"here"}
        found = await service.get_blocks_batch([here, there], session)
        assert found == {here.buffer: b"here", there.buffer: b"there"}
        await store.delete_block(there)
        assert await service.get_block(there, session, provider.peer_id) == b"there"
        assert await service.get_block(nowhere, session) is None


async def test_keeps_blocks_in_a_store_of_its_own() -> None:
    there, added = CID.for_block(b"there"), CID.for_block(b"added")
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as provider,
        Peer.open(block_store=MemoryBlockStore()) as peer,
    ):
        await provider.add_file(b"there")
        await peer.connect(provider.addrs[0])
        own = MemoryBlockStore()
        service = BlockService(own, peer.bitswap)
        assert await service.get_block(there) == b"there"
        await service.put_block(added, b"added")
        for cid in (there, added):
            assert await own.has_block(cid)
            assert await peer.store.has_block(cid)


async def test_py_libp2p_0_7_names_the_peer_instead_of_a_session() -> None:
    cids = [CID.for_block(data) for data in (b"one", b"two")]
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK]) as provider,
        Peer.open(block_store=MemoryBlockStore()) as peer,
    ):
        await provider.add_file(b"one")
        await provider.add_file(b"two")
        await peer.connect(provider.addrs[0])
        service = BlockService(MemoryBlockStore(), peer.bitswap)
        assert await service.get_block(cids[0], provider.peer_id) == b"one"
        found = await service.get_blocks_batch(cids, provider.peer_id)
        assert list(found.values()) == [b"one", b"two"]
