"""Whether bytes are those of a block, and which blocks of a store are damaged (sans-I/O)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import RAW_CID_START
from libp2p.ipld.multibase import encode_base32
from libp2p.ipld.multihash import SHA2_256, HashNotSupported, InvalidMultihash, hasher, unwrap
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: Damaged blocks that a store remembers, so that it does not say that it has them: 100 bytes each.
#: A store with more is told of again and again.
MAX_DAMAGED: Final = 65536

_SHA2_256_START: Final = bytes((SHA2_256, 32))

logger = get_logger(__name__)


def is_block(multihash: bytes, data: Buffer) -> bool | None:
    """Return whether bytes are those of a block; None if their hash cannot be computed."""
    if len(multihash) == 34 and multihash.startswith(_SHA2_256_START):
        return sha256(data).digest() == multihash[2:]
    try:
        code, digest = unwrap(multihash)
        return hasher(code, len(digest))(data) == digest
    except (InvalidMultihash, HashNotSupported):
        return None


def is_empty_block(multihash: bytes) -> bool:
    """Return whether a multihash is the one of no bytes at all."""
    return is_block(multihash, b"") is True


def name_of(multihash: bytes) -> str:
    """Name a block by the CID that a store of multihashes lists it by."""
    return "b" + encode_base32(RAW_CID_START + multihash)


class DamagedBlocks:
    """The blocks of a store whose bytes are others: told once each, missing until stored again."""

    def __init__(self, place: object) -> None:
        self._place = place
        self._multihashes: set[bytes] = set()

    def __contains__(self, multihash: bytes) -> bool:
        return multihash in self._multihashes

    def judged(self, multihash: bytes, data: bytes | None) -> bytes | None:
        """
        Return the block if its bytes are right, None if not.

        :raises BlockStoreError: if that cannot be told.
        """
        if data is None:
            return None
        is_right = is_block(multihash, data)
        if is_right is None:
            raise BlockStoreError(f"block {name_of(multihash)} cannot be verified: unknown hash")
        if is_right:
            self._multihashes.discard(multihash)
            return data
        if multihash not in self._multihashes:
            if len(self._multihashes) >= MAX_DAMAGED:
                self._multihashes.clear()
            self._multihashes.add(multihash)
            logger.warning(
                "block %s is damaged: its %d bytes in %s are others",
                name_of(multihash),
                len(data),
                self._place,
            )
        return None

    def forget(self, multihash: bytes) -> None:
        """It has been stored again, or is not wanted any more."""
        self._multihashes.discard(multihash)

    def place_of(self, multihash: bytes) -> str | None:
        """Return where the bytes are, None if a block is not known to be damaged."""
        return f"its row in {self._place}" if multihash in self._multihashes else None


def check_replacement(multihash: bytes, data: Buffer) -> None:
    """:raises BlockStoreError: if what is to replace other bytes is not the block."""
    if is_block(multihash, data) is False:
        raise BlockStoreError(f"{len(data)} bytes are not block {name_of(multihash)}")
