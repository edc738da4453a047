"""
Which bytes of which file are which block, in two tables of a database that others keep open.

    slice_files  path, and the path that it is just being renamed to
    slices       multihash → file, offset, size, what the file looked like, when it was noted
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    import sqlite3

    from libp2p.blockstore.base import BlockInfo

T = TypeVar("T")

_FIND: Final = """
SELECT file, path, next, offset, size, mtime_ns, file_size
FROM slices JOIN slice_files ON file = id WHERE multihash = ?
"""
_NOTE: Final = "INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?, ?, ?)"
_PAGE: Final = """
SELECT multihash, size, noted FROM slices WHERE multihash > ? ORDER BY multihash LIMIT ?
"""
_BELOW: Final = "SELECT id, path FROM slice_files WHERE path = ? OR (path > ? AND path < ?)"
_DROP_FILES: Final = """
DELETE FROM slice_files WHERE NOT EXISTS (SELECT 1 FROM slices WHERE file = id)
"""


class Transactions(Protocol):
    """The database; `libp2p.ipfs_lite.state.State` is one."""

    def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        writes: bool = False,
        durable: bool = True,
    ) -> T:
        """Call a function in a transaction (blocking, in any thread)."""

    def close(self) -> None:
        """Close it; a second call does nothing."""


class Stamp(NamedTuple):
    """What is compared to tell whether a file has been changed; no more than a hint."""

    mtime_ns: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_mtime_ns, status.st_size)


class Slice(NamedTuple):
    """A block, and where it is in a file."""

    multihash: bytes
    offset: int
    size: int


class Place(NamedTuple):
    """Where a block is."""

    file: int
    paths: tuple[bytes, ...]
    """Of the file: a second one if it is being renamed to that."""
    offset: int
    size: int
    stamp: Stamp | None
    """Of the file when the slice was noted; None while it is being written."""


class SliceTable:
    """
    The rows. Methods block, and may be called from any thread.

    :param database: has both tables.
    :param durable: what a call has written survives a power loss.
    """

    def __init__(self, database: Transactions, durable: bool) -> None:
        self._database = database
        self._durable = durable

    def add(self, files: Iterable[tuple[str, Stamp | None, Sequence[Slice]]]) -> None:
        """Note slices of files, in one transaction."""

        def note(connection: sqlite3.Connection) -> None:
            now = time.time()
            for path, stamp, slices in files:
                name = (os.fsencode(path),)
                connection.execute("INSERT OR IGNORE INTO slice_files (path) VALUES (?)", name)
                found = connection.execute("SELECT id FROM slice_files WHERE path = ?", name)
                [number] = found.fetchone()
                mtime_ns, size = stamp or (None, None)
                rows = [
                    (s.multihash, number, s.offset, s.size, mtime_ns, size, now) for s in slices
                ]
                connection.executemany(_NOTE, rows)

        self._write(note)

    def begin_rename(self, old: str, new: str) -> None:
        """
        Note the renaming of a file, or of a folder with files.

        Until `end_rename`, slices of them are looked for in both places.
        """

        def note(connection: sqlite3.Connection) -> None:
            rows = [(after, number) for number, after in _moved(connection, old, new)]
            connection.executemany("UPDATE slice_files SET next = ? WHERE id = ?", rows)

        self._write(note)

    def end_rename(self, old: str, new: str) -> None:
        """Note that it was renamed. What was in its place is gone."""

        def note(connection: sqlite3.Connection) -> None:
            for number, path in _moved(connection, old, new):
                replaced = (
                    "DELETE FROM slices WHERE file = (SELECT id FROM slice_files WHERE path = ?)"
                )
                connection.execute(replaced, (path,))
                connection.execute("DELETE FROM slice_files WHERE path = ?", (path,))
                stamp = "UPDATE slices SET mtime_ns = ?, file_size = ? WHERE file = ?"
                connection.execute(stamp, (*_stamp_of(path), number))
                renamed = "UPDATE slice_files SET path = ?, next = NULL WHERE id = ?"
                connection.execute(renamed, (path, number))

        self._write(note)

    def find(self, multihashes: Sequence[bytes]) -> list[Place | None]:
        """Return where blocks are, None for those that are no slices."""

        def find(connection: sqlite3.Connection) -> list[Place | None]:
            return [_place(connection.execute(_FIND, (key,)).fetchone()) for key in multihashes]

        return self._database.run(find)

    def drop(self, slices: Iterable[tuple[bytes, Place]]) -> None:
        """Forget slices that are still where they were found, in files of the same names."""

        def drop(connection: sqlite3.Connection) -> None:
            for multihash, place in slices:
                if _place(connection.execute(_FIND, (multihash,)).fetchone()) == place:
                    connection.execute("DELETE FROM slices WHERE multihash = ?", (multihash,))

        self._write(drop)

    def delete(self, multihashes: Sequence[bytes], older_than: float) -> set[bytes]:
        """Forget slices; return those that stay, as they were noted at ``older_than`` or later."""

        def delete(connection: sqlite3.Connection) -> set[bytes]:
            rows = [(key, older_than) for key in multihashes]
            connection.executemany("DELETE FROM slices WHERE multihash = ? AND noted < ?", rows)
            connection.execute(_DROP_FILES)
            return {
                key
                for key in multihashes
                if connection.execute(_FIND, (key,)).fetchone() is not None
            }

        return self._write(delete)

    def page(self, after: bytes, count: int) -> list[BlockInfo]:
        """Return the first slices after a multihash, in order, with the times of their noting."""
        return self._database.run(lambda c: c.execute(_PAGE, (after, count)).fetchall())

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._database.run(work, writes=True, durable=self._durable)


def _moved(connection: sqlite3.Connection, old: str, new: str) -> list[tuple[int, bytes]]:
    """Return the files at a path and below it, and where they are when that is renamed."""
    before, after, sep = os.fsencode(old), os.fsencode(new), os.fsencode(os.sep)
    found = connection.execute(_BELOW, (before, before + sep, before + bytes([sep[0] + 1])))
    return [(number, after + path[len(before) :]) for number, path in found]


def _stamp_of(path: bytes) -> Stamp | tuple[None, None]:
    try:
        return Stamp.of(os.stat(path))
    except OSError:
        return None, None  # removed just now, as the next reader will find out


def _place(
    row: tuple[int, bytes, bytes | None, int, int, int | None, int | None] | None,
) -> Place | None:
    if row is None:
        return None
    file, path, following, offset, size, mtime_ns, file_size = row
    stamp = None if mtime_ns is None or file_size is None else Stamp(mtime_ns, file_size)
    return Place(file, (path,) if following is None else (path, following), offset, size, stamp)
