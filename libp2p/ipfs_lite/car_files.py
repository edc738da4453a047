"""
CAR files in and out of a peer, a batch of blocks at a time: memory does not grow with the file.

What is exported is the same for the same DAG and options, byte for byte. What is imported is
verified, each block against its CID, before it is stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import trio

from libp2p.exceptions import InvalidArgument, InvalidCar
from libp2p.ipfs_lite.dag_reader import DagReader
from libp2p.ipfs_lite.errors import OutputError, plain_errors
from libp2p.ipfs_lite.folders import run_steps
from libp2p.ipfs_lite.source import checked, open_source
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.car.header import V2_DATA_OFFSET, V2Header, encode_header
from libp2p.ipld.car.index import IndexBuilder
from libp2p.ipld.car.reader import CarReader
from libp2p.ipld.car.writer import encode_block_start
from libp2p.ipld.dag_walk import DagWalk
from libp2p.ipld.entity_walk import ByteRange, EntityWalk
from libp2p.ipld.paths import follow, names_in

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipfs_lite.source import Source, SourceInput
    from libp2p.ipld.car.reader import CarBlock
    from libp2p.ipld.cid import CID

#: Bytes of one batch of an exported file.
BATCH_BYTES: Final = 4 * 1024 * 1024
#: What part of a DAG is exported.
SCOPES: Final = ("all", "entity", "block")
V2: Final = 2
#: Batches that are verified and written at once. One is verified while the disk writes the other.
WORKERS: Final = 2


@dataclass(frozen=True, slots=True)
class CarResult:
    """What a CAR file holds that was written or read."""

    roots: tuple[CID, ...]
    """What the file says. The blocks below them need not all be in it."""
    blocks: int
    """Blocks in the file; one that is there twice counts twice."""
    size: int
    """Bytes of these blocks."""


class CarKnobs(TypedDict, total=False):
    """What a CAR file holds, and how; the names are those of gateways."""

    version: int
    """1, or 2, which has an index of its blocks. Its nodes are read twice: the sizes come first."""
    duplicates: bool
    """Write a block as often as it is linked to, rather than once."""
    scope: str
    """"all" below the roots; "entity", see `EntityWalk`; or the "block" alone."""
    entity_bytes: ByteRange | str | None
    """With "entity", the bytes of a file that count: ``"FROM:TO"``, the last one included."""
    path: str
    """Names below the only root. The blocks on the way come first, and the last one is the root."""
    local_only: bool
    """Leave out what is not here, with all below it, rather than fetch it."""


class CarExport:
    """
    The bytes of a CAR file, made while they are read.

    :raises InvalidArgument: if the knobs contradict each other.
    """

    def __init__(
        self, roots: Sequence[CID], source: BlockSource, **knobs: Unpack[CarKnobs]
    ) -> None:
        self.size: Final = None
        """The size is not known beforehand."""
        self._roots = tuple(roots)
        self._source = source
        self._knobs: CarKnobs = {"version": 1, "scope": "all", "path": "", **knobs}
        _check_knobs(self._knobs, self._roots)
        text = knobs.get("entity_bytes")
        self._byte_range = ByteRange.parse(text) if isinstance(text, str) else text
        self.seek(0)

    def seek(self, position: int) -> None:
        """
        Begin anew.

        :param position: 0; the file has no other place that is known.
        """
        if position:
            raise ValueError("a CAR file is written from its start")
        self._blocks = self._block_bytes = 0
        self._position = 0
        self._sections: _Sections | None = None
        self._index: IndexBuilder | None = None
        self._end: int | None = None  # where the index begins

    def tell(self) -> int:
        """Return how many bytes have been read."""
        return self._position

    async def receive(self) -> list[Buffer]:
        """
        Return the next bytes; nothing at the end.

        :raises BitswapError: if a block cannot be had.
        :raises ParseError: if one is not in the codec that its CID says.
        :raises UnknownCodec: if the links of one cannot be read.
        :raises NameNotInDirectory: or `NotADirectory`, if the path leads nowhere.
        :raises OutputError: if the store has changed under a file of version 2.
        """
        buffers: list[Buffer] = []
        if self._sections is None:
            self._sections = await self._begin()
            if self._knobs["version"] == V2:
                buffers.append(await self._measure())
            buffers.append(encode_header(self._sections.roots))
        size = sum(map(len, buffers))
        while size < BATCH_BYTES and (section := await self._sections.next()) is not None:
            cid, data = section
            start = encode_block_start(cid, len(data))
            buffers += (start, data)
            size += len(start) + len(data)
            self._blocks += 1
            self._block_bytes += len(data)
        self._position += size
        if self._index is not None and size < BATCH_BYTES:
            if self._position != self._end:
                raise OutputError("what is in the store has changed while the CAR file was written")
            buffers.append(self._index.encode())
            self._position += len(buffers[-1])
            self._index = None
        return buffers

    async def _begin(self) -> _Sections:
        """Follow the path; return what is to be written."""
        names = names_in(self._knobs["path"])
        way: dict[CID, bytes] = {}
        roots = self._roots
        if names:
            steps = follow(roots[0], names, read=False)
            roots = ((await run_steps(self._source, steps, way)).cid,)
        if self._knobs["scope"] == "all":
            walk = DagWalk(roots, duplicates=self._knobs.get("duplicates", False))
        elif self._knobs["scope"] == "block":
            walk = DagWalk(roots, max_depth=0)
        else:
            duplicates = self._knobs.get("duplicates", False)
            walk = EntityWalk(roots[0], self._byte_range, duplicates=duplicates)
        way.pop(roots[0], None)
        for cid in way:
            walk.note(cid)
        local_only = self._knobs.get("local_only", False)
        return _Sections(
            roots, list(way.items()), DagReader(self._source, walk, local_only=local_only)
        )

    async def _measure(self) -> bytes:
        """Find out where all blocks will be; return the start of a file of version 2."""
        self._index = IndexBuilder()
        sections = await self._begin()
        size = len(encode_header(sections.roots))
        while (section := await sections.next()) is not None:
            cid, data = section
            if not cid.is_identity:  # an identity CID holds its own block
                self._index.add(cid.multihash, size)
            size += len(encode_block_start(cid, len(data))) + len(data)
        self._end = V2_DATA_OFFSET + size
        return V2Header(V2_DATA_OFFSET, size, self._end).encode()

    def result(self) -> CarResult:
        """Return what has been read so far."""
        roots = self._roots if self._sections is None else self._sections.roots
        return CarResult(roots, self._blocks, self._block_bytes)

    def close(self) -> None:
        """Ask for nothing more."""
        self._source.close()


class _Sections:
    """The blocks of a file, in their order."""

    def __init__(
        self, roots: tuple[CID, ...], way: list[tuple[CID, bytes]], reader: DagReader
    ) -> None:
        self.roots: Final = roots
        self._way = way[::-1]  # the next one is the last
        self._reader = reader

    async def next(self) -> tuple[CID, bytes] | None:
        return self._way.pop() if self._way else await self._reader.next()


def _check_knobs(knobs: CarKnobs, roots: tuple[CID, ...]) -> None:
    if knobs["version"] not in (1, V2):
        raise InvalidArgument(f"a CAR file is of version 1 or 2, not {knobs['version']}")
    if knobs["scope"] not in SCOPES:
        raise InvalidArgument(f"the scope is one of {', '.join(SCOPES)}, not {knobs['scope']!r}")
    if knobs.get("entity_bytes") is not None and knobs["scope"] != "entity":
        raise InvalidArgument('entity_bytes needs the scope "entity"')
    names_in(knobs["path"])
    if len(roots) != 1 and (knobs["path"] or knobs["scope"] == "entity"):
        raise InvalidArgument(f'a path and the scope "entity" need one root, not {len(roots)}')
    if not roots:
        raise InvalidArgument("there is no root of which a CAR file could be made")


async def import_car(
    source: SourceInput,
    store: BlockStore,
    *,
    stored: Callable[[Sequence[CID]], Awaitable[object]] | None = None,
    progress: Progress | None = None,
) -> CarResult:
    """
    Store the blocks of a CAR file of version 1 or 2.

    :param stored: awaited with the CIDs of every batch that has been stored.
    :raises InvalidCar: if it is malformed or cut off, or a block is not what its CID says. Some
        blocks before that are stored.
    :raises HashNotSupported: if a block cannot be verified.
    :raises SourceError: if the source cannot be read.
    :raises BlockStoreError: if the blocks cannot be stored.
    """
    async with open_source(source) as opened:
        importing = _Importing(opened, store, stored, progress)
        with plain_errors():
            async with trio.open_nursery() as nursery:
                for _ in range(WORKERS):
                    nursery.start_soon(importing.work)
    return importing.result()


class _Importing:
    """The import of one file: each of some tasks verifies and writes a batch of its blocks."""

    def __init__(
        self,
        source: Source,
        store: BlockStore,
        stored: Callable[[Sequence[CID]], Awaitable[object]] | None,
        progress: Progress | None,
    ) -> None:
        self._source = source
        self._store = store
        self._put = store.thread_putter()
        self._stored = stored
        self._progress = progress
        self._reader = CarReader()
        self._turn = trio.Lock()
        self._blocks = self._size = self._done = 0
        self._has_failed = False

    async def work(self) -> None:
        """Import batches until there are no more."""
        try:
            while (found := await self._next()) is not None:
                await trio.to_thread.run_sync(self._keep, found)
                if self._put is None:
                    await self._store.put_blocks([(cid.buffer, data) for cid, data, _ in found])
                if self._stored is not None and found:
                    await self._stored([block.cid for block in found])
        except Exception:  # task's edge: a full disk fails every worker, and is raised once
            if not self._has_failed:
                self._has_failed = True
                raise

    async def _next(self) -> list[CarBlock] | None:
        async with self._turn:
            batch = checked(await self._source.next_batch())
            if not batch:
                return None
            found = await trio.to_thread.run_sync(self._read, batch)
            self._blocks += len(found)
            self._size += sum(len(block.data) for block in found)
            self._done += sum(map(len, batch))
            if self._progress is not None:
                self._progress(self._done, self._source.size)
            return found

    def _read(self, batch: Sequence[Buffer]) -> list[CarBlock]:
        return [block for buffer in batch for block in self._reader.receive(buffer)]

    def _keep(self, found: list[CarBlock]) -> None:
        """Verify blocks, and store them if a thread can."""
        for cid, data, offset in found:
            if len(data) > MAX_BLOCK_BYTES:
                raise InvalidCar(f"block {cid} has {len(data)} bytes, more than peers exchange")
            if not cid.matches(data):
                raise InvalidCar(f"the bytes at {offset} are not those of {cid}")
        if self._put is not None:
            self._put([(cid, data) for cid, data, _ in found])

    def result(self) -> CarResult:
        """:raises InvalidCar: if the file is cut off."""
        self._reader.end()
        return CarResult(self._reader.roots or (), self._blocks, self._size)
