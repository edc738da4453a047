"""py-ipfs-lite 0.1.1's names; docs/coming_from.rst says what is different."""

from __future__ import annotations

from libp2p.ipfs_lite.compat.py_ipfs_lite.config import AddParams, Config
from libp2p.ipfs_lite.compat.py_ipfs_lite.peer import Peer

__all__ = ["AddParams", "Config", "Peer"]
