"""Keeps the records that are stored for others over a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.datastore import Change, DatastoreError, SqliteDatastore
from libp2p.io.waiter import Waiter
from libp2p.kad_dht.config import PERSIST_SECONDS
from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    from libp2p.datastore import Datastore, Entry

#: Seconds between two deletions of expired records.
EXPIRE_SECONDS = 3600.0
#: Seconds that the last write may take when the DHT ends.
LAST_WRITE_SECONDS = 5.0


def datastore_in(folder: str | None) -> Datastore | None:
    """Return the datastore of a folder, which is made if need be; None without a folder."""
    if folder is None:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return SqliteDatastore(Path(folder, "dht.sqlite"))


class JournalledStore(Protocol):
    """A store of records that tells what has changed: the provider store and the value store."""

    @property
    def namespace(self) -> str:
        """The namespace of its entries."""

    def load(self, entries: Iterable[Entry]) -> None:
        """Take entries that were written before."""

    def take_changes(self) -> Sequence[tuple[str, bytes, bytes | None, float | None]]:
        """Return the changes since the last call: namespace, key, value, expiry of each."""

    def expire(self, now: float) -> object:
        """Forget expired records."""


class RecordKeeper:
    """
    Writes changes of stores to a datastore, and reads them at the start.

    :param now: Unix seconds.
    """

    def __init__(self, stores: Sequence[JournalledStore], now: Callable[[], float]) -> None:
        self._datastore: Datastore | None = None
        self._stores = stores
        self._now = now
        self._changed = Waiter()
        self._is_due = False
        self._faults = FaultLog()

    def changed(self) -> None:
        """Note that a record was stored; it is written soon."""
        self._is_due = True
        self._changed.wake()

    async def load(self, datastore: Datastore | None) -> None:
        """
        Read all records, and write to this datastore from now on.

        A failure is logged; the records that could not be read are missing then.
        """
        self._datastore = datastore
        if datastore is None:
            return
        try:
            for store in self._stores:
                async for entries in datastore.scan(store.namespace):
                    store.load(entries)
        except DatastoreError as error:
            self._faults.note("reading the DHT's records", error)

    async def run(self) -> None:
        """Write changes and delete expired records until cancelled; then write the last changes."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_changes)
                nursery.start_soon(self._expire)
        finally:
            with trio.move_on_after(LAST_WRITE_SECONDS, shield=True):
                await self._save()

    async def _write_changes(self) -> None:
        while True:
            while not self._is_due:
                await self._changed.wait()
            await trio.sleep(PERSIST_SECONDS)  # time: changes are written together
            self._is_due = False
            await self._save()

    async def _expire(self) -> None:
        while True:
            await trio.sleep(EXPIRE_SECONDS)  # time: what has expired takes room only
            now = self._now()
            for store in self._stores:
                store.expire(now)
            if self._datastore is not None:
                try:
                    await self._datastore.delete_expired(now)
                except DatastoreError as error:
                    self._faults.note("deleting expired records of the DHT", error)
            await self._save()

    async def _save(self) -> None:
        changes = [Change(*change) for store in self._stores for change in store.take_changes()]
        if self._datastore is None or not changes:
            return
        try:
            await self._datastore.write(changes)
        except DatastoreError as error:
            self._faults.note("writing the DHT's records", error)
