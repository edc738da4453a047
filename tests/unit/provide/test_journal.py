"""What is written to the datastore is read again; what is damaged is done again."""

from __future__ import annotations

import math
import struct

from libp2p.datastore.base import Change, Entry
from libp2p.provide import journal
from libp2p.provide.region import WHOLE, Region


def entries_of(changes: list[Change]) -> list[Entry]:
    return [Entry(c.key, c.value, c.expiry) for c in changes if c.value is not None]


def test_regions_are_read_again() -> None:
    records: list[tuple[Region, float | None]] = [(Region(5, 7), 1.8e9), (WHOLE, 1.7e9 + 0.25)]
    changes = list(journal.region_changes([*records, (Region(1, 1), None)], lifetime=100.0))
    assert changes[-1] == Change(journal.REGIONS, Region(1, 1).encode(), None)
    assert changes[0].expiry == 1.8e9 + 100
    assert list(journal.read_regions(entries_of(changes))) == records


def test_damaged_regions_are_passed_over() -> None:
    good = Entry(Region(1, 2).encode(), struct.pack(">d", 5.0), None)
    bad = [
        Entry(b"\x08", good.value, None),
        Entry(good.key, b"short", None),
        Entry(good.key, struct.pack(">d", math.nan), None),
    ]
    assert list(journal.read_regions([*bad, good])) == [(Region(1, 2), 5.0)]


def test_multihashes_come_and_go() -> None:
    changes = journal.multihash_changes(journal.KEYS, [(b"a", True), (b"b", False)])
    assert list(changes) == [
        Change(journal.KEYS, b"a", b""),
        Change(journal.KEYS, b"b", None),
    ]


def test_the_number_of_peers() -> None:
    change = journal.peers_change(10_000.5)
    assert change.namespace == journal.NETWORK
    assert change.value is not None
    entry = Entry(change.key, change.value, None)
    assert list(journal.read_peers([entry])) == [10_000.5]
    other = [Entry(b"other", change.value, None), Entry(change.key, b"", None)]
    assert list(journal.read_peers([*other, Entry(change.key, struct.pack(">d", 0.0), None)])) == []
