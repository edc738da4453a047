"""What a datastore promises: `Datastore`, its entries and changes, and what each may weigh."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Final, NamedTuple, Protocol, runtime_checkable

from libp2p.utils import arguments

#: Entries of one namespace, unless the store is made with another number. A million provider
#: records are what 50,000 announced files weigh on the peers that keep them, and take 200 MiB.
MAX_ENTRIES: Final = 1 << 20
#: Bytes of a key: a multihash of 128 bytes and a peer id fit several times.
MAX_KEY_BYTES: Final = 1024
#: Bytes of a value. The largest record that peers exchange, an IPNS record, has 10 KiB; a peer with
#: 500 addresses and its signed record less than 100 KiB.
MAX_VALUE_BYTES: Final = 1024 * 1024
#: Characters of a namespace's name: programs choose it, it is stored with each entry.
MAX_NAMESPACE_LENGTH: Final = 64
#: Entries, and bytes of entries, that `Datastore.scan` returns at once: some milliseconds of work.
SCAN_ENTRIES: Final = 1024
SCAN_BYTES: Final = 4 * 1024 * 1024
#: A full namespace drops this part of its entries at once, so that not every write costs a search.
EVICTED_FRACTION: Final = 16


class Entry(NamedTuple):
    """A value with its key; ``expiry`` in Unix seconds, None if it never expires."""

    key: bytes
    value: bytes
    expiry: float | None


class Change(NamedTuple):
    """Store ``value`` under ``key`` until ``expiry`` (Unix seconds); None as value deletes it."""

    namespace: str
    key: bytes
    value: bytes | None
    expiry: float | None = None


@runtime_checkable
class Datastore(Protocol):
    """
    Values by namespace and key, each with an expiry.

    All methods may be called by several tasks at the same time. They raise `DatastoreError` if the
    store is closed or the disk fails, and `ValueError` or `TypeError` for what cannot be stored.
    """

    async def get(self, namespace: str, key: bytes) -> Entry | None:
        """
        Return an entry, None if there is none.

        A store has no clock: an entry that has expired is returned until `delete_expired` is
        called. The caller compares ``expiry``.
        """

    async def write(self, changes: Iterable[Change]) -> None:
        """
        Apply changes in their order, all of them or none.

        When it returns, they survive the end of the process, by ``kill -9`` too. Calls at the same
        time share one transaction. If it is cancelled, the changes are applied or not.

        A namespace that is full drops the entries that expire first, those that never expire last.
        """

    def scan(self, namespace: str, prefix: bytes = b"") -> AsyncIterator[list[Entry]]:
        """
        Return the entries whose keys begin with ``prefix``, in the order of keys, in batches.

        Entries that others change meanwhile are returned as they were or as they are. No
        transaction and no lock is held between batches.
        """

    async def delete_expired(self, now: float) -> int:
        """Delete what has expired at ``now`` (Unix seconds); return the number of entries."""

    async def close(self) -> None:
        """Finish the writes under way and close the store; a second call does nothing."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """
    How many entries each namespace may have.

    :param max_entries: of a namespace.
    :param of: of single namespaces, in place of ``max_entries``.
    """

    max_entries: int
    of: Mapping[str, int]

    def __post_init__(self) -> None:
        arguments.count(self.max_entries, "max_entries", least=1)
        for name, limit in self.of.items():
            arguments.count(limit, f"limits[{check_namespace(name)!r}]", least=1)

    def in_namespace(self, namespace: str) -> int:
        """Return the limit of one namespace."""
        return self.of.get(namespace, self.max_entries)

    def after_eviction(self, namespace: str) -> int:
        """Return to how many entries a full namespace is cut."""
        limit = self.in_namespace(namespace)
        return limit - limit // EVICTED_FRACTION


def check_namespace(namespace: object) -> str:
    """:raises ValueError: or `TypeError`, unless it is the name of a namespace."""
    if not isinstance(namespace, str):
        raise arguments.wrong_type("namespace", namespace, "a name")
    if not 0 < len(namespace) <= MAX_NAMESPACE_LENGTH or not namespace.isprintable():
        expected = f"a name of 1 to {MAX_NAMESPACE_LENGTH} printable characters"
        raise arguments.out_of_range("namespace", namespace, expected)
    return namespace


def check_key(key: object, name: str = "key") -> bytes:
    """:raises ValueError: or `TypeError`, unless it can be a key."""
    return _sized(key, name, MAX_KEY_BYTES)


def check_changes(changes: Iterable[Change]) -> list[Change]:
    """:raises ValueError: or `TypeError`, if one of the changes cannot be made."""
    listed = arguments.listed(changes, "changes", "several Change objects")
    for change in listed:
        arguments.instance(change, Change, "what is in changes")
        check_namespace(change.namespace)
        check_key(change.key)
        if change.value is not None:
            _sized(change.value, "value", MAX_VALUE_BYTES)
        if change.expiry is not None and isnan(arguments.seconds(change.expiry, "expiry")):
            raise arguments.out_of_range("expiry", change.expiry, "Unix seconds, or None")
    return listed


def after_prefix(prefix: bytes) -> bytes | None:
    """Return the first key after all that begin with ``prefix``; None if none can follow."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def _sized(value: object, name: str, most: int) -> bytes:
    if not isinstance(value, bytes):
        raise arguments.wrong_type(name, value, "bytes")
    if len(value) > most:
        raise arguments.out_of_range(f"len({name})", len(value), f"{most} or less")
    return value
