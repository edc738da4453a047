"""Blocks on disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from itertools import islice
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from libp2p.blockstore.base import LISTED_AT_ONCE, BlockStore
from libp2p.blockstore.flatfs import FlatFiles
from libp2p.blockstore.joined_writes import JoinedWrites, keyed_blocks
from libp2p.blockstore.layout import SHARDING
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipld.cid import CIDInput
    from libp2p.utils.file_locks import SharedLock

#: Blocks whose files are looked at without a thread. A stat of a cached folder takes 3 us, a hop to
#: a thread thirty times as much; but on a cold disk each of them holds up the event loop.
STATS_IN_LOOP: Final = 4


class FilesystemBlockStore(BlockStore):
    """
    Blocks as files in Kubo's flatfs layout; stores of py-libp2p 0.8 are read as well.

    Several processes may use one folder at the same time.

    :param base_path: the folder; made if it is not there.
    :param sync: flush each block to the disk before it becomes visible. Without, no crash of the
        process shows half a block, but a power loss may take the newest ones away.
    :param verify: hash each block that is read. A file that holds anything else is set aside in
        ``.damaged`` and logged, and the block is missing until it is stored again. Without, what a
        disk has made of a block is given out as the block. It takes half a millisecond per MiB.
    :param sharding: the shard function of a folder that is new, by its name in the file
        ``SHARDING``; an old one keeps its own. For more than some million blocks take
        ``/repo/flatfs/shard/v1/next-to-last/3``.
    :param gc_lock: is shared while a block that is here already gets the time of now. Who has it
        alone can compare times and delete.
    :param stored: is called in a thread when blocks have been written.
    :raises BlockStoreError: here and in every method, with the `OSError` as its cause.
    """

    verifies = True

    def __init__(
        self,
        base_path: str | Path,
        *,
        sync: bool = False,
        verify: bool = True,
        sharding: str = SHARDING,
        gc_lock: SharedLock | None = None,
        stored: Callable[[], object] | None = None,
    ) -> None:
        folder = Path(arguments.path(base_path, "base_path"))
        self._files = FlatFiles(
            folder, sync=sync, verify=verify, sharding=sharding, gc_lock=gc_lock, stored=stored
        )
        self._writes = JoinedWrites(abandon=True)

    async def get_block(self, cid: CIDInput) -> bytes | None:
        cid = CID.of(cid)
        if cid.is_identity:
            return cid.digest
        return await trio.to_thread.run_sync(self._read, cid, abandon_on_cancel=True)

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        await self.put_blocks([(cid, data)])

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_size(cid) is not None

    async def delete_block(self, cid: CIDInput) -> None:
        cid = CID.of(cid)
        if not cid.is_identity:
            await trio.to_thread.run_sync(self._files.delete, cid.multihash)

    def get_all_cids(self) -> list[bytes]:
        """List every block as CIDv1 with raw. It walks the folders before it returns."""
        return [RAW_CID_START + multihash for multihash in self._files.multihashes()]

    async def multihash_batches(self) -> AsyncIterator[list[bytes]]:
        """Return the multihashes of all blocks, some at a time; a thread walks the folders."""
        found = self._files.multihashes()

        def some() -> list[bytes]:
            return list(islice(found, LISTED_AT_ONCE))

        while batch := await trio.to_thread.run_sync(some):
            yield batch

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        """Return all blocks, some at a time; a thread looks at their files."""
        found = self._files.infos()

        def some() -> list[BlockInfo]:
            return list(islice(found, LISTED_AT_ONCE))

        while batch := await trio.to_thread.run_sync(some):
            yield batch

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        """Remove several blocks in one hop; return those that were older."""
        limit = inf if older_than is None else older_than

        def delete() -> list[CIDInput]:
            return [cid for cid in cids if self._files.delete(CID.of(cid).multihash, limit)]

        return await trio.to_thread.run_sync(delete)

    async def get_size(self, cid: CIDInput) -> int | None:
        return (await self.get_sizes([cid]))[0]

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        """Look at several blocks in one hop to a thread, at very few without."""
        named = [CID.of(value) for value in cids]
        if len(named) <= STATS_IN_LOOP and self._files.is_quick:
            return self._look_at_all(named)
        return await trio.to_thread.run_sync(self._look_at_all, named, abandon_on_cancel=True)

    async def get_blocks_or_sizes(
        self, cids: Sequence[CIDInput], limit: int
    ) -> list[bytes | int | None]:
        """Read blocks until they have ``limit`` bytes, and look at the others, in one hop."""
        named = [CID.of(value) for value in cids]
        return await trio.to_thread.run_sync(
            self._read_or_look, named, limit, abandon_on_cancel=True
        )

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        """
        Write several blocks; calls that come while a thread is writing share the next hop.

        A hop to a thread costs as much as writing a block, and blocks come one at a time from
        peers that open a stream for each.
        """
        await self._writes.put(keyed_blocks(blocks), self._files.put)

    def thread_putter(self) -> Callable[[Sequence[tuple[CID, Buffer]]], None] | None:
        own = FilesystemBlockStore
        if type(self).put_blocks is not own.put_blocks or type(self).put_block is not own.put_block:
            return None  # a class of the user's wants to see what is stored
        return self._put_in_thread

    def _put_in_thread(self, blocks: Sequence[tuple[CID, Buffer]]) -> None:
        self._files.put((cid.multihash, data) for cid, data in blocks if not cid.is_identity)

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        """Read several blocks in one hop to a thread."""
        named = [CID.of(value) for value in cids]
        return await trio.to_thread.run_sync(self._read_all, named, abandon_on_cancel=True)

    def damage_of(self, cid: CIDInput) -> str | None:
        """Return the file that was found in place of a missing block, until it is stored again."""
        return self._files.damage_of(CID.of(cid).multihash)

    def size(self) -> int:
        """Count the blocks. It walks the folders before it returns."""
        return sum(1 for _ in self._files.multihashes())

    def base_path(self) -> Path:
        return self._files.base

    async def close(self) -> None:
        """Let nothing be written any more; a thread that hangs in a write cannot be waited for."""
        self._files.close()

    def __repr__(self) -> str:
        return shown(self, lambda: f"in {str(self._files.base)!r}")

    def _read(self, cid: CID) -> bytes | None:
        return cid.digest if cid.is_identity else self._files.get(cid.multihash)

    def _look_at(self, cid: CID) -> int | None:
        return len(cid.digest) if cid.is_identity else self._files.size(cid.multihash)

    def _read_all(self, cids: list[CID]) -> list[bytes | None]:
        return list(map(self._read, cids))

    def _look_at_all(self, cids: list[CID]) -> list[int | None]:
        return list(map(self._look_at, cids))

    def _read_or_look(self, cids: list[CID], limit: int) -> list[bytes | int | None]:
        found: list[bytes | int | None] = []
        for cid in cids:
            if limit > 0:
                data = self._read(cid)
                limit -= len(data or b"")
                found.append(data)
            else:
                found.append(self._look_at(cid))
        return found
