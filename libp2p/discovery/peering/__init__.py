"""Peers to stay connected to."""

from __future__ import annotations

from libp2p.discovery.peering.keeper import Peering

__all__ = ["Peering"]
