"""Adding without a copy: the raw leaves of a file are slices of the file itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from libp2p.blockstore.slice_table import Slice, Stamp
from libp2p.blockstore.sliced import sliced
from libp2p.exceptions import InvalidImportOptions
from libp2p.ipfs_lite.errors import SourceError
from libp2p.ipfs_lite.source import FileSource
from libp2p.ipld.codec import RAW

if TYPE_CHECKING:
    from libp2p.blockstore import BlockStore
    from libp2p.blockstore.sliced import SlicedBlockStore
    from libp2p.ipfs_lite.source import Source
    from libp2p.ipld.block import Block
    from libp2p.ipld.profiles import ImportOptions


class Place:
    """Where the leaves of a file are that is being added."""

    def __init__(self, path: str, stamp: Stamp, store: SlicedBlockStore) -> None:
        self._path = os.path.realpath(path)
        self._stamp = stamp
        self._slices = store.slices

    def note(self, slices: Sequence[Slice]) -> None:
        """Note leaves as slices of the file (blocking)."""
        if slices:
            self._slices.add([(self._path, self._stamp, slices)])


def place_of(source: Source, options: ImportOptions, store: BlockStore | None) -> Place | None:
    """
    Return where the leaves of a source are; None if nothing is stored.

    :raises InvalidImportOptions: if the leaves are not raw.
    :raises SourceError: if it is not a file that was named by its path.
    :raises BlockStoreError: if the store has no place for slices.
    """
    check_raw(options)
    if store is None:
        return None
    if not isinstance(source, FileSource) or source.path is None or source.size is None:
        raise SourceError("without copying, only files that are named by their paths can be added")
    stamp = Stamp.of(os.fstat(source.descriptor.number))
    return Place(source.path, stamp, sliced(store))


def check_raw(options: ImportOptions) -> None:
    """:raises InvalidImportOptions: if leaves have bytes that the file has not."""
    if not options.raw_leaves:
        raise InvalidImportOptions("leaves must be raw if they are not to be copied")


def raw_slices(blocks: Sequence[Block]) -> tuple[list[Slice], list[Block]]:
    """Return the raw leaves of a file, which come in its order, as slices, and the other blocks."""
    slices, rest, offset = [], [], 0
    for block in blocks:
        if block.cid.codec_code == RAW and not block.cid.is_identity:
            slices.append(Slice(block.cid.multihash, offset, len(block.data)))
        else:
            rest.append(block)
        offset += len(block.data) if block.cid.codec_code == RAW else 0
    return slices, rest
