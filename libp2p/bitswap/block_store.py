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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import trio

from libp2p.bitswap.flatfs import FlatFiles, is_block
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from libp2p.custom_types import Buffer
    from libp2p.ipld.cid import CIDInput

__all__ = ["BlockStore", "FilesystemBlockStore", "MemoryBlockStore"]

#: What a store's methods are called with: ``bytes`` by this library. A store may say that it takes
#: these alone, or CIDs in any form; to a type checker both are overrides of the methods here.
StoreCID: TypeAlias = Any

_T = TypeVar("_T")
_R = TypeVar("_R")

_V1_RAW: Final = b"\x01\x55"

#: Calls that are made at once for a list of blocks, where a store has no method for lists. One that
#: takes 50 ms, as a store in the cloud does, gives 32 blocks in the time of one.
STORE_CALLS: Final = 32
#: Blocks whose files are looked at without a thread. A stat of a cached folder takes 3 us, a hop to
#: a thread thirty times as much; but on a cold disk each of them holds up the event loop.
STATS_IN_LOOP: Final = 4
#: Bytes that are hashed without a thread, as long as a hop to one takes.
HASHED_IN_LOOP: Final = 128 * 1024

logger = get_logger(__name__)


async def for_each(items: Sequence[_T], call: Callable[[_T], Awaitable[_R]]) -> list[_R]:
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
        for _ in range(min(STORE_CALLS, len(items))):
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
    """True if damaged blocks are found by the store; else they are by whoever reads from it."""

    @abstractmethod
    async def get_block(self, cid: StoreCID) -> bytes | None:
        """Give a block's bytes, or None if it is not here."""

    @abstractmethod
    async def put_block(self, cid: StoreCID, data: bytes) -> None:
        """Keep a block; ``data`` must be what the CID says."""

    @abstractmethod
    async def has_block(self, cid: StoreCID) -> bool:
        """Tell whether the block is here."""

    @abstractmethod
    async def delete_block(self, cid: StoreCID) -> None:
        """Forget a block; it is no error if it is not here."""

    def get_all_cids(self) -> list[bytes]:
        """
        List a binary CID of every block; nothing if the store cannot list them.

        A store that keeps multihashes only does not know the codecs: it lists CIDv1 with raw.
        """
        return []

    async def get_size(self, cid: StoreCID) -> int | None:
        """Give a block's length, or None if it is not here."""
        data = await self.get_block(cid)
        return None if data is None else len(data)

    async def get_sizes(self, cids: Sequence[StoreCID]) -> list[int | None]:
        """Give the lengths of several blocks in the order of ``cids``, None if not here."""
        return await for_each(cids, self.get_size)

    async def put_blocks(self, blocks: Sequence[tuple[StoreCID, Buffer]]) -> None:
        """Keep several blocks; if it fails, those before the one that failed are kept."""

        async def put(block: tuple[StoreCID, Buffer]) -> None:
            await self.put_block(block[0], bytes(block[1]))

        await for_each(blocks, put)

    def put_blocks_now(self, blocks: Sequence[tuple[CID, Buffer]]) -> bool:
        """Keep several blocks if that takes no time worth a task switch; else return False."""
        return False

    async def get_blocks(self, cids: Sequence[StoreCID]) -> list[bytes | None]:
        """Give several blocks in the order of ``cids``, None for those that are not here."""
        return await for_each(cids, self.get_block)

    def get_blocks_now(self, cids: Sequence[CID]) -> list[bytes | None] | None:
        """Do the same if that takes no time worth a task switch, else return None."""
        return None

    def damage_of(self, cid: CIDInput) -> str | None:
        """Say where what was found in place of a missing block is; None if nothing was."""
        return None

    async def close(self) -> None:
        """Release what the store holds open; it cannot be used afterwards."""
        return

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


async def read_blocks(
    store: BlockStore, cids: Sequence[CID]
) -> tuple[list[bytes | None], set[CID]]:
    """
    Read blocks for somebody who uses them; return those that the store has damaged as well.

    They are missing. A store of your own replaces them when they are put again, or not.

    :raises BlockStoreError: if what the store gives is no list of blocks, or cannot be verified.
    """
    found = await store.get_blocks([cid.buffer for cid in cids])
    if store.verifies:
        return found, set()
    if len(found) != len(cids):
        raise BlockStoreError(f"the block store gave {len(found)} answers for {len(cids)} CIDs")
    for data in found:
        if data is not None and not isinstance(data, bytes):
            raise BlockStoreError(f"the block store gave a {type(data).__name__} for a block")
    if sum(len(data) for data in found if data) <= HASHED_IN_LOOP:
        damaged = _damaged(cids, found)
    else:
        damaged = await trio.to_thread.run_sync(_damaged, cids, found)
    for cid in damaged:
        logger.warning("block %s is damaged: the store gave other bytes", cid)
    return [
        None if cid in damaged else data for cid, data in zip(cids, found, strict=True)
    ], damaged


def damage_of(store: BlockStore, cid: CID, damaged: set[CID]) -> str | None:
    """Say what is known of a block that `read_blocks` did not give; None if it was not here."""
    return "the store gave other bytes" if cid in damaged else store.damage_of(cid)


def _damaged(cids: Sequence[CID], found: Sequence[bytes | None]) -> set[CID]:
    damaged = set()
    for cid, data in zip(cids, found, strict=True):
        if data is not None and not (is_right := is_block(cid.multihash, data)):
            if is_right is None:
                raise BlockStoreError(f"block {cid} cannot be verified: unknown hash")
            damaged.add(cid)
    return damaged


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


class _WriteBatch:
    """Blocks of several calls that are written together."""

    def __init__(self) -> None:
        self.blocks: list[tuple[bytes, Buffer]] = []
        self.is_written = False
        self.error: Exception | None = None

    async def write(self, files: FlatFiles) -> None:
        self.is_written = True
        try:
            # A disk that hangs must not keep a program from ending: whoever is cancelled leaves
            # the thread to itself.
            await trio.to_thread.run_sync(files.put, self.blocks, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001 - task's edge: raised to each caller
            self.error = error
        except trio.Cancelled:
            self.is_written = False  # the next one whose blocks these are writes them once more
            raise


class FilesystemBlockStore(BlockStore):
    """
    Blocks as files in Kubo's flatfs layout; stores of py-libp2p 0.8 are read as well.

    :param base_path: the folder; made if it is not there.
    :param sync: flush each block to the disk before it becomes visible. Without, no crash of the
        process shows half a block, but a power loss may take the newest ones away.
    :param exclusive: promise that no other process uses the folder, so that whatever unfinished
        files are there can be swept at once.
    :param verify: hash each block that is read. A file that holds anything else is set aside in
        ``.damaged`` and logged, and the block is missing until it is stored again. Without, what a
        disk has made of a block is given out as the block. It takes half a millisecond per MiB.
    :raises BlockStoreError: here and in every method, with the `OSError` as its cause.
    """

    verifies = True

    def __init__(
        self,
        base_path: str | Path,
        *,
        sync: bool = False,
        exclusive: bool = False,
        verify: bool = True,
    ) -> None:
        folder = Path(arguments.path(base_path, "base_path"))
        self._files = FlatFiles(folder, sync=sync, exclusive=exclusive, verify=verify)
        self._writing = trio.Lock()
        self._next_batch = _WriteBatch()

    async def get_block(self, cid: CIDInput) -> bytes | None:
        cid = CID.of(cid)
        if cid.is_identity:
            return cid.digest
        return await trio.to_thread.run_sync(self._files.get, cid.multihash, abandon_on_cancel=True)

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
        return [_V1_RAW + multihash for multihash in self._files.multihashes()]

    async def get_size(self, cid: CIDInput) -> int | None:
        cid = CID.of(cid)
        if cid.is_identity:
            return len(cid.digest)
        if self._files.is_quick:
            return self._files.size(cid.multihash)
        size = self._files.size
        return await trio.to_thread.run_sync(size, cid.multihash, abandon_on_cancel=True)

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        """Look at several blocks in one hop to a thread, at very few without."""
        named = [CID.of(value) for value in cids]
        if len(named) <= STATS_IN_LOOP and self._files.is_quick:
            return self._look_at_all(named)
        return await trio.to_thread.run_sync(self._look_at_all, named, abandon_on_cancel=True)

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        """
        Write several blocks; calls that come while a thread is writing share the next hop.

        A hop to a thread costs as much as writing a block, and blocks come one at a time from
        peers that open a stream for each.
        """
        keyed = [
            (cid.multihash, arguments.binary(data))
            for cid, data in ((CID.of(value), data) for value, data in blocks)
            if not cid.is_identity
        ]
        if not keyed:
            return
        batch = self._next_batch
        batch.blocks += keyed
        async with self._writing:
            if not batch.is_written:  # by another call of this batch
                self._next_batch = _WriteBatch()
                await batch.write(self._files)
        if batch.error is not None:
            cause = batch.error.__cause__ or batch.error
            raise BlockStoreError(str(batch.error) or repr(batch.error)) from cause

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        """Read several blocks in one hop to a thread."""
        named = [CID.of(value) for value in cids]
        return await trio.to_thread.run_sync(self._read_all, named, abandon_on_cancel=True)

    def damage_of(self, cid: CIDInput) -> str | None:
        """Give the file that was found in place of a missing block, until it is stored again."""
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

    def _read_all(self, cids: list[CID]) -> list[bytes | None]:
        read = self._files.get
        return [cid.digest if cid.is_identity else read(cid.multihash) for cid in cids]

    def _look_at_all(self, cids: list[CID]) -> list[int | None]:
        look = self._files.size
        return [len(cid.digest) if cid.is_identity else look(cid.multihash) for cid in cids]
