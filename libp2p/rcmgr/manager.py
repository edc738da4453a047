"""
py-libp2p's `ResourceManager`: limits of a host, and what it holds of them.

It counts nothing twice: a host that is made with it, ``new_host(resource_manager=manager)``, counts
in `ResourceManager.resources`, and so does what a program takes with ``acquire_…``. Both together
are what the limits are about.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Self

from libp2p.exceptions import InvalidArgument, ResourceScopeClosed, WrongArgumentType
from libp2p.peer.addresses import ip_of
from libp2p.rcmgr.cidr_limits import CIDRLimiter
from libp2p.rcmgr.metrics import Direction, Metrics
from libp2p.resources import Resources, Scope
from libp2p.utils import arguments

if TYPE_CHECKING:
    from multiaddr import Multiaddr

#: Peers whose rate of connections is remembered. The one heard of longest ago is forgotten first,
#: which gives it a full burst again.
MAX_RATED_PEERS: Final = 4096

#: Trees of `Resources` that count the bytes of a host, and the streams that peers have opened.
_MEMORY: Final = ("receive windows", "unread bytes", "queued bytes")
_STREAMS: Final = "inbound streams"

#: py-libp2p's options of parts that are not here.
_NOT_OFFERED: Final = frozenset(
    {
        *("allowlist", "allowlist_config", "connection_limits", "memory_limits"),
        *("enable_connection_tracking", "enable_memory_limits", "enable_connection_pooling"),
        *("enable_memory_pooling", "enable_circuit_breaker", "enable_graceful_degradation"),
        *("enable_prometheus", "prometheus_port", "prometheus_exporter"),
    }
)


class ResourceLimits:
    """How many connections and streams, and how much memory in MiB, a host may hold."""

    def __init__(
        self, max_connections: int = 1000, max_memory_mb: int = 512, max_streams: int = 10000
    ) -> None:
        self.max_connections = max_connections
        self.max_memory_bytes = max_memory_mb * 1024 * 1024
        self.max_streams = max_streams


@dataclass(frozen=True, slots=True)
class ScopeStat:
    """
    What a host holds, or holds because of one peer.

    :param streams: those that peers have opened, and those that were acquired.
    :param memory: bytes that wait to be read or sent, and growth of receive windows.
    """

    connections: int
    streams: int
    memory: int


class ConnectionScope:
    """A connection that a program has acquired; closing it releases it."""

    def __init__(
        self, peer_id: str, manager: ResourceManager, endpoint_ip: str | None, direction: str
    ) -> None:
        self.peer_id = peer_id
        self.closed = False
        self._manager = manager
        self._endpoint_ip, self._direction = endpoint_ip, direction

    def close(self) -> None:
        """Release it; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._manager.release_connection(
                self.peer_id, endpoint_ip=self._endpoint_ip, direction=self._direction
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class ResourceManager:
    """
    Limits of a host, and counts of what a program takes itself. Threads may share one.

    Given to `new_host`, the limits hold for the host's connections, for the streams that peers
    open, and for each kind of bytes that it holds; ``cidr_limits`` hold for its connections. The
    rates hold for `acquire_connection` alone: a host limits handshakes by their origin instead.

    :param limits: of connections, memory and streams.
    :param metrics: counts what is acquired, released and refused; None if ``enable_metrics`` is
        False.
    :param connections_per_peer_per_sec: how often a peer may connect in the long run.
    :param burst_connections_per_peer: how often a peer may connect at once.
    :param cidr_limits: networks, and how many connections each of them may have.
    :param not_offered: py-libp2p's options of pools, circuit breaker, degradation, allow-list and
        exporter, which are not here: None and False are accepted.
    """

    def __init__(
        self,
        limits: ResourceLimits | None = None,
        *,
        metrics: Metrics | None = None,
        enable_metrics: bool = True,
        enable_rate_limiting: bool = True,
        connections_per_peer_per_sec: float = 10.0,
        burst_connections_per_peer: float = 50.0,
        cidr_limits: list[tuple[str, int]] | None = None,
        **not_offered: object,
    ) -> None:
        for name, value in not_offered.items():
            if name not in _NOT_OFFERED:
                raise WrongArgumentType(f"ResourceManager has no option {name!r}")
            if value not in (None, False):
                raise InvalidArgument(f"ResourceManager({name}=…): this library does not have it")
        self.limits = limits = limits or ResourceLimits()
        self.metrics = metrics or (Metrics() if enable_metrics else None)
        self._cidr = CIDRLimiter(cidr_limits)
        #: What a host counts in, by kind.
        self.resources = Resources(of_address=self._networks_of)
        for name in _MEMORY:
            self.resources.bound(name, limits.max_memory_bytes)
        self.resources.bound(_STREAMS, limits.max_streams)
        self._connections = self.resources.scope("acquired connections")
        self._streams = self.resources.scope("acquired streams")
        self._memory = self.resources.scope("acquired bytes")
        self._stream_limits: dict[tuple[str, str], int] = {}
        self._rates = _Rates(
            arguments.seconds(connections_per_peer_per_sec, "connections_per_peer_per_sec"),
            arguments.seconds(burst_connections_per_peer, "burst_connections_per_peer"),
        )
        self._is_rated = enable_rate_limiting
        self._lock = RLock()
        self._is_closed = False

    # -- connections ------------------------------------------------------------------------------

    def acquire_connection(
        self, peer_id: str, *, endpoint_ip: str | None = None, direction: str = "inbound"
    ) -> bool:
        """
        Count a connection to a peer; return False if a limit or its rate does not allow it.

        :raises ResourceScopeClosed: after `close`, as all of these.
        """
        with self._lock:
            self._check_open()
            is_rated = self._is_rated and bool(peer_id)
            if (
                self._current_connections >= self.limits.max_connections
                or (is_rated and not self._rates.take(peer_id, time.monotonic()))
                or not self._cidr.acquire(endpoint_ip)
            ):
                self._refuse("connection")
                return False
            self._connections.child(peer_id).hold(1)
            if self.metrics is not None:
                self.metrics.record_connection(direction)
            return True

    def release_connection(
        self, peer_id: str, *, endpoint_ip: str | None = None, direction: str = "inbound"
    ) -> None:
        """Count one less; more than were acquired are not released."""
        with self._lock:
            if not _give_back(self._connections, peer_id):
                return
            self._cidr.release(endpoint_ip)
            if self.metrics is not None:
                self.metrics.record_connection(direction, -1)

    def open_connection(
        self, peer_id: object = None, endpoint_ip: str | None = None, direction: str = "inbound"
    ) -> ConnectionScope | None:
        """Acquire a connection and return what releases it; None if it is not allowed."""
        peer = "" if peer_id is None else str(peer_id)
        if not self.acquire_connection(peer, endpoint_ip=endpoint_ip, direction=direction):
            return None
        return ConnectionScope(peer, self, endpoint_ip, direction)

    # -- memory -----------------------------------------------------------------------------------

    def acquire_memory(self, size: int) -> bool:
        """Count bytes; return False if they are too many."""
        arguments.count(size, "size")
        with self._lock:
            self._check_open()
            if self._current_memory + size > self.limits.max_memory_bytes:
                self._refuse("memory")
                return False
            self._memory.hold(size)
            if self.metrics is not None:
                self.metrics.record_memory(size)
            return True

    def release_memory(self, size: int) -> None:
        """Count so many bytes less."""
        with self._lock:
            size = min(arguments.count(size, "size"), self._memory.held)
            self._memory.release(size)
            if self.metrics is not None:
                self.metrics.record_memory(size, -1)

    # -- streams ----------------------------------------------------------------------------------

    def acquire_stream(self, peer_id: str, direction: Direction) -> bool:
        """Count a stream of a peer; return False if there are too many."""
        return self.acquire_scoped_stream(peer_id, direction)

    def release_stream(self, peer_id: str, direction: Direction) -> None:
        """Count one less."""
        self.release_scoped_stream(peer_id, direction)

    def set_service_stream_limit(self, service: str, max_streams: int) -> None:
        """Limit the acquired streams of a service; the next ones likewise, also of each peer."""
        self._stream_limits["service", service] = arguments.count(max_streams, "max_streams")

    def set_service_peer_stream_limit(self, service: str, max_streams: int) -> None:
        self._stream_limits["peer of service", service] = arguments.count(
            max_streams, "max_streams"
        )

    def set_protocol_stream_limit(self, protocol: str, max_streams: int) -> None:
        self._stream_limits["protocol", protocol] = arguments.count(max_streams, "max_streams")

    def set_protocol_peer_stream_limit(self, protocol: str, max_streams: int) -> None:
        self._stream_limits["peer of protocol", protocol] = arguments.count(
            max_streams, "max_streams"
        )

    def acquire_scoped_stream(
        self,
        peer_id: str,
        direction: Direction,
        *,
        service: str | None = None,
        protocol: str | None = None,
    ) -> bool:
        """Count a stream of a peer, a service and a protocol, if each of them allows it."""
        with self._lock:
            self._check_open()
            scopes = self._stream_scopes(peer_id, service, protocol)
            is_full = self._current_streams >= self.limits.max_streams
            if is_full or any(scope.room == 0 for scope in scopes):
                self._refuse("stream")
                for scope in scopes:
                    if not scope.held:
                        scope.close()
                return False
            for scope in scopes:
                scope.hold(1)
            if self.metrics is not None:
                self.metrics.record_stream(str(direction))
            return True

    def release_scoped_stream(
        self,
        peer_id: str,
        direction: Direction,
        *,
        service: str | None = None,
        protocol: str | None = None,
    ) -> None:
        """Count one less."""
        with self._lock:
            if not _give_back(self._streams, peer_id):
                return
            for kind, name in _labels(service, protocol):
                _give_back(self.resources.scope(f"acquired streams of {kind} {name}"), peer_id)
            if self.metrics is not None:
                self.metrics.record_stream(str(direction), -1)

    def _stream_scopes(self, peer: str, service: str | None, protocol: str | None) -> list[Scope]:
        """Return where a stream counts, with the limits of now."""
        scopes = [self._streams.child(peer)]
        for kind, name in _labels(service, protocol):
            tree = self.resources.scope(f"acquired streams of {kind} {name}")
            tree.set_limit(self._stream_limits.get((kind, name)))
            scopes.append(tree.child(peer))
            scopes[-1].set_limit(self._stream_limits.get((f"peer of {kind}", name)))
        return scopes

    # -- what is held -----------------------------------------------------------------------------

    def stat(self, peer_id: object = None) -> ScopeStat:
        """Return what is held, in all or because of one peer."""
        if peer_id is None:
            return ScopeStat(self._current_connections, self._current_streams, self._current_memory)
        peer = str(peer_id)
        hosts = self._hosts_connections()
        connections = [self._connections] if hosts is None else [self._connections, hosts]
        inbound = self.resources.find(_STREAMS)
        streams = [self._streams] if inbound is None else [self._streams, inbound]
        return ScopeStat(
            sum(tree.held_by(peer) for tree in connections),
            sum(tree.held_by(peer) for tree in streams),
            sum(tree.held_by(peer) for tree in map(self.resources.find, _MEMORY) if tree),
        )

    def get_stats(self) -> dict[str, Any]:
        """Return what is held in all, and the limits."""
        stat = self.stat()
        return {
            "connections": stat.connections,
            "memory_bytes": stat.memory,
            "streams": stat.streams,
            "limits": dict(vars(self.limits)),
        }

    def is_resource_available(self, resource_type: str, amount: int = 1) -> bool:
        """Tell whether so many more "connections", "streams" or bytes of "memory" would fit."""
        stat, limits = self.stat(), self.limits
        held = {
            "connections": (stat.connections, limits.max_connections),
            "streams": (stat.streams, limits.max_streams),
            "memory": (stat.memory, limits.max_memory_bytes),
        }
        if resource_type not in held:
            raise arguments.out_of_range("resource_type", resource_type, " or ".join(held))
        now, limit = held[resource_type]
        return now + amount <= limit

    def close(self) -> None:
        """Release all that was acquired; nothing can be acquired any more."""
        with self._lock:
            self._is_closed = True
            for tree in (self._connections, self._streams, self._memory):
                tree.clear()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ResourceScopeClosed("the resource manager is closed")

    def _refuse(self, kind: str) -> None:
        if self.metrics is not None:
            self.metrics.record_block(kind)

    def _networks_of(self, address: Multiaddr) -> list[Scope]:
        ip = ip_of(address)
        return [] if ip is None else self._cidr.scopes_of(str(ip))

    def _hosts_connections(self) -> Scope | None:
        return self.resources.find("sockets", "connections")

    @property
    def _current_connections(self) -> int:
        hosts = self._hosts_connections()
        return self._connections.held + (0 if hosts is None else hosts.held)

    @property
    def _current_streams(self) -> int:
        inbound = self.resources.find(_STREAMS)
        return self._streams.held + (0 if inbound is None else inbound.held)

    @property
    def _current_memory(self) -> int:
        trees = filter(None, map(self.resources.find, _MEMORY))
        return self._memory.held + sum(tree.held for tree in trees)


def new_resource_manager(limits: ResourceLimits | None = None, **options: Any) -> ResourceManager:
    """Return a `ResourceManager`."""
    return ResourceManager(limits, **options)


class _Rates:
    """A bucket of connections for each peer, filled at a rate."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, peer: str, now: float) -> bool:
        """Take one; return False if there is none."""
        left, at = self._buckets.pop(peer, (self._burst, now))
        left = min(left + (now - at) * self._per_second, self._burst)
        self._buckets[peer] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > MAX_RATED_PEERS:
            self._buckets.popitem(last=False)
        return left >= 1


def _labels(service: str | None, protocol: str | None) -> list[tuple[str, str]]:
    labels = (("service", service), ("protocol", protocol))
    return [(kind, name) for kind, name in labels if name is not None]


def _give_back(tree: Scope, peer: str) -> bool:
    """Release one of what a peer holds; return False if it holds nothing."""
    if not tree.held_by(peer):
        return False
    scope = tree.child(peer)
    scope.release(1)
    if not scope.held:
        scope.close()
    return True
