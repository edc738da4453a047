"""Whether bytes are those of a block (sans-I/O)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from libp2p.ipld.multibase import encode_base32
from libp2p.ipld.multihash import SHA2_256, HashNotSupported, InvalidMultihash, hasher, unwrap

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

_SHA2_256_START: Final = bytes((SHA2_256, 32))


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
    return "b" + encode_base32(b"\x01\x55" + multihash)
