"""The contents that test vectors are made of, by recipe; streamed, so that they may be large."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES = 1024 * 1024


def content(recipe: dict[str, Any]) -> Iterator[bytes]:
    """Yield the bytes that an ``input`` of cid_vectors.json describes."""
    kind = recipe["type"]
    if kind == "utf8":
        yield recipe["value"].encode()
    elif kind in ("hex", "block"):
        yield bytes.fromhex(recipe["value"] if kind == "hex" else recipe["hex"])
    elif kind == "repeat":
        yield recipe["value"].encode() * recipe["count"]
    elif kind == "zeros":
        yield from _zeros(recipe["size"])
    elif kind == "chacha20":
        yield from chacha20(recipe["seed"], recipe["size"])
    elif kind == "go-chacha8":
        yield from chacha8(recipe["seed"], recipe["size"])
    else:
        raise ValueError(f"no bytes for a recipe of type {kind!r}")


def _zeros(size: int) -> Iterator[bytes]:
    for start in range(0, size, _PIECE_BYTES):
        yield bytes(min(_PIECE_BYTES, size - start))


def chacha20(seed: str, size: int) -> Iterator[bytes]:
    """Yield the ChaCha20 keystream of Kubo's tests: key sha256(seed), no nonce."""
    key = hashlib.sha256(seed.encode()).digest()
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    for piece in _zeros(size):
        yield stream.update(piece)


# -- Go's math/rand/v2 ChaCha8: https://c2sp.org/chacha8rand ---------------------------------------
#
# Each round of 16 blocks makes 992 bytes of output and the key of the next. All are computed at
# once: a row of the state, four words of each of 16 blocks, is one big number of 64 lanes of 64
# bits, the upper half of each left free for carries and shifts. The output takes four blocks at a
# time, word by word; the lanes are in that order.

_LANES = 64
_LANE_BITS = 64
_BLOCKS_AT_A_TIME = 4
_COLUMN_BITS = _BLOCKS_AT_A_TIME * _LANE_BITS
_GROUP_BITS = 4 * _COLUMN_BITS
_GROUP_BYTES = _GROUP_BITS // 8 // 2  # without the free halves
_WORDS = sum(0xFFFFFFFF << _LANE_BITS * lane for lane in range(_LANES))
_COUNTERS = sum(
    group * _BLOCKS_AT_A_TIME + block << group * _GROUP_BITS + block * _LANE_BITS
    for group in range(4)
    for block in range(_BLOCKS_AT_A_TIME)
)
_FIRST_COLUMNS = [
    sum(((1 << count * _COLUMN_BITS) - 1) << group * _GROUP_BITS for group in range(4))
    for count in range(4)
]
_OUTPUT_BYTES = 992


def chacha8(seed: str, size: int) -> Iterator[bytes]:
    """Yield what Go's ChaCha8 reads out, seeded with sha256(seed)."""
    key = hashlib.sha256(seed.encode()).digest()
    while size > 0:
        block = _chacha8_round(key)
        yield block[: min(size, _OUTPUT_BYTES)]
        key = block[_OUTPUT_BYTES:]
        size -= _OUTPUT_BYTES


def _row(words: bytes) -> int:
    """Four words, the same in all blocks."""
    lanes = [(words[at : at + 4] + bytes(4)) * _BLOCKS_AT_A_TIME for at in range(0, 16, 4)]
    return int.from_bytes(b"".join(lanes) * 4, "little")


_CONSTANTS = _row(b"expand 32-byte k")


def _chacha8_round(key: bytes) -> bytes:
    a, b, c, d = _CONSTANTS, _row(key[:16]), _row(key[16:]), _COUNTERS
    first, second = b, c
    for _ in range(4):
        a, b, c, d = _quarter_rounds(a, b, c, d)
        a, b, c, d = _quarter_rounds(a, _turned(b, 1), _turned(c, 2), _turned(d, 3))
        b, c, d = _turned(b, 3), _turned(c, 2), _turned(d, 1)
    # The other two rows are left as they are.
    rows = [_packed(row) for row in (a, b + first & _WORDS, c + second & _WORDS, d)]
    groups = range(0, len(rows[0]), _GROUP_BYTES)
    return b"".join([row[at : at + _GROUP_BYTES] for at in groups for row in rows])


def _turned(row: int, columns: int) -> int:
    """Turn the four columns of each block to the left."""
    right, left = columns * _COLUMN_BITS, (4 - columns) * _COLUMN_BITS
    return row >> right & _FIRST_COLUMNS[4 - columns] | (row & _FIRST_COLUMNS[columns]) << left


def _packed(row: int) -> bytes:
    """Leave the free halves out."""
    return bytes(memoryview(row.to_bytes(_LANES * 8, "little")).cast("I")[::2])


def _quarter_rounds(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    """Compute the four of each block, one for each column."""
    a = a + b & _WORDS
    d ^= a
    d = (d << 16 | d >> 16) & _WORDS
    c = c + d & _WORDS
    b ^= c
    b = (b << 12 | b >> 20) & _WORDS
    a = a + b & _WORDS
    d ^= a
    d = (d << 8 | d >> 24) & _WORDS
    c = c + d & _WORDS
    b ^= c
    return a, (b << 7 | b >> 25) & _WORDS, c, d
