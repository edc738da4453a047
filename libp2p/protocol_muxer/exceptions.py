"""Errors of negotiation, at py-libp2p's path."""

from __future__ import annotations

from libp2p.exceptions import (
    MultiselectClientError,
    MultiselectCommunicatorError,
    MultiselectError,
    NegotiationError,
    ProtocolNotSupportedError,
)

__all__ = [
    "MultiselectClientError",
    "MultiselectCommunicatorError",
    "MultiselectError",
    "NegotiationError",
    "ProtocolNotSupportedError",
]
