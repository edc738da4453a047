"""Lists folders, follows paths and changes folders, over whatever has their blocks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final, TypeVar

from libp2p.ipld.directory import DirectoryWalk

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipld.cid import CID
    from libp2p.ipld.directory import DirectoryEntry
    from libp2p.ipld.hamt_edit import Steps

_T = TypeVar("_T")

#: Shards of a large folder that are asked for at once.
SHARDS_AHEAD: Final = 32


async def list_folder(source: BlockSource, root: CID) -> AsyncGenerator[DirectoryEntry, None]:
    """
    Yield the entries of a folder as its blocks are read; they are not held.

    :raises NotADirectory: if the root is none.
    :raises BitswapError: if a block cannot be had.
    """
    walk = DirectoryWalk(root)
    ahead: dict[CID, Buffer] = {}
    while not walk.is_over:
        wanted = walk.next(SHARDS_AHEAD)
        if wanted[0] not in ahead:
            # Those further on stay here until their turn comes; there are never more than this.
            missing = [cid for cid in wanted if cid not in ahead]
            missing = missing[: max(SHARDS_AHEAD - len(ahead), 1)]
            ahead.update(zip(missing, await source.fetch(missing), strict=True))
        for entry in walk.take(ahead.pop(wanted[0])):
            yield entry


async def run_steps(
    source: BlockSource, steps: Steps[_T], read: dict[CID, bytes] | None = None
) -> _T:
    """
    Run what says step by step which blocks it needs, with blocks of a source; return its result.

    It is a path, see `libp2p.ipld.paths`, or the change of a directory, see `DirectoryEditor`.

    :param read: gets the blocks, in the order in which they were needed.
    :raises BitswapError: if a block cannot be had.
    """
    try:
        wanted = next(steps)
        while True:
            blocks = await source.fetch(wanted)
            if read is not None:
                read.update(zip(wanted, blocks, strict=True))
            wanted = steps.send(blocks)
    except StopIteration as end:
        result: _T = end.value
        return result
