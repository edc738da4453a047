"""Errors of the network of connections, at py-libp2p's path; defined in `libp2p.exceptions`."""

from libp2p.exceptions import (
    DialError,
    SwarmDialAllFailedError,
    SwarmException,
)

__all__ = [
    "DialError",
    "SwarmDialAllFailedError",
    "SwarmException",
]
