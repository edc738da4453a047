"""
The blocks of a CAR file, read from where they are in it.

The index of a file of version 2 says where; without one, the file is read through once when it is
opened, and an index is made in memory: 48 bytes for each block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import trio

from libp2p.blockstore.base import BlockStore
from libp2p.exceptions import BlockStoreError, InvalidCar, ParseError
from libp2p.ipld.car.header import V2_DATA_OFFSET, V2_PRAGMA, V2Header
from libp2p.ipld.car.index import CarIndex, IndexBuilder
from libp2p.ipld.car.reader import MAX_SECTION_BYTES, CarReader
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.utils.shown import shown
from libp2p.utils.varint import decode_uvarint

if TYPE_CHECKING:
    from libp2p.ipld.cid import CIDInput

#: Bytes that are read at once when a file is read through.
_READ_BYTES: Final = 1024 * 1024
#: Bytes that are read where a block is expected: most small blocks, and the length of large ones.
_FIRST_READ_BYTES: Final = 16 * 1024
#: An index of a file is held in memory: that of 25 million blocks.
MAX_INDEX_BYTES: Final = 1024 * 1024 * 1024


class CarBlockStore(BlockStore):
    """
    The blocks of one CAR file, of version 1 or 2; nothing can be put into it.

    Made by `open`. The file is opened for every call, so there is nothing to close. What is
    returned is not verified: `read_blocks`, and so every peer and client, does that.
    """

    def __init__(self, path: Path, roots: tuple[CID, ...], start: int, index: CarIndex) -> None:
        """:param start: where the inner file of version 1 starts, in bytes."""
        self.path: Final = path
        self.roots: Final = roots
        """What the file says. Nobody has checked that the blocks below them are in it."""
        self._start = start
        self._index = index

    @classmethod
    async def open(cls, path: str | PathLike[str]) -> CarBlockStore:
        """
        Read the index of a file, or make one.

        :raises BlockStoreError: if the file cannot be read.
        :raises InvalidCar: if it is no CAR file, or is cut off.
        """
        return await trio.to_thread.run_sync(cls._open, Path(path))

    @classmethod
    def _open(cls, path: Path) -> CarBlockStore:
        reader = CarReader()
        builder = IndexBuilder()
        with _reading(path) as file:
            header = _v2_header(file)
            indexed = header is not None and header.index_offset > 0
            while data := file.read(_READ_BYTES):
                blocks = reader.receive(data)
                if indexed and reader.roots is not None:
                    break
                for block in blocks:
                    builder.add(block.cid.multihash, block.offset)
            if header is None or not indexed:
                reader.end()
                index = builder.build()
            else:
                file.seek(header.index_offset)
                index = CarIndex.decode(_read_index(file))
        start = 0 if header is None else header.data_offset
        return cls(path, reader.roots or (), start, index)

    async def get_block(self, cid: CIDInput) -> bytes | None:
        return (await self.get_blocks([cid]))[0]

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        return await trio.to_thread.run_sync(self._get_blocks, [CID.of(cid) for cid in cids])

    async def has_block(self, cid: CIDInput) -> bool:
        cid = CID.of(cid)
        return cid.is_identity or bool(self._index.find(cid.multihash))

    def get_all_cids(self) -> list[bytes]:
        """List a CIDv1 with raw of every block; nothing if the index does not say their hashes."""
        return [RAW_CID_START + multihash for multihash in self._index.multihashes()]

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        """:raises BlockStoreError: always."""
        raise BlockStoreError(f"no block can be put into {self.path}: it is a CAR file")

    async def delete_block(self, cid: CIDInput) -> None:
        """:raises BlockStoreError: always."""
        raise BlockStoreError(f"no block can be taken out of {self.path}: it is a CAR file")

    def __repr__(self) -> str:
        return shown(self, lambda: f"of {len(self._index)} blocks in {self.path}")

    def _get_blocks(self, cids: Sequence[CID]) -> list[bytes | None]:
        with _reading(self.path) as file:
            return [self._read(file, cid) for cid in cids]

    def _read(self, file: BinaryIO, cid: CID) -> bytes | None:
        if cid.is_identity:
            return cid.digest
        for offset in self._index.find(cid.multihash):
            file.seek(self._start + offset)
            if (data := _read_block(file, cid)) is not None:
                return data
        return None


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb", buffering=0) as file:
            yield file
    except OSError as error:
        raise BlockStoreError(f"{path} cannot be read: {error.strerror}") from error


def _v2_header(file: BinaryIO) -> V2Header | None:
    """Return what stands at the start of a file of version 2, and go back to it."""
    start = file.read(V2_DATA_OFFSET)
    file.seek(0)
    if len(start) < V2_DATA_OFFSET or not start.startswith(V2_PRAGMA):
        return None
    return V2Header.decode(start[len(V2_PRAGMA) :])


def _read_index(file: BinaryIO) -> bytes:
    data = file.read(MAX_INDEX_BYTES + 1)
    if len(data) > MAX_INDEX_BYTES:
        raise InvalidCar(f"the index has more than {MAX_INDEX_BYTES:,} bytes")
    return data


def _read_block(file: BinaryIO, cid: CID) -> bytes | None:
    """Return a block that is at the place of a file, None if another is there."""
    data = file.read(_FIRST_READ_BYTES)
    try:
        size, start = decode_uvarint(data)
        found, data_start = CID.read(data, start)
    except ParseError:
        return None
    if found.multihash != cid.multihash or not data_start - start <= size <= MAX_SECTION_BYTES:
        return None
    end = start + size
    while len(data) < end and (more := file.read(end - len(data))):
        data += more
    return data[data_start:end] if len(data) >= end else None
