"""What is known of how well one connection does; times are those of `time.time`."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Final

#: Errors and events that are remembered of a connection, and windows of its bandwidth.
MAX_ERRORS: Final = 100
MAX_EVENTS: Final = 50
MAX_WINDOWS: Final = 10

#: Weight of the newest ping in the rate of success.
_PING_SMOOTHING: Final = 0.3
#: A round trip of so many milliseconds scores 0.
_WORST_LATENCY: Final = 1000.0
#: An error counts against the stability for so many seconds.
_ERROR_SECONDS: Final = 300.0


@dataclass(slots=True)
class HealthMonitorStatus:
    """What a monitor watches."""

    enabled: bool
    monitoring_task_started: bool = False
    check_interval_seconds: float = 0.0
    total_connections: int = 0
    monitored_connections: int = 0
    total_peers: int = 0
    monitored_peers: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return all of it by name."""
        return asdict(self)


@dataclass(slots=True)
class ConnectionHealth:
    """
    How well a connection does.

    :param ping_latency: milliseconds of the last round trip.
    :param ping_success_rate: 0 to 1, of the last pings.
    :param health_score: 0 to 1; see `update_health_score`.
    :param failed_streams: streams that the peer has reset.
    :param average_stream_lifetime: seconds.
    :param connection_stability: 0 to 1; 1 without an error in the last minutes.
    :param bandwidth_usage: bytes by window, see `update_bandwidth_metrics`.
    :param error_history: the last errors, each with its time; ``connection_events`` likewise.
    :param peak_bandwidth: bytes per second, as ``average_bandwidth``.
    :param consecutive_unhealthy: checks in a row that found the connection bad.
    """

    established_at: float
    last_used: float
    last_ping: float
    ping_latency: float
    stream_count: int
    total_bytes_sent: int
    total_bytes_received: int
    failed_streams: int
    ping_success_rate: float
    health_score: float
    last_successful_operation: float
    last_failed_operation: float
    average_stream_lifetime: float
    connection_stability: float
    bandwidth_usage: dict[str, float]
    error_history: list[tuple[float, str]]
    connection_events: list[tuple[float, str]]
    last_bandwidth_check: float
    peak_bandwidth: float
    average_bandwidth: float
    consecutive_unhealthy: int = 0
    latency_weight: float = 0.4
    success_rate_weight: float = 0.4
    stability_weight: float = 0.2
    ended_streams: int = 0

    def __post_init__(self) -> None:
        self.health_score = _share(self.health_score)
        self.ping_success_rate = _share(self.ping_success_rate)
        self.connection_stability = _share(self.connection_stability)

    def update_health_score(self) -> None:
        """Compute the score of latency (1 for 0 s, 0 from 1 s on), success rate and stability."""
        self.health_score = _share(
            _share(1 - self.ping_latency / _WORST_LATENCY) * self.latency_weight
            + self.ping_success_rate * self.success_rate_weight
            + self.connection_stability * self.stability_weight
        )

    def update_ping_metrics(self, latency: float, success: bool) -> None:
        """Note a ping; ``latency`` is its round trip in milliseconds, if it succeeded."""
        self.last_ping = time.time()
        if success:
            self.ping_latency = latency
            self.last_successful_operation = self.last_ping
        else:
            self.last_failed_operation = self.last_ping
        self.ping_success_rate += _PING_SMOOTHING * (success - self.ping_success_rate)
        self.update_health_score()

    def update_stream_metrics(self, stream_count: int, failed: bool = False) -> None:
        """Note how many streams there are; one of them was used, or has failed."""
        self.stream_count = stream_count
        self.last_used = time.time()
        if failed:
            self.failed_streams += 1
            self.last_failed_operation = self.last_used
            self.add_error("stream_failure")
        else:
            self.last_successful_operation = self.last_used
        self.update_health_score()

    def note_stream_end(self, stream_count: int, lifetime: float, failed: bool) -> None:
        """Note the end of a stream that was open for ``lifetime`` seconds."""
        self.ended_streams += 1
        self.average_stream_lifetime += (
            lifetime - self.average_stream_lifetime
        ) / self.ended_streams
        self.update_stream_metrics(stream_count, failed)

    def note_totals(self, bytes_sent: int, bytes_received: int, stream_count: int) -> None:
        """Note how much the connection has carried in all, and how many streams it has."""
        self.stream_count = stream_count
        more_sent = bytes_sent - self.total_bytes_sent
        more_received = bytes_received - self.total_bytes_received
        if more_sent or more_received:
            self.last_used = time.time()
            self.update_bandwidth_metrics(more_sent, more_received)

    def judge(self, is_bad: bool, grace: int) -> bool:
        """Count bad checks in a row; return True, and count anew, when there are ``grace``."""
        self.consecutive_unhealthy = self.consecutive_unhealthy + 1 if is_bad else 0
        if not is_bad or self.consecutive_unhealthy < grace:
            return False
        self.consecutive_unhealthy = 0
        return True

    def is_healthy(self, min_health_threshold: float = 0.3) -> bool:
        """Tell whether the score is high enough."""
        return self.health_score >= min_health_threshold

    def get_age(self) -> float:
        """Return the seconds since the connection began."""
        return time.time() - self.established_at

    def get_idle_time(self) -> float:
        """Return the seconds since the connection was used."""
        return time.time() - self.last_used

    def add_error(self, error_type: str) -> None:
        """Remember an error."""
        self.error_history.append((time.time(), error_type))
        del self.error_history[:-MAX_ERRORS]
        self._update_stability_score()

    def add_connection_event(self, event_type: str) -> None:
        """Remember an event."""
        self.connection_events.append((time.time(), event_type))
        del self.connection_events[:-MAX_EVENTS]

    def update_bandwidth_metrics(
        self, bytes_sent: int, bytes_received: int, window_size: int = 300
    ) -> None:
        """Add bytes to the totals, and to the window of so many seconds that is now."""
        self.total_bytes_sent += bytes_sent
        self.total_bytes_received += bytes_received
        self.last_bandwidth_check = time.time()
        window = str(int(self.last_bandwidth_check // window_size))
        usage = self.bandwidth_usage
        usage[window] = usage.get(window, 0.0) + bytes_sent + bytes_received
        for oldest in list(usage)[:-MAX_WINDOWS]:
            del usage[oldest]
        self.peak_bandwidth = max(self.peak_bandwidth, usage[window] / window_size)
        self.average_bandwidth = sum(usage.values()) / (len(usage) * window_size)

    def _update_stability_score(self) -> None:
        since = time.time() - _ERROR_SECONDS
        recent = sum(at >= since for at, _ in self.error_history)
        self.connection_stability = 1 / (1 + recent / 10)

    def get_health_summary(self) -> dict[str, Any]:
        """Return the health for people and for graphs, with units in the names."""
        self._update_stability_score()  # errors that are old do not count any more
        return {
            "health_score": self.health_score,
            "ping_latency_ms": self.ping_latency,
            "ping_success_rate": self.ping_success_rate,
            "connection_stability": self.connection_stability,
            "stream_count": self.stream_count,
            "failed_streams": self.failed_streams,
            "connection_age_seconds": self.get_age(),
            "idle_time_seconds": self.get_idle_time(),
            "total_bytes_sent": self.total_bytes_sent,
            "total_bytes_received": self.total_bytes_received,
            "peak_bandwidth_bps": self.peak_bandwidth,
            "average_bandwidth_bps": self.average_bandwidth,
            "recent_errors": len(self.error_history),
            "connection_events": len(self.connection_events),
        }


def create_default_connection_health(
    established_at: float | None = None,
    latency_weight: float = 0.4,
    success_rate_weight: float = 0.4,
    stability_weight: float = 0.2,
) -> ConnectionHealth:
    """Return the health of a connection of which nothing bad is known yet."""
    now = time.time()
    return ConnectionHealth(
        established_at=now if established_at is None else established_at,
        last_used=now,
        last_ping=now,
        ping_latency=0.0,
        stream_count=0,
        total_bytes_sent=0,
        total_bytes_received=0,
        failed_streams=0,
        ping_success_rate=1.0,
        health_score=1.0,
        last_successful_operation=now,
        last_failed_operation=0.0,
        average_stream_lifetime=0.0,
        connection_stability=1.0,
        bandwidth_usage={},
        error_history=[],
        connection_events=[],
        last_bandwidth_check=now,
        peak_bandwidth=0.0,
        average_bandwidth=0.0,
        latency_weight=latency_weight,
        success_rate_weight=success_rate_weight,
        stability_weight=stability_weight,
    )


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)
