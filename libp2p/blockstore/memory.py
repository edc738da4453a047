"""Blocks in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from libp2p.blockstore.base import BlockStore
from libp2p.ipld.cid import CID
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CIDInput


class MemoryBlockStore(BlockStore):
    """Blocks in a dict, gone with the process."""

    verifies = True  # nothing damages them

    def __init__(self) -> None:
        self._blocks: dict[bytes, tuple[bytes, bytes]] = {}  # multihash: (first CID, data)

    async def get_block(self, cid: CIDInput) -> bytes | None:
        cid = CID.of(cid)
        if (found := self._blocks.get(cid.multihash)) is not None:
            return found[1]
        return cid.digest if cid.is_identity else None

    async def get_size(self, cid: CIDInput) -> int | None:
        data = await self.get_block(cid)
        return None if data is None else len(data)

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        self._put(CID.of(cid), data)

    async def has_block(self, cid: CIDInput) -> bool:
        cid = CID.of(cid)
        return cid.multihash in self._blocks or cid.is_identity

    async def delete_block(self, cid: CIDInput) -> None:
        self._blocks.pop(CID.of(cid).multihash, None)

    def get_all_cids(self) -> list[bytes]:
        """List the CID that each block was first put under."""
        return [cid for cid, _ in self._blocks.values()]

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        for cid, data in blocks:
            self._put(CID.of(cid), data)

    def put_blocks_now(self, blocks: Sequence[tuple[CID, Buffer]]) -> bool:
        if type(self) is not MemoryBlockStore:
            return False  # a subclass may have a put of its own
        for cid, data in blocks:
            self._put(cid, data)
        return True

    def get_blocks_now(self, cids: Sequence[CID]) -> list[bytes | None] | None:
        if type(self) is not MemoryBlockStore:
            return None  # as above
        found: list[bytes | None] = []
        for cid in cids:
            entry = self._blocks.get(cid.multihash)
            if entry is not None:
                found.append(entry[1])
            else:
                found.append(cid.digest if cid.is_identity else None)
        return found

    def size(self) -> int:
        """Count the blocks."""
        return len(self._blocks)

    def __repr__(self) -> str:
        return shown(self, lambda: f"of {len(self._blocks)} blocks")

    def _put(self, cid: CID, data: Buffer) -> None:
        if cid.multihash not in self._blocks and not cid.is_identity:
            self._blocks[cid.multihash] = (cid.buffer, bytes(arguments.binary(data)))
