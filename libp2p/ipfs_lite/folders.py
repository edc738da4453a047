"""Lists folders and follows paths into them, over whatever has their blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.ipld.directory import DirectoryWalk, NameLookup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipld.cid import CID
    from libp2p.ipld.directory import DirectoryEntry

#: Shards of a large folder that are asked for at once.
SHARDS_AHEAD: Final = 32


async def list_folder(source: BlockSource, root: CID) -> AsyncIterator[DirectoryEntry]:
    """
    Yield the entries of a folder as its blocks are read.

    :raises NotADirectory: if the root is none.
    :raises BitswapError: if a block cannot be had.
    """
    walk = DirectoryWalk(root)
    while not walk.is_over:
        # The first of them; the others have been asked for, so they are in the store then.
        [block, *_] = await source.fetch(walk.next(SHARDS_AHEAD))
        for entry in walk.take(block):
            yield entry


async def resolve(source: BlockSource, root: CID, names: Iterable[str]) -> CID:
    """
    Follow names from folder to folder; symbolic links are not followed.

    :raises NameNotInDirectory: if a folder has no such entry.
    :raises NotADirectory: if what a name leads to is no folder and another name follows.
    :raises BitswapError: if a block cannot be had.
    """
    for name in names:
        lookup = NameLookup(root, name)
        entry = None
        while entry is None:
            [block] = await source.fetch([lookup.wanted])
            entry = lookup.take(block)
        root = entry.cid
    return root
