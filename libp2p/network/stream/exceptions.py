"""Errors of streams, at py-libp2p's path; defined in `libp2p.exceptions`."""

from libp2p.exceptions import (
    StreamClosed,
    StreamEOF,
    StreamError,
    StreamReset,
    StreamTimeout,
)

__all__ = [
    "StreamClosed",
    "StreamEOF",
    "StreamError",
    "StreamReset",
    "StreamTimeout",
]
