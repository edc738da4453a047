"""Identify: who a peer is and what it speaks."""

from libp2p.identity.identify.identify import ID, identify_handler_for

__all__ = ["ID", "identify_handler_for"]
