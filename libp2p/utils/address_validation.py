"""py-libp2p's choice of addresses to listen on, as its examples use it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from libp2p.peer.addresses import AddressScope, address_from_text, scope_of
from libp2p.peer.interfaces import local_interfaces
from libp2p.peer.own_addresses import reachable_addresses

if TYPE_CHECKING:
    from multiaddr import Multiaddr


def get_available_interfaces(port: int, protocol: str = "tcp") -> list[Multiaddr]:
    """
    Return an address to listen on for each network interface.

    One of ``/ip4/0.0.0.0`` is enough, and hears of interfaces that come later.
    """
    any_address = [get_wildcard_address(port, protocol), get_wildcard_address(port, protocol, 6)]
    return reachable_addresses(any_address, local_interfaces())


def get_wildcard_address(port: int, protocol: str = "tcp", ip_version: int = 4) -> Multiaddr:
    """Return the address that stands for all interfaces, with IPv4 or IPv6."""
    ip = "/ip6/::" if ip_version == 6 else "/ip4/0.0.0.0"
    return address_from_text(f"{ip}/{protocol}/{port}")


def get_optimal_binding_address(port: int, protocol: str = "tcp") -> Multiaddr:
    """Return an address that other machines reach, if an interface has one; else loopback."""
    available = get_available_interfaces(port, protocol)
    far = [address for address in available if scope_of(address) > AddressScope.LOOPBACK]
    return (far or available)[0]


def expand_wildcard_address(addr: Multiaddr, port: int | None = None) -> list[Multiaddr]:
    """Return the address of each interface that an address stands for; itself if it is one."""
    text = str(addr)
    if port is not None:
        head, _, _ = text.rpartition("/")
        text = f"{head}/{port}"
    return reachable_addresses([address_from_text(text)], local_interfaces()) or [addr]


def is_ipv6_available() -> bool:
    """Tell whether a network interface has an IPv6 address, if only that of loopback."""
    return any(each.ip.version == 6 for each in local_interfaces())


def has_public_ipv6() -> bool:
    """Tell whether a network interface has an IPv6 address of the Internet."""
    public = (each for each in local_interfaces() if each.scope is AddressScope.PUBLIC)
    return any(each.ip.version == 6 for each in public)


def is_public_ipv6_address(addr: Multiaddr) -> bool:
    """Tell whether an address leads to the Internet by IPv6: a name of ``/dns6`` does too."""
    begins_with = str(addr).split("/")[1]
    return begins_with in ("ip6", "dns6") and scope_of(addr) is AddressScope.PUBLIC


def is_relay_address(addr: Multiaddr) -> bool:
    """Tell whether an address leads through a relay."""
    return "p2p-circuit" in {protocol.name for protocol in addr.protocols()}


def find_free_port(ip_version: int = 4) -> int:
    """Return a port on which nothing listens now; listening on port 0 is safer."""
    family, ip = (socket.AF_INET6, "::1") if ip_version == 6 else (socket.AF_INET, "127.0.0.1")
    with socket.socket(family) as listener:
        listener.bind((ip, 0))
        return int(listener.getsockname()[1])
