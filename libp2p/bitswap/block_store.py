"""py-libp2p's name of `libp2p.blockstore`."""

from __future__ import annotations

from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore

__all__ = ["BlockStore", "FilesystemBlockStore", "MemoryBlockStore"]
