"""Writes of several tasks that share one hop to a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import trio

from libp2p.blockstore.files import MAX_BLOCK_FILE_BYTES
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CIDInput

#: Blocks by multihash.
KeyedBlocks: TypeAlias = "list[tuple[bytes, Buffer]]"


def keyed_blocks(blocks: Sequence[tuple[CIDInput, Buffer]]) -> KeyedBlocks:
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


class _Batch:
    """Blocks of several calls."""

    def __init__(self) -> None:
        self.blocks: KeyedBlocks = []
        self.is_written = False
        self.error: Exception | None = None

    def add(self, blocks: KeyedBlocks) -> None:
        self.blocks += blocks

    async def write(self, write: Callable[[KeyedBlocks], None], *, abandon: bool) -> None:
        try:
            await trio.to_thread.run_sync(write, self.blocks, abandon_on_cancel=abandon)
        except Exception as error:  # noqa: BLE001 - task's edge: raised to each caller
            self.error = error
        # A call that was cancelled instead leaves the batch to the next of its callers.
        self.is_written = True


class JoinedWrites:
    """
    Calls that come while a thread is writing are written together by the next one.

    :param abandon: leave the thread to itself when its caller is cancelled: a disk that hangs does
        not keep a program from ending, and what was begun is written a second time.
    """

    def __init__(self, *, abandon: bool = False) -> None:
        self._abandon = abandon
        self._next = _Batch()
        self.writing = trio.Lock()
        """Held while a thread writes."""

    async def put(self, blocks: KeyedBlocks, write: Callable[[KeyedBlocks], None]) -> None:
        """
        Return when the blocks are written.

        :param write: is called in a thread with the blocks of all who share the hop; every call
            gives the same one, which is not kept.
        :raises BlockStoreError: with the cause of what ``write`` raised, or that itself.
        """
        if not blocks:
            return
        batch = self._next
        batch.add(blocks)
        async with self.writing:
            if not batch.is_written:  # by another call of this batch
                if batch is self._next:
                    self._next = _Batch()
                await batch.write(write, abandon=self._abandon)
        if batch.error is not None:
            cause = batch.error.__cause__ or batch.error
            raise BlockStoreError(str(batch.error) or repr(batch.error)) from cause
