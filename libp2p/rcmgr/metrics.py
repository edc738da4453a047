"""py-libp2p's counters of a resource manager: a program's own, and what a manager has let in."""

from __future__ import annotations

import time
from enum import IntEnum
from threading import Lock
from typing import Any

from libp2p.exceptions import InvalidArgument


class Direction(IntEnum):
    """Which side has opened a connection or a stream."""

    UNKNOWN = -1
    INBOUND = 0
    OUTBOUND = 1

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def from_string(cls, s: str) -> Direction:
        """Return the direction of that name; any other text is `UNKNOWN`."""
        return cls.__members__.get(s.strip().upper(), cls.UNKNOWN)


class MetricType(IntEnum):
    """What `Metrics` counts."""

    CONNECTIONS_INBOUND = 0
    CONNECTIONS_OUTBOUND = 1
    MEMORY_USAGE = 2
    STREAMS_INBOUND = 3
    STREAMS_OUTBOUND = 4
    CONNECTION_BLOCKS = 5
    MEMORY_BLOCKS = 6
    STREAM_BLOCKS = 7
    PEAK_CONNECTIONS = 8
    PEAK_MEMORY = 9
    PEAK_STREAMS = 10

    def __str__(self) -> str:
        return str(self.value)


_KIND_TO_BLOCKS = {
    "connection": MetricType.CONNECTION_BLOCKS,
    "memory": MetricType.MEMORY_BLOCKS,
    "stream": MetricType.STREAM_BLOCKS,
}


class Metrics:
    """
    Connections, streams and bytes that were taken and given back, their peaks, and refusals.

    Threads may share one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._counters = [0] * len(MetricType)
            self._gauges = [0.0] * len(MetricType)
            self._started_at = time.monotonic()

    def get_counter(self, metric: MetricType) -> int:
        """Return a sum."""
        return self._counters[metric]

    def get_gauge(self, metric: MetricType) -> float:
        """Return what was set last; for peaks, the largest sum."""
        return self._gauges[metric]

    def increment(self, metric: MetricType, delta: int = 1) -> None:
        """Add to a sum."""
        with self._lock:
            self._counters[metric] += delta

    def set_gauge(self, metric: MetricType, value: float) -> None:
        """Set a value."""
        with self._lock:
            self._gauges[metric] = value

    def record_connection(self, direction: str, delta: int = 1) -> None:
        """Count connections that were opened, or closed if ``delta`` is negative."""
        inbound, outbound = MetricType.CONNECTIONS_INBOUND, MetricType.CONNECTIONS_OUTBOUND
        metric = outbound if direction == "outbound" else inbound
        self._record(metric, delta, MetricType.PEAK_CONNECTIONS, (inbound, outbound))

    def record_stream(self, direction: str, delta: int = 1) -> None:
        """Count streams likewise."""
        inbound, outbound = MetricType.STREAMS_INBOUND, MetricType.STREAMS_OUTBOUND
        metric = outbound if direction == "outbound" else inbound
        self._record(metric, delta, MetricType.PEAK_STREAMS, (inbound, outbound))

    def record_memory(self, size: int, delta: int = 1) -> None:
        """Count ``delta`` times ``size`` bytes."""
        usage = MetricType.MEMORY_USAGE
        self._record(usage, size * delta, MetricType.PEAK_MEMORY, (usage,))

    def record_block(self, resource_type: str) -> None:
        """Count a refusal of a "connection", of "memory" or of a "stream"."""
        if resource_type not in _KIND_TO_BLOCKS:
            raise InvalidArgument(f"not a kind of resource: {resource_type!r}")
        self.increment(_KIND_TO_BLOCKS[resource_type])

    def allow_stream(self, peer_id: str, direction: str) -> None:
        """Count a stream."""
        self.record_stream(direction)

    def remove_stream(self, direction: str) -> None:
        """Count a stream's end."""
        self.record_stream(direction, -1)

    def get_summary(self) -> dict[str, Any]:
        """Return all of it: seconds since the start, sums, peaks and refusals."""
        kind = MetricType
        count, gauge = self.get_counter, self.get_gauge
        conns_in, conns_out = count(kind.CONNECTIONS_INBOUND), count(kind.CONNECTIONS_OUTBOUND)
        streams_in, streams_out = count(kind.STREAMS_INBOUND), count(kind.STREAMS_OUTBOUND)
        return {
            "uptime": time.monotonic() - self._started_at,
            "connections": {
                "inbound": conns_in,
                "outbound": conns_out,
                "total": conns_in + conns_out,
                "peak": gauge(kind.PEAK_CONNECTIONS),
            },
            "memory": {"current": count(kind.MEMORY_USAGE), "peak": gauge(kind.PEAK_MEMORY)},
            "streams": {
                "inbound": streams_in,
                "outbound": streams_out,
                "total": streams_in + streams_out,
                "peak": gauge(kind.PEAK_STREAMS),
            },
            "blocks": {
                "connections": count(kind.CONNECTION_BLOCKS),
                "memory": count(kind.MEMORY_BLOCKS),
                "streams": count(kind.STREAM_BLOCKS),
            },
        }

    def _record(
        self, metric: MetricType, delta: int, peak: MetricType, summands: tuple[MetricType, ...]
    ) -> None:
        with self._lock:
            self._counters[metric] += delta
            now = float(sum(self._counters[each] for each in summands))
            self._gauges[peak] = max(self._gauges[peak], now)
