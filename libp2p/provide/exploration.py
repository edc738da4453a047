"""
Which peers are to keep the records of a region's keys, with few lookups (sans-I/O).

A lookup for each key finds the same peers again and again. Here a lookup is made only for a key
about whose neighbourhood too little is known: `Coverage` tells. Targets of lookups are keys of
ours, so each lookup is of use for one of them at least; where the same gap is in the way of many
keys, the target is in the gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from libp2p.kad_dht.keyspace import KEY_BITS, key_of_peer, preimage
from libp2p.provide.config import STEP_KEYS
from libp2p.provide.coverage import Coverage

if TYPE_CHECKING:
    from libp2p.peer.id import ID

#: Lookups for one region; a region of 128 peers takes about 13. After them, the keys that are left
#: go to the closest peers that are known. Without this limit, peers that lie could cause a lookup
#: for each key.
MAX_LOOKUPS_PER_REGION: Final = 64
#: Keys near a gap that are looked up before the gap itself is.
DIRECT_LOOKUPS: Final = 2
#: Bits that a target in a gap shares with the gap. The target is found by trying, in 30 ms.
MAX_GAP_BITS: Final = 16
#: Bits by which the target is closer to the gap than the farthest peer of a key is to the key.
_GAP_MARGIN_BITS: Final = 3
_FARTHEST: Final = (1 << KEY_BITS) - 1

#: Lookups that fail one after the other, after which the region is given up.
MAX_FAILED_LOOKUPS: Final = 3


class Exploration:
    """
    The lookups for some keys that are near to each other.

    :param keys: places in the key space and the multihashes that are there.
    :param replication: peers that are to keep each record.
    """

    def __init__(self, keys: Iterable[tuple[int, bytes]], replication: int) -> None:
        self._keys = dict(sorted(keys))
        self._replication = replication
        self._unseen = list(reversed(self._keys))  # keys with no known peer near; the next is last
        self._peers: dict[int, ID] = {}
        self._covered = Coverage()
        self._holders: dict[int, list[int]] = {}  # by key: the places of peers
        self._unsure: list[int] | None = None
        self._direct = 0
        self._failed_in_a_row = 0
        self.lookups = 0

    @property
    def is_given_up(self) -> bool:
        """True if too many lookups in a row have failed."""
        return self._failed_in_a_row >= MAX_FAILED_LOOKUPS

    @property
    def is_done(self) -> bool:
        """True if no lookup is to be made any more."""
        if self.is_given_up or self.lookups >= MAX_LOOKUPS_PER_REGION:
            return True
        return not self._unseen and self._unsure is not None and not self._unsure

    def next_target(self) -> bytes | None:
        """
        Return the bytes whose closest peers are to be looked up.

        None says that there is nothing to look up, or that `STEP_KEYS` keys have been worked on and
        others may run: `is_done` tells.
        """
        if self.is_done:
            return None
        unseen = self._unseen
        while unseen:
            if unseen[-1] not in self._covered:
                return self._keys[unseen[-1]]
            unseen.pop()
        if self._unsure is None:
            self._unsure = [key for key in reversed(self._keys) if key not in self._holders]
        for _ in range(min(STEP_KEYS, len(self._unsure))):
            key = self._unsure[-1]
            gap = self._settle(key)
            if gap is not None:
                return self._target_for(key, gap)
            self._unsure.pop()
        return None

    def on_closest(self, target: int, peers: Sequence[ID]) -> None:
        """Take in the peers that are closest to a target, none of them further than others."""
        self.lookups += 1
        self._failed_in_a_row = 0
        found = {key_of_peer(peer): peer for peer in peers}
        # Few peers are all there are if two lookups say so: one of them may have gone wrong.
        is_all = len(found) < self._replication and 0 < len(self._peers) == len(
            self._peers.keys() & found.keys()
        )
        self._peers |= found
        closest = sorted(found, key=target.__xor__)[: self._replication]
        if target in self._keys:
            self._holders[target] = closest
        if is_all:
            self._covered.add_ball(0, _FARTHEST)
        elif len(closest) == self._replication:
            self._covered.add_ball(target, closest[-1] ^ target)
        waiting = self._unseen or self._unsure
        if waiting and waiting[-1] == target:
            waiting.pop()

    def on_failure(self) -> None:
        """Take in that a lookup failed; the key is tried again when others have been."""
        self.lookups += 1
        self._failed_in_a_row += 1
        if waiting := self._unseen or self._unsure:
            waiting.insert(0, waiting.pop())

    def assignments(self) -> dict[ID, list[bytes]]:
        """Return the multihashes for each peer; nothing if no peers are known."""
        assigned: dict[ID, list[bytes]] = {}
        for key, multihash in self._keys.items():
            for place in self._holders.get(key) or self._nearest(key):
                assigned.setdefault(self._peers[place], []).append(multihash)
        return assigned

    def farthest(self, key: int) -> int | None:
        """Return the distance of the last of the peers that get a key; None if there are few."""
        holders = self._holders.get(key) or self._nearest(key)
        return holders[-1] ^ key if len(holders) == self._replication else None

    def measured(self) -> tuple[int, float]:
        """Return how many peers have been seen, and in what share of the key space."""
        covered = self._covered
        return sum(1 for place in self._peers if place in covered), covered.share

    def _settle(self, key: int) -> int | None:
        """Note who gets a key; if there may be somebody closer, return a place to look at first."""
        nearest, radius = self._nearest(key), _FARTHEST
        if len(nearest) == self._replication:
            radius = nearest[-1] ^ key
        gap = self._covered.missing_from_ball(key, radius)
        if gap is None:
            self._holders[key] = nearest
        return gap

    def _target_for(self, key: int, gap: int) -> bytes:
        multihash = self._keys[key]
        nearest = self._nearest(key)
        bits = KEY_BITS - (nearest[-1] ^ key).bit_length() + _GAP_MARGIN_BITS if nearest else 0
        if self._direct < DIRECT_LOOKUPS or bits > MAX_GAP_BITS:
            self._direct += 1
            return multihash
        return preimage(gap >> (KEY_BITS - bits), bits, multihash)

    def _nearest(self, key: int) -> list[int]:
        return sorted(self._peers, key=key.__xor__)[: self._replication]
