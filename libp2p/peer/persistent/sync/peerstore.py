"""py-libp2p's peer store that writes each change before it returns."""

from __future__ import annotations

from math import inf
from struct import pack, unpack
from typing import TYPE_CHECKING, Final, Self

from libp2p.datastore.base import Change, Entry
from libp2p.exceptions import PeerStoreError
from libp2p.peer.persistent.datastore.base_sync import IDatastoreSync
from libp2p.peer.persistent.recorded import PEERS_NAMESPACE, RecordedPeerStore
from libp2p.utils import arguments

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.peer.id import ID

_PEER_KEY: Final = b"peer/"
_SEEN_KEY: Final = b"seen/"


class SyncPersistentPeerStore(RecordedPeerStore):
    """
    A peer store that lasts, for programs without trio; see `PersistentPeerStore` for the others.

    Everything is answered from memory, but each change waits for the disk, and so does the event
    loop if there is one: a third of a millisecond.

    :param sync_interval: of py-libp2p; what has been written survives the process at once.
    :param auto_sync: write each change before returning; else `close` writes all.
    """

    def __init__(
        self,
        datastore: IDatastoreSync,
        max_records: int = 10000,
        sync_interval: float = 1.0,
        auto_sync: bool = True,
    ) -> None:
        arguments.instance(datastore, IDatastoreSync, "datastore")
        arguments.count(max_records, "max_records", least=1)
        super().__init__(max_records, max_records)
        self.datastore = datastore
        self.sync_interval = arguments.seconds(sync_interval, "sync_interval")
        self.auto_sync = auto_sync
        self.restore([_entry(*item, _PEER_KEY) for item in datastore.query(_PEER_KEY)])
        self.restore_seen([_entry(*item, _SEEN_KEY) for item in datastore.query(_SEEN_KEY)])

    def close(self) -> None:
        """Write what is not written yet, and close the datastore."""
        self._write()
        self.datastore.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def addrs(self, peer_id: ID) -> list[Multiaddr]:
        """Return the peer's valid addresses; none if it is not known, as in py-libp2p."""
        try:
            return super().addrs(peer_id)
        except PeerStoreError:
            return []

    def _on_change(self) -> None:
        if self.auto_sync:
            self._write()

    def _write(self) -> None:
        for change in self.take_changes():
            key = _key_of(change)
            if change.value is None:
                self.datastore.delete(key)
            else:
                expiry = inf if change.expiry is None else change.expiry
                self.datastore.put(key, pack(">d", expiry) + change.value)


def _key_of(change: Change) -> bytes:
    return (_PEER_KEY if change.namespace == PEERS_NAMESPACE else _SEEN_KEY) + change.key


def _entry(key: bytes, value: bytes, prefix: bytes) -> Entry:
    (expiry,) = unpack(">d", value[:8].rjust(8, b"\0"))
    return Entry(key.removeprefix(prefix), value[8:], expiry)
