"""py-libp2p's datastore in an SQLite file, on the file of `libp2p.datastore`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from libp2p.datastore.base import MAX_ENTRIES, Capacity, Change, check_changes, check_key
from libp2p.datastore.sqlite_file import SqliteFile
from libp2p.peer.persistent.datastore.base_sync import IDatastoreSync
from libp2p.utils import arguments

_NAMESPACE: Final = "py-libp2p"
#: The table of py-libp2p 0.8.1: a file of its is set aside, and a new one begun.
_THEIR_TABLES: Final = frozenset({"datastore"})


class SQLiteDatastoreSync(IDatastoreSync):
    """
    See `IDatastoreSync`. What has been put survives the end of the process.

    :raises DatastoreError: in every method, if the file cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(arguments.path(path, "path"))
        capacity = Capacity(MAX_ENTRIES, MappingProxyType({}))
        self._file = SqliteFile(self.path, capacity, replaces=_THEIR_TABLES)

    def get(self, key: bytes) -> bytes | None:
        entry = self._file.get(_NAMESPACE, check_key(key))
        return None if entry is None else entry.value

    def put(self, key: bytes, value: bytes) -> None:
        self._write(Change(_NAMESPACE, key, value))

    def delete(self, key: bytes) -> None:
        self._write(Change(_NAMESPACE, key, None))

    def has(self, key: bytes) -> bool:
        return self.get(key) is not None

    def query(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        last: bytes | None = None
        while entries := self._file.read(_NAMESPACE, check_key(prefix, "prefix"), last):
            yield from ((entry.key, entry.value) for entry in entries)
            last = entries[-1].key

    def close(self) -> None:
        self._file.close()

    def sync(self, prefix: bytes) -> None:
        """Do nothing: every `put` is written when it returns."""

    def _write(self, change: Change) -> None:
        self._file.write(check_changes([change]), lambda: True)
