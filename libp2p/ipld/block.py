"""A block: bytes and the CID that names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import BlockHashMismatch

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID

__all__ = ["MAX_BLOCK_BYTES", "Block", "BlockHashMismatch"]

#: Every IPFS implementation accepts a block of this size over bitswap; Kubo adds no larger one.
MAX_BLOCK_BYTES: Final = 2 * 1024 * 1024
#: A block of 2 MiB, less room for the frame around the chunk (Kubo's limit).
MAX_CHUNK_BYTES: Final = MAX_BLOCK_BYTES - 256


class Block(NamedTuple):
    """Bytes and the CID that they are said to have; `verify` checks it."""

    cid: CID
    data: bytes

    def verify(self) -> Block:
        """
        Check the bytes against the CID.

        :raises BlockHashMismatch: if they have another CID.
        :raises HashNotSupported: if its hash is unknown or too weak to tell.
        """
        if not self.cid.matches(self.data):
            raise BlockHashMismatch(f"the {len(self.data)} bytes are not those of {self.cid}")
        return self
