"""Blocks from the store, and what is not there through bitswap: py-libp2p's `BlockService`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.bitswap.block_store import BlockStore
    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.session import BitswapSession
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID


class BlockService:
    """A store first, then the peers."""

    def __init__(self, store: BlockStore, bitswap: BitswapClient) -> None:
        self._store = store
        self._bitswap = bitswap

    @property
    def block_store(self) -> BlockStore:
        return self._store

    async def get_block(
        self,
        cid: CIDInput,
        session: BitswapSession,
        peer_id: ID | None = None,
        timeout: float = 30.0,
    ) -> bytes | None:
        """
        Give a block from the store, else from the session's peers.

        :raises BitswapError: if it is in neither.
        """
        if (data := await self._store.get_block(cid)) is not None:
            return data
        return await session.get_block(cid, peer_id=peer_id, timeout=timeout)

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        """Keep a block, and send it to the peers that wait for it."""
        await self._bitswap.add_block(cid, data)

    async def get_blocks_batch(
        self,
        cids: Sequence[CIDInput],
        session: BitswapSession,
        peer_id: ID | None = None,
        timeout: float = 30.0,
        batch_size: int = 32,
    ) -> dict[bytes, bytes]:
        """Give several blocks by their binary CIDs; raises as `get_block` does."""
        wanted = [CID.of(cid) for cid in cids]
        found = {
            cid.buffer: data
            for cid, data in zip(wanted, await self._store.get_blocks(wanted), strict=True)
            if data is not None
        }
        missing: list[CIDInput] = [cid for cid in wanted if cid.buffer not in found]
        if missing:
            found |= await session.get_blocks_batch(missing, peer_id, timeout, batch_size)
        return found
