"""The records of one's own names, which must be known when the next one is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from libp2p.datastore.base import Change
from libp2p.exceptions import InvalidIpnsRecord, InvalidPeerID
from libp2p.ipns.name import Name
from libp2p.peer.id import ID
from libp2p.records.ipns_record import decode_record
from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    from libp2p.datastore.base import Datastore
    from libp2p.records.ipns_record import IpnsRecord

NAMESPACE: Final = "ipns-published"

#: Bytes of the sequence behind a name, in the key of a stored record.
_SEQUENCE_BYTES: Final = 8


class PublishedRecords:
    """
    The latest record of each name that was published here.

    They never expire: the sequence of an expired record counts too, or the next record would lose
    against copies of it. Each sequence has an entry of its own. So a process that announces an old
    record again, while another one publishes the next, cannot put the old one in its place.
    """

    def __init__(self, datastore: Datastore) -> None:
        self._datastore = datastore
        self._faults = FaultLog()

    async def get(self, name: Name) -> IpnsRecord | None:
        """
        Return the latest record of a name, None if there is none.

        :raises DatastoreError: if the store fails.
        """
        best: IpnsRecord | None = None
        async for _, value in self._entries(name.peer_id.to_bytes()):
            best = self._better(best, value, name)
        return best

    async def put(self, name: Name, record: IpnsRecord) -> None:
        """
        Store a record, and drop those before it; it survives the end of the process.

        :raises DatastoreError: if the store fails.
        """
        prefix = name.peer_id.to_bytes()
        own = prefix + record.sequence.to_bytes(_SEQUENCE_BYTES)
        old = [key async for key, _ in self._entries(prefix) if key < own]
        stored = Change(NAMESPACE, own, record.encoded)
        await self._datastore.write([stored, *(Change(NAMESPACE, key, None) for key in old)])

    async def all(self) -> AsyncIterator[tuple[Name, IpnsRecord]]:
        """Yield the names that were published here, with their latest records."""
        name: Name | None = None
        best: IpnsRecord | None = None
        async for key, value in self._entries(b""):
            try:
                found = Name(ID.from_bytes(key[:-_SEQUENCE_BYTES]))
            except InvalidPeerID as error:
                self._faults.note("reading the published names", error)
                continue
            if found != name and name is not None and best is not None:
                yield name, best
            best = self._better(best if found == name else None, value, found)
            name = found
        if name is not None and best is not None:
            yield name, best

    async def _entries(self, prefix: bytes) -> AsyncIterator[tuple[bytes, bytes]]:
        async for entries in self._datastore.scan(NAMESPACE, prefix):
            for entry in entries:
                yield entry.key, entry.value

    def _better(self, best: IpnsRecord | None, encoded: bytes, name: Name) -> IpnsRecord | None:
        try:
            record = decode_record(encoded)
            record.verify(name.peer_id, None)
        except InvalidIpnsRecord as error:
            self._faults.note(f"reading the record of {name}", error)
            return best
        return record if best is None or record.rank > best.rank else best
