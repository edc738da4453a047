"""py-libp2p's questions to an address; `libp2p.peer.addresses` has what this library asks."""

from __future__ import annotations

from socket import socket
from typing import Final

from multiaddr import Multiaddr
from multiaddr.exceptions import BinaryParseError, ProtocolLookupError

_IPS: Final = ("ip4", "ip6")
_HOSTS: Final = (*_IPS, "dns", "dns4", "dns6")


def join_multiaddrs(*addrs: str | bytes | Multiaddr) -> Multiaddr:
    """Return the parts of all addresses as one."""
    return Multiaddr("".join(str(Multiaddr(each)).rstrip("/") for each in addrs) or "/")


def get_protocol_layers(maddr: Multiaddr, maxsplit: int = -1) -> list[Multiaddr]:
    """Return an address for each part of ``maddr``; the last is the rest after ``maxsplit``."""
    return list(maddr.split(maxsplit=maxsplit))


def extract_ip_from_multiaddr(maddr: Multiaddr) -> str | None:
    """Return the first IP address; None if there is none."""
    return _first(maddr, _IPS)[1]


def get_ip_protocol_from_multiaddr(maddr: Multiaddr) -> str | None:
    """Return ``"ip4"`` or ``"ip6"``; None if it has no IP address."""
    return _first(maddr, _IPS)[0]


def extract_host_from_multiaddr(maddr: Multiaddr) -> str | None:
    """Return the IP address or host name; None if there is none."""
    return _first(maddr, _HOSTS)[1]


def _first(maddr: Multiaddr, protocols: tuple[str, ...]) -> tuple[str, str] | tuple[None, None]:
    for protocol in protocols:
        try:
            value = maddr.value_for_protocol(protocol)
        except (ProtocolLookupError, BinaryParseError):
            continue
        if value:
            return protocol, value
    return None, None


def format_host_for_url(host: str) -> str:
    """Return a host as a URL has it: IPv6 addresses in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def multiaddr_from_socket(socket_obj: socket) -> Multiaddr:
    """Return the address that a TCP socket, also one of trio's, is bound to."""
    host, port, *_ = socket_obj.getsockname()
    return Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}")
