"""Who is to get which records, and which keys enough peers have taken (sans-I/O)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

from libp2p.provide.config import HOLDERS_SHARE, LEAST_HOLDERS

if TYPE_CHECKING:
    from libp2p.peer.id import ID


class Delivery:
    """
    The records of some keys on their way.

    :param assignments: the multihashes for each peer.
    :param multihashes: all of them, also those that no peer is known for.
    """

    def __init__(
        self, assignments: Mapping[ID, Sequence[bytes]], multihashes: Sequence[bytes]
    ) -> None:
        self._assignments = assignments
        self._missing = dict.fromkeys(multihashes, 0)
        for assigned in assignments.values():
            for multihash in assigned:
                self._missing[multihash] += 1
        for multihash, peers in self._missing.items():
            self._missing[multihash] = min(LEAST_HOLDERS, ceil(peers * HOLDERS_SHARE)) or 1
        self.records = 0
        self.sends = 0
        self.failed_sends = 0

    def on_sent(self, peer: ID, count: int) -> None:
        """A peer has taken the first ``count`` of its records."""
        assigned = self._assignments[peer]
        taken = assigned[: max(count, 0)]
        self.records += len(taken)
        self.sends += 1
        self.failed_sends += len(taken) < len(assigned)
        for multihash in taken:
            self._missing[multihash] -= 1

    def announced(self) -> tuple[bytes, ...]:
        """Return the keys that enough peers have taken."""
        return tuple(key for key, missing in self._missing.items() if missing <= 0)

    def missed(self) -> tuple[bytes, ...]:
        """Return the other ones."""
        return tuple(key for key, missing in self._missing.items() if missing > 0)
