"""
The numbers of routers for Prometheus; needs the extra ``metrics``.

They are read from `ParallelRouter.reports` when Prometheus asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from libp2p.routing.parallel import ParallelRouter
    from libp2p.routing.report import RouterReport

_COUNTERS: tuple[tuple[str, str, Callable[[RouterReport], float]], ...] = (
    ("calls", "Questions to a router", lambda report: report.calls),
    ("results", "Peers, values and announcements", lambda report: report.results),
    ("errors", "Questions that failed", lambda report: report.errors),
    ("timeouts", "Questions cut off by the router's deadline", lambda report: report.timeouts),
)


class RouterCollector(Collector):
    """
    Gives the numbers of the routers of one `ParallelRouter`, labelled by their names.

    :param registry: where it registers itself; None if you do that. One registry takes one.
    :raises ValueError: if the registry has such numbers already.
    """

    def __init__(
        self, router: ParallelRouter, registry: CollectorRegistry | None = REGISTRY
    ) -> None:
        self._router = router
        if registry is not None:
            registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read the numbers; may be called from any thread."""
        reports = self._router.reports()
        for name, text, value_of in _COUNTERS:
            counter = CounterMetricFamily(f"libp2p_router_{name}", text, labels=["router"])
            for report in reports:
                counter.add_metric([report.name], value_of(report))
            yield counter
        active = GaugeMetricFamily(
            "libp2p_router_active_calls", "Questions under way", labels=["router"]
        )
        latency = SummaryMetricFamily(
            "libp2p_router_first_result_seconds",
            "Seconds until the first result of a question that had one",
            labels=["router"],
        )
        for report in reports:
            active.add_metric([report.name], report.active)
            latency.add_metric([report.name], report.answered, report.first_result_seconds)
        yield active
        yield latency
