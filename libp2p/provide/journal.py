"""
How the state of announcing is kept in a datastore (sans-I/O).

`REGIONS` has when each region was announced last. `KEYS` has what is announced regularly because a
program said so. `QUEUE` has what waits to be announced once. `NETWORK` has how many peers the
network is thought to have. A region's entry is written when all of its keys have been announced:
after a kill, the next process repeats the regions that were under way, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Final

from libp2p.datastore.base import Change, Entry
from libp2p.provide.region import Region

REGIONS: Final = "provide-regions"
KEYS: Final = "provide-keys"
QUEUE: Final = "provide-queue"
NETWORK: Final = "provide-network"

_PEERS_KEY: Final = b"peers"
_NUMBER: Final = struct.Struct(">d")


def region_changes(
    changes: Iterable[tuple[Region, float | None]], lifetime: float
) -> Iterator[Change]:
    """
    Return the entries for regions and the times when they were announced.

    :param lifetime: seconds after which an entry says no more than its absence.
    """
    for region, announced in changes:
        if announced is None:
            yield Change(REGIONS, region.encode(), None)
        else:
            value = _NUMBER.pack(announced)
            yield Change(REGIONS, region.encode(), value, announced + lifetime)


def multihash_changes(namespace: str, changes: Iterable[tuple[bytes, bool]]) -> Iterator[Change]:
    """Return the entries for multihashes that have come (True) or gone (False)."""
    for multihash, is_here in changes:
        yield Change(namespace, multihash, b"" if is_here else None)


def peers_change(peers: float) -> Change:
    """Return the entry for the number of peers that the network is thought to have."""
    return Change(NETWORK, _PEERS_KEY, _NUMBER.pack(peers))


def read_regions(entries: Iterable[Entry]) -> Iterator[tuple[Region, float]]:
    """Read what `region_changes` wrote; what is damaged is passed over, so it is done again."""
    for entry in entries:
        announced = _number(entry.value)
        if announced is None:
            continue
        try:
            region = Region.decode(entry.key)
        except ValueError:
            continue
        yield region, announced


def read_peers(entries: Iterable[Entry]) -> Iterator[float]:
    """Read what `peers_change` wrote; nothing if that is of no use."""
    for entry in entries:
        peers = _number(entry.value) if entry.key == _PEERS_KEY else None
        if peers is not None and peers >= 1:
            yield peers


def _number(value: bytes) -> float | None:
    if len(value) != _NUMBER.size:
        return None
    number = float(_NUMBER.unpack(value)[0])
    return number if isfinite(number) else None
