"""
The limits of bytes per second that are sent (sans-I/O): a token bucket per peer, and one for all.

One reply may overdraw a bucket, so that a block larger than the bucket passes; then nothing is sent
until the bucket has tokens again. On average no more than the rate passes. `send_rate` is not a
limit: it measures how quickly a peer takes replies.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libp2p.bitswap.config import MAX_ACCOUNTS

if TYPE_CHECKING:
    from libp2p.peer.id import ID


class TokenBucket:
    """
    Lets ``rate`` bytes per second pass.

    :param burst: bytes that pass at once after a pause; those of one second by default.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float | None = None) -> None:
        if rate <= 0 or (burst is not None and burst <= 0):
            raise ValueError("rate and burst are more than 0 bytes")
        self._rate = rate
        self._burst = rate if burst is None else burst
        self._tokens = self._burst
        self._at = 0.0

    def ready_at(self, now: float) -> float:
        """Return when something may be sent: ``now`` or later."""
        self._fill(now)
        return now if self._tokens > 0 else now + (1 - self._tokens) / self._rate

    def spend(self, size: int, now: float) -> None:
        """Take ``size`` tokens out for blocks that are being sent."""
        self._fill(now)
        self._tokens -= size

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(now - self._at, 0) * self._rate)
        self._at = now


@dataclass(frozen=True)
class BandwidthLimits:
    """
    Limits in bytes per second of block data sent; None is no limit.

    :param total: for all peers together.
    :param per_peer: for each peer that ``peers`` does not name.
    :param peers: for the peers that it names; None for a peer without a limit.
    :param burst_seconds: how many seconds' worth of the limit may be sent at once after a pause.
    """

    total: float | None = None
    per_peer: float | None = None
    peers: Mapping[ID, float | None] = field(default_factory=dict)
    burst_seconds: float = 1.0

    def __post_init__(self) -> None:
        rates = (self.total, self.per_peer, *self.peers.values())
        if self.burst_seconds <= 0 or any(rate is not None and rate <= 0 for rate in rates):
            raise ValueError("limits and burst_seconds are more than 0")


class RateLimiter:
    """
    The buckets of all peers, at most `MAX_ACCOUNTS`.

    A peer keeps its bucket when it disconnects: with a new one it would be sent a burst each time.
    """

    def __init__(self, limits: BandwidthLimits | None = None) -> None:
        self._limits = limits or BandwidthLimits()
        self._total = self._bucket(self._limits.total)
        self.limits_total = self._total is not None
        """True if there is a limit for all peers together."""
        self.limits_any = self.limits_total or bool(self._limits.per_peer or self._limits.peers)
        """True if there is any limit."""
        self._peers: OrderedDict[ID, TokenBucket] = OrderedDict()

    def peer_ready_at(self, peer_id: ID, now: float) -> float:
        """Return when the limit of a peer lets the next block pass: ``now`` or later."""
        bucket = self._of(peer_id) if self.limits_any else None
        return now if bucket is None else bucket.ready_at(now)

    def total_ready_at(self, now: float) -> float:
        """Return when the limit for all lets the next block pass: ``now`` or later."""
        return now if self._total is None else self._total.ready_at(now)

    def spend(self, peer_id: ID, size: int, now: float) -> None:
        """Take ``size`` bytes of blocks that are sent to a peer out of its buckets."""
        if self.limits_any:
            for bucket in (self._total, self._of(peer_id)):
                if bucket is not None:
                    bucket.spend(size, now)

    def _of(self, peer_id: ID) -> TokenBucket | None:
        bucket = self._peers.get(peer_id)
        if bucket is not None:
            self._peers.move_to_end(peer_id)
            return bucket
        made = self._bucket(self._limits.peers.get(peer_id, self._limits.per_peer))
        if made is not None:
            self._peers[peer_id] = made
            if len(self._peers) > MAX_ACCOUNTS:
                self._peers.popitem(last=False)
        return made

    def _bucket(self, rate: float | None) -> TokenBucket | None:
        return None if rate is None else TokenBucket(rate, rate * self._limits.burst_seconds)
