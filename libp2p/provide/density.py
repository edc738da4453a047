"""How many peers the network has, and so how large a region is (sans-I/O)."""

from __future__ import annotations

from math import exp, log, log2
from typing import Final

#: Peers that a region should hold. A region of 20 peers holds all peers that its keys go to. A
#: larger region has more keys for each peer, so fewer connections are made. One of 64 is still
#: explored in a minute.
REGION_PEERS: Final = 64
#: The longest prefix of a region, whatever peers say: it is enough for a billion peers.
MAX_REGION_BITS: Final = 24
#: How much the newest of all measurements counts.
NEWEST_SHARE: Final = 0.2


class Density:
    """
    An estimate of the number of peers.

    :param peers: an earlier estimate; None if there is none.
    """

    def __init__(self, peers: float | None = None) -> None:
        self._log: float | None = None if peers is None else log(peers)

    @property
    def peers(self) -> float | None:
        """The number of peers; None before the first measurement."""
        return None if self._log is None else exp(self._log)

    @property
    def region_bits(self) -> int:
        """The length of a region's prefix; 0 before the first measurement."""
        if self._log is None:
            return 0
        bits = int(log2(max(1.0, exp(self._log) / REGION_PEERS)))
        return min(bits, MAX_REGION_BITS)

    def observe(self, peers: int, share: float) -> None:
        """Take in that a share of the key space, up to 1, has so many peers."""
        if peers <= 0 or share <= 0:
            return
        measured = log(peers / share)
        if self._log is None:
            self._log = measured
        else:
            self._log += (measured - self._log) * NEWEST_SHARE
