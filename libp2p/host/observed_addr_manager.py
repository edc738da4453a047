"""
Which addresses of this host its peers see (sans-I/O): what a router maps, nobody else can tell.

A peer's word is not enough. An address counts once peers of `ACTIVATION_THRESHOLD` networks have
reported it on connections that are still open, as in go-libp2p.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple, Protocol

from multiaddr import Multiaddr

from libp2p.connection_types import ConnectionType
from libp2p.peer.addresses import ip_of, split_address

#: Networks of peers that have to agree.
ACTIVATION_THRESHOLD: Final = 4
#: Addresses of one listener that are believed; more of them mean that the mapping changes.
MAX_EXTERNAL_ADDRS_PER_LOCAL: Final = 3

_TCP: Final = 6
_UDP: Final = 273
_CIRCUIT: Final = 290
_NAT64: Final = IPv6Network("64:ff9b::/96")


class NATDeviceType(Enum):
    """Whether a router maps a port to the same one for all peers."""

    UNKNOWN = "unknown"
    ENDPOINT_INDEPENDENT = "endpoint_independent"
    ENDPOINT_DEPENDENT = "endpoint_dependent"


class _Remote(Protocol):
    def get_remote_address(self) -> tuple[str, int] | None: ...


class Observer(Protocol):
    """A connection, as `SwarmConn` is one."""

    @property
    def is_closed(self) -> bool: ...

    @property
    def muxed_conn(self) -> _Remote: ...


class _Seen(NamedTuple):
    """What was reported on one connection: addresses are texts, which compare at once."""

    local: str
    external: str
    group: str


def extract_thin_waist(maddr: Multiaddr) -> tuple[Multiaddr, str] | None:
    """Split an address behind its TCP or UDP port; None if it does not begin with an IP address."""
    components = split_address(maddr.to_bytes())
    if len(components) < 2 or ip_of(maddr) is None or components[1].code not in (_TCP, _UDP):
        return None
    parts = str(maddr).split("/")
    return Multiaddr("/".join(parts[:5])), "".join(f"/{part}" for part in parts[5:])


def has_consistent_transport(tw_a: Multiaddr, tw_b: Multiaddr) -> bool:
    """Tell whether two addresses are of the same family and transport."""
    return _kind(tw_a) == _kind(tw_b) and len(_kind(tw_a)) == 2


def _kind(address: Multiaddr) -> tuple[int, ...]:
    return tuple(component.code for component in split_address(address.to_bytes())[:2])


def observer_group(remote_addr: tuple[str, int]) -> str:
    """Return what counts as one observer: an IPv4 address, or a network of IPv6 with 56 bits."""
    try:
        ip = ip_address(remote_addr[0].partition("%")[0])
    except ValueError:
        return remote_addr[0]
    if isinstance(ip, IPv6Address):
        return str(ip_network((ip, 56), strict=False).network_address)
    return str(ip)


def is_valid_observation(observed: Multiaddr) -> bool:
    """Tell whether an address could be of use to other peers."""
    if _CIRCUIT in (component.code for component in split_address(observed.to_bytes())):
        return False
    ip = ip_of(observed)
    if ip is None or ip.is_loopback or ip in _NAT64:
        return False
    return extract_thin_waist(observed) is not None


class ObservedAddrManager:
    """The reports of all open connections: one of each."""

    def __init__(self) -> None:
        self._seen: dict[Observer, _Seen] = {}
        self._suffixes: dict[str, set[str]] = {}
        # What `addrs` returned since a report came or went, by its argument: it reads all reports,
        # and a host asks for its addresses several times while a peer connects.
        self._found: dict[int, list[Multiaddr]] = {}

    def record_observation(
        self, conn: Observer, observed_addr: Multiaddr, local_addrs: Iterable[Multiaddr]
    ) -> None:
        """
        Note where the peer of a connection sees this host; it replaces what it said before.

        :param local_addrs: what this host listens on.
        """
        if conn.is_closed or not is_valid_observation(observed_addr):
            return
        get_type = getattr(conn, "get_connection_type", None)
        if get_type is not None and get_type() is ConnectionType.RELAYED:
            return  # the relay's address, if any
        remote = conn.muxed_conn.get_remote_address()
        waist = extract_thin_waist(observed_addr)
        local_waists = [split for each in local_addrs if (split := extract_thin_waist(each))]
        if remote is None or waist is None:
            return
        local = _listener_of(waist[0], [address for address, _ in local_waists])
        if local is None:
            return
        for address, suffix in local_waists:
            self._suffixes.setdefault(str(address), set()).add(suffix)
        self._seen[conn] = _Seen(str(local), str(waist[0]), observer_group(remote))
        self._found.clear()

    def remove_conn(self, conn: Observer) -> None:
        """Forget what was said on a connection that has ended."""
        if self._seen.pop(conn, None) is not None:
            self._found.clear()

    def addrs(self, min_observers: int = ACTIVATION_THRESHOLD) -> list[Multiaddr]:
        """Return the addresses that so many networks of peers agree on, the surest first."""
        if min_observers not in self._found:
            self._found[min_observers] = self._find(min_observers)
        return list(self._found[min_observers])

    def _find(self, min_observers: int) -> list[Multiaddr]:
        found: list[Multiaddr] = []
        for local in dict.fromkeys(seen.local for seen in self._seen.values()):
            suffixes = sorted({"", *self._suffixes[local]})
            for external in self._agreed(local, min_observers):
                found += [Multiaddr(f"{external}{suffix}") for suffix in suffixes]
        return list(dict.fromkeys(found))

    def addrs_for(
        self, listen_addr: Multiaddr, min_observers: int = ACTIVATION_THRESHOLD
    ) -> list[Multiaddr]:
        """Return those that lead to one of the addresses listened on."""
        waist = extract_thin_waist(listen_addr)
        if waist is None:
            return []
        local, suffix = waist
        return [Multiaddr(f"{each}{suffix}") for each in self._agreed(str(local), min_observers)]

    def get_nat_type(self) -> tuple[NATDeviceType, NATDeviceType]:
        """Return what the router in front of this host does with TCP and with UDP."""
        return self._nat_type(_TCP), self._nat_type(_UDP)

    def _observers(self, local: str) -> Counter[str]:
        """Count the networks of peers that have reported each address of a listener."""
        reports = {(s.external, s.group) for s in self._seen.values() if s.local == local}
        return Counter(external for external, _ in reports)

    def _agreed(self, local: str, min_observers: int) -> list[str]:
        observers = self._observers(local)
        agreed = [address for address, count in observers.items() if count >= min_observers]
        agreed.sort(key=lambda address: (-observers[address], address))
        return agreed[:MAX_EXTERNAL_ADDRS_PER_LOCAL]

    def _nat_type(self, transport: int) -> NATDeviceType:
        counts = sorted(
            count
            for local in {seen.local for seen in self._seen.values()}
            if _kind(Multiaddr(local))[1] == transport
            for count in self._observers(local).values()
        )
        total = sum(counts)
        if total < 3 * MAX_EXTERNAL_ADDRS_PER_LOCAL:
            return NATDeviceType.UNKNOWN
        if 2 * sum(counts[-MAX_EXTERNAL_ADDRS_PER_LOCAL:]) >= total:
            return NATDeviceType.ENDPOINT_INDEPENDENT
        return NATDeviceType.ENDPOINT_DEPENDENT


def _listener_of(external: Multiaddr, listening: list[Multiaddr]) -> Multiaddr | None:
    """Return the listener that an address leads to: best one with the same port."""
    fit = [local for local in listening if has_consistent_transport(local, external)]
    port = split_address(external.to_bytes())[1].value
    same = (local for local in fit if split_address(local.to_bytes())[1].value == port)
    return next(same, fit[0] if fit else None)
