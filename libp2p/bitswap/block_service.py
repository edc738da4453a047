"""Blocks from the store, and what is not there through bitswap: py-libp2p's `BlockService`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from libp2p.bitswap.errors import BlockTimeoutError, BlockUnavailableError
from libp2p.blockstore import read_blocks
from libp2p.blockstore.base import check_store
from libp2p.ipld.cid import CID, cid_inputs
from libp2p.peer.id import ID
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.fetch.session import BitswapSession
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CIDInput


class BlockService:
    """A store first, then the peers."""

    def __init__(self, store: BlockStore, bitswap: BitswapClient) -> None:
        check_store(store)
        arguments.having(bitswap, ("get_block", "add_block"), "bitswap", "a BitswapClient")
        self.store = store
        self.bitswap = bitswap

    def __repr__(self) -> str:
        return shown(self, lambda: f"with {self.store!r}")

    @property
    def block_store(self) -> BlockStore:
        return self.store

    async def get_block(
        self,
        cid: CIDInput,
        session: BitswapSession | ID | None = None,
        peer_id: ID | None = None,
        timeout: float = 30.0,
    ) -> bytes | None:
        """
        Give a block from the store, else from the peers, and keep it; None if nobody has it.

        :param session: whose peers are asked, the client's by default. py-libp2p 0.7 has no such
            parameter but ``peer_id`` in its place, which is taken as well.
        :raises BitswapError: if it could not be asked for at all.
        """
        wanted, timeout = CID.of(cid), arguments.seconds(timeout)
        [data], _ = await read_blocks(self.store, [wanted])
        if data is not None:
            return data
        source, peer_id = self._source(session, peer_id)
        try:
            data = await source.get_block(wanted.buffer, peer_id, timeout)
        except (BlockUnavailableError, BlockTimeoutError):
            return None
        if data is not None:
            await self._keep(wanted.buffer, data)
        return data

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        """Keep a block, and send it to the peers that wait for it; raises as `add_block` does."""
        wanted = CID.of(cid).buffer
        await self.bitswap.add_block(wanted, data)
        await self._keep(wanted, data)

    async def get_blocks_batch(
        self,
        cids: Sequence[CIDInput],
        session: BitswapSession | ID | None = None,
        peer_id: ID | None = None,
        timeout: float = 30.0,
        batch_size: int = 32,
    ) -> dict[bytes, bytes]:
        """
        Give several blocks by their binary CIDs.

        :raises BitswapError: if one of them cannot be had; those that came are in the store.
        """
        batch_size = arguments.count(batch_size, "batch_size", least=1)
        timeout = arguments.seconds(timeout)
        named = [CID.of(cid) for cid in cid_inputs(cids)]
        wanted = [cid.buffer for cid in named]
        blocks, _ = await read_blocks(self.store, named)
        found = {cid: data for cid, data in zip(wanted, blocks, strict=True) if data is not None}
        missing: list[CIDInput] = [cid for cid in wanted if cid not in found]
        if missing:
            source, peer_id = self._source(session, peer_id)
            fetched = await source.get_blocks_batch(
                missing, peer_id=peer_id, timeout=timeout, batch_size=batch_size
            )
            for cid, data in fetched.items():
                await self._keep(cid, data)
            found |= fetched
        return found

    def _source(
        self, session: BitswapSession | ID | None, peer_id: ID | None
    ) -> tuple[BitswapSession | BitswapClient, ID | None]:
        if isinstance(session, ID):
            return self.bitswap, session
        return self.bitswap if session is None else session, peer_id

    async def _keep(self, cid: bytes, data: bytes) -> None:
        """Store a block here as well: the client's store may be another one."""
        if not await self.store.has_block(cid):
            await self.store.put_block(cid, data)
