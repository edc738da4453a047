"""How well a routing table is filled (sans-I/O): py-libp2p's ``dht.get_diagnostics()``."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from libp2p.kad_dht.keyspace import KEY_BITS, key_of_peer, prefix_of_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.kad_dht.routing_table import RoutingTable

#: A bucket is a gap if a smaller part of its places is taken.
GAP_SHARE: Final = 0.25
#: A bucket is ``healthy`` or ``degraded`` from these shares of taken places on, else ``starved``.
HEALTHY_SHARE: Final = 0.8
DEGRADED_SHARE: Final = 0.4
#: A peer is fresh, aging or stale up to so many seconds after it was seen.
FRESH_SECONDS: Final = 3600.0
AGING_SECONDS: Final = 12 * 3600.0
DAY_SECONDS: Final = 24 * 3600.0
#: The most points that filled buckets, fresh peers and covered keys give: 100 together.
FILL_POINTS: Final = 40
FRESH_POINTS: Final = 35
COVERAGE_POINTS: Final = 25
#: The least points of each verdict.
VERDICTS: Final = {80: "excellent", 60: "good", 40: "degraded", 20: "poor", 0: "critical"}


@dataclass
class BucketStat:
    """
    One bucket; ``index`` is how many leading bits its keys share with this host's key.

    :param fill_rate: the part of its places that is taken, 0 to 1.
    :param min_range_hex: its smallest key, in 64 hexadecimal digits.
    :param max_range_hex: its largest key, in the same form.
    """

    index: int
    peer_count: int
    capacity: int
    fill_rate: float
    stale_peer_count: int
    min_range_hex: str
    max_range_hex: str

    @property
    def is_full(self) -> bool:
        """True if the bucket has no place for another peer."""
        return self.peer_count >= self.capacity

    @property
    def is_empty(self) -> bool:
        """True if the bucket has no peer."""
        return self.peer_count == 0

    @property
    def health(self) -> str:
        """``healthy``, ``degraded`` or ``starved``."""
        if self.fill_rate >= HEALTHY_SHARE:
            return "healthy"
        return "degraded" if self.fill_rate >= DEGRADED_SHARE else "starved"


@dataclass
class CoverageGap:
    """A range of keys with few peers or none."""

    min_range_hex: str
    max_range_hex: str
    peer_count: int
    bucket_index: int


@dataclass
class FreshnessDistribution:
    """Peers by when they were seen: within an hour, 12 hours, a day, or not even that."""

    fresh: int = 0
    aging: int = 0
    stale: int = 0
    very_stale: int = 0

    @property
    def total(self) -> int:
        """All peers."""
        return self.fresh + self.aging + self.stale + self.very_stale

    @property
    def fresh_ratio(self) -> float:
        """The part that is fresh, 0 to 1; 0 if there are no peers."""
        return self.fresh / self.total if self.total else 0.0


@dataclass
class RoutingTableReport:
    """
    A routing table at one moment.

    :param timestamp: seconds of the epoch.
    :param keyspace_coverage: the part of all keys whose buckets have a peer, 0 to 1.
    :param health_score: 0 to 100.
    :param verdict: the score in a word: one of `VERDICTS`.
    """

    timestamp: float
    local_peer_id_hex: str
    total_peers: int
    total_buckets: int
    populated_buckets: int
    bucket_stats: list[BucketStat]
    coverage_gaps: list[CoverageGap]
    freshness: FreshnessDistribution
    health_score: float
    verdict: str
    keyspace_coverage: float

    def summary(self) -> str:
        """Return the report in a few lines."""
        age = self.freshness
        when = datetime.fromtimestamp(self.timestamp, UTC).isoformat(timespec="seconds")
        return "\n".join(
            (
                f"Routing table of {self.local_peer_id_hex} at {when}",
                f"Health: {self.health_score:.1f} of 100, {self.verdict}",
                f"Peers: {self.total_peers}, "
                f"in {self.populated_buckets} of {self.total_buckets} buckets",
                f"Seen within an hour: {age.fresh}, 12 hours: {age.aging}, a day: {age.stale}, "
                f"not since: {age.very_stale}",
                f"Keys covered: {self.keyspace_coverage:.1%}, gaps: {len(self.coverage_gaps)}",
            )
        )


class RoutingTableDiagnostics:
    """
    Looks at a routing table and changes nothing.

    :param now: the time in the table's clock.
    :param epoch: seconds of the epoch.
    """

    def __init__(
        self, table: RoutingTable, now: Callable[[], float], epoch: Callable[[], float]
    ) -> None:
        self._table = table
        self._now = now
        self._epoch = epoch

    def analyse(self) -> RoutingTableReport:
        """Return all that can be said of the table now."""
        buckets, freshness = self.get_bucket_stats(), self.get_freshness_distribution()
        populated = [bucket for bucket in buckets if not bucket.is_empty]
        coverage = sum(_share_of_keys(bucket.index, len(buckets)) for bucket in populated)
        score = (
            FILL_POINTS * sum(min(bucket.fill_rate, 1) for bucket in buckets) / len(buckets)
            + FRESH_POINTS * freshness.fresh_ratio
            + COVERAGE_POINTS * coverage
        )
        return RoutingTableReport(
            timestamp=self._epoch(),
            local_peer_id_hex=self._table.own.to_bytes().hex(),
            total_peers=len(self._table),
            total_buckets=len(buckets),
            populated_buckets=len(populated),
            bucket_stats=buckets,
            coverage_gaps=_gaps(buckets),
            freshness=freshness,
            health_score=score,
            verdict=next(word for least, word in VERDICTS.items() if score >= least),
            keyspace_coverage=coverage,
        )

    def get_bucket_stats(self) -> list[BucketStat]:
        """Return the buckets, the one of the farthest peers first."""
        oldest = self._now() - self._table.config.stale_seconds
        capacity, buckets = self._table.config.bucket_size, self._table.buckets
        own = key_of_peer(self._table.own)
        stats: list[BucketStat] = []
        for index, rows in enumerate(buckets):
            least, most = _range_of(own, index, is_last=index + 1 == len(buckets))
            stale = sum(row.last_seen < oldest for row in rows)
            count = len(rows)
            stats.append(
                BucketStat(
                    index, count, capacity, count / capacity, stale, f"{least:064x}", f"{most:064x}"
                )
            )
        return stats

    def get_freshness_distribution(self) -> FreshnessDistribution:
        """Return how many peers were seen when."""
        now, limits = self._now(), (FRESH_SECONDS, AGING_SECONDS, DAY_SECONDS)
        ages = [now - row.last_seen for rows in self._table.buckets for row in rows]
        bands = Counter(bisect_right(limits, age) for age in ages)
        return FreshnessDistribution(*(bands[band] for band in range(4)))

    def get_coverage_gaps(self) -> list[CoverageGap]:
        """Return the ranges with few peers, the emptiest first."""
        return _gaps(self.get_bucket_stats())

    def get_health_score(self) -> float:
        """Return the health score, 0 to 100."""
        return self.analyse().health_score


def _gaps(buckets: list[BucketStat]) -> list[CoverageGap]:
    gaps = [
        CoverageGap(each.min_range_hex, each.max_range_hex, each.peer_count, each.index)
        for each in buckets
        if each.fill_rate < GAP_SHARE
    ]
    return sorted(gaps, key=lambda gap: gap.peer_count)


def _range_of(own: int, index: int, *, is_last: bool) -> tuple[int, int]:
    """Return the smallest and the largest key of a bucket; the last has all keys that are left."""
    bits = KEY_BITS - index
    prefix = own >> bits
    if not is_last:
        bits, prefix = bits - 1, prefix_of_length(own, index)
    return prefix << bits, (prefix + 1 << bits) - 1


def _share_of_keys(index: int, buckets: int) -> float:
    return 0.5 ** min(index + 1, buckets - 1)
