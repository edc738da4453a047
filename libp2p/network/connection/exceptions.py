"""Errors of raw connections, at py-libp2p's path; defined in `libp2p.exceptions`."""

from libp2p.exceptions import (
    RawConnError,
)

__all__ = [
    "RawConnError",
]
