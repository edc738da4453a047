"""
Blocks that are slices of the user's own files: nothing is copied, so the file must stay as it is.

The bytes are hashed whenever they are read. A slice whose bytes are others is no block any more: it
is told and dropped. One whose file is gone is missing as long as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from libp2p.blockstore.base import LISTED_AT_ONCE, PagedBlockStore
from libp2p.blockstore.files import MAX_BLOCK_FILE_BYTES
from libp2p.blockstore.slice_table import SliceTable, Stamp
from libp2p.blockstore.verify import MAX_DAMAGED, is_block, name_of
from libp2p.exceptions import BaseLibp2pError, BlockStoreError
from libp2p.ipld.cid import CID
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.blockstore.slice_table import Place, Slice, Transactions
    from libp2p.ipld.cid import CIDInput

T = TypeVar("T")

_READ_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)

logger = get_logger(__name__)


class SliceBlockStore(PagedBlockStore):
    """
    Slices of files. Blocks are not put into it, they are noted with `add`.

    :param database: has the tables of `libp2p.blockstore.slice_table`; it is closed with the store.
    :param marker: an empty file that is made with the first slice. Without it there are none, and
        the database need not be opened.
    :param sync: have what is noted survive a power loss.
    """

    verifies = True

    def __init__(self, database: Transactions, marker: Path, *, sync: bool = False) -> None:
        self.sync: Final = sync
        self._database = database
        self._table = SliceTable(database, sync)
        self._marker = marker
        self._exists = False
        self._lost: dict[bytes, str] = {}  # why blocks are missing that were slices
        self._told: set[str] = set()

    def __repr__(self) -> str:
        return shown(self, lambda: f"beside {str(self._marker.parent)!r}")

    @property
    def exists(self) -> bool:
        """False as long as there are no slices, also of other processes."""
        self._exists = self._exists or self._marker.exists()
        return self._exists

    # -- for threads ----------------------------------------------------------------------------

    def add(self, files: Sequence[tuple[str, Stamp | None, Sequence[Slice]]]) -> None:
        """
        Note slices of files (blocking, from any thread).

        :param files: their absolute paths, what they looked like before they were read (None for
            one that is being written), and the slices.
        """
        with _errors():
            if not self.exists:
                self._marker.touch(0o600)
            self._table.add(files)
        for _, _, slices in files:
            for noted in slices if self._lost else ():
                self._lost.pop(noted.multihash, None)

    def rename(self, old: str, new: str, rename: Callable[[], object]) -> None:
        """
        Have a file renamed, or a folder with files (blocking).

        Their slices are found whenever this is interrupted.
        """
        if not self.exists:
            rename()
            return
        with _errors():
            self._table.begin_rename(old, new)
        rename()
        with _errors():
            self._table.end_rename(old, new)

    # -- a store --------------------------------------------------------------------------------

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        return await self._answer(cids, self._read)

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        """Return lengths; what may have been changed is read and hashed for that."""
        return await self._answer(cids, self._look_at)

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        raise BlockStoreError("slices of files are noted, not written")

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        """Forget slices; return those that are none now. The files stay as they are."""
        if not self.exists:
            return list(cids)
        keys = [CID.of(cid).multihash for cid in cids]
        limit = inf if older_than is None else older_than
        with _errors():
            staying = await trio.to_thread.run_sync(self._table.delete, keys, limit)
        return [cid for cid, key in zip(cids, keys, strict=True) if key not in staying]

    def damage_of(self, cid: CIDInput) -> str | None:
        return self._lost.get(CID.of(cid).multihash)

    async def close(self) -> None:
        self._database.close()

    def _pages(self) -> Iterator[list[BlockInfo]]:
        after = b""
        with _errors():
            while self.exists and (page := self._table.page(after, LISTED_AT_ONCE)):
                yield page
                after = page[-1][0]

    async def _answer(
        self, cids: Sequence[CIDInput], look_up: Callable[[list[bytes]], list[T | None]]
    ) -> list[T | None]:
        if not self.exists:
            return [None] * len(cids)
        keys = [CID.of(cid).multihash for cid in cids]
        with _errors():
            return await trio.to_thread.run_sync(look_up, keys, abandon_on_cancel=True)

    # -- in threads -----------------------------------------------------------------------------

    def _read(self, keys: list[bytes]) -> list[bytes | None]:
        with _OpenFiles() as files:
            return self._read_places(list(zip(keys, self._table.find(keys), strict=True)), files)

    def _read_places(
        self, places: Sequence[tuple[bytes, Place | None]], files: _OpenFiles
    ) -> list[bytes | None]:
        blocks: list[bytes | None] = []
        bad: dict[int, bool] = {}  # by number: whether its file is gone, or has other bytes
        for key, place in places:
            data = None if place is None else files.read(place)
            if place is not None and (data is None or not _is_block(key, data)):
                bad[len(blocks)] = data is None
                data = None
            blocks.append(data)
        if bad:
            # Another process may have renamed the file since its place was looked up.
            newest = self._table.find([places[n][0] for n in bad])
            moved = {n: new for n, new in zip(bad, newest, strict=True) if new != places[n][1]}
            with _OpenFiles() as anew:
                again = self._read_places([(places[n][0], moved[n]) for n in moved], anew)
            for n, data in zip(moved, again, strict=True):
                blocks[n] = data
            self._give_up([(*places[n], bad[n]) for n in bad if n not in moved])
        return blocks

    def _give_up(self, lost: Sequence[tuple[bytes, Place | None, bool]]) -> None:
        """Tell of slices that are no blocks any more; forget those that cannot come back."""
        dropped: list[tuple[bytes, Place]] = []
        for key, place, is_gone in lost:
            if place is None:
                continue
            # What is left of an interrupted fetch is removed, or written by another one.
            is_unfinished = place.stamp is None
            if is_unfinished or not is_gone:
                dropped.append((key, place))
            if not is_unfinished:
                self._tell(key, place, "is gone" if is_gone else "has changed")
        if dropped:
            self._table.drop(dropped)

    def _look_at(self, keys: list[bytes]) -> list[int | None]:
        places = self._table.find(keys)
        sizes: list[int | None] = [None] * len(keys)
        unsure: list[int] = []
        with _OpenFiles() as files:
            for n, place in enumerate(places):
                stamp = None if place is None else files.stamp(place)
                if place is not None and stamp is not None and stamp == place.stamp:
                    sizes[n] = place.size
                elif place is not None:
                    unsure.append(n)
            read = self._read_places([(keys[n], places[n]) for n in unsure], files)
        for n, data in zip(unsure, read, strict=True):
            sizes[n] = None if data is None else len(data)
        return sizes

    def _tell(self, key: bytes, place: Place, what: str) -> None:
        path = os.fsdecode(place.paths[0])
        if len(self._lost) >= MAX_DAMAGED:
            self._lost.clear()
            self._told.clear()
        self._lost[key] = f"the file {path}, which {what}"
        if path not in self._told:
            self._told.add(path)
            logger.warning("blocks are missing that were slices of %s: it %s", path, what)


@contextmanager
def _errors() -> Iterator[None]:
    """Raise the errors of the database, and of the marker, as those of a store."""
    try:
        yield
    except BlockStoreError:
        raise
    except (BaseLibp2pError, OSError) as error:
        raise BlockStoreError(f"slices of files: {error}") from error


def _is_block(multihash: bytes, data: bytes) -> bool:
    is_right = is_block(multihash, data)
    if is_right is None:
        raise BlockStoreError(f"block {name_of(multihash)} cannot be verified: unknown hash")
    return is_right


class _OpenFiles:
    """Files by their paths, each opened once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[bytes, ...], int] = {}

    def __enter__(self) -> _OpenFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._numbers.values():
            if number >= 0:
                os.close(number)

    def read(self, place: Place) -> bytes | None:
        """Return the bytes of a slice, fewer if the file ends before; None if it cannot be read."""
        number = self._open(place.paths)
        if number < 0:
            return None
        size = min(place.size, MAX_BLOCK_FILE_BYTES)
        data = b""
        try:
            os.lseek(number, place.offset, os.SEEK_SET)
            while more := os.read(number, size - len(data)):
                data = data + more if data else more
        except OSError:
            return None
        return data

    def stamp(self, place: Place) -> Stamp | None:
        number = self._open(place.paths)
        return None if number < 0 else Stamp.of(os.fstat(number))

    def _open(self, paths: tuple[bytes, ...]) -> int:
        if paths not in self._numbers:
            self._numbers[paths] = -1
            for path in paths:
                with suppress(OSError):
                    number = os.open(path, _READ_FLAGS)
                    if stat.S_ISREG(os.fstat(number).st_mode):
                        self._numbers[paths] = number
                        break
                    os.close(number)
        return self._numbers[paths]
