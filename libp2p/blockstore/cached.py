"""A cache in memory in front of a slow store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.blockstore.base import BlockStore, ListBlockStore, check_store
from libp2p.blockstore.policy import BloomFilter, TwoQueues
from libp2p.blockstore.reading import read_blocks
from libp2p.exceptions import InvalidArgument
from libp2p.ipld.cid import CID
from libp2p.utils import arguments
from libp2p.utils.closing import ending

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipld.cid import CIDInput

#: Bytes of blocks that are kept: 256 of the usual size.
CACHE_BYTES: Final = 64 * 1024 * 1024
#: Blocks that the filter is made for; it takes 10 bits for each.
EXPECTED_BLOCKS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """
    :param hits: reads that needed no store.
    :param misses: reads that needed it.
    :param known_absent: look-ups that the filter has answered.
    """

    hits: int
    misses: int
    known_absent: int


class CachedBlockStore(ListBlockStore):
    """
    Keeps what is read and written of a slow store in memory; see `TwoQueues` for what stays.

    Bytes stay right whoever else writes to the store: a multihash names them. Whether a block is
    here does not, so ``has`` and lengths are asked of the store, as is every write.

    :param exclusive: promise that nobody else adds to the store. Then `build_filter` may be called:
        it lists the store once, and what it has not is known without asking from then on. Another
        process that added a block would be told "not here": it must not be.
    :param capacity: bytes of blocks that are kept.
    :param expected_blocks: what the filter is made for.

    Closing closes the store.
    """

    verifies = True

    def __init__(
        self,
        store: BlockStore,
        *,
        capacity: int = CACHE_BYTES,
        exclusive: bool = False,
        expected_blocks: int = EXPECTED_BLOCKS,
    ) -> None:
        check_store(store)
        self.store: Final = store
        self._hits = self._misses = self._known_absent = 0
        self._cache = TwoQueues(arguments.count(capacity, "capacity"))
        arguments.instance(exclusive, bool, "exclusive")
        self._exclusive = exclusive
        self._expected = arguments.count(expected_blocks, "expected_blocks", least=1)
        self._filter: BloomFilter | None = None
        self._building: BloomFilter | None = None

    def __repr__(self) -> str:
        return f"<CachedBlockStore of {len(self._cache)} blocks before {self.store!r}>"

    @property
    def statistics(self) -> CacheStatistics:
        return CacheStatistics(self._hits, self._misses, self._known_absent)

    async def build_filter(self) -> None:
        """
        List the store, and make the filter; until it returns, the store is asked as before.

        Call it again when many blocks have been deleted: their bits are not taken out.

        :raises ValueError: without ``exclusive``.
        """
        if not self._exclusive:
            raise InvalidArgument(
                "only a store that nobody else adds to can have a filter: exclusive=True"
            )
        # What is put meanwhile goes into both. One that fails leaves the old one as it is.
        building = self._building = BloomFilter(self._expected)
        batches = self.store.multihash_batches()
        async with ending(batches):
            async for batch in batches:
                for multihash in batch:
                    building.add(multihash)
        if self._building is building:  # and no later call has begun another one
            self._filter, self._building = building, None

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        named = [CID.of(cid) for cid in cids]
        found = [cid.digest if cid.is_identity else self._cache.get(cid.multihash) for cid in named]
        missing = [n for n, data in enumerate(found) if data is None]
        self._hits += len(named) - len(missing)
        missing = [n for n in missing if not self._is_absent(named[n])]
        self._misses += len(missing)
        if missing:
            wanted = [named[n] for n in missing]
            read, _ = await read_blocks(self.store, wanted)
            for n, cid, data in zip(missing, wanted, read, strict=True):
                found[n] = data
                if data is not None:
                    self._cache.put(cid.multihash, data)
        return found

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        named = [CID.of(cid) for cid in cids]
        sizes: list[int | None] = [len(c.digest) if c.is_identity else None for c in named]
        asked = [n for n, c in enumerate(named) if not c.is_identity and not self._is_absent(c)]
        if asked:
            found = await self.store.get_sizes([named[n].buffer for n in asked])
            for n, size in zip(asked, found, strict=True):
                sizes[n] = size
        return sizes

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        named = [(CID.of(cid), data) for cid, data in blocks]
        for cid, _ in named:  # before it is there: nobody may be told that it is not
            for bloom in (self._filter, self._building):
                if bloom is not None:
                    bloom.add(cid.multihash)
        await self.store.put_blocks([(cid.buffer, data) for cid, data in named])
        for cid, data in named:
            if not cid.is_identity:
                self._cache.put(cid.multihash, bytes(data))

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        gone = await self.store.delete_blocks(
            [CID.of(cid).buffer for cid in cids], older_than=older_than
        )
        multihashes = {CID.of(cid).multihash for cid in gone}
        for multihash in multihashes:
            self._cache.forget(multihash)
        return [cid for cid in cids if CID.of(cid).multihash in multihashes]

    def get_all_cids(self) -> list[bytes]:
        return self.store.get_all_cids()

    async def multihash_batches(self) -> AsyncGenerator[list[bytes], None]:
        batches = self.store.multihash_batches()
        async with ending(batches):
            async for batch in batches:
                yield batch

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        batches = self.store.block_infos()
        async with ending(batches):
            async for batch in batches:
                yield batch

    def damage_of(self, cid: CIDInput) -> str | None:
        return self.store.damage_of(cid)

    async def close(self) -> None:
        await self.store.close()

    def _is_absent(self, cid: CID) -> bool:
        is_absent = self._filter is not None and cid.multihash not in self._filter
        self._known_absent += is_absent
        return is_absent
