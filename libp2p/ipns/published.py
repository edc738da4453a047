"""The records of one's own names, which must be known when the next one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.datastore.base import Change
from libp2p.exceptions import InvalidIpnsRecord, InvalidPeerID
from libp2p.ipns.name import Name
from libp2p.peer.id import ID
from libp2p.records.ipns_record import decode_record
from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.datastore.base import Datastore
    from libp2p.records.ipns_record import IpnsRecord

NAMESPACE: Final = "ipns-published"


class PublishedRecords:
    """
    The latest record of each name that was published here.

    They never expire: the sequence of an expired record counts too, or the next record would lose
    against copies of it.
    """

    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore
        self._faults = FaultLog()

    async def get(self, name: Name) -> IpnsRecord | None:
        """
        Return the latest record of a name, None if there is none.

        :raises DatastoreError: if the store fails.
        """
        entry = await self._datastore.get(NAMESPACE, name.peer_id.to_bytes())
        return None if entry is None else self._read(entry.value, name)

    async def put(self, name: Name, record: IpnsRecord) -> None:
        """
        Store a record in the place of an earlier one; it survives the end of the process.

        :raises DatastoreError: if the store fails.
        """
        await self._datastore.write([Change(NAMESPACE, name.peer_id.to_bytes(), record.encoded)])

    async def all(self) -> AsyncIterator[tuple[Name, IpnsRecord]]:
        """Return the names that were published here, with their latest records."""
        async for entries in self._datastore.scan(NAMESPACE):
            for entry in entries:
                try:
                    name = Name(ID(entry.key))
                except InvalidPeerID as error:
                    self._faults.note("reading the published names", error)
                    continue
                record = self._read(entry.value, name)
                if record is not None:
                    yield name, record

    def _read(self, encoded: bytes, name: Name) -> IpnsRecord | None:
        try:
            record = decode_record(encoded)
            record.verify(name.peer_id, None)
        except InvalidIpnsRecord as error:
            self._faults.note(f"reading the record of {name}", error)
            return None
        return record
