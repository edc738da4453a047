"""Writes the parts of CAR files (sans-I/O); `libp2p.ipld.car.header` has what they begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID


def encode_block_start(cid: CID, size: int) -> bytes:
    """Return what stands in front of a block of ``size`` bytes."""
    return encode_uvarint(len(cid.buffer) + size) + cid.buffer
