"""A store in front of another: what is read is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from libp2p.blockstore.base import BlockStore, ListBlockStore, check_store
from libp2p.blockstore.reading import read_blocks
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.utils import arguments
from libp2p.utils.closing import ending
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipld.cid import CIDInput

#: Where blocks go that are put.
WRITE_TO: Final = ("local", "remote", "both")

logger = get_logger(__name__)


class LayeredBlockStore(ListBlockStore):
    """
    A quick store in front of a slow one: a `FilesystemBlockStore` before an `FsspecBlockStore`.

    Reads look into ``local`` first. What only ``remote`` has is verified and kept in ``local``.
    The two are asked one after the other, each once for a whole list.

    :param write_to: where blocks go that are put: "local", "remote" (and not into ``local``), or
        "both"; then they are in both when the call returns.
    :param keep: keep in ``local`` what is read from ``remote``. A ``local`` that cannot keep it, as
        on a full disk, fails no read: it is logged once.

    Blocks are deleted where they are written, and from ``local``. So one that ``remote`` has stays
    if it is not written to. `block_infos` lists what can be deleted: what is in ``remote`` if that
    is written to, else what is in ``local``. Closing closes both.
    """

    verifies = True

    def __init__(
        self, local: BlockStore, remote: BlockStore, *, write_to: str = "local", keep: bool = True
    ) -> None:
        check_store(local)
        check_store(remote)
        if write_to not in WRITE_TO:
            raise arguments.out_of_range("write_to", write_to, f"one of {', '.join(WRITE_TO)}")
        self.local: Final = local
        self.remote: Final = remote
        self._targets = [
            store for name, store in (("remote", remote), ("local", local))
            if write_to in (name, "both")
        ]  # fmt: skip
        self._keep = keep
        self._has_warned = False

    def __repr__(self) -> str:
        return f"<LayeredBlockStore {self.local!r} before {self.remote!r}>"

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        named = [CID.of(cid) for cid in cids]
        found, _ = await read_blocks(self.local, named)
        missing = list(
            {named[n].multihash: n for n, data in enumerate(found) if data is None}.items()
        )
        if not missing:
            return found
        wanted = [named[n] for _, n in missing]
        fetched, _ = await read_blocks(self.remote, wanted)
        new = {
            cid.multihash: data
            for cid, data in zip(wanted, fetched, strict=True)
            if data is not None
        }
        if new and self._keep:
            await self._keep_blocks([(RAW_CID_START + key, data) for key, data in new.items()])
        return [
            new.get(cid.multihash) if data is None else data
            for cid, data in zip(named, found, strict=True)
        ]

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        named = [CID.of(cid).buffer for cid in cids]
        sizes = await self.local.get_sizes(named)
        missing = [n for n, size in enumerate(sizes) if size is None]
        if missing:
            found = await self.remote.get_sizes([named[n] for n in missing])
            for n, size in zip(missing, found, strict=True):
                sizes[n] = size
        return sizes

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        binary = [(CID.of(cid).buffer, data) for cid, data in blocks]
        for store in self._targets:
            await store.put_blocks(binary)

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        """Forget them in the stores that are written to; copies in ``local`` go with them."""
        gone = [CID.of(cid).buffer for cid in cids]
        for store in self._targets:
            gone = await store.delete_blocks(gone, older_than=older_than)
        if self.local not in self._targets:
            await self.local.delete_blocks(gone)
        multihashes = {CID.of(cid).multihash for cid in gone}
        return [cid for cid in cids if CID.of(cid).multihash in multihashes]

    def get_all_cids(self) -> list[bytes]:
        cids = {CID.of(cid).multihash: cid for cid in self.remote.get_all_cids()}
        cids.update({CID.of(cid).multihash: cid for cid in self.local.get_all_cids()})
        return list(cids.values())

    async def multihash_batches(self) -> AsyncGenerator[list[bytes], None]:
        """Return what either has, each once: ``local`` is asked for what ``remote`` lists."""
        batches: AsyncIterator[list[bytes]] = self.local.multihash_batches()
        async with ending(batches):
            async for batch in batches:
                yield batch
        batches = self.remote.multihash_batches()
        async with ending(batches):
            async for batch in batches:
                sizes = await self.local.get_sizes([RAW_CID_START + key for key in batch])
                yield [key for key, size in zip(batch, sizes, strict=True) if size is None]

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        batches = self._targets[0].block_infos()
        async with ending(batches):
            async for batch in batches:
                yield batch

    def damage_of(self, cid: CIDInput) -> str | None:
        return self.local.damage_of(cid) or self.remote.damage_of(cid)

    async def close(self) -> None:
        try:
            await self.local.close()
        finally:
            await self.remote.close()

    async def _keep_blocks(self, blocks: list[tuple[bytes, bytes]]) -> None:
        try:
            await self.local.put_blocks(blocks)
        except Exception:  # task's edge: of a user's store; what was read is returned all the same
            if not self._has_warned:
                self._has_warned = True
                logger.warning("%r does not keep what is read", self.local, exc_info=True)
