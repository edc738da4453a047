"""Adds a folder of things that are added already, or lie elsewhere: names and CIDs, no files."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Final

import trio

from libp2p.ipfs_lite.adder import AddResult
from libp2p.ipld.cid import CID
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter
from libp2p.utils import arguments
from libp2p.utils.allocator import keep_freed_memory

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.block import Block
    from libp2p.ipld.cid import CIDInput
    from libp2p.ipld.profiles import ImportOptions

    EntryInput = tuple[str, CIDInput, int]
    """A name, what it is the name of, and the bytes of all blocks below that."""

#: Entries between two moments at which other tasks run: some milliseconds of work.
ENTRIES_AT_ONCE: Final = 1000
#: Blocks that are stored at once; a shard has some kilobytes.
BATCH_BLOCKS: Final = 256


async def add_folder(
    entries: Iterable[EntryInput] | AsyncIterable[EntryInput],
    options: ImportOptions,
    store: BlockStore | None,
    *,
    stored: Callable[[Sequence[CID]], Awaitable[object]] | None = None,
) -> AddResult:
    """
    Write a folder's own blocks; without a store, only find out its CID.

    :param stored: awaited with the CIDs of every batch that has been stored.
    :raises InvalidUnixFS: if something cannot be a name, or is there twice.
    :raises InvalidCID: if something is no CID.
    :raises BlockStoreError: if the blocks cannot be written; those before stay.
    """
    keep_freed_memory()
    importer = DirectoryImporter(options)
    size = count = 0
    async with aclosing(_each(entries)) as each:
        async for name, cid, dag_size in each:
            arguments.instance(name, str, "the name of an entry")
            arguments.count(dag_size, "the size of an entry")
            importer.add(DirectoryEntry(name, CID.of(cid), dag_size))
            size += dag_size
            count += 1
            if count % ENTRIES_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
    blocks = importer.finish()
    while batch := await trio.to_thread.run_sync(_take, blocks):
        if store is not None:
            await store.put_blocks([(cid.buffer, data) for cid, data in batch])
            if stored is not None:
                await stored([block.cid for block in batch])
    return AddResult(importer.root, size, importer.dag_size)


async def _each(
    entries: Iterable[EntryInput] | AsyncIterable[EntryInput],
) -> AsyncGenerator[EntryInput, None]:
    if hasattr(entries, "__aiter__"):
        async for entry in entries:
            yield entry
    else:
        for entry in entries:
            yield entry


def _take(blocks: Iterator[Block]) -> list[Block]:
    return list(islice(blocks, BATCH_BLOCKS))
