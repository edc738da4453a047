"""
Adds a file: reads, hashes and writes at the same time, in memory that does not grow with the file.

    reading task   →   hashing task              →   writing task
    one thread         a thread per core, leaves      one thread, a batch of blocks per hop
                       in any order

Each stage holds one batch and hands it over when the next stage is ready: four batches at most.
Hashing and file calls release the interpreter's lock, so the threads run in parallel.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import trio

from libp2p.ipfs_lite.errors import leaves_of, plain_errors
from libp2p.ipfs_lite.source import MIN_READ_BYTES, READ_BYTES, checked, open_source
from libp2p.ipld.block import Block
from libp2p.ipld.importer import FileImporter, leaf_block
from libp2p.utils import arguments
from libp2p.utils.allocator import keep_freed_memory
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from libp2p.base_types import Buffer
    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.source import Source, SourceInput
    from libp2p.ipld.cid import CID
    from libp2p.ipld.profiles import ImportOptions

logger = get_logger(__name__)

#: Threads that hash at once; with more, the thread that reads is the limit.
HASH_THREADS: Final = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class AddResult:
    """The result of adding a file."""

    cid: CID
    size: int
    """Bytes of the file."""
    dag_size: int
    """Bytes of all blocks, as ``ipfs add`` reports them."""


class Progress(Protocol):
    """Called with the bytes done and, if known, the bytes in all."""

    def __call__(self, done: int, total: int | None, /) -> object: ...


async def add_file(
    source: SourceInput,
    options: ImportOptions,
    store: BlockStore | None,
    *,
    stored: Callable[[Sequence[CID]], Awaitable[object]] | None = None,
    progress: Progress | None = None,
) -> AddResult:
    """
    Import a file into a store; without one, only find out its CID.

    :param stored: awaited with the CIDs of every batch that has been stored.
    :raises SourceError: if the source cannot be read, `InvalidSource` if it gives no bytes.
    :raises BlockStoreError: if the store cannot be written; blocks stored before stay.
    :raises Exception: whatever a reader, a store or a progress function of the caller's raises.
    """
    if progress is not None:
        arguments.function(progress, "progress")
    keep_freed_memory()
    started_at = trio.current_time()
    with plain_errors(), _failure_logged(source):
        async with (
            open_source(source, read_bytes_for(options.chunker)) as opened,
            trio.open_nursery() as nursery,
        ):
            importer = FileImporter(options)
            batches_out, batches_in = trio.open_memory_channel[list["Buffer"]](0)
            blocks_out, blocks_in = trio.open_memory_channel[list[Block]](0)
            nursery.start_soon(_read, opened, batches_out)
            nursery.start_soon(_hash, importer, batches_in, blocks_out)
            async with blocks_in:
                async for blocks in blocks_in:
                    if store is not None:
                        await store.put_blocks([(cid.buffer, data) for cid, data in blocks])
                        if stored is not None:
                            await stored([block.cid for block in blocks])
                    if progress is not None:
                        progress(importer.file_size, opened.size)
    logger.info(
        "%s: %s, %s, %d bytes in %.2f s",
        "hashed" if store is None else "added",
        importer.root,
        _name_of(source),
        importer.file_size,
        trio.current_time() - started_at,
    )
    return AddResult(importer.root, importer.file_size, importer.dag_size)


def read_bytes_for(chunker: str) -> int:
    """Return the size of reads: the chunk's if that saves copying, else the usual one."""
    name, _, size = chunker.partition("-")
    if name == "size" and int(size) >= MIN_READ_BYTES:
        return int(size)
    return READ_BYTES


async def _read(source: Source, output: trio.MemorySendChannel[list[Buffer]]) -> None:
    async with output:
        while batch := checked(await source.next_batch()):
            await output.send(batch)


async def _hash(
    importer: FileImporter,
    batches: trio.MemoryReceiveChannel[list[Buffer]],
    output: trio.MemorySendChannel[list[Block]],
) -> None:
    async with batches, output:
        async for batch in batches:
            chunks = await trio.to_thread.run_sync(importer.split, batch)
            leaves = await _hash_leaves(chunks, importer.options)
            if blocks := await trio.to_thread.run_sync(_assemble, importer, chunks, leaves):
                await output.send(blocks)
        await output.send(await trio.to_thread.run_sync(importer.finish))


async def _hash_leaves(chunks: list[Buffer], options: ImportOptions) -> list[Block]:
    leaves: list[list[Block]] = [[] for _ in range(HASH_THREADS)]
    share = -(-len(chunks) // HASH_THREADS)

    def hash_share(number: int) -> None:
        own = chunks[number * share : (number + 1) * share]
        leaves[number] = [leaf_block(chunk, options) for chunk in own]

    async with trio.open_nursery() as nursery:
        for number in range(HASH_THREADS):
            if number * share < len(chunks):
                nursery.start_soon(trio.to_thread.run_sync, hash_share, number)
    return [leaf for some in leaves for leaf in some]


def _assemble(importer: FileImporter, chunks: list[Buffer], leaves: list[Block]) -> list[Block]:
    blocks: list[Block] = []
    for chunk, leaf in zip(chunks, leaves, strict=True):
        blocks += importer.add_leaf(leaf, len(chunk))
    return blocks


@contextmanager
def _failure_logged(source: SourceInput) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        causes = ", ".join(str(cause) or repr(cause) for cause in leaves_of(error))
        logger.info("not added: %s: %s", _name_of(source), causes)
        raise


def _name_of(source: SourceInput) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)  # of a file
    return name if isinstance(name, str) else type(source).__name__
