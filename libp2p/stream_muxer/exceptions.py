"""Errors of multiplexed connections, at py-libp2p's path; defined in `libp2p.exceptions`."""

from libp2p.exceptions import (
    MuxedConnError,
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
    MuxedStreamTimeout,
)

__all__ = [
    "MuxedConnError",
    "MuxedConnUnavailable",
    "MuxedStreamClosed",
    "MuxedStreamEOF",
    "MuxedStreamError",
    "MuxedStreamReset",
    "MuxedStreamTimeout",
]
