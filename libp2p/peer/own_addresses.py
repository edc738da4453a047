"""
Which addresses of this host are of use to whom (sans-I/O).

A host that listens on ``0.0.0.0`` can be dialled at the address of each of its network interfaces,
and at no other. A peer on this machine can use all of them, a peer in a network of ours those of
that network, a peer on the internet the public ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from multiaddr import Multiaddr

from libp2p.peer.addresses import (
    AddressScope,
    IPAddress,
    ip_component,
    ip_of,
    is_link_local_6,
    scope_of,
    scope_of_ip,
)

#: Addresses that one peer is sent. Enough for every interface of a well-connected host; a record of
#: them stays below 4 KiB. A host of containers has a thousand.
MAX_OWN_ADDRESSES: Final = 64


@dataclass(frozen=True, slots=True)
class Interface:
    """One IP address of this machine, and the network that it is in."""

    ip: IPAddress
    network: IPv4Network | IPv6Network
    scope: AddressScope

    @classmethod
    @lru_cache(maxsize=4096)  # the same texts are read again and again
    def of(cls, address: str, netmask: str | None) -> Interface:
        """
        Read an address, with or without a zone, and the mask of its network, if it has one.

        :raises ValueError: if they are malformed.
        """
        ip = ip_address(address.partition("%")[0])
        bits = int(ip_address(netmask)).bit_count() if netmask else ip.max_prefixlen
        return cls(ip, ip_network((ip, bits), strict=False), scope_of_ip(ip))


#: What is assumed where the system reports no interfaces.
LOOPBACK_INTERFACES: Final = (Interface.of("127.0.0.1", "255.0.0.0"), Interface.of("::1", None))


def is_any_interface(address: Multiaddr) -> bool:
    """True if ``address`` is ``0.0.0.0`` or ``::``: it stands for all interfaces."""
    ip = ip_of(address)
    return ip is not None and ip.is_unspecified


def reachable_addresses(
    listening: Iterable[Multiaddr], interfaces: Sequence[Interface]
) -> list[Multiaddr]:
    """
    Return the addresses at which a host that listens on ``listening`` can be dialled.

    Those of one interface each take the place of ``0.0.0.0`` and ``::``, the farthest reaching ones
    first. A link-local address of IPv6 is none of them: it needs a zone, and each of its users has
    one of his own.
    """
    ordered = sorted(interfaces, key=lambda i: (-i.scope, i.ip.is_link_local))
    addresses: list[Multiaddr] = []
    for address in listening:
        ip = ip_of(address)
        if ip is None or not ip.is_unspecified:
            addresses.append(address)
            continue
        rest = address.to_bytes()[len(ip_component(ip)) :]
        addresses += [
            Multiaddr(ip_component(interface.ip) + rest)
            for interface in ordered
            if interface.ip.version == ip.version and not is_link_local_6(interface.ip)
        ]
    return list(dict.fromkeys(addresses))


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """An address of this host, and which peers it is of use to."""

    address: Multiaddr
    ip: IPAddress | None
    scope: AddressScope

    @classmethod
    def of(cls, address: Multiaddr) -> OwnAddress:
        """Read what `addresses_for` needs of ``address`` once, for all peers."""
        return cls(address, ip_of(address), scope_of(address))


def addresses_for(
    own: Iterable[OwnAddress], interfaces: Iterable[Interface], seen_at: Multiaddr | None
) -> list[Multiaddr]:
    """
    Return the addresses of this host that a peer can use, those of its own network first.

    :param seen_at: the peer's address as this side sees it; the peer of an unknown one is told
        public addresses only: peers on the internet need not learn the addresses of our network.
    """
    shared = _shared_with(seen_at, interfaces)
    scope = _scope(seen_at, shared)
    told = [each for each in own if _is_of_use(each, scope, shared)]
    told.sort(key=lambda each: (each.ip not in shared, -each.scope))
    return [each.address for each in told[:MAX_OWN_ADDRESSES]]


def scope_of_peer(seen_at: Multiaddr | None, interfaces: Iterable[Interface]) -> AddressScope:
    """
    Return the scope of a peer, from the address that this side sees it at.

    A peer in a network of ours is `PRIVATE`, even if both have public addresses. A peer without an
    address counts as `PUBLIC`, so it learns the least.
    """
    return _scope(seen_at, _shared_with(seen_at, interfaces))


def _shared_with(seen_at: Multiaddr | None, interfaces: Iterable[Interface]) -> set[IPAddress]:
    """Return the addresses of ours whose networks the peer is in."""
    ip = None if seen_at is None else ip_of(seen_at)
    if ip is None:
        return set()
    return {interface.ip for interface in interfaces if ip in interface.network}


def _scope(seen_at: Multiaddr | None, shared: set[IPAddress]) -> AddressScope:
    if seen_at is None:
        return AddressScope.PUBLIC
    scope = scope_of(seen_at)
    return min(scope, AddressScope.PRIVATE) if shared else scope


def _is_of_use(own: OwnAddress, scope: AddressScope, shared: set[IPAddress]) -> bool:
    if own.ip is not None and own.ip.is_link_local:
        return own.ip.version == 4 and (own.ip in shared or scope is AddressScope.LOOPBACK)
    return own.scope >= scope
