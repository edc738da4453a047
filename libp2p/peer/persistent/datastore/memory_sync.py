"""py-libp2p's datastore in memory."""

from __future__ import annotations

from collections.abc import Iterator

from libp2p.peer.persistent.datastore.base_sync import IDatastoreSync


class MemoryDatastoreSync(IDatastoreSync):
    """See `IDatastoreSync`; it ends with the process."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._values[key] = value

    def delete(self, key: bytes) -> None:
        self._values.pop(key, None)

    def has(self, key: bytes) -> bool:
        return key in self._values

    def query(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([item for item in self._values.items() if item[0].startswith(prefix)])

    def close(self) -> None:
        self._values = {}

    def sync(self, prefix: bytes) -> None:
        """Do nothing."""
