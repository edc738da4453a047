"""py-libp2p's interface of a datastore that blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator


class IDatastoreSync(ABC):
    """Values by keys; whoever calls it waits for the disk."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """Return a value, None if there is none."""

    @abstractmethod
    def put(self, key: bytes, value: bytes) -> None:
        """Store a value."""

    @abstractmethod
    def delete(self, key: bytes) -> None:
        """Delete a value; it is no error if there is none."""

    @abstractmethod
    def has(self, key: bytes) -> bool:
        """Return whether there is a value."""

    @abstractmethod
    def query(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return the keys that begin with ``prefix``, and their values."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    @abstractmethod
    def sync(self, prefix: bytes) -> None:
        """Flush what has been stored."""
