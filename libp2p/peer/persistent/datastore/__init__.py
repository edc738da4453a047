"""py-libp2p's datastores for its synchronous peer store."""

from libp2p.peer.persistent.datastore.base_sync import IDatastoreSync
from libp2p.peer.persistent.datastore.memory_sync import MemoryDatastoreSync
from libp2p.peer.persistent.datastore.sqlite_sync import SQLiteDatastoreSync

__all__ = ["IDatastoreSync", "MemoryDatastoreSync", "SQLiteDatastoreSync"]
