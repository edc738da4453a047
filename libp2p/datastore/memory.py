"""A datastore for tests, and for hosts that are to leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from heapq import nsmallest
from math import inf
from types import MappingProxyType

from libp2p.datastore.base import (
    MAX_ENTRIES,
    SCAN_BYTES,
    SCAN_ENTRIES,
    Capacity,
    Change,
    Entry,
    check_changes,
    check_key,
    check_namespace,
)
from libp2p.exceptions import DatastoreError
from libp2p.utils.shown import shown


class MemoryDatastore:
    """
    A `Datastore` that ends with the process.

    :param max_entries: of each namespace.
    :param limits: the same of single namespaces.
    """

    def __init__(
        self, *, max_entries: int = MAX_ENTRIES, limits: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._capacity = Capacity(max_entries, limits)
        self._namespaces: dict[str, dict[bytes, Entry]] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return shown(self, lambda: f"{sum(map(len, self._namespaces.values()))} entries")

    async def get(self, namespace: str, key: bytes) -> Entry | None:
        return self._entries(namespace).get(check_key(key))

    async def write(self, changes: Iterable[Change]) -> None:
        changed = check_changes(changes)
        self._check_open()
        for namespace, key, value, expiry in changed:
            entries = self._namespaces.setdefault(namespace, {})
            entries.pop(key, None)
            if value is not None:
                entries[key] = Entry(key, value, None if expiry == inf else expiry)
        for namespace in {change.namespace for change in changed}:
            self._evict(namespace)

    def _evict(self, namespace: str) -> None:
        entries = self._namespaces[namespace]
        if len(entries) <= self._capacity.in_namespace(namespace):
            return
        excess = len(entries) - self._capacity.after_eviction(namespace)
        for entry in nsmallest(excess, entries.values(), key=_expiry_of):
            del entries[entry.key]

    async def scan(self, namespace: str, prefix: bytes = b"") -> AsyncIterator[list[Entry]]:
        check_key(prefix, "prefix")
        entries = self._entries(namespace)
        batch: list[Entry] = []
        size = 0
        for key in sorted(key for key in entries if key.startswith(prefix)):
            if key not in entries:
                continue
            batch.append(entries[key])
            size += len(key) + len(entries[key].value)
            if len(batch) == SCAN_ENTRIES or size >= SCAN_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def delete_expired(self, now: float) -> int:
        self._check_open()
        expired = [
            (entries, key)
            for entries in self._namespaces.values()
            for key, entry in entries.items()
            if _expiry_of(entry) <= now
        ]
        for entries, key in expired:
            del entries[key]
        return len(expired)

    async def close(self) -> None:
        self._is_closed = True
        self._namespaces = {}

    def _entries(self, namespace: str) -> dict[bytes, Entry]:
        self._check_open()
        return self._namespaces.get(check_namespace(namespace), {})

    def _check_open(self) -> None:
        if self._is_closed:
            raise DatastoreError("the datastore is closed")


def _expiry_of(entry: Entry) -> float:
    return inf if entry.expiry is None else entry.expiry
