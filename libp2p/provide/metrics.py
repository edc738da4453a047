"""
Numbers of announcing for Prometheus; needs the extra ``metrics``: pip install 'libp2p[metrics]'.

They are read from `Provider.stats` when Prometheus asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from libp2p.provide.provider import Provider

_GAUGES: Final = (
    ("keys", "Multihashes that are announced regularly"),
    ("keys_left_out", "Multihashes that the source has beyond the limit"),
    ("queued", "Multihashes that are to be announced once and are not yet"),
    ("regions", "Regions that the key space is divided into"),
    ("regions_left", "Regions that are due or under way"),
    ("keys_left", "About so many multihashes are in them"),
    ("regions_at_work", "Regions under way, on demand ones included"),
)
_COUNTERS: Final = (
    ("keys_announced", "Multihashes that enough peers have taken"),
    ("keys_missed", "Multihashes that too few peers have taken, and that are tried again"),
    ("keys_given_up", "Multihashes that were to be announced once and could not be"),
    ("regions_announced", "Regions announced"),
    ("regions_failed", "Regions of which no multihash could be announced"),
    ("lookups", "Lookups"),
    ("sends", "Peers that were sent records"),
    ("sends_failed", "Peers that did not take all of their records"),
    ("records_sent", "Records that peers have taken"),
)


class ProvideCollector(Collector):
    """
    Gives the numbers of one provider.

    :param registry: where it registers itself; None if you do that. One registry takes one
        provider.
    :raises ValueError: if the registry has such numbers already.
    """

    def __init__(self, provider: Provider, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._provider = provider
        if registry is not None:
            registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read the numbers; may be called from any thread."""
        stats = self._provider.stats()
        for name, text in _GAUGES:
            yield GaugeMetricFamily(f"libp2p_provide_{name}", text, getattr(stats, name))
        yield GaugeMetricFamily(
            "libp2p_provide_lag_seconds",
            "How late the region is that is due for longest",
            stats.lag,
        )
        yield GaugeMetricFamily(
            "libp2p_provide_network_peers", "Peers that the network has about", stats.peers or 0
        )
        yield GaugeMetricFamily(
            "libp2p_provide_offline", "1 if nobody can be asked", stats.offline_since is not None
        )
        for name, text in _COUNTERS:
            yield CounterMetricFamily(f"libp2p_provide_{name}", text, getattr(stats, name))
