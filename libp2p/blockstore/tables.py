"""Block stores in a database: what SQLite and LMDB have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, TypeVar

import trio

from libp2p.blockstore.base import LISTED_AT_ONCE, PagedBlockStore
from libp2p.blockstore.joined_writes import JoinedWrites, keyed_blocks
from libp2p.blockstore.verify import DamagedBlocks
from libp2p.ipld.cid import CID
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipld.cid import CIDInput

T = TypeVar("T")


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


class TableBlockStore(PagedBlockStore):
    """
    Blocks in a `BlockTable`, which threads use; every block is hashed when it is read.

    A damaged block is logged and missing until it is stored again; its bytes stay till then.
    """

    verifies = True

    def __init__(
        self, table: BlockTable, place: object, stored: Callable[[], object] | None = None
    ) -> None:
        """:param stored: is called in a thread when blocks have been written."""
        self._table = table
        self._stored = stored
        self._place = place
        self._damaged = DamagedBlocks(place)
        self._writes = JoinedWrites()

    def __repr__(self) -> str:
        return shown(self, lambda: f"in {str(self._place)!r}")

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        """Read several blocks in one hop to a thread."""
        return await self._answer(cids, self._read, lambda cid: cid.digest)

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        """Look at several blocks in one hop to a thread."""
        return await self._answer(cids, self._look_at, lambda cid: len(cid.digest))

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        """
        Store several blocks in one transaction, all or none.

        Calls that come while a thread is writing share the next one: a transaction with a flush to
        the disk costs as much for many blocks as for one.
        """
        await self._writes.put(keyed_blocks(blocks), self._write)

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

    def damage_of(self, cid: CIDInput) -> str | None:
        return self._damaged.place_of(CID.of(cid).multihash)

    async def close(self) -> None:
        """Wait for the write under way, and close."""
        async with self._writes.writing:
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
        if self._stored is not None:
            self._stored()
