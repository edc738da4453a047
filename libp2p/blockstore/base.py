"""
Where blocks are kept, by multihash: CIDs of other versions or codecs find the same block.

`BlockStore` is what a store of your own implements: four methods are enough, the others fall back
on them, some calls at a time (`STORE_CALLS`). Bitswap hands CIDs to a store as bytes. Identity CIDs
carry their block: every store here answers them without holding anything. Blocks come verified: a
store does not hash what it is given. The one on disk hashes what it reads; of a store of your own,
`read_blocks` does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import trio

from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.utils import arguments
from libp2p.utils.closing import ending

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CIDInput

#: What a store's methods are called with: ``bytes`` by this library. A store may say that it takes
#: these alone, or CIDs in any form; to a type checker both are overrides of the methods here.
StoreCID: TypeAlias = Any

#: A block in a list: multihash, bytes, and Unix seconds of its last writing, None if unknown.
BlockInfo: TypeAlias = "tuple[bytes, int, float | None]"

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Calls that are made at once for a list of blocks, where a store has no method for lists. One that
#: takes 50 ms, as a store in the cloud does, returns 32 blocks in the time of one.
STORE_CALLS: Final = 32

#: Multihashes that `BlockStore.multihash_batches` returns at once: some milliseconds of work.
LISTED_AT_ONCE: Final = 1024


async def for_each(
    items: Sequence[_T], call: Callable[[_T], Awaitable[_R]], at_once: int = STORE_CALLS
) -> list[_R]:
    """Call for every item, some at once; the first that fails is raised when all have ended."""
    if len(items) == 1:
        return [await call(items[0])]
    results: dict[int, _R] = {}
    failures: dict[int, Exception] = {}
    left = iter(enumerate(items))

    async def work() -> None:
        for index, item in left:
            try:
                results[index] = await call(item)
            except Exception as error:  # noqa: BLE001 - task's edge: raised below
                failures[index] = error
            if failures:
                return

    async with trio.open_nursery() as nursery:
        for _ in range(min(at_once, len(items))):
            nursery.start_soon(work)
    if failures:
        raise failures[min(failures)]
    return [results[index] for index in range(len(items))]


def check_store(store: BlockStore) -> None:
    """:raises TypeError: if ``store`` does not have the methods of a `BlockStore`."""
    methods = ("get_block", "put_block", "has_block", "delete_block")
    arguments.having(store, methods, "block_store", "a BlockStore")


class BlockStore(ABC):
    """
    Keeps blocks. Methods may be called by several tasks at once.

    CIDs are handed to a store in their binary form; the stores here take them in any form. What a
    method raises reaches the caller of `BitswapClient` or `Peer` as it is; where it cannot, as for
    blocks that came from a peer, it is the cause of a `BitswapError`.
    """

    verifies: bool = False
    """True if the store finds damaged blocks itself; if not, `read_blocks` hashes what it reads."""

    @abstractmethod
    async def get_block(self, cid: StoreCID) -> bytes | None:
        """Return a block's bytes, or None if it is not here."""

    @abstractmethod
    async def put_block(self, cid: StoreCID, data: bytes) -> None:
        """Keep a block; ``data`` must be what the CID says."""

    @abstractmethod
    async def has_block(self, cid: StoreCID) -> bool:
        """Return whether the block is here."""

    @abstractmethod
    async def delete_block(self, cid: StoreCID) -> None:
        """Forget a block; it is no error if it is not here."""

    def get_all_cids(self) -> list[bytes]:
        """
        List a binary CID of every block; nothing if the store cannot list them.

        A store that keeps multihashes only does not know the codecs: it lists CIDv1 with raw.
        """
        return []

    async def multihash_batches(self) -> AsyncIterator[list[bytes]]:
        """
        Return the multihashes of all blocks, some at a time.

        Blocks that come or go meanwhile are listed or not. A store that lists more than fits into
        memory overrides it.
        """
        cids = self.get_all_cids()
        for start in range(0, len(cids), LISTED_AT_ONCE):
            await trio.lowlevel.checkpoint()
            yield [CID.of(cid).multihash for cid in cids[start : start + LISTED_AT_ONCE]]

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        """
        Return all blocks, some at a time, without reading them: multihash, bytes, and when it was
        last written in Unix seconds, None if the store does not know.
        """
        batches = self.multihash_batches()
        async with ending(batches):
            async for batch in batches:
                sizes = await self.get_sizes([RAW_CID_START + multihash for multihash in batch])
                yield [
                    (multihash, size, None)
                    for multihash, size in zip(batch, sizes, strict=True)
                    if size is not None
                ]

    async def delete_blocks(
        self, cids: Sequence[StoreCID], *, older_than: float | None = None
    ) -> list[StoreCID]:
        """
        Forget several blocks; return those that were forgotten.

        :param older_than: leave those that were written at this time or later, if the store knows.
        """
        await for_each(cids, self.delete_block)
        return list(cids)

    async def get_size(self, cid: StoreCID) -> int | None:
        """Return a block's length, or None if it is not here."""
        data = await self.get_block(cid)
        return None if data is None else len(data)

    async def get_sizes(self, cids: Sequence[StoreCID]) -> list[int | None]:
        """Return the lengths of several blocks in the order of ``cids``, None if not here."""
        return await for_each(cids, self.get_size)

    async def get_blocks_or_sizes(
        self, cids: Sequence[StoreCID], limit: int
    ) -> list[bytes | int | None]:
        """
        Return the first blocks, or their lengths, and the lengths of the others, None if not here.

        A block may be returned in place of its length as long as those before it have less than
        ``limit`` bytes. That pays where one call for both is quicker than one after the other.
        """
        return [*await self.get_sizes(cids)]

    async def put_blocks(self, blocks: Sequence[tuple[StoreCID, Buffer]]) -> None:
        """Keep several blocks; if it fails, those before the one that failed are kept."""

        async def put(block: tuple[StoreCID, Buffer]) -> None:
            await self.put_block(block[0], bytes(block[1]))

        await for_each(blocks, put)

    def thread_putter(self) -> Callable[[Sequence[tuple[CID, Buffer]]], None] | None:
        """
        Return a blocking `put_blocks` for any thread; None if the store has none.

        Who makes blocks in threads stores them there: a switch of threads for each batch costs as
        much as writing it. The buffers are the caller's again when it returns.
        """
        return None

    def put_blocks_now(self, blocks: Sequence[tuple[CID, Buffer]]) -> bool:
        """Keep several blocks if that takes no time worth a task switch; else return False."""
        return False

    async def get_blocks(self, cids: Sequence[StoreCID]) -> list[bytes | None]:
        """Return several blocks in the order of ``cids``, None for those that are not here."""
        return await for_each(cids, self.get_block)

    def get_blocks_now(self, cids: Sequence[CID]) -> list[bytes | None] | None:
        """Do the same if that takes no time worth a task switch, else return None."""
        return None

    def damage_of(self, cid: CIDInput) -> str | None:
        """Return where the file is that was found in place of a missing block; None if none was."""
        return None

    async def close(self) -> None:
        """Release what the store holds open; it cannot be used afterwards."""
        return

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class ListBlockStore(BlockStore):
    """A store that is asked for lists; a call for a single block is one for a list of one."""

    async def get_block(self, cid: CIDInput) -> bytes | None:
        [data] = await self.get_blocks([cid])
        return data

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_size(cid) is not None

    async def get_size(self, cid: CIDInput) -> int | None:
        [size] = await self.get_sizes([cid])
        return size

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        await self.put_blocks([(cid, data)])

    async def delete_block(self, cid: CIDInput) -> None:
        await self.delete_blocks([cid])

    @abstractmethod
    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]: ...

    @abstractmethod
    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]: ...

    @abstractmethod
    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None: ...

    @abstractmethod
    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]: ...


class PagedBlockStore(ListBlockStore):
    """A store in a database, which is listed page by page in a thread."""

    @abstractmethod
    def _pages(self) -> Iterator[list[BlockInfo]]:
        """Yield all blocks in the order of multihashes (blocking)."""

    def get_all_cids(self) -> list[bytes]:
        """List every block as CIDv1 with raw. It reads the whole index before it returns."""
        return [RAW_CID_START + info[0] for page in self._pages() for info in page]

    async def multihash_batches(self) -> AsyncGenerator[list[bytes], None]:
        """Return the multihashes of all blocks in their order, some at a time."""
        async for batch in self.block_infos():
            yield [multihash for multihash, _, _ in batch]

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        """Return all blocks in the order of multihashes; no transaction is held in between."""
        pages = self._pages()
        while (page := await trio.to_thread.run_sync(next, pages, None)) is not None:
            yield page
