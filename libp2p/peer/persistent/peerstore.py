"""A peer store that lasts: in memory, and written to a datastore behind it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from libp2p.datastore.base import Change, Datastore
from libp2p.exceptions import DatastoreError, PeerStoreError
from libp2p.peer.peerstore import DEFAULT_MAX_PEERS, DEFAULT_MAX_RECORDS
from libp2p.peer.persistent.recorded import (
    PEERS_NAMESPACE,
    SEEN_NAMESPACE,
    RecordedPeerStore,
)
from libp2p.utils import arguments
from libp2p.utils.background import background_nursery
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.logs import get_logger

logger = get_logger(__name__)

#: Seconds from a change until it is written: a connection makes five changes within milliseconds,
#: and a lookup in the DHT hundreds.
WRITE_DELAY_SECONDS: Final = 1.0
#: Peers that are put into bytes without a pause, and written in one transaction: some milliseconds.
PEERS_AT_ONCE: Final = 256
#: Seconds until the next attempt after the datastore has failed.
RETRY_SECONDS: Final = 30.0
#: Seconds that the last write of a host may take when it ends.
LAST_WRITE_SECONDS: Final = 5.0


class PersistentPeerStore(RecordedPeerStore):
    """
    A peer store whose content is there at the next start.

    Everything is answered from memory. Changes are written to ``datastore`` a second later, many in
    one transaction; `flush` writes them at once. Addresses are restored with what is left of their
    time to live, besides protocols, public keys, metadata, signed records, and the peers that were
    connected (`seen_peers`). Give it to a host, which loads it and keeps it written:
    ``new_host(peerstore_opt=PersistentPeerStore(SqliteDatastore(path)))``. Without a host, use
    ``async with peerstore.lasting():``.

    A datastore that fails costs the next start what could not be written, and nothing else: it is
    logged, and tried again.

    :param datastore: the caller closes it, after the host has ended. It may serve others as well.
    """

    def __init__(
        self,
        datastore: Datastore,
        max_records: int = DEFAULT_MAX_RECORDS,
        max_peers: int = DEFAULT_MAX_PEERS,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(max_records, max_peers, clock, wall_clock)
        arguments.instance(datastore, Datastore, "datastore")
        self.datastore = datastore
        self._has_new = trio.Event()
        self._writing = trio.Lock()
        self._faults = FaultLog()
        self._is_lasting = False

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """
        Load what is stored, and write what changes for the length of the block.

        :raises PeerStoreError: if it is entered twice at the same time.
        """
        if self._is_lasting:
            raise PeerStoreError("the peer store is in use by another host")
        self._is_lasting = True
        try:
            await self._load_or_warn()
            async with background_nursery() as nursery:
                nursery.start_soon(self._keep_written)
                try:
                    yield
                finally:
                    nursery.cancel_scope.cancel()
                    with trio.move_on_after(LAST_WRITE_SECONDS, shield=True):
                        await self._write_or_log()
        finally:
            self._is_lasting = False

    async def load(self) -> int:
        """
        Take in what is stored and has not expired, and delete the rest; return how many peers.

        :raises DatastoreError: if it cannot be read.
        """
        count = 0
        async for entries in self.datastore.scan(SEEN_NAMESPACE):
            self.restore_seen(entries)
        async for entries in self.datastore.scan(PEERS_NAMESPACE):
            count += self.restore(entries)
        await self.datastore.delete_expired(self._wall_clock())
        logger.debug("%d peers of an earlier run are known", count)
        return count

    async def flush(self) -> None:
        """
        Write all changes now; when it returns, they survive the end of the process.

        :raises DatastoreError: if they cannot be written; they are tried again later.
        """
        async with self._writing:
            if self._has_new.is_set():  # else `_keep_written` waits for it
                self._has_new = trio.Event()
            left = self.unwritten  # what changes from now on is not waited for
            while left > 0:
                changes = self.take_changes(PEERS_AT_ONCE)
                left -= max(1, len(changes))
                await self._write(changes)

    async def _write(self, changes: list[Change]) -> None:
        is_written = False
        try:
            await self.datastore.write(changes)
            is_written = True
        finally:
            if not is_written:
                self.give_back(changes)

    def _on_change(self) -> None:
        self._has_new.set()

    async def _keep_written(self) -> None:
        while True:
            await self._has_new.wait()
            await trio.sleep(WRITE_DELAY_SECONDS)  # time: changes of a moment are written together
            if not await self._write_or_log():
                await trio.sleep(RETRY_SECONDS)  # time: a full disk does not say when it is not

    async def _write_or_log(self) -> bool:
        try:
            await self.flush()
        except DatastoreError as error:
            self._faults.note("writing the peer store", error)
            return False
        return True

    async def _load_or_warn(self) -> None:
        try:
            await self.load()
        except DatastoreError as error:
            logger.warning("no peers of earlier runs are known: %s", error)
