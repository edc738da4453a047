"""When connections are checked, and what is a bad one; py-libp2p's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.exceptions import InvalidArgument
from libp2p.utils import arguments

STRATEGIES: Final = ("best", "round_robin", "least_loaded", "health_based", "latency_based")

_SHARES: Final = (
    *("min_health_threshold", "critical_health_threshold", "min_ping_success_rate"),
    *("latency_weight", "success_rate_weight", "stability_weight"),
)
_NO_NUMBERS: Final = (
    *("load_balancing_strategy", "enable_health_monitoring", "skip_ping_when_streams_open"),
    *("record_ping_latency_in_peerstore", "abort_connection_on_ping_failure"),
)


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """
    Options of `libp2p.network.health`.

    :param load_balancing_strategy: which of several connections to a peer gets a new stream: the
        newest ("best"), each in turn, the one with the fewest streams, or what the checks found to
        be the healthiest or the quickest one.
    :param enable_health_monitoring: check connections at all.
    :param health_initial_delay: seconds until the first check.
    :param health_warmup_window: seconds in which a new connection is not checked.
    :param health_check_interval: seconds between two checks of all connections.
    :param ping_timeout: seconds for a ping.
    :param min_health_threshold: a lower score is bad; see `ConnectionHealth.update_health_score`.
    :param min_connections_per_peer: bad connections of a peer with no more connections are kept.
    :param critical_health_threshold: with a lower score, even such a connection is replaced.
    :param max_ping_latency: milliseconds; a connection with a longer round trip is bad.
    :param min_ping_success_rate: 0 to 1; a connection with a lower rate is bad.
    :param max_failed_streams: a connection is bad if the peer has reset more of its streams.
    :param unhealthy_grace_period: checks in a row that find a connection bad, to replace it.
    :param skip_ping_when_streams_open: do not ping a connection that is in use.
    :param record_ping_latency_in_peerstore: let the peer store know of round trips.
    :param abort_connection_on_ping_failure: close a connection at the first ping without answer.
    """

    load_balancing_strategy: str = "best"
    enable_health_monitoring: bool = False
    health_initial_delay: float = 60.0
    health_warmup_window: float = 5.0
    health_check_interval: float = 60.0
    ping_timeout: float = 5.0
    min_health_threshold: float = 0.3
    min_connections_per_peer: int = 1
    latency_weight: float = 0.4
    success_rate_weight: float = 0.4
    stability_weight: float = 0.2
    max_ping_latency: float = 1000.0
    min_ping_success_rate: float = 0.7
    max_failed_streams: int = 5
    unhealthy_grace_period: int = 3
    critical_health_threshold: float = 0.1
    skip_ping_when_streams_open: bool = False
    record_ping_latency_in_peerstore: bool = True
    abort_connection_on_ping_failure: bool = False

    def __post_init__(self) -> None:
        if self.load_balancing_strategy not in STRATEGIES:
            names = ", ".join(STRATEGIES)
            raise InvalidArgument(f"Load balancing strategy must be one of {names}")
        arguments.check_numbers(self, shares=_SHARES, without=_NO_NUMBERS)
        if not self.health_check_interval:
            raise arguments.out_of_range("health_check_interval", 0, "more than 0 seconds")
