"""Files for transfers: made fast from a seed, compared, and taken out of stores to be checked."""

from __future__ import annotations

import base64
import filecmp
import hashlib
from typing import TYPE_CHECKING

from tests.support.content import chacha20

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30

_PATTERN = bytes((i * 7 + (i >> 8)) & 0xFF for i in range(65_536))
"""Bytes that differ from their neighbours, so that a shift shows."""
_SHA2_256 = b"\x12\x20"


def write_file(path: Path, seed: str, size: int) -> Path:
    """Write `size` bytes that depend on the seed alone; more than a GB a second."""
    with path.open("wb") as file:
        file.writelines(chacha20(seed, size))
    return path


def random_bytes(seed: str, size: int) -> bytes:
    """`size` bytes that depend on the seed alone."""
    return b"".join(chacha20(seed, size))


def pattern(size: int) -> bytes:
    """The first bytes of what our own Go programs send, where they are not asked for others."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


def same_bytes(first: Path, second: Path) -> bool:
    """Compare two files byte by byte."""
    return filecmp.cmp(first, second, shallow=False)


def stored_blocks(blocks: Path) -> list[Path]:
    """The files of a flatfs store that count as blocks; what is in `.temp` does not."""
    return sorted(blocks.glob("[!.]*/*.data"))


def damaged_blocks(blocks: Path) -> list[str]:
    """The blocks of a flatfs store whose bytes are not those their names promise.

    Reads the folder itself, without the library's store.
    """
    return [path.name for path in stored_blocks(blocks) if not _is_whole(path)]


def _is_whole(path: Path) -> bool:
    multihash = base64.b32decode(path.stem + "=" * (-len(path.stem) % 8))
    return multihash == _SHA2_256 + hashlib.sha256(path.read_bytes()).digest()
