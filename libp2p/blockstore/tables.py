"""Block stores in a database: what SQLite and LMDB have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from libp2p.blockstore.base import LISTED_AT_ONCE, BlockStore
from libp2p.blockstore.files import MAX_BLOCK_FILE_BYTES
from libp2p.blockstore.verify import is_block, name_of
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipld.cid import CIDInput

V1_RAW: Final = b"\x01\x55"
#: Damaged blocks that a store remembers, so that it does not say that it has them: 100 bytes each.
#: A store with more is told of again and again.
MAX_DAMAGED: Final = 65536

T = TypeVar("T")

logger = get_logger(__name__)


class BlockTable(ABC):
    """
    A table of blocks by multihash. Methods block, may be called from any thread, after a fork too.

    :raises BlockStoreError: in every method, with the error of the database as its cause.
    """

    @abstractmethod
    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return blocks as they are found, None for those that are not here."""

    @abstractmethod
    def sizes(self, keys: Sequence[bytes]) -> list[int | None]:
        """Return the lengths of blocks without reading them."""

    @abstractmethod
    def put(self, blocks: Sequence[tuple[bytes, Buffer]]) -> None:
        """
        Store blocks in one transaction.

        One that is there gets the time of now; if its bytes are others, they are replaced.
        """

    @abstractmethod
    def delete(self, keys: Sequence[bytes], older_than: float) -> list[bool]:
        """Remove blocks; False for those that were written at ``older_than`` or later."""

    @abstractmethod
    def page(self, after: bytes, count: int) -> list[BlockInfo]:
        """Return the first ``count`` blocks whose keys come after ``after``, in their order."""

    @abstractmethod
    def close(self) -> None:
        """Close the table; a second call does nothing."""


class DamagedBlocks:
    """The blocks of a store whose bytes are others: told once each, missing until stored again."""

    def __init__(self, place: object) -> None:
        self._place = place
        self._multihashes: set[bytes] = set()

    def __contains__(self, multihash: bytes) -> bool:
        return multihash in self._multihashes

    def judged(self, multihash: bytes, data: bytes | None) -> bytes | None:
        """
        Return the block if its bytes are right, None if not.

        :raises BlockStoreError: if that cannot be told.
        """
        if data is None:
            return None
        is_right = is_block(multihash, data)
        if is_right is None:
            raise BlockStoreError(f"block {name_of(multihash)} cannot be verified: unknown hash")
        if is_right:
            self._multihashes.discard(multihash)
            return data
        if multihash not in self._multihashes:
            if len(self._multihashes) >= MAX_DAMAGED:
                self._multihashes.clear()
            self._multihashes.add(multihash)
            logger.warning(
                "block %s is damaged: its %d bytes in %s are others",
                name_of(multihash),
                len(data),
                self._place,
            )
        return None

    def forget(self, multihash: bytes) -> None:
        """It has been stored again, or is not wanted any more."""
        self._multihashes.discard(multihash)

    def place_of(self, multihash: bytes) -> str | None:
        """Return where the bytes are, None if a block is not known to be damaged."""
        return f"its row in {self._place}" if multihash in self._multihashes else None


def check_replacement(multihash: bytes, data: Buffer) -> None:
    """:raises BlockStoreError: if what is to replace other bytes is not the block."""
    if is_block(multihash, data) is False:
        raise BlockStoreError(f"{len(data)} bytes are not block {name_of(multihash)}")


def keyed_blocks(blocks: Sequence[tuple[CIDInput, Buffer]]) -> list[tuple[bytes, Buffer]]:
    """
    Return blocks by multihash, without those that their CIDs carry.

    :raises BlockStoreError: if one is too long to be kept.
    """
    keyed = []
    for value, data in blocks:
        cid = CID.of(value)
        if len(arguments.binary(data)) > MAX_BLOCK_FILE_BYTES:
            raise BlockStoreError(f"block of {len(data)} bytes, at most {MAX_BLOCK_FILE_BYTES}")
        if not cid.is_identity:
            keyed.append((cid.multihash, data))
    return keyed


class _WriteBatch:
    """Blocks of several calls that share one transaction."""

    def __init__(self) -> None:
        self.blocks: list[tuple[bytes, Buffer]] = []
        self.is_written = False
        self.error: Exception | None = None

    def add(self, blocks: list[tuple[bytes, Buffer]]) -> None:
        self.blocks += blocks

    async def write(self, write: Callable[[list[tuple[bytes, Buffer]]], None]) -> None:
        self.is_written = True
        try:
            await trio.to_thread.run_sync(write, self.blocks)
        except Exception as error:  # noqa: BLE001 - task's edge: raised to each caller
            self.error = error


class TableBlockStore(BlockStore):
    """
    Blocks in a `BlockTable`, which threads use; every block is hashed when it is read.

    A damaged block is logged and missing until it is stored again; its bytes stay till then.
    """

    verifies = True

    def __init__(self, table: BlockTable, place: object) -> None:
        self._table = table
        self._place = place
        self._damaged = DamagedBlocks(place)
        self._writing = trio.Lock()
        self._next_batch = _WriteBatch()

    def __repr__(self) -> str:
        return shown(self, lambda: f"in {str(self._place)!r}")

    async def get_block(self, cid: CIDInput) -> bytes | None:
        return (await self.get_blocks([cid]))[0]

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        """Read several blocks in one hop to a thread."""
        return await self._answer(cids, self._read, lambda cid: cid.digest)

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_size(cid) is not None

    async def get_size(self, cid: CIDInput) -> int | None:
        return (await self.get_sizes([cid]))[0]

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        """Look at several blocks in one hop to a thread."""
        return await self._answer(cids, self._look_at, lambda cid: len(cid.digest))

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        await self.put_blocks([(cid, data)])

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        """
        Store several blocks in one transaction, all or none.

        Calls that come while a thread is writing share the next one: a transaction with a flush to
        the disk costs as much for many blocks as for one.
        """
        keyed = keyed_blocks(blocks)
        if not keyed:
            return
        batch = self._next_batch
        batch.add(keyed)
        async with self._writing:
            if not batch.is_written:  # by another call of this batch
                self._next_batch = _WriteBatch()
                await batch.write(self._write)
        if batch.error is not None:
            raise BlockStoreError(str(batch.error)) from (batch.error.__cause__ or batch.error)

    async def delete_block(self, cid: CIDInput) -> None:
        await self.delete_blocks([cid])

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        """Remove several blocks in one transaction; return those that were older."""
        keys = [CID.of(cid).multihash for cid in cids]
        limit = inf if older_than is None else older_than
        gone = await trio.to_thread.run_sync(self._table.delete, keys, limit)
        for key, is_gone in zip(keys, gone, strict=True):
            if is_gone:
                self._damaged.forget(key)
        return [cid for cid, is_gone in zip(cids, gone, strict=True) if is_gone]

    def get_all_cids(self) -> list[bytes]:
        """List every block as CIDv1 with raw. It reads the whole index before it returns."""
        return [V1_RAW + info[0] for page in self._pages() for info in page]

    async def multihash_batches(self) -> AsyncGenerator[list[bytes], None]:
        """Return the multihashes of all blocks in their order, some at a time."""
        async for batch in self.block_infos():
            yield [multihash for multihash, _, _ in batch]

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        """Return all blocks in the order of multihashes; no transaction is held in between."""
        pages = self._pages()
        while (page := await trio.to_thread.run_sync(next, pages, None)) is not None:
            yield page

    def damage_of(self, cid: CIDInput) -> str | None:
        return self._damaged.place_of(CID.of(cid).multihash)

    async def close(self) -> None:
        """Wait for the write under way, and close."""
        async with self._writing:
            await trio.to_thread.run_sync(self._table.close)

    def _pages(self) -> Iterator[list[BlockInfo]]:
        after = b""
        while page := self._table.page(after, LISTED_AT_ONCE):
            yield page
            after = page[-1][0]

    async def _answer(
        self,
        cids: Sequence[CIDInput],
        look_up: Callable[[list[bytes]], list[T | None]],
        of_identity: Callable[[CID], T],
    ) -> list[T | None]:
        named = [CID.of(cid) for cid in cids]
        keys = [cid.multihash for cid in named if not cid.is_identity]
        found = iter(
            await trio.to_thread.run_sync(look_up, keys, abandon_on_cancel=True) if keys else ()
        )
        return [of_identity(cid) if cid.is_identity else next(found) for cid in named]

    def _read(self, keys: list[bytes]) -> list[bytes | None]:
        return list(map(self._damaged.judged, keys, self._table.get(keys)))

    def _look_at(self, keys: list[bytes]) -> list[int | None]:
        sizes = self._table.sizes(keys)
        return [None if k in self._damaged else n for k, n in zip(keys, sizes, strict=True)]

    def _write(self, blocks: list[tuple[bytes, Buffer]]) -> None:
        self._table.put(blocks)
        for multihash, _ in blocks:
            self._damaged.forget(multihash)
