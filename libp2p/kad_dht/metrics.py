"""
The DHT's numbers for Prometheus; needs the extra ``metrics`` (``pip install 'libp2p[metrics]'``).

They are read from `KadDHT.statistics` when Prometheus asks: a lookup costs nothing for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from libp2p.kad_dht.kad_dht import KadDHT


class DHTCollector(Collector):
    """
    Gives the numbers of one or more DHTs, told apart by the label ``protocol``.

    :param registry: where it registers itself; None if you do that.
    :raises ValueError: if the registry has such numbers already.
    """

    def __init__(self, *dhts: KadDHT, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._dhts = dhts
        if registry is not None:
            registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read the numbers; may be called from any thread."""
        statistics = {dht.protocol: dht.statistics() for dht in self._dhts}
        for name, text in (
            ("table", "Peers in the routing table"),
            ("lookups", "Lookups under way"),
            ("requests", "Requests that wait for their answers"),
            ("served_streams", "Streams that peers keep open to ask"),
            ("provider_records", "Provider records that are kept for others"),
            ("values", "Values that are kept for others"),
        ):
            gauge = GaugeMetricFamily(f"libp2p_dht_{name}", text, labels=["protocol"])
            for protocol, stat in statistics.items():
                gauge.add_metric([protocol], getattr(stat, name))
            yield gauge
        lookups = CounterMetricFamily(
            "libp2p_dht_lookups_done", "Lookups by their ends", labels=["protocol", "end"]
        )
        messages = CounterMetricFamily(
            "libp2p_dht_messages",
            "Messages by kind: requests sent, answered, failed; those of peers served, refused",
            labels=["protocol", "kind", "what"],
        )
        for protocol, stat in statistics.items():
            lookups.add_metric([protocol, "done"], stat.lookups_done)
            lookups.add_metric([protocol, "failed"], stat.lookups_failed)
            for kind, counts in stat.kinds.items():
                for what in ("sent", "answered", "failed", "served", "refused"):
                    messages.add_metric([protocol, kind, what], getattr(counts, what))
        yield lookups
        yield messages
