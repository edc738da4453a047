"""Errors of hosts, at py-libp2p's path; defined in `libp2p.exceptions`."""

from libp2p.exceptions import (
    ConnectionFailure,
    HostException,
    StreamFailure,
)

__all__ = [
    "ConnectionFailure",
    "HostException",
    "StreamFailure",
]
