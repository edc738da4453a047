"""A datastore in one file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import trio

from libp2p.datastore.base import (
    MAX_ENTRIES,
    Capacity,
    Change,
    Entry,
    check_changes,
    check_key,
    check_namespace,
)
from libp2p.datastore.sqlite_file import BUSY_TIMEOUT, DELETED_AT_ONCE, SqliteFile
from libp2p.exceptions import DatastoreError
from libp2p.utils import arguments
from libp2p.utils.shown import shown

#: Changes of several callers that join one transaction; the calls after it wait for the next one.
#: A transaction of so many takes 20 ms, in which nothing can be read.
MAX_JOINED_CHANGES: Final = 4096
#: Seconds that closing may take: a disk that hangs must not keep a program from ending.
CLOSE_TIMEOUT: Final = 10.0


class _WriteBatch:
    """Changes of several calls that are written together."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.is_written = False
        self.error: Exception | None = None
        self._attempt: object = None

    def add(self, changes: list[Change]) -> None:
        self.changes += changes

    async def write(self, file: SqliteFile) -> None:
        self.is_written = True
        self._attempt = attempt = object()
        try:
            # A disk that hangs must not keep a program from ending: a task that is cancelled leaves
            # the thread to itself. If that gets its turn later, it must not write: others may have
            # written the same keys meanwhile.
            is_wanted = partial(self._is_latest, attempt)
            await trio.to_thread.run_sync(
                file.write, self.changes, is_wanted, abandon_on_cancel=True
            )
        except Exception as error:  # noqa: BLE001 - task's edge: raised to each caller
            self.error = error
        except trio.Cancelled:
            self._attempt = None
            self.is_written = False  # the next of its callers writes them once more
            raise

    def _is_latest(self, attempt: object) -> bool:
        return self._attempt is attempt


class SqliteDatastore:
    """
    A `Datastore` in one SQLite file; it is opened, or made, when it is first used.

    Several processes may use one file. A file that is damaged is renamed to ``….damaged`` with a
    warning, and a new one is begun. The database of another program is refused, and so is one that
    a later version of this library has written.

    :param path: of the file; its folder is made if it is not there.
    :param max_entries: of a namespace. A full one drops the entries that expire first.
    :param limits: of single namespaces, in place of ``max_entries``.
    :param sync: flush each write to the disk. Without, no end of the process takes away what has
        been written, but a power loss may take the newest writes.
    :raises DatastoreError: in every method, with the error of SQLite or of the system as its cause.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_entries: int = MAX_ENTRIES,
        limits: Mapping[str, int] = MappingProxyType({}),
        sync: bool = False,
    ) -> None:
        self.path = Path(arguments.path(path, "path"))
        self._file = SqliteFile(self.path, Capacity(max_entries, limits), BUSY_TIMEOUT, sync)
        self._writing = trio.Lock()
        self._next_batch = _WriteBatch()

    def __repr__(self) -> str:
        return shown(self, lambda: f"in {str(self.path)!r}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, namespace: str, key: bytes) -> Entry | None:
        """See `Datastore.get`."""
        check_namespace(namespace)
        check_key(key)
        return await trio.to_thread.run_sync(self._file.get, namespace, key, abandon_on_cancel=True)

    async def write(self, changes: Iterable[Change]) -> None:
        """See `Datastore.write`."""
        listed = check_changes(changes)
        if not listed:
            return
        batch = self._next_batch
        batch.add(listed)
        if len(batch.changes) >= MAX_JOINED_CHANGES:
            self._next_batch = _WriteBatch()
        async with self._writing:
            if not batch.is_written:  # by another call of this batch
                if batch is self._next_batch:
                    self._next_batch = _WriteBatch()
                await batch.write(self._file)
        if batch.error is not None:
            raise DatastoreError(str(batch.error)) from batch.error.__cause__

    async def scan(self, namespace: str, prefix: bytes = b"") -> AsyncIterator[list[Entry]]:
        """See `Datastore.scan`."""
        check_namespace(namespace)
        check_key(prefix, "prefix")
        last: bytes | None = None
        while batch := await trio.to_thread.run_sync(
            self._file.read, namespace, prefix, last, abandon_on_cancel=True
        ):
            yield batch
            last = batch[-1].key

    async def delete_expired(self, now: float) -> int:
        """See `Datastore.delete_expired`; space that becomes free is used again or given back."""
        total = 0
        while True:
            count = await trio.to_thread.run_sync(
                self._file.delete_expired, float(now), abandon_on_cancel=True
            )
            total += count
            if count < DELETED_AT_ONCE:
                return total

    async def close(self) -> None:
        """See `Datastore.close`."""
        with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
            async with self._writing:
                await trio.to_thread.run_sync(self._file.close, abandon_on_cancel=True)
