"""py-libp2p's functions that make peer stores that last; `PersistentPeerStore` needs none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from libp2p.datastore.memory import MemoryDatastore
from libp2p.datastore.sqlite import SqliteDatastore
from libp2p.exceptions import InvalidArgument
from libp2p.peer.persistent.async_.peerstore import AsyncPersistentPeerStore
from libp2p.peer.persistent.datastore.memory_sync import MemoryDatastoreSync
from libp2p.peer.persistent.datastore.sqlite_sync import SQLiteDatastoreSync
from libp2p.peer.persistent.sync.peerstore import SyncPersistentPeerStore
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.datastore.base import Datastore
    from libp2p.peer.persistent.datastore.base_sync import IDatastoreSync

_BACKENDS: Final = ("sqlite", "memory")


def create_sync_peerstore(
    datastore: IDatastoreSync | None = None,
    db_path: str | Path | None = None,
    backend: str = "sqlite",
    max_records: int = 10000,
    sync_interval: float = 1.0,
    auto_sync: bool = True,
) -> SyncPersistentPeerStore:
    """
    Return a peer store that writes each change before it returns.

    :param backend: ``sqlite``, which needs ``db_path``, or ``memory``.
    :raises ValueError: for any other, and for SQLite without a path.
    """
    if datastore is None:
        is_in_memory = _is_memory(backend, db_path)
        datastore = MemoryDatastoreSync() if is_in_memory else SQLiteDatastoreSync(_path(db_path))
    return SyncPersistentPeerStore(datastore, max_records, sync_interval, auto_sync)


def create_async_peerstore(
    datastore: Datastore | None = None,
    db_path: str | Path | None = None,
    backend: str = "sqlite",
    max_records: int = 10000,
    sync_interval: float = 1.0,
    auto_sync: bool = True,
) -> AsyncPersistentPeerStore:
    """
    Return a peer store with async methods, each of which returns when its change is written.

    :param datastore: one of `libp2p.datastore`.
    :param backend: ``sqlite``, which needs ``db_path``, or ``memory``.
    :raises ValueError: for any other, and for SQLite without a path.
    """
    if datastore is None:
        is_in_memory = _is_memory(backend, db_path)
        datastore = MemoryDatastore() if is_in_memory else SqliteDatastore(_path(db_path))
    return AsyncPersistentPeerStore(datastore, max_records, sync_interval, auto_sync)


def create_sync_sqlite_peerstore(
    db_path: str | Path,
    max_records: int = 10000,
    sync_interval: float = 1.0,
    auto_sync: bool = True,
) -> SyncPersistentPeerStore:
    """Return a peer store in an SQLite file; one of py-libp2p's is set aside, with a warning."""
    return create_sync_peerstore(None, db_path, "sqlite", max_records, sync_interval, auto_sync)


def create_async_sqlite_peerstore(
    db_path: str | Path,
    max_records: int = 10000,
    sync_interval: float = 1.0,
    auto_sync: bool = True,
) -> AsyncPersistentPeerStore:
    """Return a peer store in an SQLite file, with async methods."""
    return create_async_peerstore(None, db_path, "sqlite", max_records, sync_interval, auto_sync)


def create_sync_memory_peerstore(
    max_records: int = 10000, sync_interval: float = 1.0, auto_sync: bool = True
) -> SyncPersistentPeerStore:
    """Return a peer store of the same kind that ends with the process."""
    return create_sync_peerstore(None, None, "memory", max_records, sync_interval, auto_sync)


def create_async_memory_peerstore(
    max_records: int = 10000, sync_interval: float = 1.0, auto_sync: bool = True
) -> AsyncPersistentPeerStore:
    """Return a peer store with async methods that ends with the process."""
    return create_async_peerstore(None, None, "memory", max_records, sync_interval, auto_sync)


def create_sync_leveldb_peerstore(*args: object, **options: object) -> NoReturn:
    """:raises ValueError: always: use SQLite, which Python brings with it."""
    raise _unknown("leveldb")


def create_async_leveldb_peerstore(*args: object, **options: object) -> NoReturn:
    """:raises ValueError: always: use SQLite, which Python brings with it."""
    raise _unknown("leveldb")


def create_sync_rocksdb_peerstore(*args: object, **options: object) -> NoReturn:
    """:raises ValueError: always: use SQLite, which Python brings with it."""
    raise _unknown("rocksdb")


def create_async_rocksdb_peerstore(*args: object, **options: object) -> NoReturn:
    """:raises ValueError: always: use SQLite, which Python brings with it."""
    raise _unknown("rocksdb")


def _is_memory(backend: str, db_path: str | Path | None) -> bool:
    if backend not in _BACKENDS:
        raise _unknown(backend)
    if backend == "sqlite" and db_path is None:
        raise InvalidArgument("backend 'sqlite' needs db_path; backend 'memory' needs none")
    return backend == "memory"


def _path(db_path: str | Path | None) -> str:
    return arguments.path(db_path, "db_path")


def _unknown(backend: object) -> InvalidArgument:
    return arguments.out_of_range("backend", backend, "'sqlite' or 'memory'")
