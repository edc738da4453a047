"""Errors of the TLS handshake, at py-libp2p's path."""

from __future__ import annotations

from libp2p.exceptions import HandshakeFailure, InvalidSignature, PeerIDMismatchesPubkey

#: py-libp2p's names for failures that are told apart by their text here.
TLSHandshakeFailure = HandshakeFailure
MissingLibp2pExtensionError = HandshakeFailure

__all__ = [
    "HandshakeFailure",
    "InvalidSignature",
    "MissingLibp2pExtensionError",
    "PeerIDMismatchesPubkey",
    "TLSHandshakeFailure",
]
