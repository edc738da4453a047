"""Blocks for tests, each different from all others."""

from __future__ import annotations

from libp2p.ipld.cid import CID


def block(number: int, size: int = 2000) -> tuple[CID, bytes]:
    """Give a block that no other number has, as long as its size has room for the number."""
    data = (b"%d " % number * size)[:size]
    return CID.for_block(data), data


def blocks(count: int, size: int = 2000) -> dict[CID, bytes]:
    """Give the blocks of the first ``count`` numbers."""
    return dict(block(number, size) for number in range(count))
