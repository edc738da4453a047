"""Changes of the DHT's stores, for a datastore to keep (sans-I/O)."""

from __future__ import annotations

from typing import NamedTuple


class StoredChange(NamedTuple):
    """
    A change to write to a datastore, after those before it; a value of None deletes the key.

    ``expiry`` is in Unix seconds.
    """

    namespace: str
    key: bytes
    value: bytes | None
    expiry: float | None
