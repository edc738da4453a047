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
# Each round of 16 blocks makes 992 bytes of output and the key of the next. The 16 blocks are
# computed at once: a state word is one big number of 16 lanes of 64 bits, the upper half of each
# left free for carries and shifts.

_LANES = 16
_ONES = sum(1 << 64 * lane for lane in range(_LANES))
_WORDS = _ONES * 0xFFFFFFFF
_COUNTERS = sum(lane << 64 * lane for lane in range(_LANES))
_CONSTANTS = [int.from_bytes(b"expand 32-byte k"[i : i + 4], "little") for i in range(0, 16, 4)]
_COLUMNS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
_DIAGONALS = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
_OUTPUT_BYTES = 992


def chacha8(seed: str, size: int) -> Iterator[bytes]:
    """Yield what Go's ChaCha8 reads out, seeded with sha256(seed)."""
    key = hashlib.sha256(seed.encode()).digest()
    while size > 0:
        block = _chacha8_round(key)
        yield block[: min(size, _OUTPUT_BYTES)]
        key = block[_OUTPUT_BYTES:]
        size -= _OUTPUT_BYTES


def _chacha8_round(key: bytes) -> bytes:
    key_words = [_ONES * int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)]
    state = [_ONES * constant for constant in _CONSTANTS] + key_words + [_COUNTERS, 0, 0, 0]
    for _ in range(4):
        for a, b, c, d in (*_COLUMNS, *_DIAGONALS):
            _quarter_round(state, a, b, c, d)
    for index, word in enumerate(key_words, 4):
        state[index] = state[index] + word & _WORDS  # the other words are left as they are
    rows = [bytes(memoryview(word.to_bytes(128, "little")).cast("I")[::2]) for word in state]
    return b"".join(row[at : at + 16] for at in range(0, 64, 16) for row in rows)


def _quarter_round(state: list[int], ia: int, ib: int, ic: int, id_: int) -> None:
    a, b, c, d = state[ia], state[ib], state[ic], state[id_]
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
    b = (b << 7 | b >> 25) & _WORDS
    state[ia], state[ib], state[ic], state[id_] = a, b, c, d
