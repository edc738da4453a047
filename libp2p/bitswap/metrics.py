"""
Bitswap's numbers for Prometheus; needs the extra ``metrics`` (``pip install 'libp2p[metrics]'``).

They are read from `BitswapClient.stat` when Prometheus asks: while blocks move they cost nothing.
A number that means what Kubo's does has Kubo's name; where Kubo has a histogram of sizes, its sum
and count are here without the buckets, which would cost time for each block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from libp2p.bitswap.client import BitswapClient


class BitswapCollector(Collector):
    """
    Gives the numbers of one client.

    :param registry: where it registers itself; None if you do that. One registry takes one client.
    :raises ValueError: if the registry has such numbers already.
    """

    def __init__(
        self, client: BitswapClient, registry: CollectorRegistry | None = REGISTRY
    ) -> None:
        self._client = client
        if registry is not None:
            registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read the numbers; may be called from any thread."""
        stat = self._client.stat()
        for name, meaning, blocks, data in (
            ("recv_all", "received, wanted or not", stat.blocks_received, stat.data_received),
            ("recv_dup", "received again", stat.dup_blks_received, stat.dup_data_received),
            ("sent_all", "sent", stat.blocks_sent, stat.data_sent),
        ):
            text = f"Blocks {meaning}: how many, and their bytes"
            yield SummaryMetricFamily(f"ipfs_bitswap_{name}_blocks_bytes", text, blocks, data)
        for gauge, text, value in (
            ("ipfs_bitswap_wantlist_total", "Items in the wantlist", len(stat.wantlist)),
            (
                "ipfs_bitswap_want_blocks_total",
                "Blocks in the wantlist",
                len(self._client.get_want_blocks()),
            ),
            ("ipfs_bitswap_pending_tasks", "Wants of peers to be answered", self._pending()),
            ("libp2p_bitswap_peers", "Peers that are connected", len(stat.peers)),
        ):
            yield GaugeMetricFamily(gauge, text, value)
        yield CounterMetricFamily(
            "libp2p_bitswap_messages_received", "Messages received", stat.messages_received
        )
        yield CounterMetricFamily(
            "libp2p_bitswap_unwanted_blocks_received",
            "Blocks received that had not been asked for",
            stat.unwanted_blocks_received,
        )
        yield CounterMetricFamily(
            "libp2p_bitswap_late_blocks_received",
            "Blocks received that were not wanted any more",
            stat.late_blocks_received,
        )

    def _pending(self) -> int:
        return self._client.pending_answers()
