"""Bytes by keys that outlive a process, in one file."""

from libp2p.datastore.base import Change, Datastore, Entry
from libp2p.datastore.memory import MemoryDatastore
from libp2p.datastore.sqlite import SqliteDatastore
from libp2p.exceptions import DatastoreError

__all__ = [
    "Change",
    "Datastore",
    "DatastoreError",
    "Entry",
    "MemoryDatastore",
    "SqliteDatastore",
]
