"""The pins of a repo, as rows of its `State`. Methods block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from libp2p.ipfs_lite.errors import NotPinnedError, PinError
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    import sqlite3

    from libp2p.ipfs_lite.state import State

PinKind: TypeAlias = Literal["recursive", "direct", "indirect"]

#: Rows that are read at once.
BATCH: Final = 1024

_COLUMNS: Final = "SELECT id, cid, recursive, name, expiry FROM pins WHERE"
_IS_VALID: Final = "(expiry IS NULL OR expiry > ?)"


@dataclass(frozen=True, slots=True)
class Pin:
    """Why a block stays here."""

    cid: CID
    kind: PinKind
    """Recursive: with all below it; direct: by itself; indirect: it is below a recursive one."""
    name: str = ""
    expiry: float | None = None
    """Unix seconds after which it counts no more; None is never."""
    through: CID | None = None
    """The recursive pin that an indirect one is below."""


class PinTable:
    """Pins that have not expired; a CID has one at most."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, cid: CID) -> Pin | None:
        """Return the pin of a CID."""
        return self._state.run(lambda connection: _find(connection, cid))

    def put(self, cids: Iterable[CID], *, recursive: bool, name: str, expiry: float | None) -> None:
        """
        Pin CIDs. A name that is there stays unless there is a new one.

        :raises PinError: if one is pinned recursively and is to be pinned directly.
        """

        def write(connection: sqlite3.Connection) -> None:
            for cid in cids:
                old = _find(connection, cid)
                if old is not None and old.kind == "recursive" and not recursive:
                    raise PinError(f"pin: {cid} already pinned recursively")
                _put(connection, cid, recursive, name or ("" if old is None else old.name), expiry)

        self._state.run(write, writes=True)

    def remove(self, cid: CID, *, recursive: bool) -> None:
        """
        Remove a pin.

        :raises NotPinnedError: if there is none, other than indirectly.
        :raises PinError: if it is recursive and only a direct one is to go.
        """

        def write(connection: sqlite3.Connection) -> None:
            old = _find(connection, cid)
            if old is None:
                raise NotPinnedError(f"{cid}: not pinned or pinned indirectly")
            if old.kind == "recursive" and not recursive:
                raise PinError(f"{cid} is pinned recursively")
            connection.execute("DELETE FROM pins WHERE cid = ?", (cid.buffer,))

        self._state.run(write, writes=True)

    def move(self, start: CID, target: CID, *, unpin: bool) -> None:
        """
        Pin ``target`` as ``start`` is, and remove the pin of that, in one transaction.

        :raises PinError: as `check_move`.
        """

        def write(connection: sqlite3.Connection) -> None:
            old = _check_move(connection, start, target)
            _put(connection, target, True, old.name, old.expiry)
            if unpin:
                connection.execute("DELETE FROM pins WHERE cid = ?", (start.buffer,))

        if start != target:
            self._state.run(write, writes=True)

    def check_move(self, start: CID, target: CID) -> None:
        """:raises PinError: if ``start`` is not pinned recursively, or ``target`` is already."""
        self._state.run(lambda connection: _check_move(connection, start, target))

    def batch(self, after: int, kind: PinKind | None = None) -> list[tuple[int, Pin]]:
        """
        Return the next pins in the order in which they were made, each with its number.

        :param after: the number of the last one before; 0 to begin. A pin that is made later or
            changed has a larger number than all before it.
        """
        sql = f"{_COLUMNS} id > ? AND {_IS_VALID} AND recursive IN (?, ?) ORDER BY id LIMIT {BATCH}"
        kinds = (0, 1) if kind is None else (kind == "recursive",) * 2
        rows = self._state.run(lambda c: c.execute(sql, (after, time(), *kinds)).fetchall())
        return [(row[0], _pin_of(row)) for row in rows]

    def newest(self) -> int:
        """Return the largest number of a pin, 0 if there is none."""
        sql = "SELECT COALESCE(MAX(id), 0) FROM pins"
        [number] = self._state.run(lambda c: c.execute(sql).fetchone())
        return int(number)

    def drop_expired(self) -> None:
        """Remove pins that count no more."""
        self._state.run(
            lambda c: c.execute("DELETE FROM pins WHERE expiry <= ?", (time(),)), writes=True
        )


def _find(connection: sqlite3.Connection, cid: CID) -> Pin | None:
    sql = f"{_COLUMNS} cid = ? AND {_IS_VALID}"
    row = connection.execute(sql, (cid.buffer, time())).fetchone()
    return None if row is None else _pin_of(row)


def _put(
    connection: sqlite3.Connection, cid: CID, recursive: bool, name: str, expiry: float | None
) -> None:
    sql = "INSERT OR REPLACE INTO pins (cid, recursive, name, expiry) VALUES (?, ?, ?, ?)"
    connection.execute(sql, (cid.buffer, recursive, name, expiry))


def _check_move(connection: sqlite3.Connection, start: CID, target: CID) -> Pin:
    old, new = _find(connection, start), _find(connection, target)
    if old is None or old.kind != "recursive":
        raise NotPinnedError("'from' cid was not recursively pinned already")
    if new is not None and new.kind == "recursive" and start != target:
        raise PinError("'to' cid was already recursively pinned")
    return old


def _pin_of(row: tuple[Any, ...]) -> Pin:
    _, cid, recursive, name, expiry = row
    return Pin(CID.of(bytes(cid)), "recursive" if recursive else "direct", name, expiry)
