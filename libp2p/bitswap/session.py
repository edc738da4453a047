"""py-libp2p's name of `libp2p.bitswap.fetch.session`."""

from __future__ import annotations

from libp2p.bitswap.fetch.session import BitswapSession

__all__ = ["BitswapSession"]
