"""Errors of secure channels, at py-libp2p's path."""

from __future__ import annotations

from libp2p.exceptions import (
    HandshakeFailure,
    InvalidSignature,
    PeerIDMismatchesPubkey,
    SecurityError,
)

__all__ = ["HandshakeFailure", "InvalidSignature", "PeerIDMismatchesPubkey", "SecurityError"]
