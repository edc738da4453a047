"""
Fetching without a copy: the raw leaves of a file are slices of the file that is written.

It is written as its blocks come, in any order, into a ``.part`` file beside its target; they are
slices of it at once. So a fetch that was interrupted, even by SIGKILL, leaves that file, and the
next one asks only for what is missing.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from libp2p.blockstore.slice_table import Stamp
from libp2p.blockstore.sliced import Taker, sliced
from libp2p.ipfs_lite.errors import OutputError
from libp2p.ipfs_lite.output import PartFile, in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libp2p.blockstore import BlockStore
    from libp2p.blockstore.slices import SliceBlockStore
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.file_fetch import Asking
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipld.cid import CID


async def save_nocopy(
    cid: CID,
    target: Path,
    store: BlockStore,
    open_reader: Callable[[Asking], Awaitable[UnixFSReader]],
    progress: Progress | None = None,
) -> int:
    """
    Fetch a file into ``target``, and have its raw leaves be slices of that; return its size.

    What fails or is cancelled leaves the ``.part`` file, which the next call for the same CID goes
    on with; `save` to the same target removes it.

    :param open_reader: opens the file, and calls the function with each block that is asked for.
    :raises OutputError: if it cannot be written there.
    :raises BlockStoreError: if the store has no place for slices.
    """
    own = sliced(store)
    target = await in_thread(target, Path.resolve, target)
    token = sha256(cid.buffer).hexdigest()[:8]
    part = await in_thread(target, PartFile.beside, target, token)
    if part is None:
        raise OutputError(f"cannot write {target}: it cannot be replaced by another file")
    try:
        taker = Taker(str(part.path), part.descriptor, sync=own.slices.sync)
        own.add_taker(taker)
        try:
            async with await open_reader(taker.expect) as reader:
                await _write(reader, taker, target, progress)
                size = reader.size
        finally:
            own.remove_taker(taker)
        await in_thread(target, _commit, own.slices, part, size)
    finally:
        part.close()
    return size


async def _write(
    reader: UnixFSReader, taker: Taker, target: Path, progress: Progress | None
) -> None:
    offset = 0
    while buffers := await reader.receive():
        await in_thread(target, taker.fill, offset, buffers)
        offset = reader.tell()
        if progress is not None:
            progress(offset, reader.size)


def _commit(slices: SliceBlockStore, part: PartFile, size: int) -> None:
    os.ftruncate(part.descriptor, size)  # it may be longer than what is left of another fetch

    def rename() -> None:
        if not part.commit():
            raise OutputError(f"cannot write {part.target}: it cannot be replaced")

    stamp = Stamp.of(os.fstat(part.descriptor))
    slices.rename(str(part.path), str(part.target), rename, stamp)
