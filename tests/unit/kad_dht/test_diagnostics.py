"""What is told of a routing table."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import pytest

from libp2p.kad_dht.diagnostics import (
    AGING_SECONDS,
    DAY_SECONDS,
    FRESH_SECONDS,
    BucketStat,
    FreshnessDistribution,
    RoutingTableDiagnostics,
)
from libp2p.kad_dht.keyspace import key_of_peer
from libp2p.kad_dht.routing_table import BUCKET_SIZE, RoutingTable
from libp2p.peer.id import ID

ADDRESS = bytes.fromhex("040a000001060fa1")


def a_peer(number: int) -> ID:
    return ID(b"\x12\x20" + sha256(b"%d" % number).digest())


OWN = a_peer(1000)


def a_table(peers: int, seen: float = 0.0) -> RoutingTable:
    table = RoutingTable(OWN)
    for number in range(peers):
        table.consider(a_peer(number), (ADDRESS,), seen, verified=True)
    return table


def diagnostics(table: RoutingTable, now: float = 0.0) -> RoutingTableDiagnostics:
    return RoutingTableDiagnostics(table, lambda: now, lambda: 1_700_000_000.0)


def test_an_empty_table() -> None:
    looked = diagnostics(a_table(0))
    report = looked.analyse()
    assert (report.total_peers, report.total_buckets, report.populated_buckets) == (0, 1, 0)
    assert (report.health_score, report.verdict, report.keyspace_coverage) == (0, "critical", 0)
    [gap] = report.coverage_gaps
    assert (gap.bucket_index, gap.peer_count) == (0, 0)
    assert (gap.min_range_hex, gap.max_range_hex) == ("0" * 64, "f" * 64)
    assert report.freshness == FreshnessDistribution()
    assert report.freshness.fresh_ratio == 0
    assert looked.get_coverage_gaps() == report.coverage_gaps


def test_buckets_divide_all_keys() -> None:
    table = a_table(500)
    report = diagnostics(table).analyse()
    buckets = report.bucket_stats
    assert report.total_buckets == len(buckets) > 3
    assert sum(bucket.peer_count for bucket in buckets) == report.total_peers == len(table)
    ranges = [(int(b.min_range_hex, 16), int(b.max_range_hex, 16)) for b in buckets]
    ends = sorted(ranges)
    assert ends[0][0] == 0
    assert ends[-1][1] == 2**256 - 1
    assert all(one[1] + 1 == two[0] for one, two in pairwise(ends))
    for (least, most), rows in zip(ranges, table.buckets, strict=True):
        assert all(least <= key_of_peer(row.peer) <= most for row in rows)
    assert ranges[-1][0] <= key_of_peer(OWN) <= ranges[-1][1]
    populated = {bucket.index for bucket in buckets if bucket.peer_count}
    covered = [end - least + 1 for index, (least, end) in enumerate(ranges) if index in populated]
    assert report.keyspace_coverage == pytest.approx(sum(covered) / 2**256)


def test_a_table_that_is_full_and_fresh_is_excellent() -> None:
    report = diagnostics(a_table(BUCKET_SIZE)).analyse()
    assert (report.health_score, report.verdict) == (100, "excellent")
    assert report.coverage_gaps == []
    assert report.bucket_stats[0].is_full
    assert report.summary().splitlines() == [
        f"Routing table of {OWN.to_bytes().hex()} at 2023-11-14T22:13:20+00:00",
        "Health: 100.0 of 100, excellent",
        "Peers: 20, in 1 of 1 buckets",
        "Seen within an hour: 20, 12 hours: 0, a day: 0, not since: 0",
        "Keys covered: 100.0%, gaps: 0",
    ]


def test_old_peers_are_worth_less() -> None:
    table = a_table(BUCKET_SIZE)
    scores = [diagnostics(table, now).get_health_score() for now in (0, FRESH_SECONDS)]
    assert scores == [100, 65]
    for now, expected in (
        (FRESH_SECONDS, FreshnessDistribution(aging=20)),
        (AGING_SECONDS, FreshnessDistribution(stale=20)),
        (DAY_SECONDS, FreshnessDistribution(very_stale=20)),
    ):
        looked = diagnostics(table, now)
        assert looked.get_freshness_distribution() == expected
        assert expected.total == 20
    [bucket] = diagnostics(table, DAY_SECONDS).get_bucket_stats()
    assert bucket.stale_peer_count == 20


@pytest.mark.parametrize(
    ("fill", "health"), [(1.0, "healthy"), (0.8, "healthy"), (0.4, "degraded"), (0.3, "starved")]
)
def test_words_for_buckets(fill: float, health: str) -> None:
    bucket = BucketStat(0, round(20 * fill), 20, fill, 0, "0" * 64, "f" * 64)
    assert bucket.health == health
    assert not bucket.is_empty
