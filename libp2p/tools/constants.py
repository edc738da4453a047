"""py-libp2p's constants for tests and examples."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    LISTEN_MADDR: Multiaddr
    LISTEN_MADDR_V6: Multiaddr

#: Bytes of one read, in examples.
MAX_READ_LEN: Final = 65_535


def _bind_address(variable: str, version: int, otherwise: str) -> str:
    """Return the address that an environment variable names, if it is one of that version."""
    named = os.environ.get(variable, otherwise)
    try:
        is_one = ipaddress.ip_address(named).version == version
    except ValueError:
        is_one = False
    return named if is_one else otherwise


#: Where examples listen: ``LIBP2P_BIND`` may name another address, and ``LIBP2P_BIND_V6``.
DEFAULT_BIND_ADDRESS: Final = _bind_address("LIBP2P_BIND", 4, "127.0.0.1")
DEFAULT_BIND_ADDRESS_V6: Final = _bind_address("LIBP2P_BIND_V6", 6, "::1")

_LISTEN: Final = {
    "LISTEN_MADDR": f"/ip4/{DEFAULT_BIND_ADDRESS}/tcp/0",
    "LISTEN_MADDR_V6": f"/ip6/{DEFAULT_BIND_ADDRESS_V6}/tcp/0",
}


def __getattr__(name: str) -> Multiaddr:
    """Make addresses when they are used: importing this loads no multiaddr."""
    if name not in _LISTEN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from libp2p.peer.addresses import address_from_text

    return address_from_text(_LISTEN[name])
