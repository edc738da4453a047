"""What a swarm allows and how long it waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any, Final

from libp2p.exceptions import InvalidArgument
from libp2p.network.connection_gate import ConnectionGate
from libp2p.network.health.config import HealthConfig
from libp2p.resources import Resources
from libp2p.utils import arguments

_SHARES: Final = ("outbound_share", "high_water", "low_water")

_NO_HEALTH_CHECKS: Final = HealthConfig()


@dataclass(frozen=True, slots=True)
class SwarmConfig:
    """
    Limits of a swarm. Fewer descriptors than these need make the first limits lower.

    :param max_connections: connections at the same time. One more takes the place of one that has
        been idle for a few seconds, or is refused.
    :param outbound_share: the part of them that only this side's own dials may use, so that
        strangers cannot keep it from dialling.
    :param max_connections_per_peer: go-libp2p allows 8.
    :param high_water: the part of ``max_connections`` above which idle connections are closed.
    :param low_water: the part of ``max_connections`` at which no more of them are closed.
    :param idle_grace: seconds without a byte on any stream after which a connection is idle.
    :param idle_when_full: such seconds while there are ``max_connections`` connections: one that is
        idle for longer gives way to a new one. Both sides must have had time to begin using it.
    :param max_tagged_peers: peers that the connection manager can have tagged. A program that tags
        each peer it meets must not grow for ever; one more makes it forget the first.
    :param max_stream_handlers: handlers that run at the same time. A further one takes the place of
        a handler of the connection that has the most. A handler's task takes kilobytes, and makes
        garbage collections longer.
    :param max_protocol_handlers: handlers of one protocol: slow handlers of one protocol must leave
        room for those of the others, such as identify and ping.
    :param max_connection_handlers: handlers of one connection: as many as it may have inbound
        streams.
    :param handler_grace: seconds that handlers get when their connection has ended, to finish with
        what they have received: a block that has arrived should still reach the disk.
    :param max_pending_inbound: inbound handshakes at the same time; each costs a key exchange.
        Three times as many connections wait for a turn, and further ones in the kernel.
    :param safe_handshake: seconds in which a handshake is not given up for another one, unless its
        address has more than its share of the handshakes. Many honest clients that share a
        processor need seconds for a handshake.
    :param max_dials: addresses that are dialled at the same time. go-libp2p allows 160.
    :param max_dials_per_peer: addresses of one peer; go-libp2p allows 8.
    :param dial_timeout: seconds for one address: connect, secure and multiplex.
    :param dial_peer_timeout: seconds for all addresses of a peer.
    :param inbound_timeout: seconds for an inbound connection to be secured and multiplexed.
    :param negotiate_timeout: seconds for a new stream to agree on its protocol.
    :param receive_budget: bytes by which all receive windows together may grow.
    :param close_timeout: seconds that closing all connections may take: a peer may read slowly what
        was written, and a muxer of the user's may never return.
    :param hurried_close_timeout: such seconds where the program is cancelled or fails: it wants to
        end, and its peers are only told so.
    :param health: whether connections are checked, and which of several to a peer is used.
    :raises ValueError: or `TypeError`, if a value is not possible.
    """

    max_connections: int = 1024
    outbound_share: float = 0.125
    max_connections_per_peer: int = 8
    high_water: float = 0.75
    low_water: float = 0.625
    idle_grace: float = 30.0
    idle_when_full: float = 1.0
    max_tagged_peers: int = 16_384
    max_stream_handlers: int = 2048
    max_protocol_handlers: int = 1536
    max_connection_handlers: int = 1000
    handler_grace: float = 5.0
    max_pending_inbound: int = 256
    safe_handshake: float = 3.0
    max_dials: int = 160
    max_dials_per_peer: int = 8
    dial_timeout: float = 15.0
    dial_peer_timeout: float = 60.0
    inbound_timeout: float = 15.0
    negotiate_timeout: float = 10.0
    receive_budget: int = 256 * 1024 * 1024
    close_timeout: float = 10.0
    hurried_close_timeout: float = 0.5
    health: HealthConfig = _NO_HEALTH_CHECKS

    def __post_init__(self) -> None:
        arguments.check_numbers(self, shares=_SHARES, without=("health",))
        arguments.instance(self.health, HealthConfig, "health")

    if not TYPE_CHECKING:  # no name that is misspelt here gets past a type checker

        def __getattr__(self, name: str) -> Any:
            """Return what py-libp2p has under this name."""
            if name in _HEALTH:
                return getattr(self.health, name)
            if name in _RENAMED:
                return getattr(self, _RENAMED[name])
            raise AttributeError(f"{type(self).__name__} has no option {name!r}")

    def new_gate(self) -> ConnectionGate:
        """Return what says whom to connect to: everybody."""
        return ConnectionGate()

    def new_resources(self) -> Resources:
        """Return what a host of this configuration may hold."""
        return Resources({"receive windows": self.receive_budget})


@dataclass(frozen=True, slots=True, init=False)
class ConnectionConfig(SwarmConfig):
    """
    py-libp2p's names of these limits, and lists of whom to connect to.

    ``low_watermark`` and ``high_watermark`` are counts in place of shares, ``grace_period`` is
    ``idle_grace``, and so on; each name of `SwarmConfig` may be given too. An option of a part that
    this library does not have must be left at py-libp2p's default.

    :param allow_list: IP addresses and networks; see `ConnectionGate`, as for ``deny_list``.
    :param min_connections: with fewer connections, peers of the peer store are dialled.
    :param auto_connect_interval: seconds between two rounds of such dials.
    :raises ValueError: or `TypeError`, if a value is not possible.
    """

    allow_list: tuple[str, ...] = ()
    deny_list: tuple[str, ...] = ()
    min_connections: int = 0
    auto_connect_interval: float = 30.0

    def __init__(self, **options: Any) -> None:
        values = {field.name: field.default for field in fields(self)}
        health: dict[str, Any] = {}
        most = arguments.count(
            options.get("max_connections", values["max_connections"]), "max_connections"
        )
        _check_marks(options, most)
        for name, value in options.items():
            if name in values:
                values[name] = value
            elif name in _WATERMARKS:
                count = arguments.count(value, name)
                values[_WATERMARKS[name]] = min(count / most, 1.0) if most else 1.0
            elif name in _HEALTH:
                health[name] = value
            elif name in _RENAMED:
                values[_RENAMED[name]] = value
            elif name not in _NOT_OFFERED:
                raise TypeError(f"ConnectionConfig has no option {name!r}")
            elif value != _NOT_OFFERED[name]:
                raise InvalidArgument(f"ConnectionConfig({name}=…): this library does not have it")
        if health:
            values["health"] = HealthConfig(**health)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        for name in ("allow_list", "deny_list"):
            entries = tuple(arguments.texts(getattr(self, name), name))
            object.__setattr__(self, name, entries)
        without = ("allow_list", "deny_list", "health")
        arguments.check_numbers(self, shares=_SHARES, without=without)
        arguments.instance(self.health, HealthConfig, "health")
        self.new_gate()  # raises here, not when a host is made

    @property
    def grace_period(self) -> float:
        return self.idle_grace

    @property
    def low_watermark(self) -> int:
        return round(self.low_water * self.max_connections)

    @property
    def high_watermark(self) -> int:
        return round(self.high_water * self.max_connections)

    def new_gate(self) -> ConnectionGate:
        return ConnectionGate(self.allow_list, self.deny_list)


def _check_marks(options: Mapping[str, Any], most: int) -> None:
    """
    Refuse counts that contradict each other, in py-libp2p's words.

    A value that is not a number is refused later.
    """
    options = {name: value for name, value in options.items() if isinstance(value, int | float)}
    if options.get("min_connections", 0) < 0:
        raise InvalidArgument("Min connections should be non-negative")
    if options.get("auto_connect_interval", 1) <= 0:
        raise InvalidArgument("Auto connect interval should be positive")
    if options.get("grace_period", 0) < 0:
        raise InvalidArgument("Grace period should be non-negative")
    names = ("min_connections", "low_watermark", "high_watermark", "max_connections")
    options["max_connections"] = most or inf
    for lower, upper in pairwise(name for name in names if name in options):
        if options[upper] < options[lower]:
            what = upper.replace("_", " ").capitalize()
            raise InvalidArgument(f"{what} should be >= {lower}")


_WATERMARKS: Final = {"low_watermark": "low_water", "high_watermark": "high_water"}
_RENAMED: Final = {
    "grace_period": "idle_grace",
    "connection_close_timeout": "close_timeout",
    "connection_timeout": "dial_peer_timeout",
    "inbound_upgrade_timeout": "inbound_timeout",
    "outbound_upgrade_timeout": "dial_timeout",
    "outbound_stream_protocol_negotiation_timeout": "negotiate_timeout",
    "inbound_stream_protocol_negotiation_timeout": "negotiate_timeout",
}
_HEALTH: Final = frozenset(field.name for field in fields(HealthConfig))
_NOT_OFFERED: Final = {
    "max_peer_addrs_to_dial": 25,
}
"""Options of py-libp2p's that have no counterpart, and their defaults there."""


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """
    py-libp2p's options for repeating a failed dial; `new_host` accepts only the defaults.

    `Host.connect` tries each address once and says why it failed. Bootstrap and peering dial again,
    and wait longer after each failure.
    """

    max_retries: int = 3
    initial_delay: float = 0.1
    max_delay: float = 30.0
    backoff_multiplier: float = 2.0
    jitter_factor: float = 0.1


# py-libp2p's names of the defaults, which are this library's
_DEFAULT: Final = ConnectionConfig()
MIN_CONNECTIONS, MAX_CONNECTIONS = _DEFAULT.min_connections, _DEFAULT.max_connections
LOW_WATERMARK, HIGH_WATERMARK = _DEFAULT.low_watermark, _DEFAULT.high_watermark
AUTO_CONNECT_INTERVAL, GRACE_PERIOD = _DEFAULT.auto_connect_interval, _DEFAULT.grace_period
