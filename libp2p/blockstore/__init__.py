"""Stores of blocks by their CIDs; they know no network."""

from __future__ import annotations

from libp2p.blockstore.base import BlockStore
from libp2p.blockstore.filesystem import FilesystemBlockStore
from libp2p.blockstore.memory import MemoryBlockStore
from libp2p.blockstore.reading import read_blocks

__all__ = ["BlockStore", "FilesystemBlockStore", "MemoryBlockStore", "read_blocks"]
