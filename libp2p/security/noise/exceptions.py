"""Errors of the Noise handshake, at py-libp2p's path."""

from __future__ import annotations

from libp2p.exceptions import HandshakeFailure, InvalidSignature, PeerIDMismatchesPubkey

#: py-libp2p's names for failures that are told apart by their text here.
NoiseFailure = HandshakeFailure
NoiseStateError = HandshakeFailure
HandshakeHasNotFinished = HandshakeFailure

__all__ = [
    "HandshakeFailure",
    "HandshakeHasNotFinished",
    "InvalidSignature",
    "NoiseFailure",
    "NoiseStateError",
    "PeerIDMismatchesPubkey",
]
