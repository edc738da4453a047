"""
Adds a file: reads, hashes and writes at the same time, in memory that does not grow with the file.

Each of some workers takes the next piece of the file and does in one hop to a thread all that needs
no order: it reads the piece, if that is a part of a file, makes the leaves and stores them.
Reading, hashing and writing release the interpreter's lock, so the threads run in parallel. What
they hand to each other are CIDs: the importer gets those in the order of the file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

import trio

from libp2p.blockstore.slice_table import Slice
from libp2p.ipfs_lite.errors import leaves_of, plain_errors
from libp2p.ipfs_lite.nocopy import place_of
from libp2p.ipfs_lite.source import (
    MIN_READ_BYTES,
    READ_BYTES,
    FileSlices,
    checked,
    open_source,
)
from libp2p.ipld.block import Block
from libp2p.ipld.importer import FileImporter, leaf_view
from libp2p.utils import arguments
from libp2p.utils.allocator import keep_freed_memory
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.nocopy import Place
    from libp2p.ipfs_lite.source import Piece, Source, SourceInput
    from libp2p.ipld.cid import CID
    from libp2p.ipld.profiles import ImportOptions

logger = get_logger(__name__)

_T = TypeVar("_T")

#: Pieces that are worked on at once, of `BATCH_BYTES` each.
WORKERS: Final = min(4, os.cpu_count() or 1)


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
    nocopy: bool = False,
) -> AddResult:
    """
    Import a file into a store; without one, only find out its CID.

    :param nocopy: leave the leaves where they are: they become slices of the file.
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
        async with open_source(source, read_bytes_for(options.chunker)) as opened:
            importer = FileImporter(options)
            place = place_of(opened, options, store) if nocopy else None
            adding = _Adding(importer, opened, store, stored, progress, place)
            async with trio.open_nursery() as nursery:
                for _ in range(WORKERS):
                    nursery.start_soon(adding.work)
            await adding.finish()
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
    size = _chunk_bytes(chunker)
    return READ_BYTES if size is None or size < MIN_READ_BYTES else size


def _chunk_bytes(chunker: str) -> int | None:
    """Return the size of all chunks; None if the cuts depend on the bytes."""
    name, _, size = chunker.partition("-")
    return int(size) if name == "size" else None


class _Leaf(NamedTuple):
    """A leaf without its bytes, but for the first one of the file."""

    cid: CID
    size: int
    file_size: int
    block: Block | None


class _Adding:
    """The adding of one file: `work`, by several tasks, then `finish`."""

    def __init__(
        self,
        importer: FileImporter,
        source: Source,
        store: BlockStore | None,
        stored: Callable[[Sequence[CID]], Awaitable[object]] | None,
        progress: Progress | None,
        place: Place | None,
    ) -> None:
        self._importer = importer
        self._place_of_file = place
        self._first: CID | None = None  # of the first leaf, if that is a slice
        self._store = store
        self._put = None if store is None else store.thread_putter()
        self._stored = stored
        self._progress = progress
        self._size = source.size
        chunk = _chunk_bytes(importer.options.chunker)
        slices = None if chunk is None else FileSlices.of(source, chunk)
        self._pieces = _ChunksOf(source, importer) if slices is None else slices
        self._turn = trio.Lock()
        self._taken = 0
        self._has_failed = False
        # What threads share.
        self._lock = threading.Lock()
        self._made: dict[int, list[_Leaf]] = {}
        self._placed = 0

    async def work(self) -> None:
        """Add pieces until there are no more."""
        try:
            while True:
                async with self._turn:
                    piece = await self._pieces.next()
                    number, self._taken = self._taken, self._taken + 1
                if piece is None:
                    return
                await self._note_kept(*await self._pieces.run(partial(self._add, number, piece)))
        except Exception:  # task's edge: a full disk fails every worker, and is raised once
            if not self._has_failed:
                self._has_failed = True
                raise

    async def finish(self) -> None:
        """Store what remains when all pieces have been added: the root comes last."""
        self._pieces.end()
        await self._note_kept([], await trio.to_thread.run_sync(self._importer.finish))

    async def _note_kept(self, kept: list[CID], blocks: list[Block]) -> None:
        """Tell which blocks are stored, after storing those that are not."""
        if self._store is not None:
            blocks = [block for block in blocks if block.cid != self._first]
            if blocks:
                await self._store.put_blocks([(cid.buffer, data) for cid, data in blocks])
            if self._stored is not None and (cids := kept + [block.cid for block in blocks]):
                await self._stored(cids)
        if self._progress is not None:
            self._progress(self._importer.file_size, self._size)

    def _add(self, number: int, piece: Piece) -> tuple[list[CID], list[Block]]:
        """
        Make the leaves of a piece, and store them if a thread can (in a thread).

        Return what was stored, and what the caller must store.
        """
        options, place = self._importer.options, self._place_of_file
        leaves: list[_Leaf] = []
        slices: list[Slice] = []
        kept: list[CID] = []
        rest: list[Block] = []
        offset, batches = piece()
        for chunks in batches:
            views: list[tuple[CID, Buffer]] = []
            for chunk in chunks:
                cid, data = leaf_view(chunk, options)
                first = None if number or leaves else Block(cid, bytes(data))
                leaves.append(_Leaf(cid, len(data), len(chunk), first))
                if place is not None and not cid.is_identity:
                    slices.append(Slice(cid.multihash, offset, len(chunk)))
                    kept.append(cid)
                    if first is not None:
                        self._first = cid
                elif first is None and self._put is not None:
                    views.append((cid, data))
                elif first is None and self._store is not None:
                    rest.append(Block(cid, bytes(data)))
                offset += len(chunk)
            if self._put is not None and views:
                self._put(views)
                kept += [cid for cid, _ in views]
        if place is not None:
            place.note(slices)
        with self._lock:
            self._made[number] = leaves
            rest += self._place()
        return kept, rest

    def _place(self) -> list[Block]:
        """Give the importer the leaves that are next; return the blocks that are complete."""
        blocks: list[Block] = []
        while (leaves := self._made.pop(self._placed, None)) is not None:
            self._placed += 1
            for cid, size, file_size, block in leaves:
                if block is None:
                    blocks += self._importer.note_leaf(cid, size, file_size)
                else:
                    blocks += self._importer.add_leaf(block, file_size)
        return blocks


class _ChunksOf:
    """The pieces of what comes in order: the chunks of a batch each."""

    def __init__(self, source: Source, importer: FileImporter) -> None:
        self._source = source
        self._importer = importer
        self._has_ended = False
        self._offset = 0

    async def next(self) -> Piece | None:
        chunks: list[Buffer] = []
        while not chunks and not self._has_ended:
            if batch := checked(await self._source.next_batch()):
                chunks = await trio.to_thread.run_sync(self._importer.split, batch)
            else:
                self._has_ended = True
                chunks = self._importer.split_end()
        offset = self._offset
        self._offset += sum(map(len, chunks))
        return (lambda: (offset, [chunks])) if chunks else None

    async def run(self, call: Callable[[], _T]) -> _T:
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True)

    def end(self) -> None:
        pass


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
