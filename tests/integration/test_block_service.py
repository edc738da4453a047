"""py-libp2p's `BlockService`: the store first, then the peers."""

from __future__ import annotations

import pytest

from libp2p.bitswap.block_service import BlockService
from libp2p.bitswap.block_store import MemoryBlockStore
from libp2p.bitswap.errors import BlockNotFoundError
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
        with pytest.raises(BlockNotFoundError):
            await service.get_block(nowhere, session)
