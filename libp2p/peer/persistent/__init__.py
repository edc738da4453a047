"""Peer stores that last. `PersistentPeerStore` is the one to use; the others are py-libp2p's."""

from libp2p.peer.persistent.async_.peerstore import AsyncPersistentPeerStore
from libp2p.peer.persistent.factory import (
    create_async_leveldb_peerstore,
    create_async_memory_peerstore,
    create_async_peerstore,
    create_async_rocksdb_peerstore,
    create_async_sqlite_peerstore,
    create_sync_leveldb_peerstore,
    create_sync_memory_peerstore,
    create_sync_peerstore,
    create_sync_rocksdb_peerstore,
    create_sync_sqlite_peerstore,
)
from libp2p.peer.persistent.peerstore import PersistentPeerStore
from libp2p.peer.persistent.sync.peerstore import SyncPersistentPeerStore

__all__ = [
    "AsyncPersistentPeerStore",
    "PersistentPeerStore",
    "SyncPersistentPeerStore",
    "create_async_leveldb_peerstore",
    "create_async_memory_peerstore",
    "create_async_peerstore",
    "create_async_rocksdb_peerstore",
    "create_async_sqlite_peerstore",
    "create_sync_leveldb_peerstore",
    "create_sync_memory_peerstore",
    "create_sync_peerstore",
    "create_sync_rocksdb_peerstore",
    "create_sync_sqlite_peerstore",
]
